//! The order of operations, and why each comes before the next.
//!
//! - Blocks first: loading them makes whatever map is missing, which all that follows writes to.
//! - Pins that are lost next, for what they would keep is found by its programs alone until then.
//! - Tables that a slot has lost, for rows to be written to; without rows they are to packets what
//!   they were when they were not there.
//! - Then a barrier where the last run died: packets may still read the slot that is about to be
//!   written, or be in a program that was replaced.
//! - Networks before programs: a program needs its interface, and the interface's index goes into
//!   the rows. A network stays down until they are attached; opened, it is closed still, for the
//!   live slot has no row of its endpoint.
//! - Connection maps before programs, which hold them. One that becomes smaller does so after the
//!   store, for it may cut connections.
//! - Programs before the store, with a barrier after the last swap of one that packets may be in:
//!   no packet may still be in an old program when the record changes (T1).
//! - Until the store nothing may be judged otherwise than the live slot says: a container that is
//!   live and whose constants change gets a transition build, which holds both by slot; and an
//!   address that is another container's in the live slot stays with that one: it is added after
//!   the store, before the check reads it back. On an interface of others, which carried traffic
//!   before us, the transition build lets all pass whose slot does not know the container; but
//!   where the guard has closed it, it stays closed. One that the next slot does not know gets a
//!   transition build as well: the store opens it, and settle has time to take the programs away.
//! - After the store a barrier again, before plain builds replace transition builds and before
//!   anything is taken down: no packet may still be judged by the old generation.
//! - No run that has settled leaves a packet in a program that it replaced, for the next one may
//!   store at once: after plain builds a barrier once more.
//!
//! Operations of one kind stand together, because `bpf` does several of some kinds at the price of
//! one grace period.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Kind;
use super::operation::{Operation, Phase, Step, without};
use crate::diff::{
    ConnectionsDifference, ContainerDifference, Detached, Differences, NetworkDifference,
    ProgramsDifference,
};
use crate::live::{Instead, Live, LiveContainer, LivePrograms};
use crate::target::tables::{EndpointIndex, Owner};
use crate::target::{Constants, ContainerTarget, Target};
use crate::words::address::Cidr;
use crate::words::generation::CommitRecord;
use crate::words::names::FullName;

/// The steps of a run of this kind, which leaves this record.
pub(super) fn steps(
    kind: Kind,
    target: &Target,
    live: &Live,
    differences: &Differences,
    to: CommitRecord,
) -> Vec<Step> {
    let mut list = List(Vec::new());
    match kind {
        Kind::Nothing => {}
        Kind::Rename => list.push(Phase::Settle, Operation::NameCommit { slot: to.slot }),
        Kind::Mend | Kind::Commit => {
            let run = Run {
                commits: kind == Kind::Commit,
                to,
                differences,
                changes: changes(kind, target, live, differences),
                leaving: leaving(kind, live, differences),
            };
            run.prepare(&mut list);
            run.commit(&mut list);
            run.check(&mut list, target);
            run.settle(&mut list);
        }
    }
    list.0
}

struct List(Vec<Step>);

impl List {
    fn push(&mut self, phase: Phase, operation: Operation) {
        self.0.push(Step { phase, operation });
    }

    fn extend(&mut self, phase: Phase, operations: impl IntoIterator<Item = Operation>) {
        let steps = operations.into_iter();
        self.0
            .extend(steps.map(|operation| Step { phase, operation }));
    }
}

/// A container that differs.
struct Change<'a> {
    name: &'a FullName,
    target: &'a ContainerTarget,
    difference: &'a ContainerDifference,
    /// Its index in the live slot, whose packets go through its programs.
    live: Option<EndpointIndex>,
    /// The constants for these packets, where they are others: a transition build holds both.
    from: Option<Constants>,
    /// Addresses that are another container's in the live slot.
    taken: BTreeSet<IpAddr>,
}

