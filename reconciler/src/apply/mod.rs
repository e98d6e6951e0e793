//! The commit protocol as types: each stage consumes the value of the one before, so no stage can
//! be left out or done twice.
//!
//! ```text
//! Plan -> prepare -> Prepared -> verify -> Verified
//!      -> commit -> Committed -> check -> Checked -> settle -> Settled
//! ```
//!
//! No stage decides anything: it executes the operations of its phase in the plan's order. Up to
//! `commit` a failure changes no verdict, and what was added is taken up or removed by the next
//! run, which finds its way from what the kernel holds. A failed `check` swings back by one store,
//! for nothing has been taken down yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bpf::kernel::Kernel;
use bpf::marks::SlotInfo;
use state::diff::Delta;
use state::live::{Live, Process, SlotMark};
use state::plan::{Kind, Operation, Phase, Plan};
use state::target::Target;
use state::target::tables::{EndpointIndex, Tables};
use state::words::generation::Generation;
use state::words::names::FullName;

use crate::host::{Before, Host};
use crate::live::{Dirs, LiveError};
use crate::run::grace::Short;
use error::ResizingError;

mod error;
mod prepare;
mod verify;
mod programs;
mod commit;
mod check;
mod settle;
mod lost;

pub use error::{CommitError, NotOpen, PrepareError, SettleError, Stop, SwungBack, VerifyError};
pub use settle::Settled;

/// What all stages hold: the plan, what it leads to, and the two things they act on.
pub struct Apply<'a> {
    plan: &'a Plan,
    target: &'a Target,
    dirs: &'a Dirs,
    /// `None` until the base has been made.
    kernel: Option<Kernel>,
    host: Host,
    /// Interface indices, as found or made.
    interfaces: BTreeMap<FullName, u32>,
    /// The interfaces that programs stand on: as found, until others are attached.
    attached: BTreeMap<FullName, u32>,
    /// Containers that are not managed, and the interface that they are attached to, if it is
    /// somebody else's.
    theirs: BTreeMap<FullName, Option<u32>>,
    /// The host's interfaces before this run made any.
    before: Option<Before>,
    /// Who lives in managed namespaces.
    processes: &'a BTreeMap<FullName, Vec<Process>>,
    /// How many connections had no room in a smaller quota.
    forgotten: BTreeMap<FullName, usize>,
    /// What could not be done inside namespaces of containers, or was undone there since: whoever
    /// is root in one may keep us from it, and keeps nobody else from a commit.
    of_inside: BTreeSet<String>,
    /// Containers whose pair went away meanwhile, and what was told of it first.
    lost: BTreeMap<FullName, String>,
    now_s: u64,
}

impl<'a> Apply<'a> {
    /// Opens what the stages act on. `now_s`: seconds since 1970.
    ///
    /// # Errors
    ///
    /// It cannot be opened. Nothing has been done.
    pub fn new(
        plan: &'a Plan,
        target: &'a Target,
        live: &'a Live,
        dirs: &'a Dirs,
        now_s: u64,
    ) -> Result<Self, Stop> {
        let open = || -> Result<_, LiveError> {
            let host = Host::open()?.by_mounts_of(dirs.mounts);
            Ok((crate::live::open(dirs)?, host))
        };
        let (kernel, host) = open().map_err(|error| Stop::Before(Box::new(error)))?;
        let found = live.containers.iter();
        let found = found.filter_map(|(name, container)| {
            Some((name.clone(), container.network.as_ref()?.ifindex?))
        });
        Ok(Self {
            plan,
            target,
            dirs,
            kernel,
            host,
            interfaces: found.collect(),
            attached: live.attached(),
            theirs: live.theirs(),
            before: None,
            processes: &live.host.processes,
            forgotten: BTreeMap::new(),
            of_inside: BTreeSet::new(),
            lost: BTreeMap::new(),
            now_s,
        })
    }

