//! What is not BPF: network namespaces, veth pairs, addresses, routes, neighbours, sysctls.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::words::address::Mac;
use crate::words::names::FullName;

/// The MAC address of every host-side interface of ours. Locally administered; the link ends at
/// the host, so it may be the same everywhere, and udev has nothing to rewrite.
pub const GATEWAY_MAC: Mac = Mac([0x02, 0x50, 0x4c, 0x42, 0x00, 0x01]);
/// The gateway of every container's IPv4 default route (link-local, RFC 3927).
pub const GATEWAY_V4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 80, 76);
/// The gateway of every container's IPv6 default route (link-local, RFC 4291 section 2.5.6).
pub const GATEWAY_V6: std::net::Ipv6Addr =
    std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x504c, 0x4201);
/// The name of a container's interface inside.
pub const INSIDE_NAME: &str = "eth0";
/// The protocol number that marks routes as ours (`ip route show proto 112`).
pub const ROUTE_PROTOCOL: u8 = 112;

/// The mark of an interface that is ours: its alias.
pub fn alias(name: &FullName) -> String {
    format!("plumbline:{name}")
}

/// Whose interface an alias marks, if it is a mark of ours.
pub fn from_alias(alias: &str) -> Option<FullName> {
    FullName::from_slashed(alias.strip_prefix("plumbline:")?).ok()
}

/// The host-side interface's name: `pl` and 48 bits of the full name's hash, 14 characters.
pub fn interface_name(name: &FullName) -> String {
    let hash = blake3::hash(name.to_string().as_bytes());
    hash.as_bytes()[..6]
        .iter()
        .fold(String::from("pl"), |text, byte| {
            text + &format!("{byte:02x}")
        })
}

/// The MAC address of a container's own interface: a hash of its full name, locally administered
/// and unicast.
pub fn container_mac(name: &FullName) -> Mac {
    let hash = blake3::derive_key("plumbline container MAC", name.to_string().as_bytes());
    Mac([
        (hash[0] & 0xfc) | 0x02,
        hash[1],
        hash[2],
        hash[3],
        hash[4],
        hash[5],
    ])
}

/// One container's network, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name of its network namespace below `/run/netns`.
    pub namespace: String,
    /// Name of the host-side interface.
    pub interface: String,
    /// MAC address of the interface inside.
    pub mac: Mac,
    /// Its addresses, as /32 and /128.
    pub addresses: Vec<IpAddr>,
    /// MTU of both ends.
    pub mtu: u32,
    /// Whether `/etc/netns/<namespace>.<name>/resolv.conf` is written from the host's.
    pub resolv_conf: bool,
}

/// What is not BPF and belongs to no single container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTarget {
    /// Sysctls below `/proc/sys`, by path (`net/ipv4/conf/eth0/forwarding`), and their values.
    /// Interfaces of ours have theirs as part of their [`Network`].
    pub sysctls: BTreeMap<String, String>,
}
