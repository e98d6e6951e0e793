//! Another machine behind the interface of a container: what was under way is over, and a plan says
//! so before.

use std::net::SocketAddr;

use rig::lab::Lab;
use rig::netns::Netns;
use rig::traffic::{Exchange, Outcome, tcp_connects};
use serde_json::json;

use crate::attach::{
    VM, WEB, address, in_mine, is_judged, make_mine, make_theirs, serve, theirs, tree,
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