fn changes<'a>(
    kind: Kind,
    target: &'a Target,
    live: &Live,
    differences: &'a Differences,
) -> Vec<Change<'a>> {
    let owners = owners(live);
    let mut changes = Vec::new();
    for (name, difference) in &differences.containers {
        let Some(target) = target.containers.get(name) else {
            continue;
        };
        let index = live.endpoint(name).map(|(index, _)| index);
        // One that is missing has no row, and its addresses lead to it all the same.
        let registered = live.containers.get(name).and_then(|c| c.endpoint);
        let own = index.or(registered.filter(|_| live.is_missing(name)));
        // Of one that is to be missing no address is anywhere.
        let others = |address: &&IpAddr| {
            let owner = owners.get(address).filter(|_| target.missing.is_none());
            owner.is_some_and(|owner| Some(*owner) != own)
        };
        // Without a store the live slot is what the target says, and other constants are mended.
        let before = before(target, live, name).filter(|_| kind == Kind::Commit);
        changes.push(Change {
            name,
            target,
            difference,
            live: index,
            from: before.filter(|before| *before != target.constants),
            taken: difference
                .network
                .lacks
                .iter()
                .chain(&target.network.addresses)
                .filter(others)
                .copied()
                .collect(),
        });
    }
    changes
}

/// A container on an interface of others that the target has no more.
struct Leaving<'a> {
    name: &'a FullName,
    programs: LivePrograms,
}

/// Those whose programs can be put into transition: from the store on all passes, as it does when
/// they have gone.
fn leaving<'a>(kind: Kind, live: &Live, differences: &'a Differences) -> Vec<Leaving<'a>> {
    let surplus = differences.surplus.iter();
    let surplus = surplus.filter(|name| kind == Kind::Commit && live.endpoint(name).is_some());
    let leaving = surplus.filter_map(|name| {
        let found = live.containers.get(name)?;
        let programs = found.programs.filter(|p| p.constants.theirs)?;
        // They are loaded over the maps that are pinned.
        let whole = found.connections.is_some() && found.unpinned.is_empty();
        whole.then_some(Leaving { name, programs })
    });
    leaving.collect()
}

/// The constants for packets of the live slot, if it is to be said what becomes of them. One that
/// does not know the container yet, on an interface that carries traffic already, lets all pass.
fn before(target: &ContainerTarget, live: &Live, name: &FullName) -> Option<Constants> {
    let own = target.constants;
    let found = live.containers.get(name);
    let Some(known) = live.constants(name) else {
        return (own.theirs && !found.is_some_and(is_closed)).then(|| own.passing());
    };
    let lost = found.is_none_or(|found| found.programs.is_none());
    Some(match known.theirs && own.theirs && lost {
        // What the interface has for its own is what it has now.
        true => Constants {
            gateway_mac: own.gateway_mac,
            ..known
        },
        false => known,
    })
}

/// Whether nothing passes its interface, or nothing that was not judged.
fn is_closed(found: &LiveContainer) -> bool {
    let ifindex = found.network.as_ref().and_then(|n| n.ifindex);
    match found.programs.filter(|p| Some(p.ifindex) == ifindex) {
        Some(programs) => !programs.constants.passes,
        None => found.instead.values().any(|is| *is == Instead::Guard),
    }
}

/// Whose the addresses of containers are in the live slot.
fn owners(live: &Live) -> BTreeMap<IpAddr, EndpointIndex> {
    let Some(base) = &live.base else {
        return BTreeMap::new();
    };
    let rows = base.live_slot().tables.addresses.iter();
    let single = |cidr: &Cidr| cidr.prefix_len() == cidr.max_prefix_len();
    rows.filter_map(|(cidr, address)| match address.owner {
        Owner::Endpoint(index) if single(cidr) => Some((cidr.addr(), index)),
        _ => None,
    })
    .collect()
}

/// What all phases of a run need to know.
struct Run<'a> {
    commits: bool,
    to: CommitRecord,
    differences: &'a Differences,
    changes: Vec<Change<'a>>,
    leaving: Vec<Leaving<'a>>,
}

