//! What is measured: setups, each with so many policies, and cases, each a kind of traffic.

use std::fmt;

use clap::ValueEnum;

/// What stands between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// One veth pair and nothing else: what everything is compared with.
    Direct,
    /// A Linux bridge.
    Bridge,
    /// A router without a filter.
    Routed,
    /// A router with nftables: established first, then one rule for each policy.
    NftRules,
    /// A router with nftables: established first, then one verdict map with all policies.
    NftMap,
    /// A router with iptables-nft: established first, then one rule for each policy.
    IptablesNft,
    /// Plumbline, with one container behind all policies.
    Plumbline,
    /// Plumbline, with the policies spread over a thousand containers.
    Fleet,
}

impl Kind {
    /// Its name on the command line, in files and in the plot's legend.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bridge => "bridge",
            Self::Routed => "routed",
            Self::NftRules => "nft-rules",
            Self::NftMap => "nft-map",
            Self::IptablesNft => "iptables-nft",
            Self::Plumbline => "plumbline",
            Self::Fleet => "fleet",
        }
    }

    /// What a reader is told of it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Direct => "direct veth pair",
            Self::Bridge => "Linux bridge",
            Self::Routed => "routed",
            Self::NftRules => "nftables, linear rules",
            Self::NftMap => "nftables, verdict map",
            Self::IptablesNft => "iptables-nft",
            Self::Plumbline => "Plumbline",
            Self::Fleet => "Plumbline, 1,000 containers",
        }
    }

    /// Whether the number of policies makes a difference to it.
    pub(crate) fn has_policies(self) -> bool {
        !matches!(self, Self::Direct | Self::Bridge | Self::Routed)
    }
}

/// Containers of [`Kind::Fleet`].
pub(crate) const FLEET: usize = 1_000;

/// The number of policies of [`Kind::Fleet`], whatever is asked for of the others.
pub(crate) const FLEET_POLICIES: usize = 10_000;

/// One line of the matrix: what stands between client and server, with how many policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    /// Policies; 0 where it has none.
    pub(crate) policies: usize,
}

impl Setup {
    /// All of these kinds, with each of these numbers of policies; the direct pair always.
    pub(crate) fn all(kinds: &[Kind], policies: &[usize]) -> Vec<Self> {
        let mut setups = vec![Self::of(Kind::Direct, 0)];
        for &kind in kinds {
            let numbers: &[usize] = match kind {
                Kind::Direct => &[],
                Kind::Bridge | Kind::Routed => &[0],
                Kind::Fleet => &[FLEET_POLICIES],
                _ => policies,
            };
            setups.extend(numbers.iter().map(|&number| Self::of(kind, number)));
        }
        setups.sort_unstable();
        setups.dedup();
        setups
    }

    pub(crate) const fn of(kind: Kind, policies: usize) -> Self {
        Self { kind, policies }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.has_policies() {
            true => write!(f, "{} {}", self.kind.name(), self.policies),
            false => f.write_str(self.kind.name()),
        }
    }
}

/// What client and server do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Workload {
    /// One byte there and one back, again and again, on one connection.
    Rr,
    /// Connect, one byte there and one back, close.
    Crr,
    /// One connection, as many bytes as it takes.
    Stream,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Crr => "crr",
            Self::Stream => "stream",
        }
    }

    /// What its rate counts.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Rr => "transactions/s",
            Self::Crr => "connections/s",
            Self::Stream => "Gbit/s",
        }
    }

    /// What a reader is told of it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Rr => "request/response",
            Self::Crr => "connect/close",
            Self::Stream => "stream",
        }
    }
}

/// The family of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Family {
    /// IPv4.
    #[value(name = "4")]
    V4,
    /// IPv6.
    #[value(name = "6")]
    V6,
}

impl Family {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Which of two of everything is its own.
    pub(crate) fn index(self) -> usize {
        usize::from(self == Self::V6)
    }
}

/// On how many processors client and server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Cpus {
    /// Both on the same.
    #[value(name = "1")]
    One,
    /// Each on one of its own.
    #[value(name = "2")]
    Two,
}

impl Cpus {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::One => "1 CPU",
            Self::Two => "2 CPUs",
        }
    }
}

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    pub(crate) cpus: Cpus,
    pub(crate) family: Family,
}

impl Case {
    /// Every combination.
    pub(crate) fn all(workloads: &[Workload], families: &[Family], cpus: &[Cpus]) -> Vec<Self> {
        let mut cases = Vec::new();
        for &workload in workloads {
            for &cpus in cpus {
                cases.extend(families.iter().map(|&family| Self {
                    workload,
                    cpus,
                    family,
                }));
            }
        }
        cases.sort_unstable();
        cases.dedup();
        cases
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [workload, family] = [self.workload.words(), self.family.name()];
        write!(f, "{workload}, {family}, {}", self.cpus.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direct_pair_is_there_whatever_is_asked_for_and_once() {
        let setups = Setup::all(&[Kind::Plumbline, Kind::Direct, Kind::Fleet], &[10, 0]);
        let names: Vec<String> = setups.iter().map(Setup::to_string).collect();
        assert_eq!(
            names,
            ["direct", "plumbline 0", "plumbline 10", "fleet 10000"]
        );
    }
}
