//! Connections live through commits that still allow them and through regenerations of the very
//! programs that carry them; the commit that revokes one ends it with the next packet.
//!
//! Traffic is between `shop/web` and `shop/db`, whose policy stays; what changes is around them.
//! That nothing was lost is shown from both ends: every byte comes back, and the datapath has
//! counted no packet of the two as dropped.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rig::lab::Lab;
use rig::netns::Netns;
use rig::packet::seen::Seen;
use rig::traffic::{Exchange, Listen, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use rig::wire::Wire;
use serde_json::json;

use crate::kernel::{self, apply, connections, drops, flows, is_at};

const ENDS: [&str; 2] = ["shop/web", "shop/db"];
/// Every reason for which a packet of a living connection could be dropped.
const LOSSES: [&str; 12] = [
    "malformed",
    "spoofed_mac",
    "spoofed_source",
    "not_for_container",
    "stray",
    "absent",
    "denied_egress",
    "denied_ingress",
    "quota",
    "missed_block",
    "missed_map",
    "raced",
];

const V4: [&str; 2] = ["10.44.0.1", "10.44.0.2"];
const V6: [&str; 2] = ["fd44::1", "fd44::2"];

/// The two ends with these addresses, and a third container that the changes are about.
fn containers(addresses: [&[&str]; 2]) -> [Container; 3] {
    let [web, db] = addresses;
    [
        Container::new("shop/web", web)
            .label("app", "web")
            .label("tier", "front"),
        Container::new("shop/db", db)
            .label("app", "db")
            .label("tier", "back"),
        Container::numbered("shop/third", 3).label("app", "third"),
    ]
}

/// `web` may reach `db` at what is named; nothing else may reach either.
fn tree(containers: &[Container], allowed: &[(&str, u16)]) -> Tree {
    let tree = containers.iter().fold(Tree::new(), Tree::container);
    let to_db = Rule::new().containers(&[("app", "web")]);
    let to_db = allowed
        .iter()
        .fold(to_db, |rule, (protocol, port)| rule.port(protocol, *port));
    tree.policy(
        &Policy::new("shop/web")
            .select(&[("app", "web")])
            .ingress(&[]),
    )
    .policy(
        &Policy::new("shop/db")
            .select(&[("app", "db")])
            .ingress(&[to_db]),
    )
}

const ALLOWED: [(&str, u16); 2] = [("TCP", 5432), ("UDP", 53)];

/// One connection and one exchange of datagrams, in each family that both ends have.
struct Traffic {
    exchanges: Vec<Exchange>,
    before: [Vec<kernel::Flow>; 2],
    lost: u64,
    _service: Service,
}

impl Traffic {
    fn begin(lab: &Lab, addresses: &[&str]) -> Self {
        let ends = ENDS.map(|name| lab.alpha().container(name));
        let on_each = addresses.iter().flat_map(|address| {
            let address = address.parse().unwrap();
            [
                Listen::on(Protocol::Tcp, address, 5432),
                Listen::on(Protocol::Udp, address, 53),
            ]
        });
        let service = Service::start(&ends[1], &on_each.collect::<Vec<_>>());
        let lost = drops(&ENDS, &LOSSES);
        let exchanges: Vec<Exchange> = addresses
            .iter()
            .flat_map(|address| {
                let to = |port| SocketAddr::new(address.parse().unwrap(), port);
                [
                    Exchange::tcp(&ends[0], to(5432)),
                    Exchange::udp(&ends[0], to(53)),
                ]
            })
            .collect();
        exchanges.iter().for_each(|exchange| exchange.advance(3));
        let before = ENDS.map(|end| flows(end).into_iter().collect::<Vec<_>>());
        let count = exchanges.len();
        assert_eq!(before.each_ref().map(Vec::len), [count; 2], "{before:?}");
        Self {
            exchanges,
            before,
            lost,
            _service: service,
        }
    }

    /// Each goes on, and has been judged again under this generation.
    fn goes_on(&self, generation: u64) {
        for exchange in &self.exchanges {
            exchange.advance(3);
        }
        for connection in ENDS.iter().flat_map(|end| connections(end)) {
            assert_eq!(connection.generation, generation, "{connection:?}");
        }
    }

    /// Not a byte was lost, and the entries are those of the beginning.
    fn was_whole(self) {
        let after = ENDS.map(|end| flows(end).into_iter().collect::<Vec<_>>());
        assert_eq!(after, self.before, "the entries");
        for exchange in self.exchanges {
            let progress = exchange.end();
            assert_eq!((&progress.failure, progress.repeated), (&None, 0));
        }
        assert_eq!(drops(&ENDS, &LOSSES), self.lost, "packets dropped");
    }
}

/// What the ends keep their connections in.
fn own_maps() -> Vec<u32> {
    let maps = ["established", "half_open", "datagrams"];
    let of_each = |end| maps.map(|map| kernel::map_id(end, map));
    ENDS.iter().copied().flat_map(of_each).collect()
}

/// A policy about others, another one with each number. Every fifth names a key that no policy has
/// named before, so that the ends have other identities, too.
fn about_others(number: u16) -> Policy {
    let peer = if number.is_multiple_of(5) {
        [("tier", "front")]
    } else {
        [("app", "web")]
    };
    Policy::new("shop/third")
        .select(&[("app", "third")])
        .ingress(&[Rule::new().containers(&peer).port("TCP", 1000 + number)])
        .egress(&[Rule::new().block("192.0.2.0/24", &[]).port("UDP", number)])
}

#[test]
fn connections_go_on_through_50_commits_about_others() {
    Lab::run("commits", |lab| {
        let all = containers([&[V4[0], V6[0]], &[V4[1], V6[1]]]);
        apply(lab, &tree(&all, &ALLOWED).policy(&about_others(1)), "0");
        let traffic = Traffic::begin(lab, &[V4[1], V6[1]]);
        let (maps, builds) = (own_maps(), kernel::builds());
        let first = kernel::kernel().record().generation.0;
        for number in 1..=50 {
            let changed = tree(&all, &ALLOWED).policy(&about_others(number + 1));
            let generation = apply(lab, &changed, &number.to_string());
            assert_eq!(generation, first + u64::from(number));
            traffic.goes_on(generation);
        }
        assert_eq!(kernel::builds(), builds, "policy rebuilds no program");
        assert_eq!(own_maps(), maps, "the connection maps");
        traffic.was_whole();
    });
}

/// An address is a constant of a container's programs: the ends lose and regain their second one
/// while traffic is between the first ones. Each commit regenerates both ends' programs twice: for
/// both slots, and plain.
fn regenerate(name: &str, used: [&str; 2], other: [&str; 2]) {
    Lab::run(name, |lab| {
        let whole = containers([&[used[0], other[0]], &[used[1], other[1]]]);
        let half = containers([&[used[0]], &[used[1]]]);
        apply(lab, &tree(&whole, &ALLOWED), "0");
        let traffic = Traffic::begin(lab, &[used[1]]);
        let maps = own_maps();
        let mut builds = kernel::builds();
        for number in 0..20 {
            let now = if number % 2 == 0 { &half } else { &whole };
            let generation = apply(lab, &tree(now, &ALLOWED), &number.to_string());
            traffic.goes_on(generation);
            let before = std::mem::replace(&mut builds, kernel::builds());
            for end in ENDS.map(kernel::named) {
                assert_ne!(before[&end], builds[&end], "{end} was regenerated");
            }
        }
        assert_eq!(own_maps(), maps, "the connection maps");
        traffic.was_whole();
    });
}

#[test]
fn ipv4_goes_on_through_20_regenerations() {
    regenerate("regenerate-v4", V4, V6);
}

#[test]
fn ipv6_goes_on_through_20_regenerations() {
    regenerate("regenerate-v6", V6, V4);
}

#[test]
fn connections_move_with_a_change_of_quota() {
    Lab::run("quota", |lab| {
        let with = |quota: u32| {
            let all = containers([&[V4[0], V6[0]], &[V4[1], V6[1]]]);
            let all = all.map(|container| container.spec("connections", json!(quota)));
            tree(&all, &ALLOWED)
        };
        apply(lab, &with(1024), "0");
        let traffic = Traffic::begin(lab, &[V4[1], V6[1]]);
        for number in 0..6 {
            let before = kernel::map_id("shop/db", "established");
            let quota = if number % 2 == 0 { 64 } else { 2048 };
            apply(lab, &with(quota), &number.to_string());
            assert_ne!(kernel::map_id("shop/db", "established"), before);
            traffic.exchanges.iter().for_each(|e| e.advance(3));
        }
        traffic.was_whole();
    });
}

/// The quota is of connections that are open: one after the other there may be any number.
#[test]
fn connections_come_and_go_beyond_the_quota() {
    Lab::run("come-and-go", |lab| {
        let all = containers([&[V4[0], V6[0]], &[V4[1], V6[1]]]);
        let all = all.map(|container| container.spec("connections", json!(64)));
        apply(lab, &tree(&all, &ALLOWED), "0");
        let ends = ENDS.map(|end| lab.alpha().container(end));
        for address in [V4[1], V6[1]] {
            let to = SocketAddr::new(address.parse().unwrap(), 5432);
            let listener = ends[1].run(|| TcpListener::bind(to)).unwrap();
            let client = ends[0].spawn(move || {
                for _ in 0..500 {
                    let mut stream = TcpStream::connect_timeout(&to, wait::LIMIT).unwrap();
                    stream.write_all(b"there").unwrap();
                    stream.read_exact(&mut [0; 4]).unwrap();
                }
            });
            for _ in 0..500 {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 5]).unwrap();
                stream.write_all(b"back").unwrap();
            }
            client.join().unwrap();
        }
        assert_eq!(drops(&ENDS, &LOSSES), 0);
    });
}

