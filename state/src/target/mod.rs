//! Desired, compiled: program builds, map entries, interfaces, routes. Typed entries, not bytes.
//!
//! A target has the same shape as what is read back from the kernel ([`crate::live`]), so that a
//! diff compares like with like. What only exists once an interface has been made (its index) is
//! `None` until then, and shown as "known after apply".

use std::collections::BTreeMap;

use crate::words::names::FullName;

pub mod datapath;
pub mod located;
pub mod constants;
pub mod tables;
pub mod programs;
pub mod host;

pub use constants::Constants;
pub use datapath::Datapath;
pub use host::HostTarget;
pub use located::Located;
pub use programs::ProgramSet;
pub use tables::Tables;

/// What the kernel is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The contents of a slot.
    pub tables: Tables,
    /// This host's containers.
    pub containers: BTreeMap<FullName, ContainerTarget>,
    /// What is not BPF and belongs to no single container.
    pub host: HostTarget,
}

/// One container of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerTarget {
    /// What its programs hold as constants.
    pub constants: Constants,
    /// Its programs.
    pub programs: ProgramSet,
    /// Quota of established TCP connections: the size of that connection map.
    pub connections: u32,
    /// Its network namespace, veth pair, addresses and routes.
    pub network: host::Network,
}
