//! T16: what others of the host do to a new interface by themselves: another MAC address, as udev
//! gives one; down and up again, by which the kernel forgets permanent neighbours and IPv6 routes.

use std::net::UdpSocket;

use rig::lab::Lab;
use rig::packet::upper::Upper;

use crate::stage::{Ports, Side, Stage, closed, containers, kernel, play};

const PORTS: Ports = (40_000, 53);

/// What `drift` says, by its exit code.
fn drift(stage: &Stage<'_>, exit: i32) -> String {
    stage.lab.reconcile(&["drift"]).ended(exit).stdout
}

/// From `a` to `b`, and from the host to `a`, which needs the neighbour; from `b` to `a` nothing.
fn passes(lab: &Lab) {
    // A wire of an interface that was down is no good any more.
    let [a, b] = containers().map(|container| Side::open(lab, &container));
    for v6 in [false, true] {
        a.send(&b, v6, Upper::udp(PORTS, b"datagram"));
        b.hears(&a, v6, PORTS);
        let denied = Upper::udp((53, 40_001), b"");
        b.drops_more("denied_ingress", 1, || b.send(&a, v6, denied));
    }
    let alpha = lab.alpha().net().clone();
    let own = lab.addresses(&alpha);
    for address in a.addresses {
        let source = own[usize::from(address.is_ipv6())];
        alpha.run(|| {
            let socket = UdpSocket::bind((source, PORTS.0)).unwrap();
            socket.send_to(b"datagram", (address, PORTS.1)).unwrap();
        });
        a.hears_from(source, PORTS);
    }
}

/// The next run mends it in place, and no verdict has changed meanwhile.
fn is_mended(stage: &Stage<'_>, found: &[&str]) {
    let said = drift(stage, 6);
    for words in found {
        assert!(said.contains(words), "{words}: {said}");
    }
    let generation = kernel().record().generation;
    drop(stage.lab.reconcile(&[]).ended(0));
    assert_eq!(kernel().record().generation, generation);
    drift(stage, 0);
    passes(stage.lab);
    // What that took away for silence's sake.
    drop(stage.lab.reconcile(&[]).ended(0));
}

fn ip(side: &Side, stage: &Stage<'_>, line: &str) {
    let net = stage.lab.alpha().net().clone();
    net.ip(&line.replace("OUTER", &side.interface));
}

#[test]
fn t16_a_new_interface_gets_another_mac_address() {
    play("t16 mac", &[closed("a", &[])], |stage| {
        is_mended_first(stage);
        ip(&stage.a, stage, "link set OUTER address 02:00:00:00:00:77");
        is_mended(stage, &["has another MAC address"]);
        let inside = "link set eth0 address 02:00:00:00:00:78";
        stage.a.net.ip(inside);
        is_mended(stage, &["the MAC address is 02:00:00:00:00:78"]);
    });
}

#[test]
fn t16_an_interface_goes_down_and_up() {
    play("t16 down", &[closed("a", &[])], |stage| {
        is_mended_first(stage);
        ip(&stage.a, stage, "link set OUTER down");
        ip(&stage.a, stage, "link set OUTER up");
        let found = [
            "no route to 10.44.0.1",
            "no route to fd44::1",
            "no permanent neighbour 10.44.0.1",
            "no permanent neighbour fd44::1",
        ];
        is_mended(stage, &found);
        stage.a.net.ip("link set eth0 down");
        stage.a.net.ip("link set eth0 up");
        let found = [
            "no default IPv4 route inside",
            "no default IPv6 route inside",
            "no permanent neighbour 169.254.80.76 inside",
        ];
        is_mended(stage, &found);
    });
}

/// What the stage took away for silence's sake.
fn is_mended_first(stage: &Stage<'_>) {
    drift(stage, 6);
    drop(stage.lab.reconcile(&[]).ended(0));
    drift(stage, 0);
}
