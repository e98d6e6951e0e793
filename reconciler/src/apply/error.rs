//! What can go wrong in each stage.

use bpf::KernelError;
use state::words::generation::Slot;
use state::words::names::FullName;
use thiserror::Error;

use crate::host::HostError;

/// Prepare failed: live is unchanged.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// A map, program or link.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// An interface, address, route or sysctl.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A container's programs have nothing to attach to.
    #[error("{container}: its interface is not there; run again, and look with 'ip link'")]
    NoInterface {
        /// Whose.
        container: FullName,
    },
}

/// Verify failed: live is unchanged.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The slot could not be read back or marked.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The slot holds something else than was written.
    #[error(
        "slot {slot} read back differs from what was written in {rows} rows, the first is {first}; \
         is another program writing to our maps?"
    )]
    Differs {
        /// Which slot.
        slot: Slot,
        /// How many rows.
        rows: usize,
        /// One of them.
        first: String,
    },
}

/// A check after the store failed, and the store was taken back.
#[derive(Debug, Error)]
#[error("the check after the commit failed, and it was swung back: {}", .failures.join("; "))]
pub struct SwungBack {
    /// What failed, container by container.
    pub failures: Vec<String>,
    /// Whether taking the store back failed as well, and how.
    pub still_live: Option<String>,
}

/// Settle could not finish: the new generation is live.
#[derive(Debug, Error)]
pub enum SettleError {
    /// A map, program or link.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// An interface, address or route.
    #[error(transparent)]
    Host(#[from] HostError),
}
