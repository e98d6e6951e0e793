//! Target against live: what differs, and nothing of what to do about it.
//!
//! `diff(x, x)` is empty. Rows are compared twice: with the live slot, which is what changes for
//! packets, and with the other slot, which is what must be written (each slot catches up).
//!
//! What the datapath reads is compared to the row. Of what belongs to one container each part
//! differs for itself (network, connection maps, programs), with what is to be said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::live::{Live, LiveContainer, LiveNetwork};
use crate::target::host::Network;
use crate::target::tables::{Address, Endpoint, EndpointIndex, PolicyKey, PortKey, Tables};
use crate::target::{ContainerTarget, Datapath, Target};
use crate::words::address::Cidr;
use crate::words::identity::{RuleId, RulesetId};
use crate::words::names::FullName;

/// What turns one table into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDelta<K: Ord, V> {
    /// Rows to write, new or in place of others.
    pub put: BTreeMap<K, V>,
    /// Rows to delete.
    pub delete: BTreeSet<K>,
}

impl<K: Ord, V> Default for TableDelta<K, V> {
    fn default() -> Self {
        Self {
            put: BTreeMap::new(),
            delete: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> TableDelta<K, V> {
    fn between(from: &BTreeMap<K, V>, to: &BTreeMap<K, V>) -> Self {
        let differs = |(key, value): &(&K, &V)| from.get(*key) != Some(*value);
        let put = to
            .iter()
            .filter(differs)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let delete = from
            .keys()
            .filter(|key| !to.contains_key(key))
            .cloned()
            .collect();
        Self { put, delete }
    }

    /// How many rows it writes or deletes.
    pub fn len(&self) -> usize {
        self.put.len() + self.delete.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What turns the contents of one slot into others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Of [`Tables::addresses`].
    pub addresses: TableDelta<Cidr, Address>,
    /// Of [`Tables::endpoints`].
    pub endpoints: TableDelta<EndpointIndex, Endpoint>,
    /// Of [`Tables::policy`].
    pub policy: TableDelta<PolicyKey, RulesetId>,
    /// Of [`Tables::rulesets`].
    pub rulesets: TableDelta<PortKey, RuleId>,
}

impl Delta {
    /// What turns `from` into `to`.
    pub fn between(from: &Tables, to: &Tables) -> Self {
        Self {
            addresses: TableDelta::between(&from.addresses, &to.addresses),
            endpoints: TableDelta::between(&from.endpoints, &to.endpoints),
            policy: TableDelta::between(&from.policy, &to.policy),
            rulesets: TableDelta::between(&from.rulesets, &to.rulesets),
        }
    }

    /// How many rows it writes or deletes.
    pub fn len(&self) -> usize {
        let Self {
            addresses,
            endpoints,
            policy,
            rulesets,
        } = self;
        addresses.len() + endpoints.len() + policy.len() + rulesets.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a container's network lacks. What it has too much is [`Surplus`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkDifference {
    /// Nothing of it is there.
    pub missing: bool,
    /// What is wrong with what is there, in words.
    pub faults: Vec<String>,
    /// Addresses that it is to have and has not. None where the pair is to be made, which brings
    /// them all.
    pub lacks: BTreeSet<IpAddr>,
}

impl NetworkDifference {
    /// Whether it lacks nothing.
    pub fn is_none(&self) -> bool {
        !self.missing && self.faults.is_empty() && self.lacks.is_empty()
    }
}

/// What of ours a container's network has and should not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// Addresses.
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
    /// There are none, or they are not registered under the container's index.
    Missing,
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
}

impl ContainerDifference {
    /// Compares one container of the target with what was found of it. `blocks`: the shared blocks
    /// are to be replaced.
    pub fn between(target: &ContainerTarget, live: Option<&LiveContainer>, blocks: bool) -> Self {
        let network = live.and_then(|l| l.network.as_ref());
        Self {
            network: network_difference(&target.network, network),
            surplus: network.map_or_else(Surplus::default, |n| surplus(&target.network, n)),
            connections: connections_difference(target, live),
            programs: programs_difference(target, live, blocks),
        }
    }

    /// The first thing that is not as it should be, in words. What it has too much of does not
    /// count: settle takes that away.
    pub fn first_in_words(&self) -> Option<String> {
        if self.network.missing {
            return Some("it has no network".to_owned());
        }
        if let Some(fault) = self.network.faults.first() {
            return Some(fault.clone());
        }
        if let Some(address) = self.network.lacks.first() {
            return Some(format!("it has no address {address}"));
        }
        match self.connections {
            ConnectionsDifference::None => {}
            ConnectionsDifference::Missing => return Some("it has no connection maps".to_owned()),
            ConnectionsDifference::Quota(quota) => {
                return Some(format!("its quota of connections is {quota}"));
            }
        }
        match self.programs {
            ProgramsDifference::None => None,
            ProgramsDifference::Detached(_) => {
                Some("its programs are not attached, first and guarded".to_owned())
            }
            ProgramsDifference::Build | ProgramsDifference::Blocks => {
                Some("its programs are another build".to_owned())
            }
        }
    }

    fn is_none(&self) -> bool {
        self.network.is_none()
            && self.surplus.is_none()
            && self.connections == ConnectionsDifference::None
            && self.programs == ProgramsDifference::None
    }
}

/// Target against live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// No bpffs is mounted where the base directory belongs.
    pub bpffs_missing: bool,
    /// There is nothing of ours yet.
    pub base_missing: bool,
    /// The shared blocks are another build.
    pub blocks: bool,
    /// The last store has not settled: its run died, left something, or swung back.
    pub unsettled: bool,
    /// Runs that died have left what nothing reaches.
    pub leftovers: bool,
    /// Rows of the live slot that nothing of ours writes.
    pub foreign: usize,
    /// Against the live slot.
    pub live: Delta,
    /// Against the slot that is not live.
    pub next: Delta,
    /// Containers of the target that differ.
    pub containers: BTreeMap<FullName, ContainerDifference>,
    /// Containers of which something is left and the target has none.
    pub surplus: BTreeSet<FullName>,
    /// Sysctls: path, what it is (`None`: there is none), what it is to be.
    pub sysctls: BTreeMap<String, (Option<String>, String)>,
}

impl Differences {
    /// Whether packets would be judged differently, so that a commit is needed.
    pub fn needs_commit(&self) -> bool {
        self.base_missing || self.foreign > 0 || !self.live.is_empty()
    }

    /// Whether nothing at all differs. The slot that is not live may: it is written only when it
    /// is to become live.
    pub fn is_empty(&self) -> bool {
        !self.needs_commit()
            && !self.bpffs_missing
            && !self.blocks
            && !self.unsettled
            && !self.leftovers
            && self.containers.is_empty()
            && self.surplus.is_empty()
            && self.sysctls.is_empty()
    }
}

/// Compares.
pub fn diff(target: &Target, live: &Live, datapath: &Datapath) -> Differences {
    let mut found = Differences {
        bpffs_missing: !live.bpffs,
        base_missing: live.base.is_none(),
        ..Differences::default()
    };
    let empty = Tables::default();
    let (current, next) = match &live.base {
        Some(base) => {
            found.blocks = base.block_code != datapath.block_code;
            found.unsettled = !base.is_settled();
            found.leftovers = base.leftovers;
            found.foreign = base.live_slot().foreign;
            (&base.live_slot().tables, &base.other_slot().tables)
        }
        None => (&empty, &empty),
    };
    found.live = Delta::between(current, &target.tables);
    found.next = Delta::between(next, &target.tables);
    for (name, container) in &target.containers {
        let live = live.containers.get(name);
        let difference = ContainerDifference::between(container, live, found.blocks);
        if !difference.is_none() {
            found.containers.insert(name.clone(), difference);
        }
    }
    found.surplus = live
        .containers
        .keys()
        .filter(|name| !target.containers.contains_key(name))
        .cloned()
        .collect();
    for (path, value) in &target.host.sysctls {
        let is = live.host.sysctls.get(path);
        if is != Some(value) {
            found
                .sysctls
                .insert(path.clone(), (is.cloned(), value.clone()));
        }
    }
    found
}

fn network_difference(target: &Network, live: Option<&LiveNetwork>) -> NetworkDifference {
    let Some(found) = live else {
        return NetworkDifference {
            missing: true,
            ..NetworkDifference::default()
        };
    };
    let mut faults = found.faults.clone();
    if found.ifindex.is_none() {
        if faults.is_empty() {
            faults.push("no interface that leads into it".to_owned());
        }
        return NetworkDifference {
            faults,
            ..NetworkDifference::default()
        };
    }
    if found.network.mtu != target.mtu {
        faults.push(format!(
            "the MTU is {}, not {}",
            found.network.mtu, target.mtu
        ));
    }
    if found.network.mac != target.mac {
        faults.push(format!(
            "the MAC address is {}, not {}",
            found.network.mac, target.mac
        ));
    }
    if target.resolv_conf && !found.network.resolv_conf {
        faults.push("resolv.conf is not the host's".to_owned());
    }
    let lacks = target.addresses.iter();
    let lacks = lacks.filter(|a| !found.network.addresses.contains(a));
    NetworkDifference {
        missing: false,
        faults,
        lacks: lacks.copied().collect(),
    }
}

fn surplus(target: &Network, found: &LiveNetwork) -> Surplus {
    let addresses = found.network.addresses.iter();
    let surplus = addresses.filter(|a| !target.addresses.contains(a));
    Surplus {
        addresses: surplus.copied().collect(),
        resolv_conf: found.network.resolv_conf && !target.resolv_conf,
    }
}

fn connections_difference(
    target: &ContainerTarget,
    live: Option<&LiveContainer>,
) -> ConnectionsDifference {
    let registered = live.filter(|l| l.endpoint == Some(target.constants.endpoint));
    match registered.and_then(|l| l.connections) {
        None => ConnectionsDifference::Missing,
        Some(quota) if quota != target.connections => ConnectionsDifference::Quota(quota),
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
