//! Where containers were found on this host, and which endpoint index each has in live: handed in
//! by `reconciler` as a value, so that the compile step stays pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::tables::EndpointIndex;
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

/// One uplink as found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// Whether it learnt an IPv6 route by router advertisement (RFC 4861), which forwarding would
    /// end unless `accept_ra` is 2.
    pub learns_routes: bool,
}
