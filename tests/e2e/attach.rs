//! Containers in namespaces and on interfaces of others: attached, judged, left as they were; and
//! missing where what they are attached to is not there.

use std::net::{IpAddr, SocketAddr};

use rig::lab::Lab;
use rig::netns::Netns;
use rig::program::Program;
use rig::traffic::{Attempt, Exchange, Listen, Outcome, Protocol, SILENCE, Service, tcp_connects};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use serde_json::{Value, json};

pub(super) const WEB: [&str; 2] = ["10.44.0.1", "fd44::1"];
pub(super) const VM: [&str; 2] = ["10.9.0.2", "fd09::2"];
pub(super) const HOST: [&str; 2] = ["10.9.0.1", "fd09::1"];

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `shop/web` attached as is said, and a managed `shop/db` that only it may reach, at port 80.
pub(super) fn tree(addresses: &[&str], attach: Value) -> Tree {
    let web = Container::new("shop/web", addresses)
        .label("app", "web")
        .spec("attach", attach);
    let db = Container::numbered("shop/db", 2).label("app", "db");
    let to_db = Rule::new().containers(&[("app", "web")]).port("TCP", 80);
    Tree::new().container(&web).container(&db).policy(
        &Policy::new("shop/db")
            .select(&[("app", "db")])
            .ingress(&[to_db]),
    )
}

pub(super) fn in_mine() -> Value {
    json!({"netns": {"path": "/run/netns/mine"}})
}

pub(super) fn theirs() -> Value {
    json!({"interface": {"name": "theirs0"}})
}

/// Makes the namespace `mine` on the host, with things of its own in it.
pub(super) fn make_mine(lab: &Lab) -> Netns {
    let net = lab.alpha().net().clone();
    net.ip("netns add mine");
    // Without one the host has nothing to say who it is.
    net.ip("address replace 192.0.2.1/32 dev lo");
    net.ip("address replace 2001:db8::1/128 dev lo nodad");
    let mine = lab.alpha().netns("mine").unwrap();
    mine.sysctl("ipv6/conf/default/accept_dad", "0");
    mine.ip_batch(
        "link add own0 type veth peer name own1\n\
         address add 198.51.100.1/24 dev own0\n\
         address add 2001:db8:1::1/64 dev own0 nodad\n\
         link set own0 up\n\
         link set own1 up\n\
         route add 203.0.113.0/24 dev own0",
    );
    mine.wait_up("own0");
    mine.wait_up("own1");
    mine
}

/// Somebody's machine on a pair of their own, as anybody would set it up. Where a clsact qdisc is
/// made on an interface, what it carries is lost for a moment, whoever makes it: it has one.
pub(super) fn make_theirs(lab: &Lab, vm: &Netns) {
    let net = lab.alpha().net().clone();
    let path = vm.path();
    net.ip(&format!(
        "link add theirs0 type veth peer name eth0 netns {path}"
    ));
    let clsact = ["qdisc", "add", "dev", "theirs0", "clsact"];
    net.program(&Program::new("tc").args(clsact)).succeed();
    set_up(&net, "theirs0", vm);
}

/// Addresses and routes of an interface of the host and of the machine behind it.
pub(super) fn set_up(net: &Netns, device: &str, vm: &Netns) {
    net.sysctl(&format!("ipv6/conf/{device}/accept_dad"), "0");
    net.ip_batch(&format!(
        "address add {}/24 dev {device}\n\
         address add {}/64 dev {device} nodad\n\
         address add 192.0.2.77/32 dev {device}\n\
         link set {device} up",
        HOST[0], HOST[1]
    ));
    vm.sysctl("ipv6/conf/eth0/accept_dad", "0");
    vm.ip_batch(&format!(
        "address add {}/24 dev eth0\n\
         address add {}/64 dev eth0 nodad\n\
         link set eth0 up\n\
         route add default via {}\n\
         route add default via {}",
        VM[0], VM[1], HOST[0], HOST[1]
    ));
    vm.wait_up("eth0");
    net.wait_up(device);
}

