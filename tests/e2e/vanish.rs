//! What a container is attached to vanishes in the middle of a run, at any of its system calls. Of
//! others, its container is missing; of ours, it is left out; and the rest of the run is done.

use std::fs;
use std::process::{Command, Stdio};

use rig::lab::{Lab, binary};
use rig::program::Program;
use rig::stepper::{Stepped, stepped};
use rig::tree::{Container, Policy, Tree};
use rig::wait;
use serde_json::{Value, json};
use state::target::host::interface_name;

use crate::attach::{
    VM, WEB, in_mine, is_missing_for, make_mine, make_theirs, missing, theirs, tree,
};
use crate::kernel::{named, pins};

/// At how many places of a run.
const POINTS: usize = 9;

/// A run during which something happens at a system call, from 0, or after it where it made fewer.
/// How it ended, how many calls it made, and what it said on stderr.
fn meanwhile(lab: &Lab, at: usize, happens: &dyn Fn()) -> (i32, usize, String) {
    let (code, calls, said) = at_each_call(lab, &mut |call| {
        if call == at {
            happens();
        }
    });
    if calls <= at {
        happens();
    }
    (code, calls, said)
}

/// A run that waits at each of its system calls, from 0, until something has happened.
fn at_each_call(lab: &Lab, happens: &mut dyn FnMut(usize)) -> (i32, usize, String) {
    let said = lab.repository().path().with_extension("said");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" -q 2>\"$SAID\""]);
    command.env("SAID", &said).arg(binary().unwrap());
    command.arg("-C").arg(lab.repository().path());
    command.args(["--host", "alpha"]);
    let mut call = 0;
    let ended = stepped(&mut command, |_| {
        happens(call);
        call += 1;
        true
    });
    let Stepped::Ended { code, calls } = ended else {
        unreachable!("nobody stops it")
    };
    (code, calls, fs::read_to_string(&said).unwrap_or_default())
}

/// How many calls a run makes: the first one was counted, and one beside much else may have made
/// more of them than those that come later.
fn within(calls: usize, made: usize, at: usize) -> usize {
    if made <= at { made } else { calls }
}

/// What another commit says as well.
fn commit(lab: &Lab, attach: &Value, number: usize) -> String {
    let third = Container::numbered(&format!("shop/c{number}"), 3);
    let addresses = if *attach == theirs() { &VM } else { &WEB };
    let tree = tree(addresses, attach.clone()).container(&third);
    lab.repository().hold(&tree);
    lab.repository().commit(&format!("commit {number}"))
}

/// Makes what the container is attached to and takes it away at points of runs that attach to it,
/// or, where it is `live`, that commit something else.
fn vanishes(name: &str, attach: &Value, live: bool, [make, take]: [fn(&Lab); 2]) {
    Lab::run(name, |lab| {
        let mut number = 0;
        let mut again = || {
            make(lab);
            if live {
                number += 1;
                commit(lab, attach, number);
                lab.reconcile(&["--max-prune", "3"]).succeed();
            }
            number += 1;
            commit(lab, attach, number)
        };
        again();
        let (code, mut calls, said) = meanwhile(lab, usize::MAX, &|| take(lab));
        assert_eq!(code, 0, "{said}");
        drop(lab.reconcile(&["--max-prune", "3"]).ended(0));
        let mut told = 0;
        for point in 1..=POINTS {
            let wanted = again();
            let at = calls * point / (POINTS + 1);
            let (code, made, said) = meanwhile(lab, at, &|| take(lab));
            assert_eq!(code, 0, "call {at} of {calls}: {said}");
            calls = within(calls, made, at);
            told += usize::from(said.contains("shop/web is missing: there is no"));
            let status = lab.status(&lab.alpha());
            assert_eq!(status["commit"], json!(wanted), "call {at}: {said}");
            drop(lab.reconcile(&[]).ended(0));
            is_missing_for(lab, "there is no");
            drop(lab.reconcile(&["drift"]).ended(0));
        }
        // What was live is found to have gone where it is read, before or after.
        let least = if live { 1 } else { POINTS / 2 };
        assert!(told >= least, "{told} of {POINTS}");
        make(lab);
        lab.reconcile(&[]).succeed();
        assert_eq!(missing(lab), json!([]));
    });
}

/// Whoever is root in a container's namespace deletes its end of the pair, if it is there.
fn delete_inside() {
    let command = Command::new("ip")
        .args(["-n", "shop.web", "link", "delete", "eth0"])
        .stderr(Stdio::null())
        .status();
    let _ = command.unwrap();
}

