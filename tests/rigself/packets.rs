//! Crafted packets, judged by the kernel's own stack, and the capture that sees them.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use rig::packet::neighbour::{Arp, Operation, solicitation};
use rig::packet::seen::{Seen, SeenIp};
use rig::packet::upper::{ACK, SCTP_INIT, SYN, Upper};
use rig::packet::{ARP, DESTINATION_OPTIONS, Ends, HOP_BY_HOP, Packet};
use rig::traffic::{Listen, Protocol, Service};
use rig::wire::Wire;

use crate::pair::{Pair, RIGHT, addresses};

/// The first packet back that `wanted` gives a value for.
fn answer<T>(wire: &Wire, ends: Ends, wanted: impl Fn(&SeenIp) -> Option<T>) -> T {
    wire.capture("an answer", |frame| {
        let ip = Seen::read(frame)?.ip?;
        (ip.destination == ends.source)
            .then(|| wanted(&ip))
            .flatten()
    })
}

#[test]
fn the_stack_answers_what_is_right() {
    let pair = Pair::new();
    let service = Service::start(
        &pair.right,
        &[
            Listen::everywhere(Protocol::Tcp, 80),
            Listen::everywhere(Protocol::Sctp, 5000),
        ],
    );
    let wire = Wire::open(&pair.left, "eth0");
    for ends in pair.ends() {
        wire.send(&Packet::new(ends, Upper::tcp((4000, 80), SYN, 100, 0, b"")).frame());
        let flags = answer(&wire, ends, |ip| ip.tcp_flags().filter(|f| f & SYN != 0));
        assert_eq!(flags, SYN | ACK);

        wire.send(&Packet::new(ends, Upper::echo_request(1, 2, b"ping")).frame());
        answer(&wire, ends, |ip| ip.upper.ends_with(b"ping").then_some(()));

        let init = Upper::sctp_init((4000, 5000), 0, SCTP_INIT, 7);
        wire.send(&Packet::new(ends, init).frame());
        let ports = answer(&wire, ends, |ip| ip.ports().filter(|_| ip.protocol == 132));
        assert_eq!(ports, (5000, 4000));
    }
    assert_eq!(service.served(Protocol::Sctp, 5000), 2);
}

/// A socket that receives crafted datagrams.
fn receiver(pair: &Pair, to: IpAddr) -> UdpSocket {
    pair.right.run(|| {
        let socket = UdpSocket::bind((to, 53)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket
    })
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = [0; 4096];
    let count = socket.recv(&mut bytes).expect("a datagram");
    bytes[..count].to_vec()
}

#[test]
fn the_stack_passes_over_a_wrong_checksum() {
    let pair = Pair::new();
    let wire = Wire::open(&pair.left, "eth0");
    for ends in pair.ends() {
        let socket = receiver(&pair, ends.destination);
        let datagram = |text: &[u8]| Packet::new(ends, Upper::udp((4000, 53), text));
        wire.send(&datagram(b"wrong").broken().frame());
        wire.send(&datagram(b"right").frame());
        assert_eq!(received(&socket), b"right");
    }
}

#[test]
fn the_stack_joins_fragments_and_walks_extension_headers() {
    let pair = Pair::new();
    let wire = Wire::open(&pair.left, "eth0");
    let data: Vec<u8> = (0..200).collect();
    for ends in pair.ends() {
        let socket = receiver(&pair, ends.destination);
        let packet = Packet::new(ends, Upper::udp((4000, 53), &data));
        for frame in packet.fragments(77, &[64, 128]) {
            wire.send(&frame);
        }
        assert_eq!(received(&socket), data);

        let padded = packet.clone().extension(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0]);
        let padded = padded.extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0]);
        // No operation, four times.
        wire.send(&padded.options(&[1, 1, 1, 1]).frame());
        assert_eq!(received(&socket), data);
    }
}

#[test]
fn neighbours_answer_arp_and_solicitations() {
    let pair = Pair::new();
    let wire = Wire::open(&pair.left, "eth0");
    let [v4, v6] = pair.ends();
    let (IpAddr::V4(own), IpAddr::V4(target)) = (v4.source, v4.destination) else {
        panic!("the first ends are IPv4's");
    };
    let question = Arp::question((v4.source_mac, own), target);
    assert_eq!(question.operation, Operation::Request);
    wire.send(&question.frame());
    let mac = wire.capture("an ARP reply", |frame| {
        let seen = Seen::read(frame)?;
        (seen.ethertype == ARP && seen.destination_mac == v4.source_mac).then_some(seen.source_mac)
    });
    assert_eq!(mac, v4.destination_mac);

    let (IpAddr::V6(own), IpAddr::V6(target)) = (v6.source, v6.destination) else {
        panic!("the second ends are IPv6's");
    };
    wire.send(&solicitation((v6.source_mac, own), target));
    // Neighbour advertisement, of the target.
    answer(&wire, v6, |ip| {
        let is_answer = ip.upper.first() == Some(&136) && ip.upper[8..24] == target.octets();
        is_answer.then_some(())
    });
}

#[test]
fn a_capture_sees_both_ways_and_ends_at_its_limit() {
    let pair = Pair::new();
    let wire = Wire::open(&pair.right, "eth0");
    let _service = Service::start(&pair.right, &[Listen::everywhere(Protocol::Udp, 53)]);
    let [to, _] = addresses(RIGHT);
    let attempt = rig::traffic::Attempt::new(Protocol::Udp, to, 53);
    assert_eq!(attempt.from(&pair.left), rig::traffic::Outcome::Echoed);
    let ports: Vec<_> = wire
        .drain()
        .iter()
        .filter_map(|seen| seen.ip.as_ref()?.ports())
        .collect();
    assert!(ports.iter().any(|ports| ports.1 == 53) && ports.iter().any(|ports| ports.0 == 53));
    assert_eq!(wire.capture_within(Duration::ZERO, |_| None::<()>), None);
}
