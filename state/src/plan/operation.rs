//! The operations: everything that `apply` can do.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::diff::{Delta, Detached, NetworkDifference, Surplus};
use crate::live::LostTable;
use crate::target::constants::Constants;
use crate::target::host::Network;
use crate::target::programs::BuildHash;
use crate::target::tables::EndpointIndex;
use crate::words::generation::{CommitRecord, Generation, Slot};
use crate::words::names::FullName;

/// The phases of the commit protocol, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything that changes no verdict yet.
    Prepare,
    /// The prepared slot is read back.
    Verify,
    /// The one store.
    Commit,
    /// What was done is read back; what fails here swings back.
    Check,
    /// What the tree no longer has is taken down.
    Settle,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare",
            Self::Verify => "verify",
            Self::Commit => "commit",
            Self::Check => "check",
            Self::Settle => "settle",
        })
    }
}

/// One operation in its phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub phase: Phase,
    /// What.
    pub operation: Operation,
}

/// One operation. Each is idempotent: a run that died is completed by the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Mount a bpffs, mode 0700, where the base directory belongs.
    MountBpffs,
    /// Make the base directory, the maps that all share, the blocks and the timer that reclaims.
    CreateBase,
    /// Load the blocks anew into a new block table.
    ReplaceBlocks,
    /// Pin maps and blocks that have lost their pins anew.
    RestorePins,
    /// Make tables anew that a slot has lost whole, without rows: packets see no difference.
    MakeTables {
        /// Which.
        tables: Vec<LostTable>,
    },
    /// Wait until no packet is in an old program or reads an old slot.
    Barrier,
    /// Write a sysctl.
    SetSysctl {
        /// Below `/proc/sys`.
        path: String,
        /// What it is, if it is there.
        from: Option<String>,
        /// What it is to be.
        to: String,
    },
    /// Make or complete a network namespace, its veth pair and its addresses; what is made is
    /// closed still. Once more after the store, where addresses pass from one container to another.
    EnsureNetwork {
        /// Whose.
        container: FullName,
        /// As it is to be. Before the store without the addresses that are another container's yet.
        network: Network,
        /// What it lacks.
        lacks: NetworkDifference,
    },
    /// Open it, now that programs judge what passes: both ends up, routes and neighbours. As often
    /// as it is ensured.
    OpenNetwork {
        /// Whose.
        container: FullName,
        /// As it is to be.
        network: Network,
    },
    /// Make and register a container's connection maps and counters.
    CreateConnections {
        /// Whose.
        container: FullName,
        /// Under which index.
        endpoint: EndpointIndex,
        /// Quota of established TCP connections.
        quota: u32,
        /// The live slot has it at that index: what is registered there is its own.
        live: bool,
    },
    /// Move a container's established connections into a map of another size.
    ResizeConnections {
        /// Whose.
        container: FullName,
        /// Under which index.
        endpoint: EndpointIndex,
        /// From this quota.
        from: u32,
        /// To this one.
        to: u32,
        /// Its programs are attached: they are loaded anew over the other map.
        attached: bool,
    },
    /// Load a container's programs and attach them first in their chains, the guard behind them.
    Attach {
        /// Whose.
        container: FullName,
        /// The constants for packets of the live slot, where they differ: a transition build.
        from: Option<Constants>,
        /// The constants.
        constants: Constants,
        /// The build.
        build: BuildHash,
        /// Why it is not enough to swap them.
        why: Detached,
    },
    /// Load a container's programs anew and swap them in under the same links.
    Swap {
        /// Whose.
        container: FullName,
        /// The constants for packets of the live slot, where they differ: a transition build.
        from: Option<Constants>,
        /// The constants.
        constants: Constants,
        /// The build.
        build: BuildHash,
    },
    /// Put the guard behind a container's programs, which are all that they are to be.
    Guard {
        /// Whose.
        container: FullName,
    },
    /// Mark the slot that is not live as being written.
    MarkPreparing {
        /// Which.
        slot: Slot,
        /// For which generation.
        generation: Generation,
    },
    /// Write the rows that differ into it.
    WriteSlot {
        /// Which.
        slot: Slot,
        /// The rows.
        delta: Delta,
        /// How many rows stand in it that nothing of ours writes: they are deleted.
        foreign: usize,
    },
    /// Read it back and compare, then mark it ready with commit and tree.
    VerifySlot {
        /// Which.
        slot: Slot,
        /// For which generation.
        generation: Generation,
    },
    /// Read a slot back that is to become live again as it is, and compare; note in it which commit
    /// is held.
    ConfirmSlot {
        /// Which.
        slot: Slot,
    },
    /// The commit: one 64-bit store.
    Store {
        /// The record.
        record: CommitRecord,
    },
    /// Read back links, record and host state, and send a trial packet through a container's
    /// programs.
    Check {
        /// Whose.
        container: FullName,
    },
    /// Remove what a container's network has and should not.
    TrimNetwork {
        /// Whose.
        container: FullName,
        /// As it is to be.
        network: Network,
        /// What goes.
        surplus: Surplus,
    },
    /// Take a container down: interface first, then its namespace, then pins, then maps.
    Remove {
        /// Whose.
        container: FullName,
    },
    /// Take the guard from an interface of others where nobody is to judge: what it drops passes.
    RemoveGuard {
        /// The interface's name.
        interface: String,
        /// Its index.
        ifindex: u32,
    },
    /// Remove what nothing reaches any more: sets of blocks beside the one in use, connection maps
    /// registered for no container.
    RemoveLeftovers,
    /// Mark the live slot settled, under the generation of the record.
    MarkSettled {
        /// Which.
        slot: Slot,
    },
    /// Write another commit's name to the live slot: its target is the same.
    NameCommit {
        /// Which.
        slot: Slot,
    },
}

