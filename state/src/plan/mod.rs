//! Differences to ordered operations: everything an apply does, and the same that a dry run prints.
//!
//! A plan is made whole before anything is touched, and no stage of `apply` decides anything: it
//! executes what stands here, in this order.
//!
//! What decides its kind, in this order:
//!
//! | live and target | the commit's name | kind |
//! |---|---|---|
//! | packets would be judged otherwise, or nothing is live | any | a commit: a new generation |
//! | nothing differs | the live one's | nothing: no write |
//! | nothing differs | another | rename: one write, of the live slot's commit name |
//! | something differs that packets do not see | the live one's | mend, in place |
//! | something differs that packets do not see | another | a commit: it has another target |

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::{Delta, Differences};
use crate::live::Live;
use crate::target::Target;
use crate::target::host::Attach;
use crate::target::tables::EndpointIndex;
use crate::words::generation::{CommitRecord, Generation, Slot};
use crate::words::names::FullName;
use crate::words::verdict::ByDirection;

pub mod operation;
pub mod order;
pub mod openness;
pub mod rows;
pub mod connections;
pub mod cuts;
pub mod back;
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
    /// Verdicts stay; links, interfaces, routes, sysctls or programs are mended in place, and what
    /// runs that died have left is taken up.
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
    /// What the live slot came from; `None` before the first commit.
    pub live: Option<Origin>,
    /// What is to be held once it is live: commits that were gone back from, the last one first.
    pub held: Vec<String>,
    /// Where it goes back: by which way.
    pub back: Option<back::Way>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Containers that are not live and will be, and whether they will be open in each direction.
    pub added: BTreeMap<FullName, ByDirection<bool>>,
    /// Containers that are live and will not be.
    pub removed: BTreeSet<FullName>,
    /// What of others containers are attached to: in live, or as the target says.
    pub attached: BTreeMap<FullName, Attach>,
    /// Containers that are absent for what they are attached to is not there, and why, in words.
    pub missing: BTreeMap<FullName, String>,
    /// Those of them that are live: they are closed.
    pub closed: BTreeSet<FullName>,
    /// Endpoints whose rows come or go because what containers are attached to does.
    pub looked_at: BTreeSet<EndpointIndex>,
    /// Containers that are live, stay, and become open or isolated in a direction.
    pub opens: Vec<openness::Change>,
    /// What changes for packets: the rows of the target against those of the live slot.
    pub rows: Delta,
    /// Rows of the live slot that nothing of ours writes, and that the commit leaves behind.
    pub foreign: usize,
    /// Connections with an entry that the tables deny, which the commit judges again.
    pub denied: usize,
    /// The record was written by others: the commit takes a generation above all that were stored.
    pub rewound: bool,
    /// The last store has not settled: this run completes it.
    pub unsettled: bool,
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

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Makes the plan. `differences` is `diff(target, live)`.
pub fn plan(target: &Target, live: &Live, differences: &Differences, origin: &Origin) -> Plan {
    let before_the_first = CommitRecord {
        generation: Generation(0),
        slot: Slot::A,
    };
    let base = live.base.as_ref();
    let record = base.map_or(before_the_first, |base| base.record);
    let kind = kind(live, differences, origin);
    let to = match kind {
        Kind::Commit => CommitRecord {
            generation: live.next_generation(),
            slot: record.slot.other(),
        },
        Kind::Nothing | Kind::Rename | Kind::Mend => record,
    };
    let added = target.containers.iter();
    let added = added.filter(|(name, c)| c.missing.is_none() && !live.is_live(name));
    let missing = target.containers.iter();
    let missing = missing.filter_map(|(name, c)| Some((name.clone(), c.missing.clone()?)));
    let all = || target.containers.iter();
    let closed = all().filter(|(name, c)| c.missing.is_some() && live.is_live(name));
    let comes = all().filter(|(name, c)| c.missing.is_none() && live.is_missing(name));
    let looked_at = closed.clone().chain(comes);
    let removed = differences.surplus.iter().filter(|name| live.is_live(name));
    Plan {
        kind,
        origin: origin.clone(),
        from: record,
        to,
        live: live_origin(live),
        held: Vec::new(),
        back: None,
        steps: order::steps(kind, target, live, differences, to),
        added: added
            .map(|(name, container)| {
                let endpoint = container.constants.endpoint;
                (name.clone(), openness::open_in(&target.tables, endpoint))
            })
            .collect(),
        removed: removed.cloned().collect(),
        attached: attached(target, live),
        missing: missing.collect(),
        closed: closed.map(|(name, _)| name.clone()).collect(),
        looked_at: looked_at.map(|(_, c)| c.constants.endpoint).collect(),
        opens: openness::changes(target, live),
        rows: differences.live.clone(),
        foreign: differences.foreign,
        denied: differences.denied,
        rewound: differences.rewound,
        unsettled: differences.unsettled,
        warnings: warnings(live, differences),
    }
}

fn attached(target: &Target, live: &Live) -> BTreeMap<FullName, Attach> {
    let networks = live.containers.iter();
    let networks = networks.filter_map(|(name, c)| Some((name, &c.network.as_ref()?.network)));
    let mut attached: BTreeMap<FullName, Attach> = networks
        .filter(|(_, network)| network.attach != Attach::Managed)
        .map(|(name, network)| (name.clone(), network.attach.clone()))
        .collect();
    attached.extend(target.attachments());
    attached
}

fn kind(live: &Live, differences: &Differences, origin: &Origin) -> Kind {
    let Some(live) = live_origin(live) else {
        return Kind::Commit;
    };
    match (differences.is_empty(), live == *origin) {
        _ if differences.needs_commit() => Kind::Commit,
        (true, true) => Kind::Nothing,
        (true, false) => Kind::Rename,
        (false, true) => Kind::Mend,
        (false, false) => Kind::Commit,
    }
}

fn live_origin(live: &Live) -> Option<Origin> {
    let base = live.base.as_ref();
    let base = base.filter(|base| base.record.generation != Generation(0))?;
    let slot = base.live_slot();
    Some(Origin {
        commit: slot.commit.clone(),
        tree: slot.tree.clone(),
    })
}

/// Processes that will lose their network, and what others do to forwarded packets.
fn warnings(live: &Live, differences: &Differences) -> Vec<String> {
    let chains = live.host.forward_drops.iter().map(|chain| {
        format!(
            "chain {chain} drops forwarded packets by policy: traffic of containers beyond this \
             host does not pass unless it accepts them"
        )
    });
    let left = live.host.processes.iter();
    let left = left.filter(|(name, _)| differences.surplus.contains(*name));
    let processes = left.flat_map(|(name, processes)| {
        processes.iter().map(move |process| {
            format!(
                "process {} ({}) lives in {name} and will lose its network; it is not killed",
                process.pid, process.name
            )
        })
    });
    chains.chain(processes).collect()
}
