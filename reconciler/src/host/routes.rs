//! Routes and neighbours.

use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use state::target::host::ROUTE_PROTOCOL;
use state::words::address::{Family, Mac};

use super::netlink::{Change, Netlink, NetlinkError};
use super::ownership;

/// A route as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) family: Family,
    pub(super) table: u32,
    /// Where to; `None` for the default route.
    pub(super) destination: Option<IpAddr>,
    pub(super) prefix: u8,
    /// Index of the interface it leads out of, where it names one.
    pub(super) out: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    /// Whether it is as ours are: of our protocol, in the main table.
    pub(super) ours: bool,
    /// Whether it was learnt from a router advertisement.
    pub(super) advertised: bool,
    /// Whether the kernel made it, as it does for each address.
    pub(super) of_kernel: bool,
}

/// A neighbour as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    /// Index of its interface.
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) mac: Option<Mac>,
    pub(super) permanent: bool,
    pub(super) ours: bool,
}

/// Table of the addresses of the host itself (`RT_TABLE_LOCAL`).
pub(super) const LOCAL_TABLE: u32 = 255;

/// All unicast and special routes of the socket's namespace in all tables, both families.
pub(super) fn list(netlink: &Netlink) -> Result<Vec<Route>, NetlinkError> {
    let mut routes = Vec::new();
    for (family, code) in FAMILIES {
        let mut message = RouteMessage::default();
        message.header.address_family = code;
        let request = format!("list the {family} routes");
        let found = netlink.list(&request, &RouteNetlinkMessage::GetRoute(message))?;
        routes.extend(found.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => read_route(family, &route),
            _ => None,
        }));
    }
    Ok(routes)
}

/// All neighbours of the socket's namespace, both families.
pub(super) fn neighbours(netlink: &Netlink) -> Result<Vec<Neighbour>, NetlinkError> {
    let message = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let found = netlink.list("list the neighbours", &message)?;
    Ok(found
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(neighbour) => read_neighbour(&neighbour),
            _ => None,
        })
        .collect())
}

/// A route of the host to one address, straight out of an interface.
///
/// Its metric is the interface's index. So the route of a container that takes an address over
/// stands beside that of the one that had it until that is taken down, and neither can replace a
/// route of others.
pub(super) fn to(index: u32, interface: &str, address: IpAddr) -> Change {
    let mut message = message(Family::of(address), index);
    message.header.destination_prefix_length = Family::of(address).bits();
    message.header.scope = RouteScope::Link;
    message.attributes.extend([
        RouteAttribute::Destination(route_address(address)),
        RouteAttribute::Priority(index),
    ]);
    Change::new(
        format!("route {address} to {interface}"),
        RouteNetlinkMessage::NewRoute(message),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Takes that route back.
pub(super) fn delete_to(index: u32, interface: &str, address: IpAddr) -> Change {
    let mut message = message(Family::of(address), index);
    message.header.destination_prefix_length = Family::of(address).bits();
    message.header.scope = RouteScope::NoWhere;
    message
        .attributes
        .push(RouteAttribute::Destination(route_address(address)));
    Change::new(
        format!("take back the route of {address} to {interface}"),
        RouteNetlinkMessage::DelRoute(message),
        0,
    )
}

/// The default route of a family through a gateway that is on the link whatever the addresses say.
/// Another one is replaced only where that is allowed.
pub(super) fn default(index: u32, interface: &str, gateway: IpAddr, replaces: bool) -> Change {
    let mut message = message(Family::of(gateway), index);
    message.header.flags = RouteFlags::Onlink;
    message
        .attributes
        .push(RouteAttribute::Gateway(route_address(gateway)));
    Change::new(
        format!("make {gateway} the default gateway of {interface}"),
        RouteNetlinkMessage::NewRoute(message),
        NLM_F_CREATE | if replaces { NLM_F_REPLACE } else { NLM_F_EXCL },
    )
}

/// Takes that default route back.
pub(super) fn delete_default(index: u32, interface: &str, gateway: IpAddr) -> Change {
    let mut message = message(Family::of(gateway), index);
    message.header.scope = RouteScope::NoWhere;
    message
        .attributes
        .push(RouteAttribute::Gateway(route_address(gateway)));
    Change::new(
        format!("take back the default gateway {gateway} of {interface}"),
        RouteNetlinkMessage::DelRoute(message),
        0,
    )
}

/// A neighbour that is never asked for and never forgotten.
pub(super) fn neighbour(index: u32, interface: &str, address: IpAddr, mac: Mac) -> Change {
    let mut message = neighbour_message(index, address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.extend([
        NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
        NeighbourAttribute::Protocol(RouteProtocol::from(ROUTE_PROTOCOL)),
    ]);
    Change::new(
        format!("make {address} a neighbour on {interface}"),
        RouteNetlinkMessage::NewNeighbour(message),
        NLM_F_CREATE | NLM_F_REPLACE,
    )
}

/// Forgets it.
pub(super) fn delete_neighbour(index: u32, interface: &str, address: IpAddr) -> Change {
    Change::new(
        format!("forget the neighbour {address} on {interface}"),
        RouteNetlinkMessage::DelNeighbour(neighbour_message(index, address)),
        0,
    )
}

const FAMILIES: [(Family, AddressFamily); 2] = [
    (Family::V4, AddressFamily::Inet),
    (Family::V6, AddressFamily::Inet6),
];

fn code(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn message(family: Family, index: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = code(family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::from(ROUTE_PROTOCOL);
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Oif(index)];
    message
}

fn neighbour_message(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = code(Family::of(address));
    message.header.ifindex = index;
    message.header.kind = RouteType::Unicast;
    let destination = match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    };
    message.attributes = vec![NeighbourAttribute::Destination(destination)];
    message
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}

fn ip_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn read_route(family: Family, message: &RouteMessage) -> Option<Route> {
    // Clones that the kernel makes for a flow (RTM_F_CLONED) are no routes of anybody.
    if message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let protocol = u8::from(message.header.protocol);
    let mut route = Route {
        family,
        table: u32::from(message.header.table),
        destination: None,
        prefix: message.header.destination_prefix_length,
        out: None,
        gateway: None,
        ours: ownership::is_ours(protocol),
        advertised: message.header.protocol == RouteProtocol::Ra,
        of_kernel: message.header.protocol == RouteProtocol::Kernel,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = ip_address(address),
            RouteAttribute::Gateway(address) => route.gateway = ip_address(address),
            RouteAttribute::Oif(index) => route.out = Some(*index),
            RouteAttribute::Table(table) => route.table = *table,
            _ => {}
        }
    }
    route.ours &= route.table == u32::from(RouteHeader::RT_TABLE_MAIN);
    Some(route)
}

fn read_neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let mut address = None;
    let mut mac = None;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
            }
            NeighbourAttribute::Protocol(protocol) => {
                ours = ownership::is_ours(u8::from(*protocol));
            }
            _ => {}
        }
    }
    Some(Neighbour {
        index: message.header.ifindex,
        address: address?,
        mac,
        permanent: message.header.state == NeighbourState::Permanent,
        ours,
    })
}
