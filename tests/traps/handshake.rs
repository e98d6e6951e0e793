//! T7, T8, T10: who has begun a connection, and when it is one.

use bpf::conntrack::State;
use rig::packet::upper::{ACK, CWR, ECE, FIN, PSH, SYN, Upper};
use rig::tree::Rule;

use crate::stage::{Ports, Stage, back, closed, only, play};

const PORTS: Ports = (40_000, 80);

/// A segment without data.
fn segment(ports: Ports, flags: u16, sequence: u32, acknowledges: u32) -> Upper {
    Upper::tcp(ports, flags, sequence, acknowledges, b"")
}

/// Where each side's entry of the connection from `a` is.
fn states(stage: &Stage<'_>, v6: bool, ports: Ports) -> [Option<State>; 2] {
    let entries = stage.entries(v6, ports);
    entries.map(|entry| entry.map(|entry| entry.state))
}

const HALF_OPEN: [Option<State>; 2] = [Some(State::HalfOpen); 2];
const ESTABLISHED: [Option<State>; 2] = [Some(State::Established); 2];

/// `a` may reach port 80 of `b`, and nobody `a`.
fn one_way() -> [rig::tree::Policy; 2] {
    [only("b", "a", "TCP", 80), closed("a", &[])]
}

#[test]
fn t07_a_client_stays_silent_after_the_handshake() {
    play("t07", &one_way(), |stage| {
        let (a, b) = (&stage.a, &stage.b);
        for v6 in [false, true] {
            a.send(b, v6, segment(PORTS, SYN, 1000, 0));
            b.sees(a, v6, PORTS, SYN);
            assert_eq!(states(stage, v6, PORTS), HALF_OPEN);
            // Before the answer there is nothing to acknowledge.
            a.drops_more("stray", 1, || {
                a.send(b, v6, segment(PORTS, ACK, 1001, 5001));
            });
            b.send(a, v6, segment(back(PORTS), SYN | ACK, 5000, 1001));
            a.sees(b, v6, back(PORTS), SYN | ACK);
            assert_eq!(states(stage, v6, PORTS), HALF_OPEN);
            // Not by who has not seen the answer.
            a.drops_more("stray", 1, || {
                a.send(b, v6, segment(PORTS, ACK, 1001, 5000));
            });
            assert_eq!(states(stage, v6, PORTS), HALF_OPEN);
            a.send(b, v6, segment(PORTS, ACK, 1001, 5001));
            b.sees(a, v6, PORTS, ACK);
            assert_eq!(states(stage, v6, PORTS), ESTABLISHED);
            // The server speaks first, as of SMTP.
            b.send(a, v6, segment(back(PORTS), ACK | PSH, 5001, 1001));
            a.sees(b, v6, back(PORTS), ACK | PSH);
        }
        assert_eq!((a.rest(), b.rest()), (vec![], vec![]));
    });
}

#[test]
fn t08_a_syn_carries_ecn_bits() {
    play("t08", &one_way(), |stage| {
        let (a, b) = (&stage.a, &stage.b);
        for v6 in [false, true] {
            a.send(b, v6, segment(PORTS, SYN | ECE | CWR, 1000, 0));
            b.sees(a, v6, PORTS, SYN | ECE | CWR);
            b.send(a, v6, segment(back(PORTS), SYN | ACK | ECE, 5000, 1001));
            a.sees(b, v6, back(PORTS), SYN | ACK | ECE);
            a.send(b, v6, segment(PORTS, ACK, 1001, 5001));
            b.sees(a, v6, PORTS, ACK);
            assert_eq!(states(stage, v6, PORTS), ESTABLISHED);
            // And it is one also where it is denied: no stray.
            a.drops_more("denied_ingress", 1, || {
                a.send(b, v6, segment((40_001, 81), SYN | ECE | CWR, 1000, 0));
            });
        }
    });
}

#[test]
fn t10_the_responder_opens_over_the_connection() {
    play("t10", &one_way(), |stage| {
        let (a, b) = (&stage.a, &stage.b);
        let goes_on = |v6| {
            a.send(b, v6, segment(PORTS, ACK | PSH, 1001, 5001));
            b.sees(a, v6, PORTS, ACK | PSH);
            b.send(a, v6, segment(back(PORTS), ACK | PSH, 5001, 1001));
            a.sees(b, v6, back(PORTS), ACK | PSH);
            assert_eq!(states(stage, v6, PORTS), ESTABLISHED);
            let entry = a.entry(b.address(v6), PORTS).unwrap();
            assert!(entry.initiator, "a began it");
        };
        for v6 in [false, true] {
            stage.connect(v6, PORTS);
            b.drops_more("denied_ingress", 1, || {
                b.send(a, v6, segment(back(PORTS), SYN, 9000, 0));
            });
            goes_on(v6);
        }
        assert_eq!((a.rest(), b.rest()), (vec![], vec![]));

        // Allowed, it passes, and the connection is still the one that a began.
        let from_b = Rule::new().containers(&[("app", "b")]);
        stage.apply(&[only("b", "a", "TCP", 80), closed("a", &[from_b])]);
        for v6 in [false, true] {
            b.send(a, v6, segment(back(PORTS), SYN, 9000, 0));
            a.sees(b, v6, back(PORTS), SYN);
            goes_on(v6);
            // Closed by both sides, the ports are free for a connection that b begins.
            a.send(b, v6, segment(PORTS, ACK | FIN, 1001, 5001));
            b.sees(a, v6, PORTS, ACK | FIN);
            b.send(a, v6, segment(back(PORTS), ACK | FIN, 5001, 1002));
            a.sees(b, v6, back(PORTS), ACK | FIN);
            b.send(a, v6, segment(back(PORTS), SYN, 9000, 0));
            a.sees(b, v6, back(PORTS), SYN);
            assert_eq!(states(stage, v6, PORTS), HALF_OPEN);
            assert!(!a.entry(b.address(v6), PORTS).unwrap().initiator);
            assert!(b.entry(a.address(v6), back(PORTS)).unwrap().initiator);
        }
    });
}
