//! Differences to ordered operations: everything an apply does, and the same that a dry run prints.
//!
//! A plan is made whole before anything is touched, and no stage of `apply` decides anything: it
//! executes what stands here, in this order.

use std::collections::BTreeMap;

use crate::diff::Differences;
use crate::live::Live;
use crate::target::Target;
use crate::words::generation::{CommitRecord, Generation, Slot};
use crate::words::names::FullName;

pub mod operation;
pub mod order;
pub mod openness;
pub mod rows;
pub mod guards;
pub mod collisions;

pub use operation::{Operation, Phase, Step};

/// What a tree came from: names that slots and the journal keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The git commit (hex), or the content hash of a directory.
    pub commit: String,
    /// The git tree (hex), or the same content hash.
    pub tree: String,
}

/// What kind of run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Same commit, same target: no write.
    Nothing,
    /// Another commit with the same target: one write, of the live slot's commit name.
    Rename,
    /// Verdicts stay; links, interfaces, routes, sysctls or programs are mended in place.
    Mend,
    /// A new generation.
    Commit,
}

/// An ordered list of operations, and what a person needs to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What kind of run it is.
    pub kind: Kind,
    /// What the tree came from.
    pub origin: Origin,
    /// The commit record as it is.
    pub from: CommitRecord,
    /// The commit record as it will be; the same where no commit is needed.
    pub to: CommitRecord,
    /// The commit name of the live slot; empty before the first.
    pub live_commit: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Containers of the target, as they will be: what `verify` and `check` compare with.
    pub opens: Vec<openness::Change>,
    /// What a person should know before it is applied.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The operations of a phase, in order.
    pub fn phase(&self, phase: Phase) -> impl Iterator<Item = &Operation> {
        self.steps
            .iter()
            .filter(move |s| s.phase == phase)
            .map(|s| &s.operation)
    }

    /// Whether it would change anything.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Makes the plan. `differences` is `diff(target, live)`.
pub fn plan(target: &Target, live: &Live, differences: &Differences, origin: &Origin) -> Plan {
    let record = live.base.as_ref().map_or(
        CommitRecord {
            generation: Generation(0),
            slot: Slot::A,
        },
        |base| base.record,
    );
    let live_commit = live
        .base
        .as_ref()
        .map(|base| base.live_slot().commit.clone())
        .unwrap_or_default();
    let kind = kind(differences, record, &live_commit, origin);
    let to = match kind {
        Kind::Commit => CommitRecord {
            generation: record.generation.next(),
            slot: record.slot.other(),
        },
        Kind::Nothing | Kind::Rename | Kind::Mend => record,
    };
    let steps = order::steps(kind, target, live, differences, to);
    Plan {
        kind,
        origin: origin.clone(),
        from: record,
        to,
        live_commit,
        steps,
        opens: openness::changes(target, live),
        warnings: warnings(live, differences),
    }
}

fn kind(differences: &Differences, record: CommitRecord, live: &str, origin: &Origin) -> Kind {
    if differences.needs_commit() || record.generation == Generation(0) {
        Kind::Commit
    } else if !differences.is_empty() {
        Kind::Mend
    } else if live != origin.commit {
        Kind::Rename
    } else {
        Kind::Nothing
    }
}

/// Processes that will lose their network, and what others do to forwarded packets.
fn warnings(live: &Live, differences: &Differences) -> Vec<String> {
    let mut list: Vec<String> = live
        .host
        .forward_drops
        .iter()
        .map(|chain| {
            format!(
                "chain {chain} drops forwarded packets by policy: traffic of containers beyond \
                 this host does not pass unless it accepts them"
            )
        })
        .collect();
    let left: BTreeMap<&FullName, _> = live
        .host
        .processes
        .iter()
        .filter(|(name, _)| differences.surplus.contains(*name))
        .collect();
    for (name, processes) in left {
        for process in processes {
            list.push(format!(
                "process {} ({}) still lives in {name} and will lose its network; it is not \
                 killed",
                process.pid, process.name
            ));
        }
    }
    list
}
