//! Services, attempts and exchanges.

use std::net::SocketAddr;

use rig::traffic::{
    Attempt, Exchange, Listen, Outcome, Protocol, SILENCE, Service, attempt_all, tcp_connects,
};
use rig::wait;

use crate::pair::{Pair, RIGHT, addresses};

const SERVED: [(Protocol, u16); 3] = [
    (Protocol::Tcp, 80),
    (Protocol::Udp, 53),
    (Protocol::Sctp, 5000),
];

fn service(pair: &Pair) -> Service {
    let listens = SERVED.map(|(protocol, port)| Listen::everywhere(protocol, port));
    Service::start(&pair.right, &listens)
}

/// Makes the left side send to nobody's MAC: the right one drops it, as a policy would, without a
/// word.
fn swallow(pair: &Pair) {
    let nobody = "lladdr 02:00:00:00:00:99 dev eth0 nud permanent";
    for to in RIGHT {
        pair.left.ip(&format!("neighbour replace {to} {nobody}"));
    }
}

#[test]
fn each_protocol_is_echoed_in_both_families() {
    let pair = Pair::new();
    let service = service(&pair);
    for to in addresses(RIGHT) {
        let attempts = [&SERVED[..], &[(Protocol::Icmp, 0)]].concat();
        let attempts: Vec<Attempt> = attempts
            .iter()
            .map(|&(protocol, port)| Attempt::new(protocol, to, port))
            .collect();
        assert_eq!(
            attempt_all(&pair.left, &attempts),
            [Outcome::Echoed; 4],
            "{to}"
        );
    }
    for (protocol, port) in SERVED {
        assert!(service.served(protocol, port) >= 2, "{protocol}");
    }
}

#[test]
fn a_closed_port_refuses() {
    let pair = Pair::new();
    for to in addresses(RIGHT) {
        assert_eq!(tcp_connects(&pair.left, to, 81), Outcome::Refused);
        assert_eq!(
            Attempt::new(Protocol::Udp, to, 81).from(&pair.left),
            Outcome::Refused
        );
    }
}

#[test]
fn what_is_swallowed_is_silence() {
    let pair = Pair::new();
    let service = service(&pair);
    swallow(&pair);
    for to in addresses(RIGHT) {
        let attempts = SERVED.map(|(protocol, port)| Attempt::new(protocol, to, port));
        let attempts = attempts.map(|attempt| attempt.limit(SILENCE));
        assert_eq!(
            attempt_all(&pair.left, &attempts),
            [Outcome::TimedOut; 3],
            "{to}"
        );
    }
    assert_eq!(service.served(Protocol::Udp, 53), 0);
}

#[test]
fn an_attempt_can_name_its_source() {
    let pair = Pair::new();
    let _service = service(&pair);
    let source: SocketAddr = "10.44.0.1:4000".parse().unwrap();
    let [to, _] = addresses(RIGHT);
    for (protocol, port) in SERVED {
        let attempt = Attempt::new(protocol, to, port).source(source);
        assert_eq!(attempt.from(&pair.left), Outcome::Echoed, "{protocol}");
    }
    let stranger = Attempt::new(Protocol::Tcp, to, 80).source("10.44.0.9:4000".parse().unwrap());
    assert!(matches!(stranger.from(&pair.left), Outcome::Failed(_)));
}

#[test]
fn exchanges_go_on_and_say_how_they_ended() {
    let pair = Pair::new();
    let service = service(&pair);
    for to in addresses(RIGHT) {
        let stream = Exchange::tcp(&pair.left, SocketAddr::new(to, 80));
        let datagrams = Exchange::udp(&pair.left, SocketAddr::new(to, 53));
        stream.advance(20);
        datagrams.advance(20);
        assert_eq!(datagrams.end().failure, None);
        let ended = stream.end();
        assert!(ended.failure.is_none() && ended.records >= 20, "{ended:?}");
    }
    let [to, _] = addresses(RIGHT);
    let cut = Exchange::tcp(&pair.left, SocketAddr::new(to, 80));
    cut.advance(1);
    drop(service);
    let failure = wait::until("the end of the stream", || cut.progress().failure);
    assert!(
        failure.contains("closed") || failure.contains("reset"),
        "{failure}"
    );
}

#[test]
fn an_exchange_stands_while_its_packets_are_swallowed_and_then_goes_on() {
    let pair = Pair::new();
    let _service = service(&pair);
    let [to, _] = addresses(RIGHT);
    let datagrams = Exchange::udp(&pair.left, SocketAddr::new(to, 53));
    datagrams.advance(5);
    swallow(&pair);
    wait::holds("a datagram to be sent again", || {
        datagrams.progress().repeated >= 1
    });
    pair.left.ip("neighbour flush dev eth0 nud permanent");
    datagrams.advance(5);
}

#[test]
fn each_datagram_can_be_a_new_flow() {
    let pair = Pair::new();
    let service = service(&pair);
    for to in addresses(RIGHT) {
        let flows = Exchange::new_flows(&pair.left, SocketAddr::new(to, 53));
        flows.advance(20);
        assert_eq!(flows.end().repeated, 0);
    }
    swallow(&pair);
    let before = service.served(Protocol::Udp, 53);
    let [to, _] = addresses(RIGHT);
    let shots = Exchange::unanswered(&pair.left, SocketAddr::new(to, 53));
    shots.advance(20);
    drop(shots);
    assert_eq!(service.served(Protocol::Udp, 53), before);
}
