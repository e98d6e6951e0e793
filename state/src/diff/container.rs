//! What belongs to one container against what is to: network, connection maps, programs, each for
//! itself, with what is to be said of it.

use std::collections::BTreeSet;
use std::fmt;
use std::mem;
use std::net::IpAddr;

use crate::live::{About, Fault, LiveContainer, LiveNetwork, Part};
use crate::target::ContainerTarget;
use crate::target::host::{Attach, Network};

/// What a container's network lacks. What it has too much is [`Surplus`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkDifference {
    /// Nothing of it is there.
    pub missing: bool,
    /// What is wrong with what is there.
    pub faults: Vec<Fault>,
    /// Addresses that it is to have and has not. None where the pair is to be made, which brings
    /// them all.
    pub lacks: BTreeSet<IpAddr>,
}

impl NetworkDifference {
    /// Compares.
    pub fn between(target: &Network, live: Option<&LiveNetwork>) -> Self {
        let Some(found) = live else {
            return Self {
                missing: true,
                ..Self::default()
            };
        };
        let theirs = matches!(target.attach, Attach::Interface { .. });
        let elsewhere = found.network.attach != target.attach && !theirs;
        // Of one that is to lead elsewhere nothing is to be found where it is to lead.
        let moves = elsewhere && found.ifindex.is_none();
        let concern = found.faults.iter().filter(|fault| fault.concerns(target));
        let mut faults: Vec<Fault> = concern.filter(|_| !moves).cloned().collect();
        let mut fault_at = |inside, part, words| {
            let about = About::All;
            faults.push(Fault {
                part,
                about,
                inside,
                words,
            });
        };
        let mut fault = |part, words| fault_at(false, part, words);
        if elsewhere {
            let words = "it leads into another network namespace".to_owned();
            fault(Part::Namespace, words);
        }
        if found.ifindex.is_none() {
            if found.faults.is_empty() && !elsewhere {
                fault(
                    Part::Interface,
                    "no interface that leads into it".to_owned(),
                );
            }
            return Self {
                faults,
                ..Self::default()
            };
        }
        if theirs {
            return Self::default();
        }
        if found.network.mtu != target.mtu {
            let words = format!("the MTU is {}, not {}", found.network.mtu, target.mtu);
            fault(Part::Interface, words);
        }
        if found.network.mac != target.mac {
            let (is, wanted) = (found.network.mac, target.mac);
            let words = format!("the MAC address is {is}, not {wanted}");
            fault_at(true, Part::Interface, words);
        }
        if target.resolv_conf && !found.network.resolv_conf {
            let words = "resolv.conf is not the host's".to_owned();
            fault_at(false, Part::Resolver, words);
        }
        let lacks = target.addresses.iter();
        let lacks = lacks.filter(|address| !found.network.addresses.contains(address));
        Self {
            missing: false,
            faults,
            lacks: lacks.copied().collect(),
        }
    }

    /// Takes out what it lacks inside, which whoever is root there may have undone.
    pub fn take_inside(&mut self) -> Self {
        Self {
            missing: false,
            faults: self.faults.extract_if(.., |fault| fault.inside).collect(),
            lacks: mem::take(&mut self.lacks),
        }
    }

    /// Whether it lacks nothing.
    pub fn is_none(&self) -> bool {
        !self.missing && self.faults.is_empty() && self.lacks.is_empty()
    }

    /// What it lacks, a line each.
    pub fn in_words(&self) -> Vec<String> {
        let missing = self.missing.then(|| "no network".to_owned());
        let lacks = self
            .lacks
            .iter()
            .map(|address| format!("no address {address}"));
        let faults = self.faults.iter().map(ToString::to_string);
        missing.into_iter().chain(faults).chain(lacks).collect()
    }
}

/// What of ours a container's network has and should not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// Addresses inside, and those that routes or neighbours of the host lead to.
    pub addresses: BTreeSet<IpAddr>,
    /// A `resolv.conf`.
    pub resolv_conf: bool,
}

impl Surplus {
    /// Whether there is nothing too much.
    pub fn is_none(&self) -> bool {
        self.addresses.is_empty() && !self.resolv_conf
    }
}

/// How a container's connection maps differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionsDifference {
    /// Not at all.
    None,
    /// Some have lost their pins; the programs hold them.
    Unpinned,
    /// There are none, or not all, or they are not registered under the container's index.
    Missing {
        /// The quota of the map of established connections, where there is one.
        quota: Option<u32>,
    },
    /// The quota of established connections was another.
    Quota(u32),
}

/// How a container's programs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramsDifference {
    /// Not at all.
    None,
    /// They do not stand where they belong.
    Detached(Detached),
    /// They are another build.
    Build,
    /// They reach blocks that are to be replaced.
    Blocks,
}

