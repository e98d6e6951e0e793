//! The datapath on a real wire: what `bpf/tests/blocks` cannot give a program (a VLAN tag beside
//! the packet, frames shorter than their IP header), and what real stacks do there: ask for their
//! neighbours, cut datagrams in parts, learn a path's MTU, tell each other errors.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rig::lab::Lab;
use rig::netns::Netns;
use rig::packet::seen::Seen;
use rig::packet::upper::Upper;
use rig::packet::{Ends, HOP_BY_HOP, IPV4, IPV6, Packet, frame};
use rig::traffic::{Attempt, Listen, Outcome, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait::{self, LIMIT};
use rig::wire::Wire;
use state::target::host::interface_name;
use state::words::names::FullName;

/// Two containers that may send everything, and take from each other and from outside port 53.
fn stage(lab: &Lab) -> [(Netns, [IpAddr; 2]); 2] {
    let containers = [("a", 1), ("b", 2)].map(|(name, number)| {
        Container::numbered(&format!("shop/{name}"), number).label("app", name)
    });
    let takes = Policy::new("shop/takes").ingress(&[Rule::new().port("UDP", 53).port("TCP", 53)]);
    let tree = containers.iter().fold(Tree::new(), Tree::container);
    lab.outside();
    lab.repository().hold(&tree.policy(&takes));
    lab.apply("two containers");
    containers.map(|container| {
        let addresses = container.addresses.clone().try_into().unwrap();
        (lab.alpha().container(&container.name), addresses)
    })
}

/// Does something that must lead to so many drops of `shop/a` for this reason.
#[track_caller]
fn drops_more(lab: &Lab, reason: &str, count: u64, act: impl FnOnce()) {
    let drops = || lab.drops(&lab.alpha()).of("shop/a", reason);
    let before = drops();
    act();
    let says = format!("{count} more dropped: {reason}");
    wait::holds(&says, || drops() >= before + count);
    assert_eq!(drops(), before + count, "{reason}");
}

#[test]
fn tagged_and_cut_frames_are_dropped() {
    Lab::run("frames", |lab| {
        let [(a, addresses), _] = stage(lab);
        let wire = Wire::open(&a, "eth0");
        let name = FullName::from_slashed("shop/a").unwrap();
        let gateway = lab.alpha().net().interface(&interface_name(&name)).mac;
        let own = a.interface("eth0").mac;
        for (address, host) in addresses.into_iter().zip(lab.addresses(lab.alpha().net())) {
            let ends = Ends {
                source_mac: own,
                destination_mac: gateway,
                source: address,
                destination: host,
            };
            let (ethertype, header) = if host.is_ipv4() {
                (IPV4, 20)
            } else {
                (IPV6, 40)
            };
            let packet = Packet::new(ends, Upper::udp((40_000, 53), b"x")).bytes();
            let inner = [&ethertype.to_be_bytes()[..], &packet].concat();
            // No VLAN but a priority, VLAN 5, QinQ.
            let tagged = [
                (0x8100, [&[0xe0, 0], &inner[..]].concat()),
                (0x8100, [&[0, 5], &inner[..]].concat()),
                (0x88a8, [&[0, 5, 0x81, 0, 0, 6], &inner[..]].concat()),
            ];
            drops_more(lab, "ethertype", 3, || {
                for (ethertype, payload) in &tagged {
                    wire.send(&frame(own, gateway, *ethertype, payload));
                }
            });
            drops_more(lab, "malformed", header, || {
                for length in 0..usize::try_from(header).unwrap() {
                    wire.send(&frame(own, gateway, ethertype, &packet[..length]));
                }
            });
        }
    });
}

#[test]
fn a_stack_asks_for_its_gateway_and_is_answered() {
    Lab::run("neighbours", |lab| {
        let [(a, _), (b, addresses)] = stage(lab);
        for (gateway, address) in ["169.254.80.76", "fe80::504c:4201"]
            .into_iter()
            .zip(addresses)
        {
            let _service = Service::start(&b, &[Listen::on(Protocol::Udp, address, 53)]);
            let shown = || a.ip(&format!("neighbour show {gateway} dev eth0"));
            assert!(shown().contains("PERMANENT"), "{}", shown());
            a.ip(&format!("neighbour del {gateway} dev eth0"));
            let outcome = Attempt::new(Protocol::Udp, address, 53).from(&a);
            assert_eq!(outcome, Outcome::Echoed, "{address}");
            assert!(
                !shown().contains("PERMANENT"),
                "it was asked for: {}",
                shown()
            );
        }
    });
}

fn udp(net: &Netns, address: IpAddr) -> UdpSocket {
    let socket = net.run(|| UdpSocket::bind((address, 53))).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

#[test]
fn datagrams_pass_in_parts_and_errors_come_back() {
    Lab::run("parts", |lab| {
        let [(a, of_a), (b, of_b)] = stage(lab);
        let outside = lab.outside();
        let of_outside = lab.addresses(&outside);
        for family in 0..2 {
            let a = udp(&a, of_a[family]);
            let b = udp(&b, of_b[family]);
            let outside = udp(&outside, of_outside[family]);
            let datagram: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
            for (from, to) in [(&a, &b), (&b, &a), (&a, &outside), (&outside, &a)] {
                from.send_to(&datagram, to.local_addr().unwrap()).unwrap();
                let mut got = vec![0; datagram.len() + 1];
                let (length, whom) = to.recv_from(&mut got).unwrap();
                assert_eq!(whom, from.local_addr().unwrap());
                assert_eq!(got[..length], datagram);
            }
            // Nobody is there any more: each stack says so, and the other end hears it.
            for (from, to) in [(&a, b), (&a, outside)] {
                let gone = to.local_addr().unwrap();
                drop(to);
                refused(from, gone);
            }
        }
    });
}

/// Connection tracking puts datagrams together, and the host cuts them again. Where the parts
/// differ in their headers the kernel writes new packets, and those of IPv6 do not say by which
/// interface they came: no more do the host's own.
#[test]
fn parts_that_the_host_puts_together_are_not_its_own() {
    const TRACK: &str = "table inet track { chain forward { type filter hook forward priority 0; \
                         ct state new accept; }; }";
    Lab::run("together", |lab| {
        let [(a, of_a), _] = stage(lab);
        let (alpha, outside) = (lab.alpha(), lab.outside());
        let of_host = lab.addresses(alpha.net());
        let wire = Wire::open(&outside, "uplink");
        let sees = Wire::open(&a, "eth0");
        drop(lab.shell(&alpha, &format!("nft '{TRACK}'")).ended(0));
        let cut = |source, destination| {
            let ends = Ends {
                source_mac: outside.interface("uplink").mac,
                destination_mac: alpha.net().interface("uplink").mac,
                source,
                destination,
            };
            let packet = Packet::new(ends, Upper::udp((40_000, 9), &[7; 2400]));
            // An option that nobody knows and everybody skips.
            let option = [&[0x1e, 244][..], &[0; 244]].concat();
            let first = packet.clone().extension(HOP_BY_HOP, &option);
            wire.send(&first.fragments(77, &[1000])[0]);
            wire.send(&packet.fragments(77, &[1000])[1]);
        };
        for (source, own) in lab.addresses(&outside).into_iter().zip(of_a) {
            drops_more(lab, "denied_ingress", 1, || cut(source, own));
        }
        drops_more(lab, "spoofed_source", 1, || cut(of_host[1], of_a[1]));
        let came = sees.drain().into_iter().filter_map(|seen| seen.ip);
        let came: Vec<_> = came.filter(|ip| of_a.contains(&ip.destination)).collect();
        assert_eq!(came, []);
        for (source, own) in of_host.into_iter().zip(of_a) {
            let to = a.run(|| UdpSocket::bind((own, 9))).unwrap();
            to.set_read_timeout(Some(LIMIT)).unwrap();
            let from = alpha.net().run(|| UdpSocket::bind((source, 0))).unwrap();
            from.send_to(&[7; 20_000], (own, 9)).unwrap();
            let (length, whom) = to.recv_from(&mut [0; 30_000]).unwrap();
            assert_eq!((length, whom), (20_000, from.local_addr().unwrap()));
        }
    });
}

/// BIG TCP: the length in the IP header is zero. (The `ip` of Debian 12 can set it for IPv6 alone.)
#[test]
fn segments_beyond_64_kib_pass() {
    Lab::run("big", |lab| {
        let [(a, of_a), (b, _)] = stage(lab);
        for net in [&a, &b] {
            net.ip("link set eth0 gso_max_size 180000 gro_max_size 180000");
        }
        let wire = Wire::open(&a, "eth0");
        let address = of_a[1];
        let listener = a.run(|| TcpListener::bind((address, 53))).unwrap();
        let seen = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&seen);
        let upload = b.spawn(move || {
            let mut stream = TcpStream::connect((address, 53)).unwrap();
            let mut sent = 0;
            while !until.load(Ordering::Relaxed) {
                stream.write_all(&vec![7; 1 << 20]).unwrap();
                sent += 1 << 20;
            }
            sent
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let download = a.spawn(move || std::io::copy(&mut stream, &mut std::io::sink()).unwrap());
        // As much of a frame as the rig takes.
        let is_big = |frame: &[u8]| (frame.len() == 1 << 16).then_some(());
        let found = wire.capture_within(LIMIT, is_big);
        seen.store(true, Ordering::Relaxed);
        assert_eq!(upload.join().unwrap(), download.join().unwrap());
        found.expect("a segment that is longer");
    });
}

/// A datagram to a port that nobody listens at is answered by an error.
#[track_caller]
fn refused(from: &UdpSocket, to: SocketAddr) {
    from.connect(to).unwrap();
    from.send(b"x").unwrap();
    let error = from.recv(&mut [0; 8]).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{to}: {error}");
}

#[test]
fn a_path_tells_its_mtu_and_its_hops() {
    const LENGTH: usize = 300_000;
    Lab::run("path", |lab| {
        let [(a, of_a), _] = stage(lab);
        let outside = lab.outside();
        lab.alpha().net().ip("link set uplink mtu 1300");
        for (own, far) in of_a.into_iter().zip(lab.addresses(&outside)) {
            let listener = outside.run(|| TcpListener::bind((far, 80))).unwrap();
            let upload = a.spawn(move || {
                let mut stream = TcpStream::connect((far, 80)).unwrap();
                stream.write_all(&[7; LENGTH]).unwrap();
            });
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            upload.join().unwrap();
            assert_eq!(got.len(), LENGTH);
            let route = a.ip(&format!("route get {far}"));
            assert!(route.contains("mtu 1300"), "it has learnt: {route}");

            let wire = Wire::open(&a, "eth0");
            let socket = a.run(|| UdpSocket::bind((own, 0))).unwrap();
            let family = if own.is_ipv4() { "ipv4" } else { "ipv6" };
            a.ip(&format!(
                "route replace {far} via {} dev eth0 onlink hoplimit 1",
                via(own)
            ));
            socket.send_to(b"x", (far, 33_434)).unwrap();
            wire.capture(
                &format!("{family}: the host tells that it is one hop"),
                |frame| {
                    let ip = Seen::read(frame)?.ip?;
                    let exceeded = [(1, 11), (58, 3)].contains(&(ip.protocol, ip.upper[0]));
                    (exceeded && ip.destination == own).then_some(())
                },
            );
        }
    });
}

const fn via(own: IpAddr) -> &'static str {
    if own.is_ipv4() {
        "169.254.80.76"
    } else {
        "fe80::504c:4201"
    }
}