/// A connection whose both ends the test holds.
struct Held {
    client: TcpStream,
    server: TcpStream,
}

impl Held {
    fn open(ends: &[Netns; 2], to: SocketAddr) -> Self {
        let listener = ends[1].run(|| TcpListener::bind(to)).unwrap();
        let client = ends[0].run(|| TcpStream::connect_timeout(&to, wait::LIMIT));
        let (server, _) = listener.accept().unwrap();
        let mut held = Self {
            client: client.unwrap(),
            server,
        };
        held.client.set_read_timeout(Some(wait::LIMIT)).unwrap();
        held.server.set_read_timeout(Some(wait::LIMIT)).unwrap();
        // Once there and back: established at both ends.
        held.client.write_all(b"there").unwrap();
        held.server.read_exact(&mut [0; 5]).unwrap();
        held.server.write_all(b"back").unwrap();
        held.client.read_exact(&mut [0; 4]).unwrap();
        held.client.set_nonblocking(true).unwrap();
        held.server.set_nonblocking(true).unwrap();
        held
    }
}

/// Sends, and waits until the packet and a repetition of it have been dropped: then nothing may
/// have come to the other side.
fn is_stopped(sender: &mut TcpStream, receiver: &mut TcpStream, wire: &Wire) {
    let reasons = ["denied_egress", "denied_ingress", "stray"];
    let before = drops(&ENDS, &reasons);
    let from = sender.local_addr().unwrap();
    sender.write_all(b"revoked").unwrap();
    wait::holds("two packets to be dropped", || {
        drops(&ENDS, &reasons) >= before + 2
    });
    let came = wire.drain().into_iter().filter_map(|seen: Seen| seen.ip);
    let came = came.filter(|ip| {
        ip.source == from.ip() && ip.ports().is_some_and(|ports| ports.0 == from.port())
    });
    assert_eq!(came.count(), 0, "packets from {from} after the commit");
    let read = receiver.read(&mut [0; 16]);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Each end's interface.
fn wires(ends: &[Netns; 2]) -> [Wire; 2] {
    ends.each_ref()
        .map(|end| Wire::open(end, &end.interfaces()[0].name))
}

fn revoke(name: &str, addresses: [&str; 2]) {
    Lab::run(name, |lab| {
        let all = containers([&[addresses[0]], &[addresses[1]]]);
        let (kept, revoked) = (("TCP", 5432), ("TCP", 5433));
        apply(lab, &tree(&all, &[kept, revoked]), "both");
        let ends = ENDS.map(|name| lab.alpha().container(name));
        let to = |port| SocketAddr::new(addresses[1].parse().unwrap(), port);
        let _service = Service::start(&ends[1], &[Listen::on(Protocol::Tcp, to(0).ip(), 5432)]);
        let going_on = Exchange::tcp(&ends[0], to(5432));
        let mut clients_turn = Held::open(&ends, to(5433));
        let mut servers_turn = Held::open(&ends, to(5433));
        going_on.advance(3);
        assert_eq!(ENDS.map(|end| flows(end).len()), [3, 3]);
        let kept_flows = ENDS.map(|end| {
            let mut flows = flows(end);
            flows.retain(|flow| is_at(flow.3, 5432));
            flows
        });

        let generation = apply(lab, &tree(&all, &[kept]), "one");
        let wires = wires(&ends);
        let Held { client, server } = &mut clients_turn;
        is_stopped(client, server, &wires[1]);
        let Held { client, server } = &mut servers_turn;
        is_stopped(server, client, &wires[0]);

        going_on.advance(100);
        assert_eq!(ENDS.map(flows), kept_flows, "entries of the revoked ones");
        assert_eq!(connections(ENDS[0])[0].generation, generation);
        assert_eq!(going_on.end().failure, None);
    });
}

#[test]
fn the_revoking_commit_stops_both_directions_ipv4() {
    revoke("revoke-v4", V4);
}

#[test]
fn the_revoking_commit_stops_both_directions_ipv6() {
    revoke("revoke-v6", V6);
}
