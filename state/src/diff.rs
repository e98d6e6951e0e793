//! Target against live: what differs, and nothing of what to do about it.
//!
//! `diff(x, x)` is empty. Rows are compared twice: with the live slot, which is what changes for
//! packets, and with the other slot, which is what must be written (each slot catches up).

use std::collections::{BTreeMap, BTreeSet};

use crate::live::{Live, LiveContainer, SlotMark};
use crate::target::constants::Constants;
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

/// How a container's network differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkDifference {
    /// Not at all.
    None,
    /// There is none.
    Missing,
    /// It lacks or has other things than it should, in words.
    Faults(Vec<String>),
}

/// How a container's connection maps differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionsDifference {
    /// Not at all.
    None,
    /// There are none.
    Missing,
    /// The quota of established connections was another.
    Quota(u32),
}

/// How a container's programs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramsDifference {
    /// Not at all.
    None,
    /// They are not attached, or not to the right interface, not first, or not guarded.
    Detached,
    /// They are another build; of these constants.
    Build(Constants),
}

/// How one container of the target differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerDifference {
    /// Its network.
    pub network: NetworkDifference,
    /// Addresses and the like that it has and should not.
    pub surplus: bool,
    /// Its connection maps.
    pub connections: ConnectionsDifference,
    /// Its programs.
    pub programs: ProgramsDifference,
}

impl ContainerDifference {
    /// The first thing that is not as it should be, in words. What it has too much of does not
    /// count: settle takes that away.
    pub fn first_in_words(&self) -> Option<String> {
        match &self.network {
            NetworkDifference::None => {}
            NetworkDifference::Missing => return Some("it has no network".to_owned()),
            NetworkDifference::Faults(faults) => return faults.first().cloned(),
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
            ProgramsDifference::Detached => {
                Some("its programs are not attached, first and guarded".to_owned())
            }
            ProgramsDifference::Build(_) => Some("its programs are another build".to_owned()),
        }
    }

    fn is_none(&self) -> bool {
        self.network == NetworkDifference::None
            && !self.surplus
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
    /// The last commit's run ended before it settled.
    pub unsettled: bool,
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
        self.base_missing || !self.live.is_empty()
    }

    /// Whether nothing at all differs.
    pub fn is_empty(&self) -> bool {
        !self.bpffs_missing
            && !self.base_missing
            && !self.blocks
            && !self.unsettled
            && self.live.is_empty()
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
            found.unsettled =
                base.record.generation.0 > 0 && base.live_slot().mark != SlotMark::Settled;
            let other = &base.slots[base.record.slot.other().index() as usize & 1];
            (&base.live_slot().tables, &other.tables)
        }
        None => (&empty, &empty),
    };
    found.live = Delta::between(current, &target.tables);
    found.next = Delta::between(next, &target.tables);
    for (name, container) in &target.containers {
        let difference = container_difference(container, live.containers.get(name));
        if !difference.is_none() {
            found.containers.insert(name.clone(), difference);
        }
    }
    found.surplus = live
        .containers
        .keys()
        .filter(|n| !target.containers.contains_key(n))
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

/// Compares one container of the target with what was found of it.
pub fn container_difference(
    target: &ContainerTarget,
    live: Option<&LiveContainer>,
) -> ContainerDifference {
    let (network, surplus) = network_difference(&target.network, live);
    ContainerDifference {
        network,
        surplus,
        connections: match live.and_then(|l| l.connections) {
            None => ConnectionsDifference::Missing,
            Some(quota) if quota != target.connections => ConnectionsDifference::Quota(quota),
            Some(_) => ConnectionsDifference::None,
        },
        programs: programs_difference(target, live),
    }
}

/// How the network differs, and whether it has addresses that the target has not.
fn network_difference(target: &Network, live: Option<&LiveContainer>) -> (NetworkDifference, bool) {
    let Some(found) = live.and_then(|l| l.network.as_ref()) else {
        return (NetworkDifference::Missing, false);
    };
    if found.ifindex.is_none() {
        return (NetworkDifference::Missing, false);
    }
    let mut faults = found.faults.clone();
    let lacks = |address| !found.network.addresses.contains(address);
    faults.extend(
        target
            .addresses
            .iter()
            .filter(|a| lacks(a))
            .map(|a| format!("no address {a}")),
    );
    if found.network.mtu != target.mtu {
        faults.push(format!(
            "MTU is {} and not {}",
            found.network.mtu, target.mtu
        ));
    }
    if found.network.mac != target.mac {
        faults.push(format!(
            "MAC address is {} and not {}",
            found.network.mac, target.mac
        ));
    }
    if target.resolv_conf && !found.network.resolv_conf {
        faults.push("no resolv.conf, or another than the host's".to_owned());
    }
    let surplus = found
        .network
        .addresses
        .iter()
        .any(|a| !target.addresses.contains(a))
        || (found.network.resolv_conf && !target.resolv_conf);
    let difference = if faults.is_empty() {
        NetworkDifference::None
    } else {
        NetworkDifference::Faults(faults)
    };
    (difference, surplus)
}

fn programs_difference(
    target: &ContainerTarget,
    live: Option<&LiveContainer>,
) -> ProgramsDifference {
    let Some(programs) = live.and_then(|l| l.programs) else {
        return ProgramsDifference::Detached;
    };
    let ifindex = live
        .and_then(|l| l.network.as_ref())
        .and_then(|n| n.ifindex);
    if Some(programs.ifindex) != ifindex || !programs.guarded || !programs.first {
        return ProgramsDifference::Detached;
    }
    if programs.build != target.programs.build {
        return ProgramsDifference::Build(programs.constants);
    }
    ProgramsDifference::None
}
