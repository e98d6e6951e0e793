//! The commit protocol as types: each stage consumes the value of the one before, so no stage can
//! be left out or done twice.
//!
//! ```text
//! Plan -> prepare -> Prepared -> verify -> Verified -> commit -> Committed -> check -> Checked -> settle
//! ```
//!
//! No stage decides anything: it executes the operations of its phase in the plan's order. Up to
//! `commit` a failure changes no verdict, and what was added is taken up or removed by the next
//! run, which finds its way from what the kernel holds. A failed `check` swings back by one store,
//! for nothing has been taken down yet.

use std::collections::BTreeMap;

use bpf::Kernel;
use state::diff::Delta;
use state::plan::{Kind, Plan};
use state::target::tables::{EndpointIndex, Tables};
use state::target::{Datapath, Target};
use state::words::names::FullName;

use crate::host::Host;

pub mod error;
pub mod prepare;
pub mod verify;
pub mod commit;
pub mod check;
pub mod settle;

pub use error::{PrepareError, SettleError, SwungBack, VerifyError};
pub use prepare::prepare;

/// What all stages hold: the plan, what it leads to, and the two things they act on.
pub struct Apply<'a> {
    /// What is done.
    pub plan: &'a Plan,
    /// What the kernel is to hold.
    pub target: &'a Target,
    /// What the bytecode is.
    pub datapath: &'a Datapath,
    /// Maps, programs and links. `None` until the base has been opened or made.
    pub kernel: Option<Kernel>,
    /// Interfaces, addresses, routes.
    pub host: Host,
    /// Interface indices, as found or made.
    pub interfaces: BTreeMap<FullName, u32>,
    /// When it is done: seconds since 1970.
    pub now_s: u64,
}

impl Apply<'_> {
    /// Whether this run commits a new generation.
    fn commits(&self) -> bool {
        self.plan.kind == Kind::Commit
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
