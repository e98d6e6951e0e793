//! Where containers were found on this host, and which endpoint index each has in live: handed in
//! by `reconciler` as a value, so that the compile step stays pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::tables::EndpointIndex;
use crate::words::address::Mac;
use crate::words::names::FullName;

/// What was found on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Containers that have an interface or an endpoint index.
    pub containers: BTreeMap<FullName, Found>,
    /// Indices that may not be given out yet: of containers whose removal has not settled.
    pub held: BTreeSet<EndpointIndex>,
    /// Any local address of the host, as read at this run.
    pub host_addresses: BTreeSet<IpAddr>,
    /// What containers that are not managed are attached to.
    pub attachments: BTreeMap<FullName, Attachment>,
    /// The host's uplinks: interfaces that are up, have an address and are neither loopback nor
    /// ours, and what of forwarding is on there.
    pub uplinks: BTreeMap<String, Uplink>,
}

/// One container as found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Index of the host-side interface.
    pub ifindex: Option<u32>,
    /// Endpoint index in live.
    pub endpoint: Option<EndpointIndex>,
}

/// What of others a container is attached to, as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Its namespace is there.
    Namespace,
    /// Its interface is there.
    Interface {
        /// The MAC address of the pair's other end, or the one that the tree says.
        mac: Mac,
        /// The interface's own.
        gateway_mac: Mac,
        /// Whether it is a tap.
        tap: bool,
    },
    /// It is not there, or is nothing that programs can be attached to: why, in words.
    Missing(String),
}

/// One uplink as found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// Whether it learnt an IPv6 route by router advertisement (RFC 4861), which forwarding would
    /// end unless `accept_ra` is 2.
    pub learns_routes: bool,
}
