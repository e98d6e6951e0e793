//! What is not BPF: network namespaces, veth pairs, addresses, routes, neighbours, sysctls.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::located::Located;
pub use crate::desired::Attach;
use crate::desired::{Container, Desired, Dns};
use crate::words::address::{Family, Mac};
pub use crate::words::address::{GATEWAY_V4, GATEWAY_V6};
use crate::words::names::{ALIAS_MARK, FullName};

/// The MAC address of every host-side interface of ours. Locally administered; the link ends at
/// the host, so it may be the same everywhere, and udev has nothing to rewrite.
pub const GATEWAY_MAC: Mac = Mac([0x02, 0x50, 0x4c, 0x42, 0x00, 0x01]);
/// MTU of a container's interface: Ethernet's.
pub const MTU: u32 = 1_500;
/// The name of a container's interface inside.
pub const INSIDE_NAME: &str = "eth0";
/// The protocol number that marks routes as ours (`ip route show proto 112`).
pub const ROUTE_PROTOCOL: u8 = 112;
/// The group of our host-side interfaces ("PL" in ASCII). Unlike an alias it is set by the request
/// that makes an interface, so one is never without a mark.
pub const INTERFACE_GROUP: u32 = 0x504c;
/// The nftables table, in families ip and ip6, that `status` proposes for translation.
pub const TRANSLATION_TABLE: &str = "plumbline_nat";

/// The mark of an interface that is ours: its alias. Where it leads into somebody else's
/// namespace, the path of that follows, so that it is known also without the tree.
pub fn alias(name: &FullName, attach: &Attach) -> String {
    match attach {
        Attach::Namespace(path) => format!("{ALIAS_MARK}{name} {path}"),
        Attach::Managed | Attach::Interface { .. } => format!("{ALIAS_MARK}{name}"),
    }
}

/// Whose interface an alias marks and where it leads, if it is a mark of ours.
pub fn from_alias(alias: &str) -> Option<(FullName, Attach)> {
    let text = alias.strip_prefix(ALIAS_MARK)?;
    let (name, attach) = match text.split_once(' ') {
        Some((name, path)) => (name, Attach::Namespace(path.to_owned())),
        None => (text, Attach::Managed),
    };
    Some((FullName::from_slashed(name).ok()?, attach))
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

/// The numbers of which the host gives one to the network namespace of a managed container: parts
/// of a hash of its full name, where the kernel would give the lowest free one by itself. Another
/// than the first is for one that is made while a former one of that name lives on.
pub fn namespace_numbers(name: &FullName) -> [i32; 8] {
    let hash = blake3::derive_key("plumbline namespace number", name.to_string().as_bytes());
    let (parts, _) = hash.as_chunks::<4>();
    std::array::from_fn(|nth| i32::from_be_bytes(parts[nth]) & 0x3fff_ffff | 0x4000_0000)
}

/// Whether a number is that of a managed container's namespace: the kernel gives none so high.
pub fn is_namespace_number(number: i32) -> bool {
    number & 0x4000_0000 != 0
}

/// One container's network, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whose it is. Of an interface of others nothing but its name and MAC address counts.
    pub attach: Attach,
    /// Name of its network namespace below `/run/netns`, where that is managed.
    pub namespace: String,
    /// Name of the host-side interface.
    pub interface: String,
    /// MAC address of the interface inside.
    pub mac: Mac,
    /// Its addresses, as /32 and /128.
    pub addresses: Vec<IpAddr>,
    /// MTU of both ends.
    pub mtu: u32,
    /// Whether `/etc/netns/<namespace>.<name>/resolv.conf` is written from the host's (there is
    /// none where the host has none).
    pub resolv_conf: bool,
}

/// What is not BPF and belongs to no single container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTarget {
    /// Sysctls below `/proc/sys`, by path (`net/ipv4/conf/eth0/forwarding`), and their values.
    /// Interfaces of ours have theirs as part of their [`Network`].
    pub sysctls: BTreeMap<String, String>,
}

impl Network {
    /// The network of a container. On an interface of others nothing of it is ours to make.
    pub fn of(container: &Container, dns: Dns) -> Self {
        let mut addresses = container.addresses.clone();
        addresses.sort();
        let mut network = Self {
            attach: container.attach.clone(),
            namespace: container.name.dotted(),
            interface: interface_name(&container.name),
            mac: container_mac(&container.name),
            addresses,
            mtu: MTU,
            resolv_conf: dns == Dns::Host && container.attach == Attach::Managed,
        };
        if let Attach::Interface { name, .. } = &container.attach {
            network.interface.clone_from(name);
            network.addresses.clear();
        }
        network
    }

    /// Its namespace, for people.
    pub fn namespace_in_words(&self) -> &str {
        match &self.attach {
            Attach::Namespace(path) => path,
            Attach::Managed | Attach::Interface { .. } => &self.namespace,
        }
    }
}

