//! What can go wrong in each stage.

use bpf::commit::StoreError;
use bpf::doctor::Lack;
use bpf::fault::Fault;
use bpf::guard::GuardError;
use bpf::kernel::CreateError;
use bpf::programs::{AttachError, ConnectionsError, RemoveError};
use bpf::resize::ResizeError;
use bpf::slots::SlotError;
use state::words::generation::Slot;
use state::words::names::FullName;
use thiserror::Error;

use crate::host::{HostError, MountError, SysctlError};

/// An operation needs the base directory, and it has not been made: the plan is not one of ours.
#[derive(Clone, Copy, Debug, Error)]
#[error("the base directory is not there; run again")]
pub struct NotOpen;

/// Programs were not swapped.
#[derive(Debug, Error)]
pub enum SwapError {
    /// There is nothing to swap in.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// A program or link.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// A quota was not changed.
#[derive(Debug, Error)]
pub enum ResizingError {
    /// There is nothing to change.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// Connection maps, or the programs over them.
    #[error(transparent)]
    Resize(#[from] ResizeError),
}

/// Prepare failed: live is unchanged.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The plan does not begin at the beginning.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// The bpffs.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The kernel cannot do it.
    #[error(transparent)]
    Lack(#[from] Lack),
    /// What all containers share.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A grace period.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A slot.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Connection maps.
    #[error(transparent)]
    Connections(#[from] ConnectionsError),
    /// Connection maps of another size.
    #[error(transparent)]
    Resize(#[from] ResizingError),
    /// Programs and links.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The same, in the place of others.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The guard on an interface that is left.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// An interface, address or route.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A sysctl.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
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
    /// There is nothing to read back.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// The slot could not be read back or marked.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The slot holds something else than was written.
    #[error(
        "slot {slot}, read back, differs from what was written in {rows} rows, the first is \
         {first}; is another program writing to our maps?"
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

/// The store was not made: live is unchanged.
#[derive(Debug, Error)]
pub enum CommitError {
    /// There is nothing to store to.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// The record refuses it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A check after the store failed, and the store was taken back.
#[derive(Debug, Error)]
#[error(
    "a check after the commit failed: {}{}",
    .failures.join("; "),
    .still_live.as_ref().map_or_else(
        || "; swung back: the former slot is live again".to_owned(),
        |error| format!("; and it could not be swung back: {error}"),
    )
)]
pub struct SwungBack {
    /// What failed, container by container.
    pub failures: Vec<String>,
    /// Why taking the store back failed as well, if it did.
    pub still_live: Option<String>,
}

/// An operation of settle could not be done: the new generation is live.
#[derive(Debug, Error)]
pub enum SettleError {
    /// There is nothing to settle.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// A grace period.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A slot.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Plain builds.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// Connection maps of another size.
    #[error(transparent)]
    Resize(#[from] ResizingError),
    /// The guard on an interface of others.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// Pins and maps.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// An interface, address or route.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Where a run stopped.
#[derive(Debug, Error)]
pub enum Stop {
    /// Before the store: live is unchanged.
    #[error("{0}; what is live is unchanged")]
    Before(Box<dyn std::error::Error>),
    /// After it.
    #[error(transparent)]
    SwungBack(SwungBack),
}

impl Stop {
    pub(super) fn before(error: impl std::error::Error + 'static) -> Self {
        Self::Before(Box::new(error))
    }
}