impl Run<'_> {
    fn prepare(&self, list: &mut List) {
        let found = self.differences;
        let phase = Phase::Prepare;
        if found.bpffs_missing {
            list.push(phase, Operation::MountBpffs);
        }
        if found.base_missing {
            list.push(phase, Operation::CreateBase);
        }
        if found.blocks {
            list.push(phase, Operation::ReplaceBlocks);
        } else if found.unpinned {
            list.push(phase, Operation::RestorePins);
        }
        if !found.lost.is_empty() {
            let tables = found.lost.clone();
            list.push(phase, Operation::MakeTables { tables });
        }
        if self.commits {
            if found.unsettled || found.interrupted {
                list.push(phase, Operation::Barrier);
            }
            let (slot, generation) = (self.to.slot, self.to.generation);
            list.push(phase, Operation::MarkPreparing { slot, generation });
        }
        for (path, (from, value)) in &found.sysctls {
            let (path, from, to) = (path.clone(), from.clone(), value.clone());
            list.push(phase, Operation::SetSysctl { path, from, to });
        }
        let changes = || self.changes.iter();
        list.extend(phase, changes().filter_map(Change::ensure_network));
        list.extend(phase, changes().filter_map(Change::create_connections));
        list.extend(phase, changes().filter_map(Change::grow_connections));
        list.extend(phase, changes().filter_map(Change::programs));
        list.extend(phase, self.leaving.iter().map(Leaving::programs));
        list.extend(phase, changes().filter_map(Change::open_network));
        if self.commits {
            let write = Operation::WriteSlot {
                slot: self.to.slot,
                delta: found.next.clone(),
                foreign: found.next_foreign,
            };
            list.push(phase, write);
            if changes().any(Change::replaces_programs) || !self.leaving.is_empty() {
                list.push(phase, Operation::Barrier);
            }
        }
    }

    fn commit(&self, list: &mut List) {
        if self.commits {
            let (slot, generation) = (self.to.slot, self.to.generation);
            list.push(Phase::Verify, Operation::VerifySlot { slot, generation });
            list.push(Phase::Commit, Operation::Store { record: self.to });
        }
    }

    /// Every container that was touched, or that packets find elsewhere than before.
    fn check(&self, list: &mut List, target: &Target) {
        for change in &self.changes {
            list.extend(Phase::Check, change.take_addresses());
        }
        let moved = &self.differences.live.endpoints.put;
        for (name, container) in &target.containers {
            let moved = moved.contains_key(&container.constants.endpoint);
            if container.missing.is_some() {
                continue;
            }
            if moved || self.differences.containers.contains_key(name) {
                let container = name.clone();
                list.push(Phase::Check, Operation::Check { container });
            }
        }
    }

    fn settle(&self, list: &mut List) {
        let found = self.differences;
        let phase = Phase::Settle;
        // With the container of such a guard a registration may have been lost.
        let leftovers = found.blocks || found.leftovers || !found.stray_guards.is_empty();
        if self.commits || found.unsettled || leftovers {
            list.push(phase, Operation::Barrier);
        }
        let changes = || self.changes.iter();
        list.extend(phase, changes().filter_map(Change::plain_programs));
        list.extend(phase, changes().filter_map(Change::shrink_connections));
        list.extend(phase, changes().filter_map(Change::trim_network));
        for container in found.surplus.iter().cloned() {
            list.push(phase, Operation::Remove { container });
        }
        let shrinks = |change: &Change<'_>| change.shrink_connections().is_some();
        if changes().any(|change| change.from.is_some() || shrinks(change)) {
            list.push(phase, Operation::Barrier);
        }
        for (interface, ifindex) in &found.stray_guards {
            let (interface, ifindex) = (interface.clone(), *ifindex);
            list.push(phase, Operation::RemoveGuard { interface, ifindex });
        }
        if leftovers {
            list.push(phase, Operation::RemoveLeftovers);
        }
        if self.commits || found.unsettled {
            let slot = self.to.slot;
            list.push(phase, Operation::MarkSettled { slot });
        }
    }
}

impl Leaving<'_> {
    fn programs(&self) -> Operation {
        let constants = self.programs.constants;
        Operation::Swap {
            container: self.name.clone(),
            from: Some(constants),
            constants: constants.passing(),
            build: self.programs.build,
        }
    }
}