/// What others would see of a namespace. Interfaces of ours have their alias.
pub(super) fn seen(net: &Netns) -> [Value; 4] {
    let seen = |what| net.ip_json(what);
    let links = seen("link show");
    let routes = [
        seen("route show table all"),
        seen("-6 route show table all"),
    ];
    let [v4, v6] = routes;
    let mut addresses = seen("address show");
    for link in addresses.as_array_mut().unwrap() {
        for found in link["addr_info"].as_array_mut().unwrap() {
            let found = found.as_object_mut().unwrap();
            found.remove("valid_life_time");
            found.remove("preferred_life_time");
        }
    }
    [links, addresses, v4, v6]
}

pub(super) fn serve(net: &Netns) -> Service {
    let ports = [80, 81].map(|port| Listen::everywhere(Protocol::Tcp, port));
    Service::start(net, &ports)
}

/// Who may reach `db`: `web` at port 80 alone, in both families.
#[track_caller]
pub(super) fn is_judged(lab: &Lab, web: &Netns) {
    let db = lab.alpha().container("shop/db");
    let _service = serve(&db);
    for to in ["10.44.0.2", "fd44::2"].map(address) {
        assert_eq!(tcp_connects(web, to, 80), Outcome::Echoed, "{to}");
        assert_eq!(tcp_connects(web, to, 81), Outcome::TimedOut, "{to}");
    }
}

/// Whether `db` and the host reach `web`, which is open.
#[track_caller]
pub(super) fn is_reached(lab: &Lab, web: &Netns, at: [&str; 2]) {
    let db = lab.alpha().container("shop/db");
    let _service = serve(web);
    for to in at.map(address) {
        for from in [&db, lab.alpha().net()] {
            assert_eq!(tcp_connects(from, to, 80), Outcome::Echoed, "{to}");
        }
    }
}

pub(super) fn missing(lab: &Lab) -> Value {
    let plan: Value = lab.reconcile(&["-n", "-o", "json"]).ended(0).json();
    plan["missing"].clone()
}

pub(super) fn status_of(lab: &Lab, name: &str) -> Value {
    let status = lab.status(&lab.alpha());
    let containers = status["containers"].as_array().unwrap();
    let mut found = containers.iter().filter(|c| c["name"] == name);
    found.next().unwrap_or_else(|| panic!("{status}")).clone()
}

#[test]
fn a_namespace_of_others_is_attached_and_left_as_it_was() {
    Lab::run("mine", |lab| {
        let mine = make_mine(lab);
        // Down on purpose: it is not ours to bring up.
        mine.ip("link set lo down");
        let before = seen(&mine);
        lab.repository().hold(&tree(&WEB, in_mine()));
        let said = lab.apply("mine").stdout;
        assert!(said.contains("network namespace /run/netns/mine"), "{said}");
        is_judged(lab, &mine);
        is_reached(lab, &mine, WEB);
        let web = status_of(lab, "shop/web");
        assert_eq!(
            (&web["attached"], &web["faults"]),
            (&json!("/run/netns/mine"), &json!([]))
        );
        assert_eq!(web["addresses"], json!(WEB));
        let nothing = lab.reconcile(&[]).ended(0).stdout;
        assert!(nothing.contains("Nothing to do"), "{nothing}");
        // What others change of ours inside is mended, and of theirs nothing.
        mine.ip("link set eth0 down");
        mine.ip("address del 10.44.0.1/32 dev eth0");
        mine.ip("link set eth0 address 02:00:00:00:00:09");
        let found = lab.reconcile(&["drift"]).ended(6).stdout;
        assert!(
            found.contains("the MAC address is 02:00:00:00:00:09"),
            "{found}"
        );
        assert_eq!(missing(lab), json!([]));
        lab.reconcile(&[]).succeed();
        mine.wait_up("eth0");
        is_judged(lab, &mine);
        let gone = lab.reconcile(&["detach"]).ended(0).stdout;
        assert!(
            gone.contains("network namespace /run/netns/mine stays"),
            "{gone}"
        );
        assert_eq!(seen(&mine), before);
    });
}

