//! What the kernel holds, read back: the same shape as a target, and what only a kernel has.
//!
//! `reconciler` reads it (`bpf` for maps, programs and links, netlink for the rest) and hands it in
//! as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::target::constants::Constants;
use crate::target::host::Network;
use crate::target::programs::BuildHash;
use crate::target::tables::{EndpointIndex, Tables};
use crate::words::generation::{CommitRecord, Generation};
use crate::words::names::FullName;

/// What the kernel holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Whether a bpffs is mounted where the base directory belongs.
    pub bpffs: bool,
    /// What is pinned below the base directory; `None` where there is nothing of ours.
    pub base: Option<Base>,
    /// Containers of which anything was found: pins, an interface or a namespace of ours.
    pub containers: BTreeMap<FullName, LiveContainer>,
    /// The host around them.
    pub host: LiveHost,
}

/// The global state below the base directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Version of the layouts of its maps.
    pub layout: u32,
    /// Hash of the shared blocks that its block table holds.
    pub block_code: [u8; 32],
    /// The commit record.
    pub record: CommitRecord,
    /// The two slots, A first.
    pub slots: [LiveSlot; 2],
}

impl Base {
    /// The slot that packets use.
    pub fn live_slot(&self) -> &LiveSlot {
        &self.slots[self.record.slot.index() as usize & 1]
    }
}

/// How far a slot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotMark {
    /// Never written.
    #[default]
    Empty,
    /// Being written, or left so by a run that died.
    Preparing,
    /// Written and read back.
    Ready,
    /// Written, read back, committed, and what the commit removed has been taken down.
    Settled,
}

/// One slot as read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSlot {
    /// How far it is.
    pub mark: SlotMark,
    /// The generation it was made for.
    pub generation: Generation,
    /// The git commit (hex), or the content hash of a directory.
    pub commit: String,
    /// The git tree (hex), or the same content hash.
    pub tree: String,
    /// When it was committed: seconds since 1970.
    pub time_s: u64,
    /// Its rows.
    pub tables: Tables,
}

/// A container as found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveContainer {
    /// Its programs, where both links are pinned and attached.
    pub programs: Option<LivePrograms>,
    /// Its connection maps are pinned and registered: quota of established TCP connections.
    pub connections: Option<u32>,
    /// Endpoint index under which its maps are pinned.
    pub endpoint: Option<EndpointIndex>,
    /// Whether its interface, addresses, routes and neighbours were found, and as what.
    pub network: Option<LiveNetwork>,
}

/// Attached programs, as read back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePrograms {
    /// The build hash that stands in the program.
    pub build: BuildHash,
    /// The constants that stand in the program (of the live slot, in a transition build).
    pub constants: Constants,
    /// Interface index both links are attached to.
    pub ifindex: u32,
    /// Whether the guard stands behind them.
    pub guarded: bool,
    /// Whether they are first in their chains.
    pub first: bool,
}

/// A managed network, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNetwork {
    /// Index of the host-side interface; `None` where only the namespace is left.
    pub ifindex: Option<u32>,
    /// What was found, in the words of the target. Equal to the target's where nothing is missing.
    pub network: Network,
    /// What is missing or different, in words ("no default IPv6 route"); empty where all is well.
    pub faults: Vec<String>,
}

/// The host, as far as a plan needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveHost {
    /// Network namespaces, interfaces by name and addresses that exist and are not ours.
    pub foreign_namespaces: BTreeSet<String>,
    /// Names of interfaces that are not ours.
    pub foreign_interfaces: BTreeSet<String>,
    /// Addresses that are the host's own, on interfaces that are not ours.
    pub addresses: BTreeSet<IpAddr>,
    /// Host routes (/32, /128) of others, which a container's address would collide with.
    pub foreign_routes: BTreeSet<IpAddr>,
    /// Sysctls that the target may ask for, and their values.
    pub sysctls: BTreeMap<String, String>,
    /// Chains of others on the FORWARD hook that drop by policy ("inet filter FORWARD").
    pub forward_drops: BTreeSet<String>,
    /// Processes that live in a managed namespace, by container.
    pub processes: BTreeMap<FullName, Vec<Process>>,
}

/// A process that lives in a managed namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its pid, as the caller sees it.
    pub pid: u32,
    /// Its name (`/proc/<pid>/comm`).
    pub name: String,
}