impl Change<'_> {
    fn ensure_network(&self) -> Option<Operation> {
        let mut lacks = self.difference.network.clone();
        lacks.lacks.retain(|address| !self.taken.contains(address));
        (!lacks.is_none()).then(|| Operation::EnsureNetwork {
            container: self.name.clone(),
            network: without(&self.target.network, &self.taken),
            lacks,
        })
    }

    fn open_network(&self) -> Option<Operation> {
        self.ensure_network().map(|_| Operation::OpenNetwork {
            container: self.name.clone(),
            network: without(&self.target.network, &self.taken),
        })
    }

    /// Maps of which a part is there keep their quota: connections may be in them.
    fn create_connections(&self) -> Option<Operation> {
        let quota = match self.difference.connections {
            ConnectionsDifference::Missing { quota } => quota,
            ConnectionsDifference::Unpinned => None,
            ConnectionsDifference::None | ConnectionsDifference::Quota(_) => return None,
        };
        Some(Operation::CreateConnections {
            container: self.name.clone(),
            endpoint: self.target.constants.endpoint,
            quota: quota.unwrap_or(self.target.connections),
            live: self.live == Some(self.target.constants.endpoint),
        })
    }

    fn grow_connections(&self) -> Option<Operation> {
        self.resize_connections(|from, to| from < to)
    }

    fn shrink_connections(&self) -> Option<Operation> {
        self.resize_connections(|from, to| from > to)
    }

    fn resize_connections(&self, which: impl Fn(u32, u32) -> bool) -> Option<Operation> {
        let from = match self.difference.connections {
            ConnectionsDifference::None | ConnectionsDifference::Unpinned => None,
            ConnectionsDifference::Missing { quota } => quota,
            ConnectionsDifference::Quota(from) => Some(from),
        };
        let to = self.target.connections;
        let from = from.filter(|from| which(*from, to))?;
        let missing = ProgramsDifference::Detached(Detached::Missing);
        Some(Operation::ResizeConnections {
            container: self.name.clone(),
            endpoint: self.target.constants.endpoint,
            from,
            to,
            // After the store programs are there that prepare has attached.
            attached: from > to || self.difference.programs != missing,
        })
    }

    fn programs(&self) -> Option<Operation> {
        let container = self.name.clone();
        let (from, constants) = (self.from, self.target.constants);
        let build = self.target.programs.build;
        match self.difference.programs {
            ProgramsDifference::None => None,
            ProgramsDifference::Detached(Detached::Unguarded) if !self.difference.regenerated => {
                Some(Operation::Guard { container })
            }
            ProgramsDifference::Detached(why) => Some(Operation::Attach {
                container,
                from,
                constants,
                build,
                why,
            }),
            ProgramsDifference::Build | ProgramsDifference::Blocks => Some(Operation::Swap {
                container,
                from,
                constants,
                build,
            }),
        }
    }

    /// Whether a program is replaced that packets may be in.
    fn replaces_programs(&self) -> bool {
        let resized = self.grow_connections().is_some();
        let loaded = self.programs().is_some_and(|programs| {
            matches!(programs, Operation::Attach { .. } | Operation::Swap { .. })
        });
        self.live.is_some() && (resized || loaded)
    }

    /// The transition build has done its work.
    fn plain_programs(&self) -> Option<Operation> {
        self.from.map(|_| Operation::Swap {
            container: self.name.clone(),
            from: None,
            constants: self.target.constants,
            build: self.target.programs.build,
        })
    }

    /// The addresses that another container had until the store.
    fn take_addresses(&self) -> Vec<Operation> {
        if self.taken.is_empty() {
            return Vec::new();
        }
        let lacks = NetworkDifference {
            lacks: self.taken.clone(),
            ..NetworkDifference::default()
        };
        let (container, network) = (self.name.clone(), self.target.network.clone());
        let open = Operation::OpenNetwork {
            container: container.clone(),
            network: network.clone(),
        };
        let ensure = Operation::EnsureNetwork {
            container,
            network,
            lacks,
        };
        vec![ensure, open]
    }

    fn trim_network(&self) -> Option<Operation> {
        let surplus = &self.difference.surplus;
        (!surplus.is_none()).then(|| Operation::TrimNetwork {
            container: self.name.clone(),
            network: self.target.network.clone(),
            surplus: surplus.clone(),
        })
    }
}
