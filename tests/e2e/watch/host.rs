//! What comes, goes and changes on the host.

use std::time::Duration;

use rig::lab::Lab;
use rig::program::Program;
use rig::tree::{Container, Tree};
use rig::wait;
use serde_json::json;

use super::{Watcher, becomes_live, commit};

#[test]
fn a_namespace_that_vanishes_is_made_again() {
    Lab::run("watch-namespace", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        lab.alpha().net().ip("netns delete shop.client");
        wait::holds("the namespace", || {
            let Ok(client) = lab.alpha().netns("shop.client") else {
                return false;
            };
            let shown = client.program(&Program::new("ip").args(["address"]));
            shown.stdout.contains("10.44.0.2")
        });
        wait::holds("no drift", || lab.reconcile(&["drift"]).code == 0);
    });
}

/// Whoever is attached to something of others follows it as it comes, goes and comes again.
#[test]
fn an_interface_of_others_is_attached_as_it_comes() {
    Lab::run("watch-interface", |lab| {
        let vm = Container::numbered("shop/vm", 9);
        let vm = vm.spec("attach", json!({"interface": {"name": "tap9"}}));
        lab.repository().hold(&Tree::new().container(&vm));
        let first = lab.repository().commit("a machine");
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        let net = lab.alpha().net().clone();
        let missing = || {
            let status = lab.reconcile(&["status", "-o", "json"]).json();
            let containers = status["containers"].as_array().cloned().unwrap_or_default();
            let missing = containers
                .iter()
                .filter(|one| one["missing"] == json!(true));
            missing.count()
        };
        assert_eq!(missing(), 1);
        net.ip("netns add machine");
        for at_once in [true, false] {
            if at_once {
                net.ip("link add tap9 type veth peer name eth0 netns machine");
            } else {
                net.ip("link add tap9 type veth peer name peer9");
                // Long enough to be seen like that, as it may be.
                wait::within(Duration::from_millis(400), || None::<()>);
                net.ip("link set peer9 netns machine name eth0");
            }
            wait::holds("it is attached", || missing() == 0);
            net.ip("link delete tap9");
            wait::holds("it is missing", || missing() == 1);
        }
    });
}

/// Policy knows the host by its addresses: a new one is the host's from then on.
#[test]
fn an_address_of_the_host_is_known_as_it_comes() {
    Lab::run("watch-address", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        lab.alpha().net().ip("address add 198.51.100.7/32 dev lo");
        let addresses = "198.51.100.7";
        wait::holds("it is the host's", || {
            let asked = [
                "explain",
                "--live",
                "--from",
                "shop/client",
                "--to",
                addresses,
            ];
            let said = lab.reconcile(&[&asked[..], &["--port", "80"]].concat());
            said.stdout.contains("host")
        });
        wait::holds("no drift", || lab.reconcile(&["drift"]).code == 0);
    });
}
