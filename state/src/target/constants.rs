//! What a container's programs hold as constants. Nothing of policy is here: that is in the tables.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::tables::EndpointIndex;
use crate::words::address::Mac;

/// The constants of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constants {
    /// Its endpoint index.
    pub endpoint: EndpointIndex,
    /// Its IPv4 address, if it has one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address, if it has one.
    pub v6: Option<Ipv6Addr>,
    /// The MAC address of its own interface.
    pub mac: Mac,
    /// The MAC address of the host-side interface.
    pub gateway_mac: Mac,
}