    /// All stages, one after the other.
    ///
    /// # Errors
    ///
    /// Where it stopped; see [`Stop`].
    pub fn run(self) -> Result<Settled, Stop> {
        let waits = self.plan.steps.iter().filter(|step| waits(&step.operation));
        let _short = (waits.count() >= MANY).then(|| Short::begin(&self.dirs.run));
        let prepared = prepare::prepare(self).map_err(Stop::before)?;
        let verified = prepared.verify().map_err(Stop::before)?;
        let committed = verified.commit().map_err(Stop::before)?;
        let checked = committed.check().map_err(Stop::SwungBack)?;
        Ok(checked.settle())
    }

    /// The operations of a phase, which is about to begin.
    fn operations(&self, phase: Phase) -> Vec<&'a Operation> {
        let operations: Vec<_> = self.plan.phase(phase).collect();
        tracing::info!(operations = operations.len(), "{phase}");
        for operation in &operations {
            tracing::debug!("{phase}: {operation}");
        }
        operations
    }

    fn kernel(&self) -> Result<&Kernel, NotOpen> {
        self.kernel.as_ref().ok_or(NotOpen)
    }

    fn kernel_mut(&mut self) -> Result<&mut Kernel, NotOpen> {
        self.kernel.as_mut().ok_or(NotOpen)
    }

    /// Notes what is wrong inside a container's namespace.
    fn of_inside(&mut self, container: &FullName, what: &impl fmt::Display) {
        self.of_inside.insert(of_container(container, what));
    }

    /// Whether this run commits a new generation.
    fn commits(&self) -> bool {
        self.plan.kind == Kind::Commit
    }

    /// What the slot that is to be live was made from.
    fn slot_info(&self, generation: Generation) -> SlotInfo {
        let origin = &self.plan.origin;
        SlotInfo {
            mark: SlotMark::Ready,
            generation,
            commit: origin.commit.clone(),
            tree: origin.tree.clone(),
            time_s: self.now_s,
            held: self.plan.held.clone(),
        }
    }

    /// Another quota of connections.
    fn resize(&mut self, operation: &Operation) -> Result<(), ResizingError> {
        if let Operation::ResizeConnections { container, to, .. } = operation {
            let resized = self.kernel()?.resize_connections(container, *to)?;
            if resized.forgotten > 0 {
                self.forgotten.insert(container.clone(), resized.forgotten);
            }
        }
        Ok(())
    }

    /// Interface index by endpoint, for rows that were planned before the interface was made.
    fn located(&self) -> BTreeMap<EndpointIndex, u32> {
        let containers = self.target.containers.iter();
        containers
            .filter_map(|(name, c)| Some((c.constants.endpoint, *self.interfaces.get(name)?)))
            .collect()
    }

    /// The target's tables with every interface known.
    fn tables(&self) -> Tables {
        let located = self.located();
        let mut tables = self.target.tables.clone();
        for (index, row) in &mut tables.endpoints {
            row.ifindex = row.ifindex.or_else(|| located.get(index).copied());
        }
        tables
    }

    /// A delta with every interface known.
    fn resolve(&self, delta: &Delta) -> Delta {
        let located = self.located();
        let mut delta = delta.clone();
        for (index, row) in &mut delta.endpoints.put {
            row.ifindex = row.ifindex.or_else(|| located.get(index).copied());
        }
        delta
    }
}

/// From how many containers on that are attached or removed grace periods are made short.
const MANY: usize = 8;

/// Whether an operation waits for grace periods that others do not wait for with it.
fn waits(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Attach { .. } | Operation::Guard { .. } | Operation::Remove { .. }
    )
}

/// What is told of a container.
fn of_container(container: &FullName, what: &impl fmt::Display) -> String {
    format!("container {container}: {what}")
}

/// Neighbours of one kind together: several of some kinds cost no more grace periods than one.
fn batches<'o>(operations: &'o [&'o Operation]) -> impl Iterator<Item = &'o [&'o Operation]> {
    let kind = |operation: &Operation| std::mem::discriminant(operation);
    operations.chunk_by(move |a, b| kind(a) == kind(b))
}