impl HostTarget {
    /// What containers of this host need of it: forwarding on its uplinks, for the families that
    /// they have addresses of, unless the tree says `forwarding: false`.
    ///
    /// IPv6 has no forwarding by interface: `conf/all` turns it on, and an interface that forwards
    /// forgets what routers advertise unless its `accept_ra` is 2 (`ip-sysctl.rst` of the kernel).
    pub fn of(desired: &Desired, located: &Located) -> Self {
        let mut sysctls = BTreeMap::new();
        if !desired.config.forwarding {
            return Self { sysctls };
        }
        let has = |family| {
            let mut addresses = desired.containers_here().flat_map(|c| &c.addresses);
            addresses.any(|address| Family::of(*address) == family)
        };
        let (has_v4, has_v6) = (has(Family::V4), has(Family::V6));
        let attached = desired.containers_here().filter_map(|c| match &c.attach {
            Attach::Interface { name, .. } => Some(name),
            Attach::Managed | Attach::Namespace(_) => None,
        });
        let attached: BTreeSet<&String> = attached.collect();
        let uplinks = || {
            located
                .uplinks
                .iter()
                .filter(|(name, _)| !attached.contains(name))
        };
        for (uplink, found) in uplinks() {
            if has_v4 {
                sysctls.insert(format!("net/ipv4/conf/{uplink}/forwarding"), "1".to_owned());
            }
            if has_v6 && found.learns_routes {
                sysctls.insert(format!("net/ipv6/conf/{uplink}/accept_ra"), "2".to_owned());
            }
        }
        if has_v6 && uplinks().next().is_some() {
            sysctls.insert("net/ipv6/conf/all/forwarding".to_owned(), "1".to_owned());
        }
        Self { sysctls }
    }

    /// Whether a target may have set a sysctl to this value. What it was before is not kept.
    pub fn may_set(path: &str, value: &str) -> bool {
        match path.strip_prefix("net/ipv6/conf/") {
            Some("all/forwarding") => value == "1",
            Some(of_interface) => of_interface.ends_with("/accept_ra") && value == "2",
            None => path.starts_with("net/ipv4/conf/") && value == "1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::sample::{container, name, resolved};
    use crate::target::located::Uplink;

    fn sysctls(addresses: &[&str], forwarding: bool, learns_routes: bool) -> Vec<String> {
        let containers = addresses
            .iter()
            .zip(0..)
            .map(|(addresses, number)| container(&format!("shop/c{number}"), "", addresses));
        let (mut desired, _) = resolved(containers.collect(), Vec::new());
        desired.config.forwarding = forwarding;
        let uplinks = ["eth0", "eth1.7"].map(|name| (name.to_owned(), Uplink { learns_routes }));
        let located = Located {
            uplinks: uplinks.into(),
            ..Located::default()
        };
        let target = HostTarget::of(&desired, &located);
        target
            .sysctls
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    #[test]
    fn forwarding_is_asked_for_by_family_and_interface() {
        let v4 = [
            "net/ipv4/conf/eth0/forwarding=1",
            "net/ipv4/conf/eth1.7/forwarding=1",
        ];
        let v6 = ["net/ipv6/conf/all/forwarding=1"];
        let learnt = [
            "net/ipv6/conf/eth0/accept_ra=2",
            "net/ipv6/conf/eth1.7/accept_ra=2",
        ];
        assert_eq!(sysctls(&[], true, true), [""; 0]);
        assert_eq!(sysctls(&["10.0.0.1"], true, true), v4);
        assert_eq!(sysctls(&["fd00::1"], true, false), v6);
        assert_eq!(
            sysctls(&["fd00::1"], true, true),
            [&v6[..], &learnt].concat()
        );
        assert_eq!(
            sysctls(&["10.0.0.1", "fd00::1"], true, false),
            [&v4[..], &v6].concat()
        );
        assert_eq!(sysctls(&["10.0.0.1 fd00::1"], false, true), [""; 0]);
    }

    #[test]
    fn what_a_target_sets_it_is_known_to_set() {
        for line in sysctls(&["10.0.0.1 fd00::1"], true, true) {
            let (path, value) = line.split_once('=').unwrap();
            assert!(HostTarget::may_set(path, value), "{line}");
            assert!(!HostTarget::may_set(path, "0"), "{line}");
        }
        assert!(!HostTarget::may_set("net/ipv4/ip_forward", "1"));
        assert!(!HostTarget::may_set("net/ipv6/conf/eth0/forwarding", "1"));
    }

    #[test]
    fn a_managed_network_has_names_of_its_container() {
        let (desired, _) = resolved(
            vec![container("shop/web.1", "", "fd00::1 10.0.0.1")],
            Vec::new(),
        );
        let web = &desired.containers[&name("shop/web.1")];
        let network = Network::of(web, Dns::Leave);
        assert_eq!(network.namespace, "shop.web.1");
        assert_eq!(
            (network.interface.len(), &network.interface[..2]),
            (14, "pl")
        );
        assert_eq!(network.mac.0[0] & 3, 2, "locally administered, unicast");
        let addresses: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|a| a.parse().unwrap()).into();
        assert_eq!(network.addresses, addresses);
        assert!(!network.resolv_conf);
    }
}