#[test]
fn a_container_of_the_tree_that_goes_takes_our_pair_alone() {
    Lab::run("goes", |lab| {
        let mine = make_mine(lab);
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let vm_container = Container::new("shop/vm", &VM).spec("attach", theirs());
        let before = [seen(&mine), seen(&vm)];
        lab.repository()
            .hold(&tree(&WEB, in_mine()).container(&vm_container));
        lab.apply("both");
        let db = Container::numbered("shop/db", 2).label("app", "db");
        lab.repository().hold(&Tree::new().container(&db));
        lab.repository().commit("neither");
        let plan = lab.reconcile(&["--max-prune", "3"]).ended(0).stdout;
        assert!(
            plan.contains("network namespace /run/netns/mine stays"),
            "{plan}"
        );
        assert!(plan.contains("interface theirs0 stays"), "{plan}");
        assert_eq!([seen(&mine), seen(&vm)], before);
        let forwards = || std::fs::read_to_string("/proc/sys/net/ipv4/conf/theirs0/forwarding");
        assert_eq!(lab.alpha().run(forwards).unwrap().trim(), "1");
        // Nobody judges it any more, and nobody stops it.
        let _service = serve(&vm);
        for to in VM.map(address) {
            assert_eq!(
                tcp_connects(lab.alpha().net(), to, 81),
                Outcome::Echoed,
                "{to}"
            );
        }
    });
}

#[test]
fn a_container_whose_namespace_is_not_there_is_missing_until_it_is() {
    Lab::run("missing", |lab| {
        lab.repository().hold(&tree(&WEB, in_mine()));
        let said = lab.apply("a tree").stdout;
        let line = "! shop/web is missing: there is no /run/netns/mine";
        assert!(said.contains(line), "{said}");
        let web = json!([{"container": "shop/web", "why": "there is no /run/netns/mine"}]);
        assert_eq!(missing(lab), web);
        assert_eq!(status_of(lab, "shop/web")["missing"], true);
        let quiet = lab.reconcile(&["-q"]).ended(0).to_string();
        assert!(quiet.contains(line), "{quiet}");
        is_absent(lab, WEB);
        for _ in 0..2 {
            let mine = make_mine(lab);
            assert_eq!(missing(lab), json!([]));
            drop(lab.reconcile(&["-n", "--detailed-exitcode"]).ended(2));
            lab.reconcile(&[]).succeed();
            assert_eq!(status_of(lab, "shop/web")["missing"], false);
            is_judged(lab, &mine);
            is_reached(lab, &mine, WEB);
            drop(mine);
            lab.alpha().net().ip("netns del mine");
            lab.reconcile(&[]).succeed();
            assert_eq!(missing(lab), web);
            is_absent(lab, WEB);
        }
        // Another one in its place, without a run between.
        make_mine(lab);
        lab.reconcile(&[]).succeed();
        lab.alpha().net().ip("netns del mine");
        let mine = make_mine(lab);
        lab.reconcile(&[]).succeed();
        is_judged(lab, &mine);
        is_reached(lab, &mine, WEB);
    });
}

/// As long as the other one's pair is in it, the container is missing; the address passes on.
#[test]
fn under_another_name_a_namespace_of_others_is_attached_by_the_next_run() {
    Lab::run("renamed", |lab| {
        let mine = make_mine(lab);
        lab.repository().hold(&tree(&WEB, in_mine()));
        lab.apply("web");
        let other = Container::new("shop/other", &WEB)
            .label("app", "web")
            .spec("attach", in_mine());
        let db = Container::numbered("shop/db", 2).label("app", "db");
        let renamed = Tree::new().container(&other).container(&db);
        lab.repository().hold(&renamed);
        lab.repository().commit("other");
        lab.reconcile(&["--max-prune", "9"]).succeed();
        assert_eq!(status_of(lab, "shop/other")["missing"], true);
        is_absent(lab, WEB);
        lab.reconcile(&[]).succeed();
        assert_eq!(status_of(lab, "shop/other")["attached"], "/run/netns/mine");
        is_reached(lab, &mine, WEB);
    });
}

