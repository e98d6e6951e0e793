//! What may go wrong with an interface of others: things of others on it, a run that dies on it,
//! another one in its place. What it carried goes on, or is closed where nobody could judge it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rig::lab::{Lab, binary};
use rig::netns::Netns;
use rig::program::Program;
use rig::stepper::{Stepped, stepped};
use rig::traffic::{Exchange, Listen, Outcome, Protocol, Service, tcp_connects};
use rig::tree::{Container, Tree};
use serde_json::json;

use crate::attach::{
    HOST, VM, address, in_mine, is_judged, is_missing_for, is_reached, make_theirs, missing, seen,
    serve, status_of, theirs, tree,
};

/// Where the last of a container's programs is pinned.
const PIN: &str = "/sys/fs/bpf/plumbline/v1/containers/shop/web/to_container";

pub(super) fn tc(net: &Netns, arguments: &str) -> String {
    let program = Program::new("tc").args(arguments.split_whitespace());
    net.program(&program).ended(0).stdout
}

/// Datagrams between the machine and the host, in both families.
pub(super) struct Carried {
    exchanges: Vec<Exchange>,
    /// What was sent again while neighbours were asked for.
    before: u64,
    _service: Service,
}

impl Carried {
    pub(super) fn begin(lab: &Lab, vm: &Netns) -> Self {
        let listens = HOST.map(|host| Listen::on(Protocol::Udp, address(host), 53));
        let service = Service::start(lab.alpha().net(), &listens);
        let to = HOST.map(|host| SocketAddr::new(address(host), 53));
        let exchanges = to.iter().map(|to| Exchange::udp(vm, *to)).collect();
        let mut carried = Self {
            exchanges,
            before: 0,
            _service: service,
        };
        carried.goes_on();
        carried.before = carried.repeated();
        carried
    }

    fn repeated(&self) -> u64 {
        let exchanges = self.exchanges.iter();
        exchanges.map(|e| e.progress().repeated).sum()
    }

    #[track_caller]
    pub(super) fn goes_on(&self) {
        self.exchanges.iter().for_each(|e| e.advance(20));
    }

    /// Nothing of it was lost.
    #[track_caller]
    fn ends(self) {
        assert_eq!(self.repeated(), self.before);
        for exchange in self.exchanges {
            assert_eq!(exchange.end().failure, None);
        }
    }
}

#[test]
fn what_an_interface_carried_goes_on_through_a_first_run() {
    Lab::run("carried", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let carried = Carried::begin(lab, &vm);
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        carried.goes_on();
        lab.reconcile(&["detach"]).succeed();
        carried.goes_on();
        carried.ends();
    });
}

/// By it the host reaches others, whose packets are no container's.
#[test]
fn an_uplink_is_no_interface_of_a_container() {
    Lab::run("uplink", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        lab.repository().hold(&tree(&VM, theirs()));
        for (route, why) in [
            ("198.18.0.0/15 via 10.9.0.2", "a route by 10.9.0.2"),
            ("2001:db8:77::/48 via fd09::2", "a route by fd09::2"),
            ("default dev theirs0 metric 4000", "a default IPv4 route"),
        ] {
            net.ip(&format!("route add {route}"));
            lab.apply("theirs");
            let said = missing(lab).to_string();
            assert!(said.contains(why), "{said}");
            let service = serve(&vm);
            assert_eq!(tcp_connects(&net, address(VM[0]), 81), Outcome::Echoed);
            drop(service);
            net.ip(&format!("route delete {route}"));
        }
        lab.apply("theirs");
        is_judged(lab, &vm);
    });
}

/// Between the attachment and the store nothing is judged, whether the run is alive or not.
#[test]
fn a_run_that_dies_before_its_store_stops_nothing_that_was_carried() {
    Lab::run("dies", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let carried = Carried::begin(lab, &vm);
        lab.repository().hold(&tree(&VM, theirs()));
        lab.repository().commit("theirs");
        for calls in [0, 1, 8, 40] {
            let mut left = calls;
            let killed = stepped(&mut reconcile(lab), |_| {
                let attached = Path::new(PIN).exists();
                let goes_on = !attached || left > 0;
                left -= usize::from(attached && left > 0);
                goes_on
            });
            assert_eq!(killed, Stepped::Killed);
            let status = lab.reconcile(&["status"]).ended(0).stdout;
            assert!(status.contains("nothing is live"), "{calls}: {status}");
            carried.goes_on();
            let service = serve(&vm);
            let net = lab.alpha().net().clone();
            let open = tcp_connects(&net, address(VM[0]), 81);
            assert_eq!(open, Outcome::Echoed, "{calls}");
            drop(service);
            lab.reconcile(&["detach"]).succeed();
        }
        stepped(&mut reconcile(lab), |_| !Path::new(PIN).exists());
        lab.reconcile(&[]).succeed();
        is_judged(lab, &vm);
        carried.goes_on();
        // One that died and is not wanted any more leaves nothing.
        lab.reconcile(&["detach"]).succeed();
        let before = seen(&vm);
        stepped(&mut reconcile(lab), |_| !Path::new(PIN).exists());
        lab.repository().hold(&without_web());
        lab.apply("without");
        assert!(!Path::new(PIN).exists());
        let _service = serve(&vm);
        assert_eq!(
            tcp_connects(lab.alpha().net(), address(VM[0]), 81),
            Outcome::Echoed
        );
        assert_eq!(seen(&vm), before);
    });
}