/// The addresses of a network that are not in a set.
pub(super) fn without(network: &Network, addresses: &BTreeSet<IpAddr>) -> Network {
    let mut network = network.clone();
    network.addresses.retain(|a| !addresses.contains(a));
    network
}

impl Operation {
    /// The container it is about, if it is about one.
    pub fn container(&self) -> Option<&FullName> {
        match self {
            Self::EnsureNetwork { container, .. }
            | Self::OpenNetwork { container, .. }
            | Self::CreateConnections { container, .. }
            | Self::ResizeConnections { container, .. }
            | Self::Attach { container, .. }
            | Self::Swap { container, .. }
            | Self::Guard { container }
            | Self::Check { container }
            | Self::TrimNetwork { container, .. }
            | Self::Remove { container } => Some(container),
            _ => None,
        }
    }
}

/// Its kind and what it is about, for the log: not what it writes.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MountBpffs => "mount bpffs",
            Self::CreateBase => "create base",
            Self::ReplaceBlocks => "replace blocks",
            Self::RestorePins => "restore pins",
            Self::MakeTables { .. } => "make tables",
            Self::Barrier => "barrier",
            Self::SetSysctl { .. } => "set sysctl",
            Self::EnsureNetwork { .. } => "ensure network",
            Self::OpenNetwork { .. } => "open network",
            Self::CreateConnections { .. } => "create connections",
            Self::ResizeConnections { .. } => "resize connections",
            Self::Attach { .. } => "attach programs",
            Self::Swap { .. } => "swap programs",
            Self::Guard { .. } => "put guard",
            Self::MarkPreparing { .. } => "mark slot preparing",
            Self::WriteSlot { .. } => "write slot",
            Self::VerifySlot { .. } => "verify slot",
            Self::ConfirmSlot { .. } => "confirm slot",
            Self::Store { .. } => "store record",
            Self::Check { .. } => "check",
            Self::TrimNetwork { .. } => "trim network",
            Self::Remove { .. } => "remove",
            Self::RemoveGuard { .. } => "remove guard",
            Self::RemoveLeftovers => "remove leftovers",
            Self::MarkSettled { .. } => "mark slot settled",
            Self::NameCommit { .. } => "name commit",
        })?;
        match self {
            Self::SetSysctl { path, .. } => write!(f, " {path}"),
            Self::RemoveGuard { interface, .. } => write!(f, " {interface}"),
            Self::WriteSlot { slot, delta, .. } => write!(f, " {slot}, {} rows", delta.len()),
            Self::Store { record } => write!(f, ", generation {}", record.generation.0),
            other => match other.container() {
                Some(container) => write!(f, " {container}"),
                None => Ok(()),
            },
        }
    }
}
