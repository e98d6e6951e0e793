//! Interfaces: what there is, and the veth pair of a container.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, Prop,
};
use rtnetlink::packet_route::nsid::{NsidAttribute, NsidMessage};
use rustix::io::Errno;
use state::target::host::INTERFACE_GROUP;
use state::words::address::Mac;

use super::netlink::{Change, Netlink, NetlinkError};

/// An interface as the kernel lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) alias: Option<String>,
    pub(super) group: u32,
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    /// Whether it is administratively up.
    pub(super) up: bool,
    pub(super) loopback: bool,
    pub(super) veth: bool,
    pub(super) vlan: bool,
    /// Whether a program may hold its other side, as a virtual machine's.
    pub(super) tun: bool,
    /// Whether it carries Ethernet frames.
    pub(super) ethernet: bool,
    /// Index of the other end of a pair, in its own namespace; of a VLAN and the like, of the
    /// interface that it stands on.
    pub(super) peer: Option<u32>,
    /// The number that our namespace has for that one, where it is another.
    pub(super) peer_namespace: Option<i32>,
    /// Index of the bridge, bond or the like that it is a port of.
    pub(super) controller: Option<u32>,
    /// Whether it gives itself a link-local IPv6 address.
    pub(super) generates_addresses: bool,
    /// Whether IPv6 is switched off on it (`disable_ipv6`).
    pub(super) ipv6_off: bool,
    /// XDP programs on it, and how they were put there.
    pub(super) xdp: Vec<Xdp>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Xdp {
    pub(super) program: u32,
    /// `XDP_FLAGS_SKB_MODE` or `XDP_FLAGS_DRV_MODE` of linux/if_link.h.
    mode: u32,
}

/// A veth pair to be made.
pub(super) struct Pair<'a> {
    /// Name of the host-side end.
    pub(super) name: &'a str,
    pub(super) group: u32,
    pub(super) mac: Mac,
    /// The namespace of the other end, its name and MAC address there.
    pub(super) namespace: BorrowedFd<'a>,
    pub(super) inside_name: &'a str,
    pub(super) inside_mac: Mac,
    pub(super) mtu: u32,
}

/// All interfaces of the socket's namespace.
pub(super) fn list(netlink: &Netlink) -> Result<Vec<Link>, NetlinkError> {
    let mut message = LinkMessage::default();
    // Where something is asked for, the kernel makes room for the longest entry, and without room
    // the listing ends there (rtnl_calcit() of net/core/rtnetlink.c).
    message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    let message = RouteNetlinkMessage::GetLink(message);
    let found = netlink.list("list the interfaces", &message)?;
    Ok(found
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(read(link)),
            _ => None,
        })
        .collect())
}

/// The interface of a name.
pub(super) fn find(netlink: &Netlink, name: &str) -> Result<Option<Link>, NetlinkError> {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    get(netlink, &format!("look up the interface {name}"), message)
}

/// The interface of an index.
pub(super) fn at(netlink: &Netlink, index: u32) -> Result<Option<Link>, NetlinkError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    get(netlink, &format!("look up interface {index}"), message)
}

fn get(
    netlink: &Netlink,
    request: &str,
    message: LinkMessage,
) -> Result<Option<Link>, NetlinkError> {
    let found = netlink.get(request, RouteNetlinkMessage::GetLink(message))?;
    Ok(match found {
        Some(RouteNetlinkMessage::NewLink(link)) => Some(read(link)),
        _ => None,
    })
}

/// Takes away another name of an interface (`ip link property`).
pub(super) fn without_name(link: &Link, name: &str) -> Change {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    let other = Prop::AltIfName(name.to_owned());
    message.attributes = vec![LinkAttribute::PropList(vec![other])];
    let request = format!("take the name {name} from the interface {}", link.name);
    Change::new(request, RouteNetlinkMessage::DelLinkProp(message), 0)
}

/// The other end of a pair, in another namespace. None while that is taken down.
pub(super) fn peer(netlink: &Netlink, link: &Link) -> Result<Option<Link>, NetlinkError> {
    let (Some(index), Some(namespace)) = (link.peer, link.peer_namespace) else {
        return Ok(None);
    };
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::IfNetnsId(namespace)];
    let request = format!("look at the other end of {}", link.name);
    match get(netlink, &request, message) {
        Err(e) if e.errno() == Some(Errno::INVAL) => Ok(None),
        found => found,
    }
}

