//! The order of operations, and why each comes before the next.
//!
//! - A barrier comes first where the last run died before it settled: packets may still read the
//!   slot that is about to be written.
//! - Networks before programs: a program needs its interface, and the interface's index goes into
//!   the rows. It stays down until they are attached, and then closed, for the live slot has no
//!   row of its endpoint.
//! - Connection maps before programs, which hold them.
//! - Programs before the store, with a barrier after the last swap: no packet may still be in an
//!   old program when the record changes.
//! - After the store a barrier again, before plain builds replace transition builds and before
//!   anything is taken down: no packet may still be judged by the old generation.

use super::Kind;
use super::operation::{Operation, Phase, Step};
use crate::diff::{
    ConnectionsDifference, ContainerDifference, Differences, NetworkDifference, ProgramsDifference,
};
use crate::live::Live;
use crate::target::{ContainerTarget, Target};
use crate::words::generation::CommitRecord;
use crate::words::names::FullName;

/// The steps of a run of this kind.
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
            let commits = kind == Kind::Commit;
            prepare(&mut list, target, differences, commits.then_some(to));
            if commits {
                let slot = to.slot;
                let generation = to.generation;
                list.push(Phase::Verify, Operation::VerifySlot { slot, generation });
                list.push(Phase::Commit, Operation::Store { record: to });
            }
            check(&mut list, target, differences, commits);
            settle(&mut list, target, live, differences, to, commits);
        }
    }
    list.0
}

struct List(Vec<Step>);

impl List {
    fn push(&mut self, phase: Phase, operation: Operation) {
        self.0.push(Step { phase, operation });
    }
}

fn prepare(list: &mut List, target: &Target, differences: &Differences, to: Option<CommitRecord>) {
    let mut push = |operation| list.push(Phase::Prepare, operation);
    if differences.bpffs_missing {
        push(Operation::MountBpffs);
    }
    if differences.base_missing {
        push(Operation::CreateBase);
    }
    if differences.unsettled && to.is_some() {
        push(Operation::Barrier);
    }
    if let Some(to) = to {
        push(Operation::MarkPreparing {
            slot: to.slot,
            generation: to.generation,
        });
    }
    if differences.blocks {
        push(Operation::ReplaceBlocks);
    }
    for (path, (from, value)) in &differences.sysctls {
        let (path, from, to) = (path.clone(), from.clone(), value.clone());
        push(Operation::SetSysctl { path, from, to });
    }
    let mut swapped = differences.blocks;
    for (name, difference) in &differences.containers {
        let Some(container) = target.containers.get(name) else {
            continue;
        };
        for operation in container_prepare(name, container, difference) {
            swapped |= matches!(
                operation,
                Operation::Swap { .. } | Operation::ResizeConnections { .. }
            );
            push(operation);
        }
    }
    if let Some(to) = to {
        push(Operation::WriteSlot {
            slot: to.slot,
            delta: differences.next.clone(),
        });
        if swapped {
            push(Operation::Barrier);
        }
    }
}

fn container_prepare(
    name: &FullName,
    target: &ContainerTarget,
    difference: &ContainerDifference,
) -> Vec<Operation> {
    let container = || name.clone();
    let endpoint = target.constants.endpoint;
    let mut list = Vec::new();
    let network = || target.network.clone();
    let faults = match &difference.network {
        NetworkDifference::None => None,
        NetworkDifference::Missing => Some(Vec::new()),
        NetworkDifference::Faults(faults) => Some(faults.clone()),
    };
    if let Some(faults) = faults.clone() {
        let (container, network) = (container(), network());
        list.push(Operation::EnsureNetwork {
            container,
            network,
            faults,
        });
    }
    match difference.connections {
        ConnectionsDifference::None => {}
        ConnectionsDifference::Missing => list.push(Operation::CreateConnections {
            container: container(),
            endpoint,
            quota: target.connections,
        }),
        ConnectionsDifference::Quota(from) => list.push(Operation::ResizeConnections {
            container: container(),
            endpoint,
            from,
            to: target.connections,
        }),
    }
    let (constants, build) = (target.constants, target.programs.build);
    match difference.programs {
        ProgramsDifference::None => {}
        ProgramsDifference::Detached => {
            list.push(Operation::Attach {
                container: container(),
                constants,
                build,
            });
        }
        ProgramsDifference::Build(old) => list.push(Operation::Swap {
            container: container(),
            from: (old != constants).then_some(old),
            constants,
            build,
        }),
    }
    if faults.is_some() {
        let (container, network) = (container(), network());
        list.push(Operation::OpenNetwork { container, network });
    }
    list
}

/// A commit checks every container it touches; a mended one is checked as well.
fn check(list: &mut List, target: &Target, differences: &Differences, commits: bool) {
    let endpoints = &differences.live.endpoints;
    for (name, container) in &target.containers {
        let moved = commits && endpoints.put.contains_key(&container.constants.endpoint);
        if moved || differences.containers.contains_key(name) {
            list.push(
                Phase::Check,
                Operation::Check {
                    container: name.clone(),
                },
            );
        }
    }
}

fn settle(
    list: &mut List,
    target: &Target,
    live: &Live,
    differences: &Differences,
    to: CommitRecord,
    commits: bool,
) {
    let mut push = |operation| list.push(Phase::Settle, operation);
    if commits {
        push(Operation::Barrier);
    }
    for (name, difference) in &differences.containers {
        let Some(container) = target.containers.get(name) else {
            continue;
        };
        let (constants, build) = (container.constants, container.programs.build);
        if matches!(difference.programs, ProgramsDifference::Build(old) if old != constants) {
            let container = name.clone();
            push(Operation::Swap {
                container,
                from: None,
                constants,
                build,
            });
        }
        if difference.surplus {
            let (container, network) = (name.clone(), container.network.clone());
            push(Operation::TrimNetwork { container, network });
        }
    }
    for name in live
        .containers
        .keys()
        .filter(|n| differences.surplus.contains(*n))
    {
        push(Operation::Remove {
            container: name.clone(),
        });
    }
    if commits || differences.unsettled {
        push(Operation::MarkSettled { slot: to.slot });
    }
}