fn without_web() -> Tree {
    Tree::new().container(&Container::numbered("shop/db", 2).label("app", "db"))
}

fn reconcile(lab: &Lab) -> Command {
    let mut command = Command::new(binary().unwrap());
    let tree = lab.repository().path();
    command.arg("-C").arg(tree).args(["--host", "alpha"]);
    command
}

/// A machine behind a bridge of its own, at the other end of the pair.
#[test]
fn a_declared_mac_address_is_sent_to_and_is_the_only_one_that_may_send() {
    const MAC: &str = "02:00:5e:10:00:0c";
    Lab::run("bridged", |lab| {
        let (between, vm) = (Netns::new("between"), Netns::new("vm"));
        let net = lab.alpha().net().clone();
        net.ip(&format!(
            "link add theirs0 type veth peer name up0 netns {}",
            between.path()
        ));
        between.ip_batch(&format!(
            "link add bridge type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             link add down0 type veth peer name eth0 address {MAC} netns {}\n\
             link set up0 master bridge up\n\
             link set down0 master bridge up\n\
             link set bridge up",
            vm.path()
        ));
        crate::attach::set_up(&net, "theirs0", &vm);
        let mut attach = theirs();
        attach["interface"]["mac"] = json!(MAC);
        lab.repository().hold(&tree(&VM, attach));
        let said = lab.apply("bridged").stdout;
        assert!(said.contains(MAC), "{said}");
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
        // Its neighbour on that bridge is not the container, whatever address it takes.
        let drops = || lab.drops(&lab.alpha()).of("shop/web", "spoofed_mac");
        let before = drops();
        between.ip("address add 10.9.0.2/24 dev bridge");
        between.ip("route add default via 10.9.0.1");
        let db = lab.alpha().container("shop/db");
        let _service = serve(&db);
        assert_eq!(
            tcp_connects(&between, address("10.44.0.2"), 80),
            Outcome::TimedOut
        );
        assert!(drops() > before);
    });
}

#[test]
fn a_live_container_is_not_moved_between_two_interfaces_that_are_there() {
    Lab::run("two", |lab| {
        let (vm, second) = (Netns::new("vm"), Netns::new("second"));
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        net.ip(&format!(
            "link add other0 type veth peer name eth0 netns {}",
            second.path()
        ));
        net.ip("link set other0 up");
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        let other = json!({"interface": {"name": "other0"}});
        lab.repository().hold(&tree(&VM, other.clone()));
        lab.repository().commit("other");
        let refused = lab.reconcile(&[]).ended(4).to_string();
        assert!(refused.contains("which is still there"), "{refused}");
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
        // Nor by way of one that is not there: missing, the first is kept closed.
        let nowhere = json!({"interface": {"name": "nowhere0"}});
        lab.repository().hold(&tree(&VM, nowhere));
        lab.apply("nowhere");
        lab.repository().hold(&tree(&VM, other.clone()));
        lab.repository().commit("other once more");
        let refused = lab.reconcile(&[]).ended(4).to_string();
        assert!(refused.contains("which is still there"), "{refused}");
        let db = serve(&lab.alpha().container("shop/db"));
        let to = address("10.44.0.2");
        assert_eq!(tcp_connects(&vm, to, 80), Outcome::TimedOut);
        drop(db);
        // In two steps: the first goes free, the second is judged.
        lab.repository().hold(&without_web());
        lab.repository().commit("without");
        lab.reconcile(&["--max-prune", "2"]).succeed();
        lab.repository().hold(&tree(&VM, other));
        lab.apply("other again");
        assert_eq!(status_of(lab, "shop/web")["attached"], "other0");
        let _service = serve(&vm);
        assert_eq!(tcp_connects(&net, address(VM[0]), 81), Outcome::Echoed);
        // Where the one that it had is gone, the other is taken at once.
        lab.repository().hold(&tree(&VM, theirs()));
        lab.repository().commit("back");
        drop(lab.reconcile(&[]).ended(4));
        net.ip("link del other0");
        lab.reconcile(&[]).succeed();
        is_judged(lab, &vm);
    });
}