/// Whoever is root in a managed namespace deletes its end of the pair, and with it the host's.
#[test]
fn the_interface_of_a_managed_container_vanishes() {
    Lab::run("vanish-managed", |lab| {
        let mut number = 0;
        let mut another = |live: bool| {
            // Its programs change, or another container's alone.
            number += 1;
            let addresses = if number % 2 == 0 { &VM } else { &WEB };
            let web = Container::new("shop/web", addresses).label("app", "web");
            let other = Container::numbered(&format!("shop/c{number}"), 3);
            lab.repository()
                .hold(&Tree::new().container(&web).container(&other));
            let commit = lab.repository().commit(&format!("commit {number}"));
            if live {
                lab.reconcile(&["--max-prune", "3"]).succeed();
            }
            commit
        };
        another(true);
        another(false);
        let (code, mut calls, said) = meanwhile(lab, usize::MAX, &|| ());
        assert_eq!(code, 0, "{said}");
        let mut told = 0;
        for point in 1..=2 * POINTS {
            let wanted = another(false);
            let at = calls * point / (2 * POINTS + 1);
            let (code, made, said) = meanwhile(lab, at, &delete_inside);
            assert!([0, 6].contains(&code), "call {at} of {calls}: {said}");
            calls = within(calls, made, at);
            told += usize::from(said.contains("left behind: container shop/web"));
            let status = lab.status(&lab.alpha());
            assert_eq!(status["commit"], json!(wanted), "call {at}: {said}");
            lab.reconcile(&[]).succeed();
            drop(lab.reconcile(&["drift"]).ended(0));
        }
        assert!(told >= POINTS, "{told}");
    });
}

/// Whoever is root in a managed namespace moves its end on to one of its own, and back. As long as
/// the host's end is there, its programs are those of the commit.
#[test]
fn an_end_that_is_moved_on_and_back_keeps_no_program_of_before() {
    Lab::run("vanish-moved", |lab| {
        let ip = |of: &str, arguments: &str| {
            let arguments = arguments.split(' ');
            let mut command = Command::new("ip");
            command.args(["-n", of]).args(arguments);
            let _ = command.stderr(Stdio::null()).status().unwrap();
        };
        drop(
            lab.alpha()
                .program(&Program::new("ip").args(["netns", "add", "on"])),
        );
        let mut number = 0;
        let mut another = || {
            number += 1;
            let addresses = if number % 2 == 0 { &VM } else { &WEB };
            let web = Container::new("shop/web", addresses).label("app", "web");
            lab.repository().hold(&Tree::new().container(&web));
            lab.repository().commit(&format!("commit {number}"))
        };
        another();
        lab.reconcile(&[]).succeed();
        another();
        let (code, mut calls, said) = meanwhile(lab, usize::MAX, &|| ());
        assert_eq!(code, 0, "{said}");
        let (mut told, mut stood) = (0, 0);
        for point in 1..=2 * POINTS {
            let wanted = another();
            let at = calls * point / (2 * POINTS + 1);
            let back = at + 1 + (point * 7) % 40;
            let (code, made, said) = at_each_call(lab, &mut |call| match call {
                call if call == at => ip("shop.web", "link set eth0 netns on"),
                call if call == back => ip("on", "link set eth0 netns shop.web"),
                _ => {}
            });
            assert!([0, 6].contains(&code), "call {at} of {calls}: {said}");
            calls = within(calls, made, at);
            told += usize::from(said.contains("left behind: container shop/web"));
            let status = lab.status(&lab.alpha());
            assert_eq!(status["commit"], json!(wanted), "call {at}: {said}");
            let drift = lab.reconcile(&["drift"]).to_string();
            let lost = drift.contains("has no interface to pass");
            stood += usize::from(!lost);
            assert!(
                !drift.contains("other constants"),
                "call {at}: {said}\n{drift}"
            );
            lab.reconcile(&[]).succeed();
            drop(lab.reconcile(&["drift"]).ended(0));
        }
        assert!(told > 0 && stood > 0, "{told} {stood}");
    });
}

/// A run that is to mend something makes the pair anew, where it went after the host was read: what
/// no program stands on stays closed, and nothing is wrong that is not told.
fn made_anew(name: &str, undo: fn(&Lab)) {
    Lab::run(name, |lab| {
        let web = Container::numbered("shop/web", 1).label("app", "web");
        lab.repository().hold(&Tree::new().container(&web));
        lab.apply("web");
        let interface = interface_name(&named("shop/web"));
        undo(lab);
        let (code, mut calls, said) = meanwhile(lab, usize::MAX, &|| ());
        assert_eq!(code, 0, "{said}");
        let mut told = 0;
        for point in 1..=4 * POINTS {
            undo(lab);
            let at = calls * point / (4 * POINTS + 1);
            let (code, made, said) = meanwhile(lab, at, &delete_inside);
            assert!([0, 6].contains(&code), "call {at} of {calls}: {said}");
            calls = within(calls, made, at);
            let state = format!("/sys/class/net/{interface}/operstate");
            let state = lab.alpha().run(|| fs::read_to_string(state).ok());
            let drift = lab.reconcile(&["drift"]);
            let open = state.as_deref() == Some("up\n");
            let unjudged = drift.to_string().contains("its link");
            assert!(!(open && unjudged), "call {at}: {said}\n{drift}");
            if code == 0 && state.is_some() {
                drop(drift.ended(0));
            }
            told += usize::from(code == 6 && state.is_some());
            lab.reconcile(&[]).succeed();
        }
        assert!(told > 0);
    });
}

