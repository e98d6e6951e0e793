//! Whoever is root in the namespace of a container harms nobody but that container.

use std::ffi::OsStr;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rig::lab::Lab;
use rig::netns::Netns;
use rig::traffic::{Exchange, Outcome, tcp_connects};
use rig::tree::{Container, Policy, Tree};
use serde_json::{Value, json};
use state::target::host::container_mac;

use crate::attach::{
    VM, WEB, address, in_mine, is_judged, make_mine, make_theirs, missing, serve, theirs, tree,
};
use crate::kernel::named;

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

/// What has our mark and is not as ours are is nobody's to take away, and a route that is away
/// before us keeps no address of another container from going.
#[test]
fn what_is_marked_as_ours_inside_keeps_no_run_from_its_end() {
    Lab::run("marked", |lab| {
        let containers = |last: u8| {
            let names = ["shop/db", "shop/web"].into_iter().zip([10, 20]);
            names.fold(Tree::new(), |tree, (name, at)| {
                let address = format!("10.44.0.{}", at + last);
                tree.container(&Container::new(name, &[&address]))
            })
        };
        lab.repository().hold(&containers(1));
        lab.apply("first");
        let inside = lab.alpha().container("shop/db");
        inside.ip_batch(
            "route add 198.51.100.1/32 dev eth0 proto 112 table 100\n\
             route add 198.51.100.2/32 dev eth0 proto 112 metric 7",
        );
        lab.repository().hold(&containers(2));
        let wanted = lab.repository().commit("second");
        lab.reconcile(&[]).succeed();
        let status = lab.status(&lab.alpha());
        assert_eq!(
            (&status["commit"], &status["settled"]),
            (&json!(wanted), &json!(true)),
            "{status}"
        );
        for name in ["shop/db", "shop/web"] {
            let addresses = lab.alpha().container(name).ip("-4 address show dev eth0");
            assert!(!addresses.contains("1/32"), "{addresses}");
        }
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}

/// Bytes that are no text, and as many other names as an interface may have.
fn named_at_will(net: &Netns) {
    let names = (0..496).map(|n| format!("link property add dev eth0 altname {n:0127}"));
    net.ip_batch(&names.collect::<Vec<_>>().join("\n"));
    let alias = OsStr::from_bytes(b"\xff\xfe");
    let command = ["link", "set", "eth0", "alias"].map(OsStr::new);
    let set = net.run(|| Command::new("ip").args(command).arg(alias).status());
    assert!(set.unwrap().success());
}

/// A container that is attached so, once somebody has named things in it at will.
fn is_served_all_the_same(name: &str, addresses: &[&str], attach: Value, make: fn(&Lab) -> Netns) {
    Lab::run(name, |lab| {
        let managed = attach == json!({"netns": {}});
        let tree = tree(addresses, attach);
        lab.repository().hold(&tree);
        let made = (!managed).then(|| make(lab));
        lab.apply("first");
        let inside = made.unwrap_or_else(|| make(lab));
        named_at_will(&inside);
        for run in ["drift", "status"] {
            drop(lab.reconcile(&[run]).ended(0));
        }
        let more = Container::numbered("shop/more", 3);
        lab.repository().hold(&tree.container(&more));
        lab.apply("second");
        assert_eq!(missing(lab), json!([]));
        is_judged(lab, &inside);
    });
}

#[test]
fn what_cannot_be_read_of_a_name_inside_keeps_no_run_from_its_end() {
    is_served_all_the_same("named", &WEB, json!({"netns": {}}), |lab| {
        lab.alpha().container("shop/web")
    });
    is_served_all_the_same("named-mine", &WEB, in_mine(), make_mine);
    is_served_all_the_same("named-theirs", &VM, theirs(), |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        vm
    });
}

/// Of an interface of others the other end's MAC address is anybody's to choose.
#[test]
fn who_takes_the_mac_address_of_another_container_is_not_taken_for_it() {
    Lab::run("same-mac", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("first");
        vm.ip(&format!(
            "link set eth0 address {}",
            container_mac(&named("shop/db"))
        ));
        lab.alpha().net().ip("neighbour flush dev theirs0");
        lab.reconcile(&[]).succeed();
        is_judged(lab, &vm);
        drop(lab.reconcile(&["drift"]).ended(0));
        let nothing = lab.reconcile(&["-n"]).ended(0).stdout;
        assert!(nothing.contains("Nothing to do"), "{nothing}");
        // Of both, the one that is to be cut is.
        let db = lab.alpha().container("shop/db");
        let _services = [&db, &vm].map(serve);
        let opened = [(&db, VM[0]), (&vm, "10.44.0.2")].map(|(from, to)| {
            let open = Exchange::tcp(from, SocketAddr::new(address(to), 80));
            open.advance(20);
            open
        });
        let web = Container::new("shop/web", &VM).spec("attach", theirs());
        let db = Container::numbered("shop/db", 2).label("app", "db");
        let closed = Policy::new("shop/closed").ingress(&[]).egress(&[]);
        let tree = Tree::new().container(&web).container(&db);
        lab.repository()
            .hold(&tree.policy(&closed.select(&[("app", "db")])));
        lab.repository().commit("closed");
        let plan = lab
            .reconcile(&["-n", "--max-cut", "0"])
            .ended(4)
            .to_string();
        for what in ["2 of 2 connections would be cut", "-> shop/db 10.44.0.2:80"] {
            assert!(plan.contains(what), "{plan}");
        }
        drop(opened);
    });
}