/// Under another name it is another container, and one alone is judged there.
#[test]
fn an_interface_is_not_taken_from_a_container_that_is_live() {
    Lab::run("renamed", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        let other = Container::new("shop/other", &VM).spec("attach", theirs());
        let renamed = without_web().container(&other);
        lab.repository().hold(&renamed);
        lab.repository().commit("renamed");
        let refused = lab.reconcile(&["--max-prune", "9"]).ended(4).to_string();
        assert!(refused.contains("programs of shop/web are on"), "{refused}");
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
        // Nor where it has lost one of its links, which the guard then stands for.
        fs::remove_file(PIN).unwrap();
        let refused = lab.reconcile(&["--max-prune", "9"]).ended(4).to_string();
        assert!(refused.contains("programs of shop/web are on"), "{refused}");
        lab.repository().hold(&without_web());
        lab.repository().commit("without");
        lab.reconcile(&["--max-prune", "9"]).succeed();
        lab.repository().hold(&renamed);
        lab.apply("renamed again");
        assert_eq!(status_of(lab, "shop/other")["attached"], "theirs0");
        let guard = tc(lab.alpha().net(), "filter show dev theirs0 egress");
        assert!(guard.contains("plumbline_guard"), "{guard}");
    });
}

/// What others build on it later is found by the next run, and until then our programs see it all.
#[test]
fn an_interface_that_is_put_to_other_use_is_closed_and_opened_again() {
    Lab::run("use", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        net.ip("link add br0 type bridge");
        let kinds = ["vlan id 7", "macvlan"];
        let made = |kind: &str| {
            let add = format!("link add link theirs0 name upon0 type {kind}");
            let program = Program::new("ip").args(add.split_whitespace());
            net.program(&program).code == 0
        };
        let mut uses = vec![(
            "link set theirs0 master br0".to_owned(),
            "is a port of br0",
            "link set theirs0 nomaster",
        )];
        for kind in kinds {
            // Not every kernel has VLANs: `reconciler/src/host/attachments.rs` asks as well.
            if made(kind) {
                net.ip("link del upon0");
                let add = format!("link add link theirs0 name upon0 type {kind}");
                uses.push((add, "upon0 stands on theirs0", "link del upon0"));
            }
        }
        assert!(
            uses.len() > 1,
            "neither kind of interface that stands on another"
        );
        for (begin, why, end) in uses {
            net.ip(&begin);
            lab.reconcile(&[]).succeed();
            is_missing_for(lab, why);
            assert_eq!(status_of(lab, "shop/web")["missing"], true);
            let db = lab.alpha().container("shop/db");
            let _service = serve(&db);
            assert_eq!(
                tcp_connects(&vm, address("10.44.0.2"), 80),
                Outcome::TimedOut
            );
            net.ip(end);
            lab.reconcile(&[]).succeed();
            assert_eq!(missing(lab), json!([]));
            drop(_service);
            is_judged(lab, &vm);
        }
    });
}

#[test]
fn a_missing_container_may_leave_the_tree_and_the_rest_of_it_goes_on() {
    Lab::run("leaves", |lab| {
        // Without one the host has nothing to say who it is.
        lab.alpha().net().ip("address replace 192.0.2.1/32 dev lo");
        let attachments = [
            (in_mine(), "there is no /run/netns/mine"),
            (theirs(), "there is no interface theirs0"),
        ];
        for (attach, why) in attachments {
            lab.repository().hold(&tree(&VM, attach.clone()));
            let said = lab.apply(why).stdout;
            // Beside what flows change, where a commit is live that they could be compared with.
            let line = "! shop/web is missing: until it is there none of its flows passes\nto ";
            assert_eq!(said.contains(line), attach == theirs(), "{said}");
            is_missing_for(lab, why);
            // What it is to be judged by is live all the same.
            let db = lab.alpha().container("shop/db");
            let service = serve(&db);
            let to_db = tcp_connects(lab.alpha().net(), address("10.44.0.2"), 81);
            assert_eq!(to_db, Outcome::Echoed, "the host may");
            drop(service);
            lab.repository().hold(&without_web());
            lab.repository().commit("without");
            lab.reconcile(&["--max-prune", "2"]).succeed();
            assert_eq!(missing(lab), json!([]));
            let status = lab.status(&lab.alpha());
            assert_eq!(status["containers"].as_array().map(Vec::len), Some(1));
            assert!(!Path::new(PIN).parent().is_some_and(Path::exists));
        }
    });
}
