//! Another machine behind the interface of a container, or a pair that was moved away: what was
//! under way is over, and a plan says so before.

use std::net::SocketAddr;

use rig::lab::Lab;
use rig::netns::Netns;
use rig::traffic::{Exchange, Outcome, tcp_connects};
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::json;
use state::target::host::interface_name;
use state::words::names::FullName;

use crate::attach::{
    VM, WEB, address, in_mine, is_judged, make_mine, make_theirs, missing, seen, serve, theirs,
    tree,
};

/// What another machine is to answer is over, and a plan says so.
#[test]
fn connections_of_a_container_that_moves_to_another_namespace_are_cut() {
    Lab::run("moves", |lab| {
        let mine = make_mine(lab);
        let net = lab.alpha().net().clone();
        net.ip("netns add other");
        lab.repository().hold(&tree(&WEB, in_mine()));
        lab.apply("mine");
        let db = lab.alpha().container("shop/db");
        let service = serve(&db);
        let to = ["10.44.0.2", "fd44::2"].map(|to| SocketAddr::new(address(to), 80));
        let exchanges = to.map(|to| Exchange::tcp(&mine, to));
        exchanges.iter().for_each(|exchange| exchange.advance(3));
        let other = json!({"netns": {"path": "/run/netns/other"}});
        lab.repository().hold(&tree(&WEB, other));
        lab.repository().commit("other");
        let plan = lab.reconcile(&["-n", "-o", "json"]).json();
        assert_eq!(plan["cuts"]["count"], 2, "{plan:#}");
        drop(lab.reconcile(&["--max-cut", "1"]).ended(4));
        exchanges.iter().for_each(|exchange| exchange.advance(3));
        lab.reconcile(&["--max-cut", "2"]).succeed();
        drop((exchanges, service));
        is_judged(lab, &lab.alpha().netns("other").unwrap());
    });
}

/// Where it is to go something is in the way, and what is told of it is that.
#[test]
fn what_is_in_the_way_of_a_move_is_named_where_it_is() {
    Lab::run("in the way", |lab| {
        make_mine(lab);
        let net = lab.alpha().net().clone();
        net.ip("netns add other");
        let other = lab.alpha().netns("other").unwrap();
        other.ip("link add eth0 type veth peer name eth1");
        lab.repository().hold(&tree(&WEB, in_mine()));
        lab.apply("mine");
        let path = json!({"netns": {"path": "/run/netns/other"}});
        lab.repository().hold(&tree(&WEB, path));
        lab.repository().commit("other");
        let plan = lab.reconcile(&["-n", "-o", "json"]).ended(0).json();
        let why = "/run/netns/other has an interface eth0 that is not ours";
        assert_eq!(plan["missing"][0]["why"], why, "{plan:#}");
    });
}

/// A declared MAC address is the only one that is believed.
#[test]
fn connections_of_a_machine_that_is_to_have_another_mac_address_are_cut() {
    Lab::run("mac", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        let db = lab.alpha().container("shop/db");
        let service = serve(&db);
        let exchange = Exchange::tcp(&vm, SocketAddr::new(address("10.44.0.2"), 80));
        exchange.advance(3);
        let another = json!({"interface": {"name": "theirs0", "mac": "02:00:00:00:00:77"}});
        lab.repository().hold(&tree(&VM, another));
        lab.repository().commit("another");
        let plan = lab.reconcile(&["-n", "-o", "json"]).json();
        assert_eq!(plan["cuts"]["count"], 1, "{plan:#}");
        lab.reconcile(&["--max-cut", "1"]).succeed();
        drop(service);
        let _service = serve(&db);
        assert_eq!(
            tcp_connects(&vm, address("10.44.0.2"), 80),
            Outcome::TimedOut
        );
    });
}

