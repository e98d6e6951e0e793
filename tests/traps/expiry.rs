//! T9: a local pair's entry is gone on one side.

use rig::packet::upper::{ACK, PSH, Upper};
use rig::tree::{Policy, Rule};

use crate::stage::{Ports, Stage, back, closed, play};

const TCP: Ports = (40_000, 80);
const UDP: Ports = (40_001, 53);

/// `a` may reach `b`, or nobody; nobody may reach `a`.
fn policies(allowed: bool) -> [Policy; 2] {
    let from_a = Rule::new().containers(&[("app", "a")]);
    let rules: &[Rule] = if allowed { &[from_a] } else { &[] };
    [closed("b", rules), closed("a", &[])]
}

const FLOWS: [(bool, Ports); 4] = [(false, TCP), (false, UDP), (true, TCP), (true, UDP)];

fn upper(ports: Ports) -> Upper {
    if ports == TCP || ports == back(TCP) {
        Upper::tcp(ports, ACK | PSH, 1001, 5001, b"")
    } else {
        Upper::udp(ports, b"")
    }
}

/// A flow from `a`, there and back.
fn begin(stage: &Stage<'_>, v6: bool, ports: Ports) {
    if ports == TCP {
        stage.connect(v6, ports);
    }
    goes_on(stage, v6, ports, false);
}

/// There and back, or back and there.
fn goes_on(stage: &Stage<'_>, v6: bool, ports: Ports, back_first: bool) {
    let (a, b) = (&stage.a, &stage.b);
    for is_back in [back_first, !back_first] {
        let (from, to, ports) = if is_back {
            (b, a, back(ports))
        } else {
            (a, b, ports)
        };
        from.send(to, v6, upper(ports));
        if ports == TCP || ports == back(TCP) {
            to.sees(from, v6, ports, ACK | PSH);
        } else {
            to.hears(from, v6, ports);
        }
    }
}

fn entries(stage: &Stage<'_>, v6: bool, ports: Ports) -> [bool; 2] {
    let entries = stage.entries(v6, ports);
    entries.map(|entry| entry.is_some())
}

#[test]
fn t09_an_entry_expires_on_one_side_only() {
    play("t09", &policies(true), |stage| {
        let (a, b) = (&stage.a, &stage.b);
        for (v6, ports) in FLOWS {
            begin(stage, v6, ports);
            // Feedback is no new flow (that would be denied), whichever side has forgotten.
            for back_first in [true, false] {
                b.expire(a.address(v6), back(ports));
                goes_on(stage, v6, ports, back_first);
                a.expire(b.address(v6), ports);
                goes_on(stage, v6, ports, back_first);
            }
            let entry = a.entry(b.address(v6), ports).unwrap();
            assert!(entry.initiator, "made again as it was");
            let entry = b.entry(a.address(v6), back(ports)).unwrap();
            assert!(!entry.initiator, "made again as it was");
            assert_eq!(entry.deliver_to.map(|index| index.0), Some(0), "to a");
        }

        for (v6, ports) in FLOWS {
            b.expire(a.address(v6), back(ports));
        }
        stage.apply(&policies(false));
        for (v6, ports) in FLOWS {
            a.drops_more("denied_ingress", 1, || a.send(b, v6, upper(ports)));
            assert_eq!(entries(stage, v6, ports), [false, false]);
            let stray = if ports == TCP {
                "stray"
            } else {
                "denied_ingress"
            };
            b.drops_more(stray, 1, || b.send(a, v6, upper(back(ports))));
        }
        assert_eq!((a.rest(), b.rest()), (vec![], vec![]));
    });
}

#[test]
fn t09_a_revocation_removes_both_sides() {
    play("t09 revoked", &policies(true), |stage| {
        let (a, b) = (&stage.a, &stage.b);
        for (v6, ports) in FLOWS {
            begin(stage, v6, ports);
        }
        stage.apply(&policies(false));
        for (v6, ports) in FLOWS {
            assert_eq!(entries(stage, v6, ports), [true, true]);
            // Feedback, too, is stopped by the next packet.
            b.drops_more("denied_ingress", 1, || b.send(a, v6, upper(back(ports))));
            assert_eq!(entries(stage, v6, ports), [false, false]);
        }
        // What is allowed again is a new flow, and half a connection does not come back.
        stage.apply(&policies(true));
        for v6 in [false, true] {
            a.drops_more("stray", 1, || a.send(b, v6, upper(TCP)));
            goes_on(stage, v6, UDP, false);
        }
    });
}
