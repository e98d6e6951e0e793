//! Two namespaces and the veth pair between them.

use std::net::IpAddr;

use rig::netns::{Interface, Netns};
use rig::packet::Ends;

pub(crate) struct Pair {
    pub(crate) left: Netns,
    pub(crate) right: Netns,
}

pub(crate) const LEFT: [&str; 2] = ["10.44.0.1", "fd44::1"];
pub(crate) const RIGHT: [&str; 2] = ["10.44.0.2", "fd44::2"];

pub(crate) fn addresses(texts: [&str; 2]) -> [IpAddr; 2] {
    texts.map(|text| text.parse().unwrap())
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (left, right) = (Netns::new("left"), Netns::new("right"));
        let path = right.path();
        left.ip(&format!(
            "link add eth0 type veth peer name eth0 netns {path}"
        ));
        for (net, [v4, v6]) in [(&left, LEFT), (&right, RIGHT)] {
            // Probing for duplicates takes a second, and there are none.
            net.sysctl("ipv6/conf/eth0/accept_dad", "0");
            net.ip_batch(&format!(
                "address add {v4}/24 dev eth0\naddress add {v6}/64 dev eth0 nodad\n\
                 link set eth0 up"
            ));
        }
        left.wait_up("eth0");
        right.wait_up("eth0");
        Self { left, right }
    }

    /// From the left to the right, IPv4 and IPv6.
    pub(crate) fn ends(&self) -> [Ends; 2] {
        let mac = |net: &Netns| {
            let Interface { mac, .. } = net.interface("eth0");
            mac
        };
        let (source_mac, destination_mac) = (mac(&self.left), mac(&self.right));
        let of_family = |family: usize| Ends {
            source_mac,
            destination_mac,
            source: addresses(LEFT)[family],
            destination: addresses(RIGHT)[family],
        };
        [of_family(0), of_family(1)]
    }
}
