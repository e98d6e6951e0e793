//! What was found of the host around the containers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::attached::Guarded;
use crate::words::address::Family;
use crate::words::names::FullName;

/// The host, as far as a plan needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveHost {
    /// Network namespaces, interfaces by name and addresses that exist and are not ours.
    pub foreign_namespaces: BTreeSet<String>,
    /// Names of interfaces that are not ours, and their indices.
    pub foreign_interfaces: BTreeMap<String, u32>,
    /// Those of them on which a guard of ours stands.
    pub guards: BTreeMap<String, Guarded>,
    /// Addresses that are the host's own, on interfaces that are not ours.
    pub addresses: BTreeSet<IpAddr>,
    /// Addresses that its subnets keep for themselves, on interfaces that are not ours: the IPv4
    /// broadcast address (RFC 919) and the IPv6 subnet-router anycast address (RFC 4291 section
    /// 2.6.1). The kernel takes packets to them for itself whatever routes say.
    pub subnet_addresses: BTreeSet<IpAddr>,
    /// Host routes (/32, /128) of others, which a container's address would collide with.
    pub foreign_routes: BTreeSet<IpAddr>,
    /// Network namespaces, by name, for which somebody else has put a `resolv.conf`.
    pub foreign_resolvers: BTreeSet<String>,
    /// Sysctls that the target may ask for, and their values.
    pub sysctls: BTreeMap<String, String>,
    /// Chains of others on the FORWARD hook that drop by policy ("inet filter FORWARD").
    pub forward_drops: BTreeSet<String>,
    /// Families in which the table that `status` proposes translates what leaves the host.
    pub translated: BTreeSet<Family>,
    /// Processes that live in a managed namespace, by container.
    pub processes: BTreeMap<FullName, Vec<Process>>,
}

impl LiveHost {
    /// The name of an interface that is not ours.
    pub fn name_of(&self, ifindex: u32) -> Option<&str> {
        let mut all = self.foreign_interfaces.iter();
        let found = all.find(|(_, index)| **index == ifindex)?;
        Some(found.0)
    }
}

/// A process that lives in a managed namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its pid, as the caller sees it.
    pub pid: u32,
    /// Its name (`/proc/<pid>/comm`).
    pub name: String,
}
