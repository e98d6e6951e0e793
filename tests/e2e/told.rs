//! What `drift` and `status` say of what they do not know: a tree that cannot be read, something in
//! the way that no run removes, a run that is under way.

use std::fs::File;
use std::thread;

use rig::lab::Lab;
use rig::tree::{Container, Tree};
use serde_json::Value;
use state::target::host::interface_name;

use crate::kernel::{BASE, named};

fn tree() -> Tree {
    Tree::new()
        .container(&Container::numbered("a/web", 1))
        .container(&Container::numbered("a/db", 2))
}

fn live(lab: &Lab) {
    lab.repository().hold(&tree());
    lab.apply("a tree");
}

/// Takes a route away.
fn drifts(lab: &Lab) {
    lab.alpha().net().ip("route delete 10.44.0.1");
}

#[test]
fn a_tree_that_cannot_be_read_is_told_and_not_called_live_as_it_was_put() {
    Lab::run("unread", |lab| {
        live(lab);
        let elsewhere =
            |command: &str| lab.shell(&lab.alpha(), &format!("reconcile -C / {command}"));
        let run = elsewhere("drift").ended(0);
        assert!(run.stdout.contains("could not be compared"), "{run}");
        assert!(!run.stdout.contains("as its commit put it there"), "{run}");
        assert!(
            run.stdout.contains("in what was compared, nothing differs"),
            "{run}"
        );
        for command in ["drift", "status"] {
            let here = lab.reconcile(&[command, "-o", "json"]).json();
            assert_eq!(here["unread"], Value::Null, "{command}");
            let there = elsewhere(&format!("{command} -o json")).json();
            let why = there["unread"].as_str().unwrap();
            assert!(!why.is_empty(), "{command}");
        }
        let status = elsewhere("status").ended(0);
        assert!(status.stdout.contains("could not be compared"), "{status}");
    });
}

#[test]
fn a_host_that_cannot_be_is_wrong_usage() {
    Lab::run("wrong host", |lab| {
        live(lab);
        let unnamed = "echo not_a_host >/proc/sys/kernel/hostname; reconcile -C . drift";
        let line = format!("unshare --uts sh -c '{unnamed}'");
        let run = lab.shell(&lab.alpha(), &line).ended(64);
        assert!(run.stderr.contains("--host"), "{run}");
    });
}

#[test]
fn what_no_run_mends_is_not_said_to_be_mended_by_the_next() {
    Lab::run("collision", |lab| {
        live(lab);
        lab.alpha()
            .net()
            .ip("link add other type veth peer name other2");
        lab.alpha().net().ip("link set other2 up");
        lab.alpha().net().ip("link set other up");
        lab.alpha()
            .net()
            .ip("route add 10.44.0.1 dev other metric 5");
        let run = lab.reconcile(&["drift"]).ended(6);
        assert!(run.stdout.contains("no run mends anything"), "{run}");
        assert!(!run.stdout.contains("which the next run mends"), "{run}");
        assert!(run.stdout.contains("which no run mends until"), "{run}");
        drop(lab.reconcile(&[]).ended(4));
    });
}

#[test]
fn what_a_run_under_way_changes_is_no_drift() {
    Lab::run("under way", |lab| {
        live(lab);
        let lock = File::open(BASE).unwrap();
        lock.lock().unwrap();
        drop(lab.reconcile(&["drift"]).ended(0));
        drifts(lab);
        let run = lab.reconcile(&["drift"]).ended(4);
        assert!(run.stderr.contains("another run holds the lock"), "{run}");
        let status = lab.reconcile(&["status", "-o", "json"]).json();
        assert_eq!(status["drift"], Value::Array(Vec::new()));
        assert!(status["unread"].as_str().unwrap().contains("another run"));
        thread::scope(|scope| {
            let waits = scope.spawn(|| lab.reconcile(&["drift", "--lock-timeout", "60s"]));
            lock.unlock().unwrap();
            let run = waits.join().unwrap().ended(6);
            let interface = interface_name(&named("a/web"));
            assert!(run.stdout.contains(&interface), "{run}");
        });
    });
}
