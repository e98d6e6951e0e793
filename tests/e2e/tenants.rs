//! Whoever is root in the namespace of a container harms nobody but that container.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rig::lab::Lab;
use rig::traffic::{Outcome, tcp_connects};
use rig::tree::{Container, Tree};
use serde_json::json;

use crate::attach::{address, serve};

#[test]
fn what_is_refused_or_undone_inside_keeps_no_commit_from_the_rest() {
    Lab::run("undone", |lab| {
        let web = Container::numbered("shop/web", 1).label("app", "web");
        lab.repository().hold(&Tree::new().container(&web));
        lab.apply("web");
        let inside = lab.alpha().container("shop/web");
        // No interface has itself for its gateway.
        inside.ip_batch("address add 169.254.80.76/32 dev eth0\nroute delete default");
        let db = Container::numbered("shop/db", 2).label("app", "db");
        lab.repository()
            .hold(&Tree::new().container(&web).container(&db));
        let wanted = lab.repository().commit("both");
        for _ in 0..2 {
            let said = lab.reconcile(&["-q"]).ended(6).to_string();
            for what in [
                "Nexthop has invalid gateway",
                "no default IPv4 route inside",
            ] {
                assert!(said.contains(what), "{said}");
            }
            assert!(said.contains("left behind: container shop/web: "), "{said}");
            let status = lab.status(&lab.alpha());
            assert_eq!(
                (&status["commit"], &status["settled"]),
                (&json!(wanted), &json!(true)),
                "{status}"
            );
        }
        // Without one the host has nothing to say who it is.
        lab.alpha().net().ip("address replace 192.0.2.1/32 dev lo");
        let _service = serve(&lab.alpha().container("shop/db"));
        assert_eq!(
            tcp_connects(lab.alpha().net(), address("10.44.0.2"), 80),
            Outcome::Echoed
        );
        inside.ip("address delete 169.254.80.76/32 dev eth0");
        lab.reconcile(&[]).succeed();
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}

/// Has `ip` do the same inside, again and again, whatever becomes of it.
fn again_and_again(lines: &str, done: &AtomicBool) {
    let mut child = Command::new("ip")
        .args(["-n", "shop.web", "-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    while !done.load(Ordering::Acquire) {
        input.write_all(lines.as_bytes()).unwrap();
    }
    drop(input);
    child.wait().unwrap();
}

/// Commits, while something goes on inside after a beginning, each go live at once, and whom it
/// does not concern is judged by them. Later nothing of it is left.
fn commits_go_live_during(name: &str, first: &str, lines: &str) {
    Lab::run(name, |lab| {
        let web = Container::numbered("shop/web", 1).label("app", "web");
        lab.repository().hold(&Tree::new().container(&web));
        lab.apply("web");
        lab.alpha().container("shop/web").ip_batch(first);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let alpha = lab.alpha();
            let done = &done;
            scope.spawn(move || alpha.run(|| again_and_again(lines, done)));
            let ended = (2..6).map(|number| {
                let other = Container::numbered(&format!("shop/c{number}"), number);
                lab.repository()
                    .hold(&Tree::new().container(&web).container(&other));
                let wanted = lab.repository().commit("another");
                let run = lab.reconcile(&["-q", "--max-prune", "1"]);
                (wanted, lab.status(&lab.alpha()), run)
            });
            let ended: Vec<_> = ended.collect();
            done.store(true, Ordering::Release);
            for (wanted, status, run) in ended {
                assert_eq!(status["commit"], json!(wanted), "{run}");
                assert_eq!(status["settled"], json!(true), "{run}");
            }
        });
        lab.alpha().net().ip("address replace 192.0.2.1/32 dev lo");
        let _service = serve(&lab.alpha().container("shop/c5"));
        assert_eq!(
            tcp_connects(lab.alpha().net(), address("10.44.0.5"), 80),
            Outcome::Echoed
        );
        lab.reconcile(&[]).succeed();
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}

/// What the check after the store finds of it takes no commit back.
#[test]
fn an_address_that_is_taken_away_as_it_is_given_takes_no_commit_back() {
    commits_go_live_during("taken", "", "address delete 10.44.0.1/32 dev eth0\n");
}

#[test]
fn a_mac_address_that_changes_all_the_time_takes_no_commit_back() {
    let changes = (1..5).map(|n| format!("link set eth0 address 02:00:00:00:00:0{n}\n"));
    commits_go_live_during("flips", "", &changes.collect::<String>());
}

#[test]
fn an_interface_that_is_deleted_as_it_is_made_keeps_no_commit_from_the_rest() {
    commits_go_live_during("deletes", "", "link delete eth0\n");
}

#[test]
fn a_name_that_is_taken_as_it_is_freed_keeps_no_commit_from_the_rest() {
    let lines = "link add eth0 type bridge\n";
    commits_go_live_during("takes-name", "link delete eth0", lines);
}
