//! What keeps an accident from becoming a plan that is carried out.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Plan;
use super::operation::Operation;
use crate::live::Live;
use crate::target::Target;
use crate::words::names::FullName;

/// How much a run may take away: a share of the live containers, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxPrune {
    /// In percent, 0 to 100.
    Percent(u32),
    /// A number of containers.
    Containers(u32),
}

impl Default for MaxPrune {
    fn default() -> Self {
        Self::Percent(50)
    }
}

impl FromStr for MaxPrune {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("'{text}' is neither a number nor a percentage such as 50%");
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(refused()),
            },
            None => text.parse().map(Self::Containers).map_err(|_| refused()),
        }
    }
}

impl fmt::Display for MaxPrune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Containers(number) => write!(f, "{number}"),
        }
    }
}

/// What the caller allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// `--max-prune`.
    pub max_prune: MaxPrune,
    /// `--allow-empty`.
    pub empty: bool,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The tree has no container for this host, and live has some.
    Empty {
        /// How many live has.
        live: usize,
    },
    /// Too many containers would be removed or lose their isolation.
    Prune {
        /// Containers that would be removed.
        removed: BTreeSet<FullName>,
        /// Containers that would become open in a direction.
        opened: BTreeSet<FullName>,
        /// How many live has.
        live: usize,
        /// What was allowed.
        allowed: MaxPrune,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { live } => write!(
                f,
                "the tree has no container for this host, and {live} would be removed; \
                 --allow-empty allows it, --host says which host this is"
            ),
            Self::Prune {
                removed,
                opened,
                live,
                allowed,
            } => write!(
                f,
                "{} of {live} containers would be removed and {} would lose their isolation, \
                 more than --max-prune {allowed} allows",
                removed.len(),
                opened.len()
            ),
        }
    }
}

/// Checks a plan.
pub fn check(plan: &Plan, target: &Target, live: &Live, allowed: Allowed) -> Result<(), Refusal> {
    let count = live.containers.len();
    if target.containers.is_empty() && count > 0 && !allowed.empty {
        return Err(Refusal::Empty { live: count });
    }
    let removed: BTreeSet<FullName> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.operation {
            Operation::Remove { container } => Some(container.clone()),
            _ => None,
        })
        .collect();
    let opened: BTreeSet<FullName> = plan
        .opens
        .iter()
        .filter(|c| c.open)
        .map(|c| c.container.clone())
        .collect();
    let lost = removed.union(&opened).count();
    let too_many = match allowed.max_prune {
        MaxPrune::Percent(percent) => lost * 100 > count * percent as usize,
        MaxPrune::Containers(number) => lost > number as usize,
    };
    let emptied = target.containers.is_empty() && allowed.empty;
    if too_many && !emptied {
        return Err(Refusal::Prune {
            removed,
            opened,
            live: count,
            allowed: allowed.max_prune,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_prune_is_a_number_or_a_percentage() {
        assert_eq!("50%".parse(), Ok(MaxPrune::Percent(50)));
        assert_eq!("3".parse(), Ok(MaxPrune::Containers(3)));
        assert!("101%".parse::<MaxPrune>().is_err());
        assert!("-1".parse::<MaxPrune>().is_err());
        assert!("half".parse::<MaxPrune>().is_err());
    }
}
