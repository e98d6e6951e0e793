//! Addresses of interfaces.

use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
    AddressScope,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use state::target::host::ROUTE_PROTOCOL;
use state::words::address::Family;

use super::netlink::{Change, Netlink, NetlinkError};
use super::ownership;

/// An address as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Index of the interface that has it.
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    /// Whether we gave it (`IFA_PROTO`, Linux 5.18).
    pub(super) ours: bool,
}

/// All addresses of the socket's namespace, both families.
pub(super) fn list(netlink: &Netlink) -> Result<Vec<Address>, NetlinkError> {
    let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let found = netlink.list("list the addresses", &message)?;
    Ok(found
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(address) => read(&address),
            _ => None,
        })
        .collect())
}

/// Gives an interface an address as /32 or /128, without duplicate address detection. One that is
/// there already is marked as ours.
pub(super) fn add(index: u32, interface: &str, address: IpAddr) -> Change {
    let mut message = message(index, address);
    message.attributes.extend([
        AddressAttribute::Flags(AddressFlags::Nodad),
        AddressAttribute::Protocol(AddressProtocol::from(ROUTE_PROTOCOL)),
    ]);
    Change::new(
        format!("give {interface} the address {address}"),
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_CREATE | NLM_F_REPLACE,
    )
}

/// Takes an address from an interface.
pub(super) fn delete(index: u32, interface: &str, address: IpAddr, prefix: u8) -> Change {
    let mut message = message(index, address);
    message.header.prefix_len = prefix;
    Change::new(
        format!("take the address {address}/{prefix} from {interface}"),
        RouteNetlinkMessage::DelAddress(message),
        0,
    )
}

fn message(index: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match Family::of(address) {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    message.header.prefix_len = Family::of(address).bits();
    message.header.flags = AddressHeaderFlags::empty();
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    message
}

fn read(message: &AddressMessage) -> Option<Address> {
    let mut local = None;
    let mut remote = None;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => remote = Some(*address),
            AddressAttribute::Protocol(protocol) => {
                ours = ownership::is_ours(u8::from(*protocol));
            }
            _ => {}
        }
    }
    Some(Address {
        index: message.header.index,
        // IFA_ADDRESS is the peer's on a point-to-point interface (linux/if_addr.h).
        address: local.or(remote)?,
        prefix: message.header.prefix_len,
        ours,
    })
}