#[test]
fn a_pair_that_is_made_anew_unforeseen_is_not_opened() {
    made_anew("vanish-mended", |lab| {
        lab.alpha().net().ip("route delete 10.44.0.1");
    });
}

/// Programs are attached to what was found, and rows lead there.
#[test]
fn a_pair_that_is_made_anew_unforeseen_is_not_attached() {
    made_anew("vanish-attached", |lab| {
        lab.alpha().net().ip("route delete 10.44.0.1");
        fs::remove_file(pins().join("containers/shop/web/from_container")).unwrap();
    });
}

/// It goes as the run goes on that takes its container out of the tree: there is nothing to miss.
#[test]
fn an_interface_of_others_vanishes_while_its_container_leaves() {
    Lab::run("vanish-leaving", |lab| {
        let begin = || {
            interface(lab);
            commit(lab, &theirs(), 0);
            lab.reconcile(&["--max-prune", "3"]).succeed();
            let db = Container::numbered("shop/db", 2).label("app", "db");
            let policy = Policy::new("shop/db").select(&[("app", "db")]);
            let tree = Tree::new().container(&db).policy(&policy.ingress(&[]));
            let tree = tree.container(&Container::numbered("shop/c0", 3));
            lab.repository().hold(&tree);
            lab.repository().commit("without it")
        };
        begin();
        let (code, mut calls, said) = meanwhile(lab, usize::MAX, &|| without_interface(lab));
        assert_eq!(code, 0, "{said}");
        for point in 1..=POINTS {
            let wanted = begin();
            let at = calls * point / (POINTS + 1);
            let (code, made, said) = meanwhile(lab, at, &|| without_interface(lab));
            assert_eq!(code, 0, "call {at} of {calls}: {said}");
            calls = within(calls, made, at);
            assert_eq!(
                lab.status(&lab.alpha())["commit"],
                json!(wanted),
                "call {at}"
            );
            // The host's addresses have gone with it.
            lab.reconcile(&[]).succeed();
            drop(lab.reconcile(&["drift"]).ended(0));
        }
    });
}

fn mine(lab: &Lab) {
    drop(make_mine(lab));
}

fn without_mine(lab: &Lab) {
    lab.alpha().net().ip("netns del mine");
}

#[test]
fn a_namespace_of_others_vanishes_while_it_is_attached_to() {
    vanishes("vanish-mine", &in_mine(), false, [mine, without_mine]);
}

#[test]
fn a_namespace_of_others_vanishes_while_another_commit_is_made() {
    vanishes("vanish-mine-live", &in_mine(), true, [mine, without_mine]);
}

pub(super) fn interface(lab: &Lab) {
    drop(
        lab.alpha()
            .program(&Program::new("ip").args(["netns", "add", "vm"])),
    );
    make_theirs(lab, &lab.alpha().netns("vm").unwrap());
}

pub(super) fn without_interface(lab: &Lab) {
    lab.alpha().net().ip("link del theirs0");
}

#[test]
fn an_interface_of_others_vanishes_while_it_is_attached_to() {
    vanishes(
        "vanish-theirs",
        &theirs(),
        false,
        [interface, without_interface],
    );
}

#[test]
fn an_interface_of_others_vanishes_while_another_commit_is_made() {
    vanishes(
        "vanish-theirs-live",
        &theirs(),
        true,
        [interface, without_interface],
    );
}

/// The kernel takes a namespace down in its own time, and tells less and less of it meanwhile.
#[test]
fn a_namespace_that_is_being_taken_down_keeps_no_run_from_the_rest() {
    Lab::run("vanish-slowly", |lab| {
        let delete = || drop(lab.alpha().net().ip("netns delete vm"));
        let mut calls = 0;
        for number in 0..4 * POINTS {
            interface(lab);
            let wanted = commit(lab, &theirs(), number);
            let at = if number == 0 {
                usize::MAX
            } else {
                calls * number / (4 * POINTS)
            };
            let (code, made, said) = meanwhile(lab, at, &delete);
            assert_eq!(code, 0, "call {at} of {calls}: {said}");
            calls = if number == 0 {
                made
            } else {
                within(calls, made, at)
            };
            assert_eq!(lab.status(&lab.alpha())["commit"], json!(wanted), "{said}");
            wait::holds("the interface to go with it", || {
                !lab.alpha().net().ip("-o link").contains("theirs0")
            });
            lab.reconcile(&["--max-prune", "3"]).succeed();
        }
    });
}