/// The number that the socket's namespace has for another one, if it has one.
pub(super) fn number_of(
    netlink: &Netlink,
    namespace: BorrowedFd<'_>,
) -> Result<Option<i32>, NetlinkError> {
    let mut message = NsidMessage::default();
    let descriptor = namespace.as_raw_fd().cast_unsigned();
    message.attributes = vec![NsidAttribute::Fd(descriptor)];
    let request = "number a network namespace";
    let found = netlink.get(request, RouteNetlinkMessage::GetNsId(message))?;
    let Some(RouteNetlinkMessage::NewNsId(found)) = found else {
        return Ok(None);
    };
    let mut numbers = found.attributes.into_iter();
    Ok(numbers.find_map(|attribute| match attribute {
        NsidAttribute::Id(number) if number >= 0 => Some(number),
        _ => None,
    }))
}

/// Gives another namespace a number, unless it has one. Returns whether it was free.
pub(super) fn give_number(
    netlink: &Netlink,
    namespace: BorrowedFd<'_>,
    number: i32,
) -> Result<bool, NetlinkError> {
    let mut message = NsidMessage::default();
    let descriptor = namespace.as_raw_fd().cast_unsigned();
    message.attributes = vec![NsidAttribute::Fd(descriptor), NsidAttribute::Id(number)];
    let request = format!("give a network namespace the number {number}");
    match netlink.change(Change::new(
        request,
        RouteNetlinkMessage::NewNsId(message),
        0,
    )) {
        Err(e) if e.errno() == Some(Errno::EXIST) => Ok(false),
        result => result.map(|()| true),
    }
}

/// Makes a pair, both ends down, the other one in its namespace from the start.
pub(super) fn create(netlink: &Netlink, pair: &Pair<'_>) -> Result<(), NetlinkError> {
    let mut inside = LinkMessage::default();
    inside.attributes = vec![
        LinkAttribute::IfName(pair.inside_name.to_owned()),
        LinkAttribute::Address(pair.inside_mac.0.to_vec()),
        LinkAttribute::Mtu(pair.mtu),
        LinkAttribute::NetNsFd(pair.namespace.as_raw_fd()),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(pair.name.to_owned()),
        LinkAttribute::Address(pair.mac.0.to_vec()),
        LinkAttribute::Mtu(pair.mtu),
        LinkAttribute::Group(pair.group),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]),
    ];
    netlink.change(Change::new(
        format!("make the veth pair {}", pair.name),
        RouteNetlinkMessage::NewLink(message),
        NLM_F_CREATE | NLM_F_EXCL,
    ))
}

/// What of an interface is to be changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting<'a> {
    Alias(&'a str),
    Name(&'a str),
    Group(u32),
    Mac(Mac),
    Mtu(u32),
    Up(bool),
    /// No port of a bridge or the like.
    NoController,
    /// No automatic link-local IPv6 address (`IN6_ADDR_GEN_MODE_NONE`).
    NoGeneratedAddresses,
    /// Without an XDP program that it has.
    WithoutXdp(Xdp),
}

/// A change of an interface, which `name` names in messages alone.
pub(super) fn set(index: u32, name: &str, setting: Setting<'_>) -> Change {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let what = match setting {
        Setting::Alias(alias) => {
            message.attributes = vec![LinkAttribute::IfAlias(alias.to_owned())];
            format!("mark {name} with the alias {alias}")
        }
        Setting::Name(new) => {
            message.attributes = vec![LinkAttribute::IfName(new.to_owned())];
            format!("name {name} {new}")
        }
        Setting::Group(group) => {
            message.attributes = vec![LinkAttribute::Group(group)];
            format!("mark {name} with the group {group}")
        }
        Setting::Mac(mac) => {
            message.attributes = vec![LinkAttribute::Address(mac.0.to_vec())];
            format!("set the MAC address of {name} to {mac}")
        }
        Setting::Mtu(mtu) => {
            message.attributes = vec![LinkAttribute::Mtu(mtu)];
            format!("set the MTU of {name} to {mtu}")
        }
        Setting::Up(up) => {
            message.header.change_mask = LinkFlags::Up;
            if up {
                message.header.flags = LinkFlags::Up;
            }
            format!("bring {name} {}", if up { "up" } else { "down" })
        }
        Setting::NoController => {
            message.attributes = vec![LinkAttribute::Controller(0)];
            format!("take {name} out of what it is a port of")
        }
        Setting::NoGeneratedAddresses => {
            let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
            let inet6 = AfSpecUnspec::Inet6(vec![mode]);
            message.attributes = vec![LinkAttribute::AfSpecUnspec(vec![inet6])];
            format!("keep {name} from generating IPv6 addresses")
        }
        Setting::WithoutXdp(xdp) => {
            let none = [LinkXdp::Fd(-1), LinkXdp::Flags(xdp.mode)];
            message.attributes = vec![LinkAttribute::Xdp(none.into())];
            format!("take XDP program {} off {name}", xdp.program)
        }
    };
    Change::new(what, RouteNetlinkMessage::SetLink(message), 0)
}

