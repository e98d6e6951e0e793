//! What keeps an accident from becoming a plan that is carried out.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Plan;
use super::cuts::Cuts;
use crate::live::Live;
use crate::target::Target;
use crate::words::hash::short;
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
    /// `--max-cut`.
    pub max_cut: Option<usize>,
    /// `--lift-hold`.
    pub held: bool,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many live connections would be cut.
    Cut {
        /// How many.
        cut: usize,
        /// What was allowed.
        allowed: usize,
    },
    /// The commit was rolled back from.
    Held {
        /// Which.
        commit: String,
    },
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
            Self::Cut { cut, allowed } => write!(
                f,
                "{cut} {} would be cut: more than --max-cut {allowed} allows",
                if *cut == 1 {
                    "connection"
                } else {
                    "connections"
                }
            ),
            Self::Held { commit } => write!(
                f,
                "{} was rolled back from and is held: commit something else (git revert, for \
                 instance), name another commit with --rev, or go on with --lift-hold",
                short(commit)
            ),
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
            } => {
                let lost = [(removed, "be removed"), (opened, "lose isolation")];
                let lost = lost.into_iter().filter(|(names, _)| !names.is_empty());
                let lost: Vec<String> = lost
                    .map(|(names, what)| format!("{} would {what} ({})", names.len(), some(names)))
                    .collect();
                write!(
                    f,
                    "of {live} live containers {}: more than --max-prune {allowed} allows; \
                     --max-prune {} would",
                    lost.join(" and "),
                    removed.union(opened).count()
                )
            }
        }
    }
}

/// The first names, and how many more there are.
fn some(names: &BTreeSet<FullName>) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(ToString::to_string).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Checks a plan. What counts is live: what a run that died has left of containers that never were
/// may always go; and what the live commit itself opens, or the one that was live until others
/// wrote the commit record, others had closed.
///
/// With `--allow-empty` a tree without containers may take away all of them; else it takes no more
/// than `--max-prune` says. A percentage is of the live containers: of five, 50% are two.
pub fn check(plan: &Plan, target: &Target, live: &Live, allowed: Allowed) -> Result<(), Refusal> {
    let count = live.count();
    if target.containers.is_empty() && count > 0 {
        return match allowed.empty {
            true => Ok(()),
            false => Err(Refusal::Empty { live: count }),
        };
    }
    let same = plan.live.as_ref() == Some(&plan.origin) || is_live_again(plan, live);
    let opened = plan.opens.iter().filter(|change| change.open && !same);
    let opened: BTreeSet<FullName> = opened.map(|change| change.container.clone()).collect();
    let lost = plan.removed.len() + opened.len();
    let too_many = match allowed.max_prune {
        MaxPrune::Percent(percent) => lost * 100 > count * percent as usize,
        MaxPrune::Containers(number) => lost > number as usize,
    };
    if too_many {
        return Err(Refusal::Prune {
            removed: plan.removed.clone(),
            opened,
            live: count,
            allowed: allowed.max_prune,
        });
    }
    Ok(())
}

/// Whether a plan makes live again what was so until others wrote the commit record.
fn is_live_again(plan: &Plan, live: &Live) -> bool {
    let base = live.base.as_ref().filter(|base| base.is_rewound());
    base.is_some_and(|base| base.other_slot().tree == plan.origin.tree)
}

/// Checks how many live connections a plan would cut.
pub fn check_cuts(cuts: &Cuts, allowed: Allowed) -> Result<(), Refusal> {
    let cut = cuts.count();
    match allowed.max_cut {
        Some(allowed) if cut > allowed => Err(Refusal::Cut { cut, allowed }),
        _ => Ok(()),
    }
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