/// What goes to its addresses is dropped where it begins, and counted.
#[track_caller]
pub(super) fn is_absent(lab: &Lab, at: [&str; 2]) {
    let db = lab.alpha().container("shop/db");
    let count = || lab.drops(&lab.alpha()).of("shop/db", "absent");
    let before = count();
    for to in at.map(address) {
        assert_eq!(tcp_connects(&db, to, 80), Outcome::TimedOut, "{to}");
    }
    assert!(count() >= before + 2);
}

#[test]
fn an_interface_of_others_is_judged_and_nothing_of_it_changes() {
    Lab::run("theirs", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        let udp = HOST.map(|host| Listen::on(Protocol::Udp, address(host), 53));
        let tcp = HOST.map(|host| Listen::on(Protocol::Tcp, address(host), 53));
        let _host = Service::start(&net, &[udp, tcp].concat());
        let open = Exchange::tcp(&vm, SocketAddr::new(address(HOST[0]), 53));
        open.advance(20);
        let to_host = HOST.map(|host| Exchange::udp(&vm, SocketAddr::new(address(host), 53)));
        to_host.iter().for_each(|exchange| exchange.advance(20));
        let before = [seen(&vm), seen(&net)];
        lab.repository().hold(&tree(&VM, theirs()));
        let said = lab.apply("theirs").stdout;
        assert!(said.contains("on interface theirs0 of others"), "{said}");
        // What it carried before us goes on: nothing of it was dropped by our programs.
        for exchange in to_host {
            exchange.advance(20);
            assert_eq!(exchange.end().failure, None);
        }
        let drops = lab.drops(&lab.alpha());
        for reason in [
            "absent",
            "denied_egress",
            "denied_ingress",
            "spoofed_source",
            "arp",
        ] {
            assert_eq!(drops.of("shop/web", reason), 0, "{reason}");
        }
        // But a TCP connection is not taken for one that nobody saw begin.
        let strays = || lab.drops(&lab.alpha()).of("shop/web", "stray");
        wait::holds("a segment in mid-stream to be dropped", || strays() > 0);
        drop(open);
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
        // Neighbours are asked for, on both sides.
        for (at, device) in [(&net, "theirs0"), (&vm, "eth0")] {
            at.ip(&format!("neighbour flush dev {device}"));
            at.ip(&format!("-6 neighbour flush dev {device}"));
        }
        is_reached(lab, &vm, VM);
        is_judged(lab, &vm);
        // Another's address is not its to use.
        vm.ip("address add 10.9.0.3/24 dev eth0");
        let spoofs = Attempt::new(Protocol::Icmp, address("10.44.0.2"), 0);
        let source = SocketAddr::new(address("10.9.0.3"), 0);
        let spoofs = spoofs.limit(SILENCE).source(source).from(&vm);
        assert_eq!(spoofs, Outcome::TimedOut);
        assert!(lab.drops(&lab.alpha()).of("shop/web", "spoofed_source") > 0);
        vm.ip("address del 10.9.0.3/24 dev eth0");
        let web = status_of(lab, "shop/web");
        assert_eq!(
            (&web["attached"], &web["faults"]),
            (&json!("theirs0"), &json!([]))
        );
        assert_eq!(web["addresses"], json!(VM));
        let nothing = lab.reconcile(&[]).ended(0).stdout;
        assert!(nothing.contains("Nothing to do"), "{nothing}");
        let gone = lab.reconcile(&["detach"]).ended(0).stdout;
        assert!(gone.contains("interface theirs0, which stays"), "{gone}");
        assert_eq!(seen(&vm), before[0]);
        assert_eq!(seen(&net)[..3], before[1][..3]);
        let _service = serve(&vm);
        for to in VM.map(address) {
            assert_eq!(tcp_connects(&net, to, 80), Outcome::Echoed, "{to}");
        }
    });
}

