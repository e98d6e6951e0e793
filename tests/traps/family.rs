//! T15: an IPv6 address is not the IPv4 address whose bytes it holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rig::lab::Lab;
use rig::packet::upper::Upper;
use rig::packet::{Ends, Packet};
use rig::tree::{Container, Policy, Rule, Tree};

use crate::stage::{Side, back, play};

const PORTS: (u16, u16) = (40_000, 53);

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        v6 @ IpAddr::V6(_) => v6,
    }
}

#[test]
fn t15_v4_mapped_addresses_are_dropped() {
    play("t15 mapped", &[], |stage| {
        let (a, b) = (&stage.a, &stage.b);
        let own = a.ends(b.address(true));
        let (v4, v6) = (false, true);
        // Everything is open: what is dropped is dropped for the address.
        a.send(b, v4, Upper::udp(PORTS, b""));
        b.hears(a, v4, PORTS);
        let pairs = [
            (mapped(a.address(v4)), mapped(b.address(v4))),
            (a.address(v6), mapped(b.address(v4))),
            (mapped(a.address(v4)), b.address(v6)),
        ];
        for (source, destination) in pairs {
            let ends = Ends {
                source,
                destination,
                ..own
            };
            a.drops_more("v4_mapped", 1, || {
                a.wire
                    .send(&Packet::new(ends, Upper::udp(PORTS, b"")).frame());
            });
        }
        // Nor as the peer of what is known: the answer to it would be one.
        let ends = Ends {
            destination: mapped(a.address(v4)),
            ..b.ends(a.address(v6))
        };
        b.drops_more("v4_mapped", 1, || {
            b.wire
                .send(&Packet::new(ends, Upper::udp(back(PORTS), b"")).frame());
        });
        assert_eq!((a.rest(), b.rest()), (vec![], vec![]));
    });
}

#[test]
fn t15_the_family_is_part_of_the_key() {
    // The four bytes, and the same before zeroes.
    let v4 = Ipv4Addr::new(32, 44, 0, 9);
    let [o1, o2, o3, o4] = v4.octets();
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&[o1, o2, o3, o4]);
    let v6 = Ipv6Addr::from(bytes);
    let a = Container::new("trap/a", &[&v4.to_string(), &v6.to_string()]);
    let b = Container::numbered("trap/b", 2).label("app", "b");
    let from = |cidr: String| {
        let rule = Rule::new().block(&cidr, &[]);
        Policy::new("trap/to-b")
            .select(&[("app", "b")])
            .ingress(&[rule])
    };
    Lab::run("t15 family", |lab| {
        let tree = Tree::new().container(&a).container(&b);
        for (allowed, cidr) in [(false, format!("{v4}/32")), (true, format!("{v6}/128"))] {
            lab.repository().hold(&tree.clone().policy(&from(cidr)));
            lab.apply("one family alone");
            let [a, b] = [&a, &b].map(|container| Side::open(lab, container));
            let ports = (PORTS.0 + u16::from(allowed), PORTS.1);
            let denied = !allowed;
            a.send(&b, allowed, Upper::udp(ports, b""));
            b.hears(&a, allowed, ports);
            // The ports, and all bytes of the peer, are those of the entry; the family is not.
            a.drops_more("denied_ingress", 1, || {
                a.send(&b, denied, Upper::udp(ports, b""));
            });
            assert_eq!(b.rest(), []);
            assert!(a.entry(b.address(allowed), ports).is_some());
            assert!(b.entry(a.address(allowed), back(ports)).is_some());
            assert_eq!(a.entry(b.address(denied), ports), None);
            assert_eq!(b.entry(a.address(denied), back(ports)), None);
        }
    });
}
