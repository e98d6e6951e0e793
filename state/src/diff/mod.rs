//! Target against live: what differs, and nothing of what to do about it.
//!
//! `diff(x, x)` is empty. Rows are compared twice: with the live slot, which is what changes for
//! packets, and with the other slot, which is what must be written (each slot catches up).

use std::collections::{BTreeMap, BTreeSet};

use crate::live::{Live, LostTable};
use crate::target::{Datapath, Tables, Target};
use crate::words::names::FullName;

pub mod rows;
pub mod container;

pub use container::{
    ConnectionsDifference, ContainerDifference, Detached, NetworkDifference, ProgramsDifference,
    Surplus,
};
pub use rows::{Delta, TableDelta};

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
    /// The record was taken back by others: what entries have cached of it may be of other tables.
    pub rewound: bool,
    /// Maps and blocks have lost their pins.
    pub unpinned: bool,
    /// Tables that a slot has lost whole.
    pub lost: Vec<LostTable>,
    /// A run died while it prepared the other slot: packets may be in programs that it replaced.
    pub interrupted: bool,
    /// Runs that died have left what nothing reaches.
    pub leftovers: bool,
    /// Interfaces of others on which a guard stands and nobody is to judge, and their indices.
    pub stray_guards: BTreeMap<String, u32>,
    /// How many rows of the live slot nothing of ours writes.
    pub foreign: usize,
    /// How many such rows the other slot has.
    pub next_foreign: usize,
    /// Against the live slot.
    pub live: Delta,
    /// Against the slot that is not live.
    pub next: Delta,
    /// Containers of the target that differ.
    pub containers: BTreeMap<FullName, ContainerDifference>,
    /// Containers of which something is left and the target has none.
    pub surplus: BTreeSet<FullName>,
    /// How many connections have an entry of the live generation that the target denies. Not
    /// compared here: who reads the entries counts them.
    pub denied: usize,
    /// Sysctls: path, what it is (`None`: there is none), what it is to be.
    pub sysctls: BTreeMap<String, (Option<String>, String)>,
}

impl Differences {
    /// Whether packets would be judged differently, or by other programs, so that a commit is
    /// needed. Other programs too are a generation of their own: what the old ones have cached is
    /// judged again by the new ones, and a run that dies between two swaps is known by its slot.
    pub fn needs_commit(&self) -> bool {
        let mut containers = self.containers.values();
        self.base_missing
            || self.rewound
            || self.foreign > 0
            || self.denied > 0
            || !self.live.is_empty()
            || containers.any(|container| container.regenerated)
    }

    /// Whether nothing at all differs. The slot that is not live may: it is written only when it
    /// is to become live.
    pub fn is_empty(&self) -> bool {
        !self.needs_commit()
            && !self.bpffs_missing
            && !self.blocks
            && !self.unsettled
            && !self.unpinned
            && self.lost.is_empty()
            && !self.leftovers
            && self.stray_guards.is_empty()
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
        leftovers: live.leftovers,
        stray_guards: live
            .stray_guards(Some(target))
            .into_iter()
            .map(|(name, guard)| (name.to_owned(), guard.ifindex))
            .collect(),
        ..Differences::default()
    };
    let empty = Tables::default();
    let (current, next) = match &live.base {
        Some(base) => {
            found.blocks = base.block_code != datapath.block_code;
            found.unsettled = !base.is_settled();
            found.rewound = base.is_rewound();
            found.unpinned = !base.unpinned.is_empty();
            found.lost.clone_from(&base.lost);
            found.interrupted = base.other_slot().generation > base.record.generation;
            found.foreign = base.live_slot().foreign;
            found.next_foreign = base.other_slot().foreign;
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