#[test]
fn an_interface_of_others_that_goes_or_is_replaced_is_found_again() {
    Lab::run("replaced", |lab| {
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("a tree");
        let why = json!([{"container": "shop/web", "why": "there is no interface theirs0"}]);
        assert_eq!(missing(lab), why);
        is_absent(lab, VM);
        // It is no error, and nothing is left to do.
        drop(lab.reconcile(&["-n", "--detailed-exitcode"]).ended(0));
        let status = lab.reconcile(&["status"]).ended(0).stdout;
        assert!(
            status.contains("! missing: what it is attached to"),
            "{status}"
        );
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        lab.reconcile(&[]).succeed();
        is_judged(lab, &vm);
        // With another index and another MAC address, and no run between.
        lab.alpha().net().ip("link del theirs0");
        make_theirs(lab, &vm);
        lab.reconcile(&[]).succeed();
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
        lab.alpha().net().ip("link del theirs0");
        lab.reconcile(&[]).succeed();
        assert_eq!(missing(lab), why);
        make_theirs(lab, &vm);
        lab.reconcile(&[]).succeed();
        is_judged(lab, &vm);
        // Under another name it is another's.
        lab.repository()
            .hold(&tree(&VM, json!({"interface": {"name": "other0"}})));
        lab.apply("other");
        is_missing_for(lab, "there is no interface other0");
    });
}

#[track_caller]
pub(super) fn is_missing_for(lab: &Lab, why: &str) {
    let missing = missing(lab);
    let said = missing[0]["why"].as_str().unwrap_or_default();
    assert!(said.contains(why), "{missing} does not say: {why}");
}

/// Nothing is attached where not all that passes would be judged, and the rest of the run is done.
#[test]
fn what_cannot_be_attached_to_is_named_with_the_reason() {
    Lab::run("unfit", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        net.ip_batch("link add br0 type bridge\nlink set theirs0 master br0");
        net.ip("link add here0 type veth peer name here1");
        make_mine(lab).ip("route add default dev own0");
        net.ip("netns add full");
        let full = lab.alpha().netns("full").unwrap();
        full.ip("link add eth0 type veth peer name eth1");
        let path = |path: &str| json!({"netns": {"path": path}});
        let interface = |name: &str| json!({"interface": {"name": name}});
        let before = seen(&net);
        for (attach, why) in [
            (interface("theirs0"), "is a port of br0"),
            (
                interface("br0"),
                "is neither an end of a veth pair nor a tap",
            ),
            (
                interface("lo"),
                "is neither an end of a veth pair nor a tap",
            ),
            (interface("here0"), "in the host's own network namespace"),
            (
                path("/run/netns/mine"),
                "a default IPv4 route that is not ours",
            ),
            (
                path("/run/netns/full"),
                "an interface eth0 that is not ours",
            ),
            (path("/proc/self/ns/net"), "the host's own"),
            (path("/run/netns/shop.db"), "that of shop/db"),
            (path("/proc/0/ns/net"), "there is no /proc/0/ns/net"),
            (path("/etc/hostname"), "is no network namespace"),
            (path("/proc/self/ns/mnt"), "is no network namespace"),
        ] {
            lab.repository().hold(&tree(&WEB, attach));
            lab.apply(why);
            is_missing_for(lab, why);
            assert_eq!(status_of(lab, "shop/web")["missing"], true);
        }
        lab.reconcile(&["detach"]).succeed();
        // Forwarding, which containers need, brings routes of its own.
        assert_eq!(seen(&net)[..2], before[..2]);
    });
}

#[test]
fn another_way_to_attach_is_refused_while_it_is_live() {
    Lab::run("way", |lab| {
        let mine = make_mine(lab);
        lab.repository().hold(&tree(&WEB, json!({"netns": {}})));
        lab.apply("managed");
        lab.repository().hold(&tree(&WEB, in_mine()));
        lab.repository().commit("mine");
        let refused = lab.reconcile(&[]).ended(4).to_string();
        assert!(
            refused.contains("shop/web: it is attached in another way"),
            "{refused}"
        );
        is_judged(lab, &lab.alpha().container("shop/web"));
        lab.reconcile(&["detach"]).succeed();
        lab.reconcile(&[]).succeed();
        is_judged(lab, &mine);
    });
}
