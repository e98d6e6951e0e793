//! What one network namespace has, as the kernel lists it.

use std::net::IpAddr;

use state::words::address::{Family, Mac};

use super::HostError;
use super::addresses::{self, Address};
use super::links::{self, Link};
use super::netlink::Netlink;
use super::routes::{self, Neighbour, Route};

/// The interfaces, addresses, routes and neighbours of one network namespace.
pub(super) struct Listing {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
    pub(super) neighbours: Vec<Neighbour>,
}

impl Listing {
    pub(super) fn read(netlink: &Netlink) -> Result<Self, HostError> {
        Ok(Self {
            links: links::list(netlink)?,
            addresses: addresses::list(netlink)?,
            routes: routes::list(netlink)?,
            neighbours: routes::neighbours(netlink)?,
        })
    }

    /// Whether a route leads to a destination (`None`: everywhere) out of an interface.
    pub(super) fn leads(
        &self,
        family: Family,
        to: Option<IpAddr>,
        via: Option<IpAddr>,
        out: u32,
    ) -> bool {
        self.routes.iter().any(|route| {
            route.family == family
                && route.destination == to
                && route.gateway == via
                && route.out == Some(out)
                && route.table != routes::LOCAL_TABLE
        })
    }

    pub(super) fn knows(&self, address: IpAddr, mac: Mac, index: u32) -> bool {
        self.neighbours.iter().any(|neighbour| {
            neighbour.address == address
                && neighbour.mac == Some(mac)
                && neighbour.index == index
                && neighbour.permanent
        })
    }
}
