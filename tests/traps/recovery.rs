//! T13, T14: what entries have cached is not believed when it is another's by now.

use std::fs;
use std::path::Path;

use bpf::conntrack::State;
use libbpf_rs::{Link, MapCore, MapHandle};
use rig::packet::upper::{ACK, PSH, Upper};
use rig::tree::Rule;
use rig::wire::Wire;

use crate::stage::{BASE, LINKS, Ports, Side, Stage, back, closed, containers, kernel, play};

const TCP: Ports = (40_000, 80);
const UDP: Ports = (40_001, 53);

fn segment(ports: Ports) -> Upper {
    Upper::tcp(ports, ACK | PSH, 1001, 5001, b"")
}

fn begin(stage: &Stage<'_>) {
    for v6 in [false, true] {
        stage.connect(v6, TCP);
    }
    goes_on(stage);
}

/// The connection and the exchange of datagrams, both ways, by the entries that there are.
#[track_caller]
fn goes_on(stage: &Stage<'_>) {
    let (a, b) = (&stage.a, &stage.b);
    for v6 in [false, true] {
        a.send(b, v6, segment(TCP));
        b.sees(a, v6, TCP, ACK | PSH);
        b.send(a, v6, segment(back(TCP)));
        a.sees(b, v6, back(TCP), ACK | PSH);
        a.send(b, v6, Upper::udp(UDP, b""));
        b.hears(a, v6, UDP);
        b.send(a, v6, Upper::udp(back(UDP), b""));
        a.hears(b, v6, back(UDP));
        let entry = a.entry(b.address(v6), TCP).unwrap();
        assert_eq!((entry.state, entry.initiator), (State::Established, true));
    }
}

/// Only `a` begins flows.
fn from_a() -> [rig::tree::Policy; 2] {
    let rule = Rule::new().containers(&[("app", "a")]);
    [closed("b", &[rule]), closed("a", &[])]
}

fn commit_map() -> u32 {
    let map = MapHandle::from_pinned_path(Path::new(BASE).join("v1/commit")).unwrap();
    map.info().unwrap().info.id
}

#[test]
fn t13_pins_are_lost_while_programs_are_attached() {
    play("t13 attached", &from_a(), |stage| {
        begin(stage);
        let (map, record) = (commit_map(), kernel().record());
        // Links vanish with their last reference; here somebody else has one.
        let open = |side: &Side| LINKS.map(|link| Link::open(side.pins().join(link)).unwrap());
        let _held = [&stage.a, &stage.b].map(open);
        fs::remove_dir_all(BASE).unwrap();
        drop(stage.lab.reconcile(&[]).ended(0));
        stage.a.mute();
        stage.b.mute();
        assert_eq!(commit_map(), map, "a second record was made");
        assert!(kernel().record().generation >= record.generation);
        goes_on(stage);
    });
}

#[test]
fn t13_a_new_record_starts_above_what_entries_have_cached() {
    play("t13 anew", &from_a(), |stage| {
        let (a, b) = (&stage.a, &stage.b);
        begin(stage);
        let record = kernel().record();
        // Connections are all that is left of the datapath.
        for side in [a, b] {
            for link in LINKS {
                fs::remove_file(side.pins().join(link)).unwrap();
            }
            side.is_bare();
        }
        for entry in Path::new(BASE).join("v1").read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
        stage.apply(&[closed("b", &[]), closed("a", &[])]);
        assert!(kernel().record().generation > record.generation);
        for v6 in [false, true] {
            assert!(a.entry(b.address(v6), TCP).is_some(), "they are left");
            a.drops_more("denied_ingress", 1, || a.send(b, v6, segment(TCP)));
            a.drops_more("denied_ingress", 1, || a.send(b, v6, Upper::udp(UDP, b"")));
        }
        assert_eq!((a.rest(), b.rest()), (vec![], vec![]));
    });
}

#[test]
fn t14_a_containers_interface_is_replaced() {
    play("t14", &from_a(), |stage| {
        begin(stage);
        let net = stage.lab.alpha().net().clone();
        let old = stage.b.ifindex;
        net.ip(&format!("link delete {}", stage.b.interface));
        // To an index that is nobody's nothing is delivered.
        for v6 in [false, true] {
            stage.a.send(&stage.b, v6, segment(TCP));
        }
        drop(stage.lab.reconcile(&[]).ended(0));
        // Then the index is somebody else's.
        net.ip_batch(&format!(
            "link add stranger index {old} type veth peer name strange\n\
             link set stranger up\nlink set strange up"
        ));
        net.wait_up("strange");
        let strange = Wire::open(&net, "strange");
        let b = Side::open(stage.lab, &containers()[1]);
        assert_ne!(b.ifindex, old);
        stage.a.mute();
        let stage = Stage {
            lab: stage.lab,
            a: Side::open(stage.lab, &containers()[0]),
            b,
        };
        goes_on(&stage);
        // And back: the entries of both sides deliver by the endpoint.
        let strangers = strange.drain().into_iter().filter(|seen| seen.ip.is_some());
        let delivered = strangers.filter(|seen| {
            let ports = seen.ip.as_ref().and_then(|ip| ip.ports());
            [TCP, UDP, back(TCP), back(UDP)].map(Some).contains(&ports)
        });
        assert_eq!(delivered.collect::<Vec<_>>(), []);
    });
}
