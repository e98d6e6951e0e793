//! T2: prepare overwrites the slot that holds the former commit, and dies. Going back is an
//! ordinary apply then, or refused; never a store to what is half-written.

use std::process::Command;

use rig::lab::binary;
use rig::packet::upper::{SYN, Upper};
use rig::program::Run;
use rig::stepper::{Stepped, stepped};
use rig::tree::Policy;
use state::live::SlotMark;

use crate::stage::{Ports, Stage, kernel, only, play, tree};

const JOURNAL: &str = "/var/lib/plumbline/journal.jsonl";
const ASIDE: &str = "/var/lib/plumbline/aside";
const PORTS: [u16; 3] = [80, 81, 82];

/// `b` takes what `a` sends to one port.
fn to(port: u16) -> [Policy; 1] {
    [only("b", "a", "TCP", port)]
}

/// Which ports a SYN from `a` passes to, in both families.
#[track_caller]
fn passes(stage: &Stage<'_>, number: u16, open: u16) {
    let (a, b) = (&stage.a, &stage.b);
    for v6 in [false, true] {
        for port in PORTS {
            let ports: Ports = (number, port);
            let syn = || a.send(b, v6, Upper::tcp(ports, SYN, 1000, 0, b""));
            if port == open {
                syn();
                b.sees(a, v6, ports, SYN);
            } else {
                a.drops_more("denied_ingress", 1, syn);
            }
        }
    }
}

/// A run of a third commit, killed when the slot has been begun to be written and holds other rows.
fn dies_in_the_slot(stage: &Stage<'_>) {
    let lab = stage.lab;
    lab.repository().hold(&tree(&to(82)));
    lab.repository().commit("the third");
    let kernel = kernel();
    let slot = kernel.record().slot.other();
    let before = kernel.read_slot(slot).unwrap().tables;
    let is_begun = || kernel.slot_info(slot).unwrap().mark == SlotMark::Preparing;
    let mut run = Command::new(binary().unwrap());
    run.arg("-C")
        .arg(lab.repository().path())
        .args(["--host", "alpha"]);
    let stepped = stepped(&mut run, |_| {
        !is_begun() || kernel.read_slot(slot).unwrap().tables == before
    });
    assert_eq!(stepped, Stepped::Killed, "it was to die half-way");
    assert!(is_begun());
}

#[track_caller]
fn goes_back(stage: &Stage<'_>, arguments: &[&str], code: i32) -> Run {
    let run = stage.lab.reconcile(&[&["rollback"], arguments].concat());
    stage.a.mute();
    stage.b.mute();
    run.ended(code)
}

#[test]
fn t02_prepare_overwrites_the_rollback_slot_and_dies() {
    play("t02", &to(80), |stage| {
        stage.apply(&to(81));
        passes(stage, 1000, 81);
        dies_in_the_slot(stage);
        passes(stage, 1001, 81);
        let record = kernel().record();
        // The kernel does not know what was before: the slot has lost its name.
        std::fs::rename(JOURNAL, ASIDE).unwrap();
        let run = goes_back(stage, &[], 4);
        assert!(
            run.stderr.contains("no commit that was live before"),
            "{run}"
        );
        assert_eq!(kernel().record(), record);
        passes(stage, 1002, 81);
        std::fs::rename(ASIDE, JOURNAL).unwrap();
        let run = goes_back(stage, &["-n"], 0);
        let why = "rollback by an apply of its tree: a run has begun to write slot";
        assert!(run.stdout.contains(why), "{run}");
        drop(goes_back(stage, &[], 0));
        passes(stage, 1003, 80);
        let live = kernel().live().unwrap().base;
        assert_eq!(live.live_slot().mark, SlotMark::Settled);
        assert!(live.record.generation > record.generation);
    });
}