/// Removes an interface, and with it the other end of its pair.
pub(super) fn delete(netlink: &Netlink, index: u32, name: &str) -> Result<(), NetlinkError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let change = Change::new(
        format!("remove interface {name}"),
        RouteNetlinkMessage::DelLink(message),
        0,
    );
    match netlink.change(change) {
        // Gone in between: with its namespace, or by another hand.
        Err(e) if e.errno() == Some(rustix::io::Errno::NODEV) => Ok(()),
        result => result,
    }
}

/// Removes several interfaces at once, at the price of one: they get a group of their own, and that
/// is removed (ip-link(8), `ip link delete group`). `all`: every interface there.
pub(super) fn delete_together(
    netlink: &Netlink,
    gone: &[&Link],
    all: &[Link],
) -> Result<(), NetlinkError> {
    if let [] | [_] = gone {
        return gone
            .iter()
            .try_for_each(|link| delete(netlink, link.index, &link.name));
    }
    let taken: BTreeSet<u32> = all.iter().map(|link| link.group).collect();
    let free = (1..)
        .map(|n| INTERFACE_GROUP << 16 | n)
        .find(|group| !taken.contains(group));
    let group = free.unwrap_or(INTERFACE_GROUP);
    let marks = gone
        .iter()
        .map(|link| set(link.index, &link.name, Setting::Group(group)));
    netlink.changes(marks.collect())?;
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::Group(group)];
    netlink.change(Change::new(
        format!("remove {} interfaces", gone.len()),
        RouteNetlinkMessage::DelLink(message),
        0,
    ))
}

fn read(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        generates_addresses: true,
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Link(peer) => link.peer = Some(peer),
            LinkAttribute::LinkNetNsId(id) => link.peer_namespace = Some(id),
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Address(address) => {
                link.mac = <[u8; 6]>::try_from(address.as_slice()).ok().map(Mac);
            }
            LinkAttribute::LinkInfo(info) => {
                link.veth = info.contains(&LinkInfo::Kind(InfoKind::Veth));
                link.vlan = info.contains(&LinkInfo::Kind(InfoKind::Vlan));
                link.tun = info.contains(&LinkInfo::Kind(InfoKind::Tun));
            }
            LinkAttribute::Xdp(xdp) => link.xdp = xdp.iter().filter_map(program).collect(),
            LinkAttribute::AfSpecUnspec(families) => {
                link.generates_addresses = !families.iter().any(generates_none);
                link.ipv6_off = families.iter().any(is_off);
            }
            _ => {}
        }
    }
    link
}

fn program(xdp: &LinkXdp) -> Option<Xdp> {
    let (program, mode) = match *xdp {
        LinkXdp::SkbProgId(program) => (program, 1 << 1),
        LinkXdp::DrvProgId(program) => (program, 1 << 2),
        _ => return None,
    };
    (program != 0).then_some(Xdp { program, mode })
}

fn generates_none(family: &AfSpecUnspec) -> bool {
    let AfSpecUnspec::Inet6(attributes) = family else {
        return false;
    };
    attributes.contains(&AfSpecInet6::AddrGenMode(In6AddrGenMode::None))
}

fn is_off(family: &AfSpecUnspec) -> bool {
    let AfSpecUnspec::Inet6(attributes) = family else {
        return false;
    };
    let off =
        |found: &AfSpecInet6| matches!(found, AfSpecInet6::DevConf(conf) if conf.disable_ipv6 != 0);
    attributes.iter().any(off)
}
