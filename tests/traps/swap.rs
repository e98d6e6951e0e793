//! T1: the record is not stored while a packet may still be inside a program that was swapped.
//!
//! A packet is under way for microseconds, so no race shows this in reasonable time. What the
//! record waits for is not the program but every packet that is under way anywhere (a grace
//! period); so one is held, in a program of the test on an interface of its own, while a commit
//! swaps the programs of a container. What it cannot show: that no packet of the container itself
//! read the new record with the old constants; that the kernel's grace period covers those, it
//! takes as given.

use std::thread;
use std::time::Duration;

use rig::packet::frame;
use rig::processors::{self, stay_on};
use rig::tree::{Container, Tree};
use rig::wait;
use rig::wire::Wire;

use crate::foreign::Holder;
use crate::stage::{Stage, containers, kernel, play};

/// How long a record that is to stay is watched.
const WATCHED: Duration = Duration::from_millis(200);

/// Commits until one that shows something.
const ATTEMPTS: u16 = 20;

/// One for the packet that is held, one for all else: what waits on the first one's would not go
/// on before it is let go.
fn two_processors() -> [usize; 2] {
    let mut allowed = processors::allowed().into_iter();
    [(); 2].map(|()| allowed.next().expect("two processors"))
}

/// What a commit of another address shows: `None` where the packet had left before the swap, for
/// the run had to wait for something that waits for packets itself (another test's interface, say).
fn stored_after_it_left(stage: &Stage<'_>, held: usize, number: u16) -> Option<()> {
    let lab = stage.lab;
    let net = lab.alpha().net().clone();
    let program = || stage.a.programs()[0][0];
    let kernel = kernel();
    let (record, swapped_from) = (kernel.record(), program());

    // Its address is a constant of its programs: prepare swaps in a transition build.
    let moved = Container::numbered("trap/a", number).label("app", "a");
    let tree = Tree::new().container(&moved).container(&containers()[1]);
    lab.repository().hold(&tree);
    lab.repository().commit("a container's address moves");

    let sender = Wire::open(&net, "sender");
    let holder = Holder::on(net.interface("holder").index);
    let packet = frame([2; 6], net.interface("holder").mac, 0x88b5, &[0; 46]);
    let meant = thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(held);
            sender.send(&packet);
        });
        wait::holds("a packet inside", || holder.was_inside());
        let run = scope.spawn(|| lab.reconcile(&[]));
        wait::holds("the swap", || program() != swapped_from);
        let meant = holder.is_inside();
        // The record first: a packet that leaves between the two looks makes no false alarm.
        let early = || (kernel.record() != record && holder.is_inside()).then_some(());
        assert_eq!(
            wait::within(WATCHED, early),
            None,
            "stored with a packet inside"
        );
        holder.let_go();
        drop(run.join().unwrap().ended(0));
        meant
    });
    assert!(kernel.record() != record);
    meant.then_some(())
}

#[test]
fn t01_a_program_is_swapped_while_a_packet_is_inside() {
    play("t01", &[], |stage| {
        let net = stage.lab.alpha().net().clone();
        net.ip_batch(
            "link add holder type veth peer name sender\n\
             link set holder up\nlink set sender up",
        );
        net.wait_up("holder");
        let [ours, held] = two_processors();
        stay_on(ours);
        let shown =
            (0..ATTEMPTS).find_map(|attempt| stored_after_it_left(stage, held, 11 + attempt));
        assert!(
            shown.is_some(),
            "no packet was inside when programs were swapped"
        );
    });
}