/// Why programs do not stand where they belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detached {
    /// They are not attached.
    Missing,
    /// They are attached to an interface that is not the container's.
    Elsewhere,
    /// A program of others stands before them.
    NotFirst,
    /// No guard stands behind them.
    Unguarded,
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "its programs are not attached",
            Self::Elsewhere => "its programs are attached to another interface",
            Self::NotFirst => "a program of others stands before its own",
            Self::Unguarded => "no guard stands behind its programs",
        })
    }
}

/// How one container of the target differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerDifference {
    /// What its network lacks.
    pub network: NetworkDifference,
    /// What its network has too much.
    pub surplus: Surplus,
    /// Its connection maps.
    pub connections: ConnectionsDifference,
    /// Its programs.
    pub programs: ProgramsDifference,
    /// Programs are attached, wherever, and are to be replaced by others.
    pub regenerated: bool,
}

impl ContainerDifference {
    /// Compares. Of what is missing only the connection maps count. `blocks`: the blocks that its
    /// programs reach are to be replaced.
    pub fn between(target: &ContainerTarget, live: Option<&LiveContainer>, blocks: bool) -> Self {
        if target.missing.is_some() {
            return Self {
                network: NetworkDifference::default(),
                surplus: Surplus::default(),
                connections: connections_difference(target, live),
                programs: ProgramsDifference::None,
                regenerated: false,
            };
        }
        let network = live.and_then(|l| l.network.as_ref());
        Self {
            network: NetworkDifference::between(&target.network, network),
            surplus: network.map_or_else(Surplus::default, |n| surplus(&target.network, n)),
            connections: connections_difference(target, live),
            programs: programs_difference(target, live, blocks),
            regenerated: live
                .and_then(|l| l.programs)
                .is_some_and(|p| blocks || p.build != target.programs.build),
        }
    }

    /// The first thing that is not as it should be, in words. What it has too much of does not
    /// count: settle takes that away.
    pub fn first_in_words(&self) -> Option<String> {
        let network = self.network.in_words().into_iter().next();
        let connections = match self.connections {
            ConnectionsDifference::None => None,
            ConnectionsDifference::Unpinned => Some("connection maps have no pin".to_owned()),
            ConnectionsDifference::Missing { .. } => Some("no connection maps".to_owned()),
            ConnectionsDifference::Quota(is) => Some(format!("its quota of connections is {is}")),
        };
        let programs = match self.programs {
            ProgramsDifference::None => None,
            ProgramsDifference::Detached(why) => Some(why.to_string()),
            ProgramsDifference::Build => Some("its programs are another build".to_owned()),
            ProgramsDifference::Blocks => Some("its programs reach other blocks".to_owned()),
        };
        network.or(connections).or(programs)
    }

    /// Whether nothing differs.
    pub fn is_none(&self) -> bool {
        self.network.is_none()
            && self.surplus.is_none()
            && self.connections == ConnectionsDifference::None
            && self.programs == ProgramsDifference::None
    }
}

fn surplus(target: &Network, found: &LiveNetwork) -> Surplus {
    let addresses = found.network.addresses.iter().chain(&found.reached);
    let surplus = addresses.filter(|a| !target.addresses.contains(a));
    Surplus {
        addresses: surplus.copied().collect(),
        resolv_conf: found.resolv_conf && !target.resolv_conf,
    }
}

fn connections_difference(
    target: &ContainerTarget,
    live: Option<&LiveContainer>,
) -> ConnectionsDifference {
    let registered = live.filter(|l| l.endpoint == Some(target.constants.endpoint));
    match registered.and_then(|l| l.connections) {
        None => ConnectionsDifference::Missing {
            quota: live.and_then(|l| l.pinned_quota),
        },
        Some(quota)
            if quota != target.connections && live.is_some_and(|l| !l.unpinned.is_empty()) =>
        {
            ConnectionsDifference::Missing { quota: Some(quota) }
        }
        Some(quota) if quota != target.connections => ConnectionsDifference::Quota(quota),
        Some(_) if live.is_some_and(|l| !l.unpinned.is_empty()) => ConnectionsDifference::Unpinned,
        Some(_) => ConnectionsDifference::None,
    }
}

fn programs_difference(
    target: &ContainerTarget,
    live: Option<&LiveContainer>,
    blocks: bool,
) -> ProgramsDifference {
    let Some(programs) = live.and_then(|l| l.programs) else {
        return ProgramsDifference::Detached(Detached::Missing);
    };
    let network = live.and_then(|l| l.network.as_ref());
    if Some(programs.ifindex) != network.and_then(|n| n.ifindex) {
        ProgramsDifference::Detached(Detached::Elsewhere)
    } else if !programs.first {
        ProgramsDifference::Detached(Detached::NotFirst)
    } else if !programs.guarded {
        ProgramsDifference::Detached(Detached::Unguarded)
    } else if programs.build != target.programs.build {
        ProgramsDifference::Build
    } else if blocks {
        ProgramsDifference::Blocks
    } else {
        ProgramsDifference::None
    }
}