/// Each of the two pairs is in the way of the other one, and both are ours.
#[test]
fn two_containers_that_change_namespaces_are_both_moved_and_their_connections_cut() {
    Lab::run("places", |lab| {
        let net = lab.alpha().net().clone();
        make_mine(lab);
        net.ip("netns add other");
        let tree = |web: &str, db: &str| {
            let path = |name: &str| json!({"netns": {"path": format!("/run/netns/{name}")}});
            let container = |number, name: &str, at: &str| {
                let container = Container::numbered(&format!("shop/{name}"), number);
                container.label("app", name).spec("attach", path(at))
            };
            let policy = Policy::new("shop/db").select(&[("app", "db")]);
            let from_web = Rule::new().containers(&[("app", "web")]).port("TCP", 80);
            let tree = Tree::new().container(&container(1, "web", web));
            let tree = tree.container(&container(2, "db", db));
            tree.policy(&policy.ingress(&[from_web]))
        };
        let place = |name: &str| lab.alpha().netns(name).unwrap();
        lab.repository().hold(&tree("mine", "other"));
        lab.apply("before");
        let service = serve(&place("other"));
        let to = ["10.44.0.2", "fd44::2"].map(|to| SocketAddr::new(address(to), 80));
        let exchanges = to.map(|to| Exchange::tcp(&place("mine"), to));
        exchanges.iter().for_each(|exchange| exchange.advance(3));
        lab.repository().hold(&tree("other", "mine"));
        lab.repository().commit("after");
        let plan = lab.reconcile(&["-n", "-o", "json"]).ended(0).json();
        assert_eq!(plan["missing"], json!([]), "{plan:#}");
        assert_eq!(plan["cuts"]["count"], 2, "{plan:#}");
        drop(lab.reconcile(&["--max-cut", "1"]).ended(4));
        let said = lab.reconcile(&["--max-cut", "2"]).ended(0).stdout;
        assert!(
            said.contains("leads into another network namespace"),
            "{said}"
        );
        drop((exchanges, service));
        drop(lab.reconcile(&["drift"]).ended(0));
        // The rest of `mine` is its owner's, and there.
        place("mine").wait_up("own0");
        let _service = serve(&place("mine"));
        for to in to.map(|to| to.ip()) {
            let from = place("other");
            assert_eq!(tcp_connects(&from, to, 80), Outcome::Echoed, "{to}");
            assert_eq!(tcp_connects(&from, to, 81), Outcome::TimedOut, "{to}");
        }
    });
}

/// What is left of the pair is ours as before, and goes with the container.
#[test]
fn a_pair_whose_end_on_the_host_was_moved_away_is_made_anew_and_goes() {
    Lab::run("half", |lab| {
        let net = lab.alpha().net().clone();
        let mine = make_mine(lab);
        let before = seen(&mine);
        net.ip("netns add thief");
        let thief = lab.alpha().netns("thief").unwrap();
        let none = seen(&thief);
        let pair = interface_name(&FullName::from_slashed("shop/web").unwrap());
        let steal = || net.ip(&format!("link set {pair} netns thief"));
        lab.repository().hold(&tree(&WEB, in_mine()));
        lab.apply("mine");
        steal();
        let found = lab.reconcile(&["drift"]).ended(6).stdout;
        assert!(found.contains("no host-side interface"), "{found}");
        assert_eq!(missing(lab), json!([]));
        lab.reconcile(&[]).succeed();
        drop(lab.reconcile(&["drift"]).ended(0));
        is_judged(lab, &mine);
        assert_eq!(seen(&thief), none);
        steal();
        let gone = lab.reconcile(&["detach"]).ended(0).stdout;
        assert!(
            gone.contains(&format!("shop/web: interface {pair}\n")),
            "{gone}"
        );
        assert_eq!((seen(&mine), seen(&thief)), (before.clone(), none.clone()));
        lab.reconcile(&[]).succeed();
        steal();
        let db = Container::numbered("shop/db", 2).label("app", "db");
        lab.repository().hold(&Tree::new().container(&db));
        lab.repository().commit("without it");
        lab.reconcile(&["--max-prune", "2"]).succeed();
        assert_eq!((seen(&mine), seen(&thief)), (before, none));
    });
}
