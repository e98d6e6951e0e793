//! T5, T6: our programs are gone, or not the first.

use std::fs;

use rig::packet::Packet;
use rig::packet::upper::Upper;
use rig::program::Program;
use rig::wait;
use rig::wire::Wire;

use crate::foreign::Passer;
use crate::stage::{LINKS, Ports, Side, Stage, back, closed, play};

const PORTS: Ports = (40_000, 53);

fn datagram(ports: Ports) -> Upper {
    Upper::udp(ports, b"datagram")
}

fn each_way(stage: &Stage<'_>) {
    let (a, b) = (&stage.a, &stage.b);
    for v6 in [false, true] {
        a.send(b, v6, datagram(PORTS));
        b.hears(a, v6, PORTS);
        b.send(a, v6, datagram(back(PORTS)));
        a.hears(b, v6, back(PORTS));
    }
}

/// From `a`, and to `a` from outside, in both families: two packets through each hook.
fn through_both_hooks(stage: &Stage<'_>) {
    let outside = Wire::open(&stage.lab.outside(), "uplink");
    let honest = stage.lab.addresses(&stage.lab.outside());
    for v6 in [false, true] {
        stage.a.send(&stage.b, v6, datagram(PORTS));
        let ends = stage.uplink(honest[usize::from(v6)]);
        outside.send(&Packet::new(ends, datagram(PORTS)).frame());
    }
}

/// Packets that filters of the device dropped.
fn guarded(side: &Side) -> u64 {
    let tc = Program::new("tc").args(["-s", "-j", "qdisc", "show", "dev", &side.interface]);
    let shown = tc.run().json();
    let clsact = shown
        .as_array()
        .unwrap()
        .iter()
        .find(|q| q["kind"] == "clsact");
    clsact.expect("the guard's place")["drops"]
        .as_u64()
        .unwrap()
}

/// Nothing passes `a`'s interface, and the guard is why.
#[track_caller]
fn is_closed(stage: &Stage<'_>) {
    stage.a.is_bare();
    let before = guarded(&stage.a);
    through_both_hooks(stage);
    wait::holds("the guard to drop", || guarded(&stage.a) >= before + 4);
    assert_eq!((stage.a.rest(), stage.b.rest()), (vec![], vec![]));
}

/// What is missing is put in its place by the next run.
#[track_caller]
fn is_mended(stage: &Stage<'_>) {
    drop(stage.lab.reconcile(&[]).ended(0));
    stage.a.mute();
    stage.b.mute();
    each_way(stage);
}

#[test]
fn t05_the_pins_of_links_are_deleted() {
    play("t05 pins", &[], |stage| {
        let (a, b) = (&stage.a, &stage.b);
        each_way(stage);
        for link in LINKS {
            fs::remove_file(a.pins().join(link)).unwrap();
        }
        is_closed(stage);
        // Without it the host would forward.
        let tc = Program::new("tc").args(["qdisc", "del", "dev", &a.interface, "clsact"]);
        tc.run().succeed();
        through_both_hooks(stage);
        let honest = stage.lab.addresses(&stage.lab.outside());
        for v6 in [false, true] {
            b.hears(a, v6, PORTS);
            a.hears_from(honest[usize::from(v6)], PORTS);
        }
        is_mended(stage);
        a.mute();
        fs::remove_dir_all(a.pins()).unwrap();
        is_closed(stage);
        is_mended(stage);
    });
}

#[test]
fn t05_the_bpffs_is_unmounted() {
    play("t05 bpffs", &[], |stage| {
        each_way(stage);
        stage.lab.alpha().unmount_bpffs();
        is_closed(stage);
        is_mended(stage);
    });
}

#[test]
fn t06_a_strangers_program_stands_before_ours() {
    play("t06", &[closed("b", &[])], |stage| {
        let (lab, a, b) = (stage.lab, &stage.a, &stage.b);
        let denied = || {
            for v6 in [false, true] {
                a.drops_more("denied_ingress", 1, || a.send(b, v6, datagram(PORTS)));
            }
        };
        denied();
        let own = [a, b].map(Side::programs);
        let _strangers = [a, b].map(|side| Passer::before(side.ifindex));
        // It does what it is a trap for: what we deny passes by the host's stack.
        for v6 in [false, true] {
            a.send(b, v6, datagram(PORTS));
            b.hears(a, v6, PORTS);
        }
        let status = lab.reconcile(&["status"]).ended(0).stdout;
        let says = "another program stands before ours";
        assert_eq!(status.matches(says).count(), 2, "{status}");
        let plan = lab.reconcile(&["--dry-run"]).ended(0).stdout;
        assert_eq!(plan.matches("before its own").count(), 2, "{plan}");
        assert!(
            [a, b].map(Side::programs) != own,
            "a dry run changes nothing: {plan}"
        );

        drop(lab.reconcile(&[]).ended(0));
        a.mute();
        b.mute();
        denied();
        // (The host itself may have said something to it meanwhile.)
        let datagrams = b.rest().into_iter().filter(|ip| ip.protocol == 17);
        assert_eq!(datagrams.collect::<Vec<_>>(), []);
        for side in [a, b] {
            let chains = side.programs();
            assert!(
                chains.iter().all(|chain| chain.len() == 2),
                "the stranger is left alone"
            );
        }
        let status = lab.reconcile(&["status"]).ended(0).stdout;
        assert!(!status.contains(says), "{status}");
        let plan = lab.reconcile(&["--dry-run"]).ended(0).stdout;
        assert!(!plan.contains("before its own"), "{plan}");
    });
}
