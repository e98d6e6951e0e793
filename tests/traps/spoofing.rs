//! T4: what comes in by the uplink is not the host's, nor a container's.

use std::net::IpAddr;

use rig::packet::Packet;
use rig::packet::seen::Seen;
use rig::packet::upper::Upper;
use rig::tree::{Container, Rule};
use rig::wire::Wire;

use crate::stage::{Side, Stage, closed, play, tree};

const PORTS: (u16, u16) = (40_000, 53);

/// Sends from outside to `a`, from each of these sources.
fn spoof(stage: &Stage<'_>, sources: &[[IpAddr; 2]]) {
    let wire = Wire::open(&stage.lab.outside(), "uplink");
    for source in sources.iter().flatten().copied() {
        let packet = Packet::new(stage.uplink(source), Upper::udp(PORTS, b"spoofed"));
        wire.send(&packet.frame());
    }
}

/// Everything may reach `a` from `b`; from its host it may always. `outside` may not.
#[test]
fn t04_the_uplink_spoofs_the_host_and_a_container() {
    let from_b = Rule::new().containers(&[("app", "b")]);
    play("t04", &[closed("a", &[from_b])], |stage| {
        let (lab, a, b) = (stage.lab, &stage.a, &stage.b);
        let net = lab.alpha().net().clone();
        let host = lab.addresses(&net);
        let honest = lab.addresses(&lab.outside());
        // The stack's own defence is out of the way: it has none in IPv6, and none of it is ours.
        net.sysctl("ipv4/conf/uplink/accept_local", "1");
        for rp_filter in ["0", "2"] {
            for interface in ["all", "uplink"] {
                net.sysctl(&format!("ipv4/conf/{interface}/rp_filter"), rp_filter);
            }
            a.drops_more("denied_ingress", 2, || spoof(stage, &[honest]));
            a.drops_more("spoofed_source", 2, || spoof(stage, &[host]));
            a.drops_more("spoofed_source", 2, || spoof(stage, &[b.addresses]));
            a.drops_more("spoofed_source", 2, || spoof(stage, &[a.addresses]));
        }
        assert_eq!(a.rest(), []);
        // Not into a flow that is known, either: there an entry would let it pass.
        for v6 in [false, true] {
            b.send(a, v6, Upper::udp(PORTS, b"true"));
            a.hears(b, v6, PORTS);
        }
        a.drops_more("spoofed_source", 2, || spoof(stage, &[b.addresses]));
        assert_eq!(a.rest(), []);
    });
}

/// An address that was somebody else's becomes a container's: what came in by the uplink under the
/// old commit is spoofed under the new one, though its flow is known.
#[test]
fn t04_a_known_peer_becomes_a_container() {
    play("t04 known", &[], |stage| {
        let (lab, a) = (stage.lab, &stage.a);
        let late = Container::numbered("trap/late", 9);
        let peers: [IpAddr; 2] = late.addresses.clone().try_into().unwrap();
        let answers = |wire: &Wire| {
            for peer in peers {
                let answer = Upper::udp((PORTS.1, PORTS.0), b"answer");
                let ends = stage.uplink(peer);
                wire.send(&Packet::new(ends, answer).frame());
            }
        };
        let ask = || {
            for peer in peers {
                let question = Upper::udp(PORTS, b"question");
                a.wire.send(&Packet::new(a.ends(peer), question).frame());
            }
        };
        // Until the commit that makes them a container's, these addresses are somebody's outside.
        let wire = Wire::open(&lab.outside(), "uplink");
        ask();
        answers(&wire);
        for peer in peers {
            a.wire.capture("the answer", |frame| {
                let ip = Seen::read(frame)?.ip?;
                (ip.source == peer).then_some(())
            });
        }
        lab.repository().hold(&tree(&[]).container(&late));
        lab.apply("a container with the addresses of a known peer");
        a.mute();
        // The flow is judged again, and goes to the container.
        let late = Side::open(lab, &late);
        ask();
        for v6 in [false, true] {
            late.hears(a, v6, PORTS);
        }
        a.drops_more("spoofed_source", 2, || answers(&wire));
        assert_eq!(a.rest(), []);
    });
}
