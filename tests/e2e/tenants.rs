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

/// Takes an address from the container whenever it has it.
fn takes(address: &str, done: &AtomicBool) {
    let mut child = Command::new("ip")
        .args(["-n", "shop.web", "-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = child.stdin.take().unwrap();
    let line = format!("address delete {address} dev eth0\n");
    while !done.load(Ordering::Acquire) {
        lines.write_all(line.as_bytes()).unwrap();
    }
    drop(lines);
    child.wait().unwrap();
}

/// What the check after the store finds of it takes no commit back.
#[test]
fn an_address_that_is_taken_away_as_it_is_given_takes_no_commit_back() {
    Lab::run("taken", |lab| {
        let web = Container::numbered("shop/web", 1).label("app", "web");
        lab.repository().hold(&Tree::new().container(&web));
        lab.apply("web");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let alpha = lab.alpha();
            let done = &done;
            scope.spawn(move || alpha.run(|| takes("10.44.0.1/32", done)));
            let ended = (2..5).map(|number| {
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
            }
        });
        lab.reconcile(&[]).succeed();
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}
