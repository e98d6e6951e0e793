//! Which live connections a plan would cut: those that live lets go on and the target does not, and
//! those for which a smaller quota has no room.
//!
//! Each is judged as the datapath judges its next packet under a new generation. A connection of
//! two containers of this host stands in the maps of both and counts once. Which of those beyond a
//! quota go is for the kernel's hash to say: they are counted.

use std::collections::{BTreeMap, BTreeSet};

use super::connections::{Connection, End, Ends, Judge};
use super::{Kind, Operation, Plan};
use crate::live::{Entry, Live};
use crate::target::Target;
use crate::target::host::Attach;
use crate::words::names::FullName;

/// What a plan would cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// The connections that it denies, in order.
    pub cut: BTreeSet<Connection>,
    /// By container: others that its quota has no room for.
    pub forgotten: BTreeMap<FullName, Forgotten>,
    /// How many go on in live.
    pub of: usize,
}

/// Connections for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// How many, at most: some of them may be denied as well.
    pub count: usize,
    /// How many with those that are denied, which have no room either.
    pub beyond: usize,
    /// The quota.
    pub quota: u32,
}

impl Cuts {
    /// How many.
    pub fn count(&self) -> usize {
        let forgotten = self.forgotten.values().map(|forgotten| forgotten.count);
        self.cut.len() + forgotten.sum::<usize>()
    }
}

/// Compares what live and target say of each.
pub fn cuts(plan: &Plan, entries: &[Entry], live: &Live, target: &Target) -> Cuts {
    let (commits, smaller) = (plan.kind == Kind::Commit, smaller(plan));
    let base = live.base.as_ref();
    let Some(base) = base.filter(|_| commits || !smaller.is_empty()) else {
        return Cuts::default();
    };
    let (before, after) = (Ends::of_live(live), Ends::of_target(target));
    let entries = entries.iter().filter(|entry| !entry.ended);
    let mut connections: BTreeMap<Connection, bool> = BTreeMap::new();
    let mut established: BTreeMap<&FullName, BTreeSet<Connection>> = BTreeMap::new();
    for entry in entries {
        let Some(connection) = before.connection(entry) else {
            continue;
        };
        if entry.established && smaller.contains_key(&entry.container) {
            let own = established.entry(&entry.container).or_default();
            own.insert(connection.clone());
        }
        // What the host itself begins passes from whatever address.
        *connections.entry(connection).or_default() |= entry.from_host && !entry.initiator;
    }
    let (moved, released) = (moved(live, target), released(live, target));
    let mut live = Judge::new(&base.live_slot().tables);
    let mut target = Judge::new(&target.tables);
    let mut found = Cuts::default();
    for (connection, from_host) in connections {
        if !from_host && !live.lets(&connection) {
            continue;
        }
        found.of += 1;
        let moves = |end: &End| {
            end.container
                .as_ref()
                .is_some_and(|name| moved.contains(name))
        };
        let stays = after.keep(&connection, &released)
            && !moves(&connection.from)
            && !moves(&connection.to);
        let goes_on = stays && (from_host || target.lets(&connection));
        if commits && !goes_on {
            found.cut.insert(connection);
        }
    }
    for (name, own) in established {
        let quota = smaller[name];
        let beyond = own.len().saturating_sub(quota as usize);
        let count = beyond.min(own.difference(&found.cut).count());
        if beyond > 0 {
            let forgotten = Forgotten {
                count,
                beyond,
                quota,
            };
            found.forgotten.insert(name.clone(), forgotten);
        }
    }
    found
}

/// The containers of which another machine is behind the interface: in another namespace of others,
/// or with another MAC address on an interface of others.
fn moved<'a>(live: &'a Live, target: &Target) -> BTreeSet<&'a FullName> {
    let moves = |name: &FullName| {
        let target = target.containers.get(name)?;
        let before = &live.containers.get(name)?.network.as_ref()?.network;
        Some(match (&before.attach, &target.network.attach) {
            (Attach::Namespace(before), Attach::Namespace(after)) => before != after,
            (Attach::Interface { .. }, Attach::Interface { .. }) => {
                live.constants(name)?.mac != target.constants.mac
            }
            _ => false,
        })
    };
    let names = live.containers.keys();
    names.filter(|name| moves(name) == Some(true)).collect()
}

/// The containers that the target has no more and that go on without us, on interfaces of others:
/// what is left of them are addresses that are elsewhere.
fn released(live: &Live, target: &Target) -> BTreeSet<FullName> {
    let theirs = live.theirs().into_iter();
    let theirs = theirs.filter(|(_, interface)| interface.is_some());
    let names = theirs.map(|(name, _)| name);
    names
        .filter(|name| !target.containers.contains_key(name))
        .collect()
}

/// The containers whose quota becomes smaller, and what it becomes.
fn smaller(plan: &Plan) -> BTreeMap<&FullName, u32> {
    let steps = plan.steps.iter();
    let smaller = steps.filter_map(|step| match &step.operation {
        Operation::ResizeConnections {
            container,
            from,
            to,
            ..
        } if to < from => Some((container, *to)),
        _ => None,
    });
    smaller.collect()
}
