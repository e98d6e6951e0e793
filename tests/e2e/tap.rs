//! A machine behind a tap of others: judged as any container, whoever sends to it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use rig::lab::Lab;
use rig::netns::Netns;
use rig::tap::Machine;
use rig::traffic::{Attempt, Exchange, Listen, Outcome, Protocol, Service, tcp_connects};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use serde_json::{Value, json};

use crate::attach::{
    HOST, VM, address, is_judged, is_missing_for, is_reached, missing, seen, serve, set_up,
    status_of, tree,
};

/// The MAC address of the machine, as its owner says it.
const MAC: &str = "02:00:5e:10:00:0a";

fn tap() -> Value {
    json!({"interface": {"name": "tap0", "mac": MAC}})
}

/// The machine of [`crate::attach::make_theirs`], behind a tap.
fn make_tap(lab: &Lab, vm: &Netns) -> Machine {
    let net = lab.alpha().net().clone();
    let machine = Machine::start(&net, "tap0", vm);
    vm.ip(&format!("link set eth0 address {MAC}"));
    set_up(&net, "tap0", vm);
    machine
}

#[test]
fn a_machine_behind_a_tap_is_judged_and_nothing_of_the_tap_changes() {
    Lab::run("tap", |lab| {
        let (net, vm) = (lab.alpha().net().clone(), Netns::new("vm"));
        let _machine = make_tap(lab, &vm);
        let before = [seen(&vm), seen(&net)];
        lab.repository().hold(&tree(&VM, tap()));
        let said = lab.apply("a tap").stdout;
        let on = format!("on interface tap0 of others, to MAC address {MAC}");
        assert!(said.contains(&on), "{said}");
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
        for protocol in [Protocol::Udp, Protocol::Icmp] {
            let db = lab.alpha().container("shop/db");
            let port = if protocol == Protocol::Udp { 53 } else { 0 };
            let _service = Service::start(&vm, &[Listen::everywhere(Protocol::Udp, 53)]);
            for to in VM.map(address) {
                for from in [&db, &net] {
                    let attempt = Attempt::new(protocol, to, port).from(from);
                    assert_eq!(attempt, Outcome::Echoed, "{protocol:?} {to}");
                }
            }
        }
        // Neighbours are asked for, on both sides.
        for (at, device) in [(&net, "tap0"), (&vm, "eth0")] {
            at.ip(&format!("neighbour flush dev {device}"));
            at.ip(&format!("-6 neighbour flush dev {device}"));
        }
        is_reached(lab, &vm, VM);
        is_judged(lab, &vm);
        let drops = lab.drops(&lab.alpha());
        for reason in [
            "absent",
            "spoofed_source",
            "spoofed_mac",
            "not_for_container",
        ] {
            assert_eq!(drops.of("shop/web", reason), 0, "{reason}");
        }
        let web = status_of(lab, "shop/web");
        assert_eq!(
            (&web["attached"], &web["faults"]),
            (&json!("tap0"), &json!([]))
        );
        let nothing = lab.reconcile(&[]).ended(0).stdout;
        assert!(nothing.contains("Nothing to do"), "{nothing}");
        lab.reconcile(&["detach"]).succeed();
        assert_eq!(seen(&vm), before[0]);
        assert_eq!(seen(&net)[..3], before[1][..3]);
        let _service = serve(&vm);
        for to in VM.map(address) {
            assert_eq!(tcp_connects(&net, to, 81), Outcome::Echoed, "{to}");
        }
    });
}

/// Who may reach the machine is decided at its peers' programs; what comes from elsewhere, at its
/// own.
#[test]
fn who_may_reach_a_machine_behind_a_tap_is_its_policys() {
    Lab::run("taps", |lab| {
        let vm = Netns::new("vm");
        let _machine = make_tap(lab, &vm);
        // To forward what comes from it is its owner's to say.
        lab.alpha().net().sysctl("ipv4/conf/tap0/forwarding", "1");
        let outside = lab.outside();
        outside
            .ip_batch("route add 10.9.0.0/24 via 192.0.2.1\nroute add fd09::/64 via 2001:db8::1");
        let web = Container::new("shop/web", &VM)
            .label("app", "web")
            .spec("attach", tap());
        let from_db = Rule::new().containers(&[("app", "db")]).port("TCP", 80);
        let policy = Policy::new("shop/web").select(&[("app", "web")]);
        let tree = |rules: &[Rule]| {
            let db = Container::numbered("shop/db", 2).label("app", "db");
            let other = Container::numbered("shop/other", 3);
            let tree = Tree::new().container(&web).container(&db).container(&other);
            tree.policy(&policy.clone().ingress(rules))
        };
        lab.repository().hold(&tree(std::slice::from_ref(&from_db)));
        lab.apply("isolated");
        let [db, other] = ["shop/db", "shop/other"].map(|name| lab.alpha().container(name));
        let _service = serve(&vm);
        let open = VM.map(|to| Exchange::tcp(&db, SocketAddr::new(address(to), 80)));
        for to in VM.map(address) {
            assert_eq!(tcp_connects(&db, to, 80), Outcome::Echoed, "{to}");
            assert_eq!(tcp_connects(&db, to, 81), Outcome::TimedOut, "{to}");
            assert_eq!(tcp_connects(&other, to, 80), Outcome::TimedOut, "{to}");
            assert_eq!(tcp_connects(&outside, to, 80), Outcome::TimedOut, "{to}");
        }
        // A commit about others goes by unnoticed, and a revoking one ends what it revokes.
        open.iter().for_each(|exchange| exchange.advance(20));
        let world = Rule::new().block("0.0.0.0/0", &[]).block("::/0", &[]);
        let to_all = [from_db, world.port("TCP", 81)];
        lab.repository().hold(&tree(&to_all));
        lab.apply("more");
        open.iter().for_each(|exchange| exchange.advance(20));
        for to in VM.map(address) {
            assert_eq!(tcp_connects(&outside, to, 81), Outcome::Echoed, "{to}");
            assert_eq!(tcp_connects(&outside, to, 80), Outcome::TimedOut, "{to}");
        }
        lab.repository().hold(&tree(&[]));
        lab.apply("none");
        // The first segment is denied, and with it goes the entry.
        let strays = || lab.drops(&lab.alpha()).of("shop/db", "stray");
        wait::holds("segments of both to be dropped", || strays() >= 2);
        for to in VM.map(address) {
            assert_eq!(tcp_connects(&db, to, 80), Outcome::TimedOut, "{to}");
        }
    });
}

/// Segments larger than the tap's MTU go both ways whole, as segmentation and checksums are left to
/// who takes them.
#[test]
fn much_goes_through_a_tap() {
    const MUCH: usize = 16 << 20;
    Lab::run("much", |lab| {
        let vm = Netns::new("vm");
        let _machine = make_tap(lab, &vm);
        lab.repository().hold(&tree(&VM, tap()));
        lab.apply("a tap");
        let db = lab.alpha().container("shop/db");
        let pairs = [(&db, &vm, VM), (&vm, &db, ["10.44.0.2", "fd44::2"])];
        for (from, at, addresses) in pairs {
            for to in addresses.map(address) {
                assert_eq!(sent(from, at, to, MUCH), MUCH, "{to}");
            }
        }
    });
}

/// How many right bytes of so many come, at port 80.
fn sent(from: &Netns, at: &Netns, to: IpAddr, count: usize) -> usize {
    let listener = at.run(|| TcpListener::bind(SocketAddr::new(to, 80)).unwrap());
    let wanted = move || (0..251_u8).cycle().take(count);
    let sender = from.spawn(move || {
        let mut stream = TcpStream::connect(SocketAddr::new(to, 80)).unwrap();
        let bytes: Vec<u8> = wanted().collect();
        stream.write_all(&bytes).unwrap();
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    sender.join().unwrap();
    let right = bytes.iter().zip(wanted());
    let right = right.filter(|(found, wanted)| **found == *wanted);
    right.count()
}

#[test]
fn a_tap_that_goes_is_missing_and_attached_when_it_is_back() {
    Lab::run("off", |lab| {
        lab.repository().hold(&tree(&VM, tap()));
        lab.apply("a tap");
        let why = json!([{"container": "shop/web", "why": "there is no interface tap0"}]);
        for _ in 0..2 {
            assert_eq!(missing(lab), why);
            assert_eq!(status_of(lab, "shop/web")["missing"], true);
            let vm = Netns::new("vm");
            let machine = make_tap(lab, &vm);
            lab.reconcile(&[]).succeed();
            assert_eq!(missing(lab), json!([]));
            is_judged(lab, &vm);
            is_reached(lab, &vm, VM);
            // Off, and its tap with it.
            drop(machine);
            lab.reconcile(&[]).succeed();
        }
    });
}

#[test]
fn a_tap_whose_machine_nobody_names_and_a_tun_are_not_attached_to() {
    Lab::run("unnamed", |lab| {
        let (net, vm) = (lab.alpha().net().clone(), Netns::new("vm"));
        let _machine = make_tap(lab, &vm);
        net.ip("tuntap add dev tun0 mode tun");
        let interface = |name: &str| json!({"interface": {"name": name}});
        let mut tun = interface("tun0");
        tun["interface"]["mac"] = json!(MAC);
        for (attach, why) in [
            (interface("tap0"), "say it in attach.interface.mac"),
            (tun, "tun0 carries no Ethernet frames"),
        ] {
            lab.repository().hold(&tree(&VM, attach));
            lab.apply(why);
            is_missing_for(lab, why);
        }
        // Nothing stops what nobody is to judge.
        let _service = serve(&vm);
        assert_eq!(tcp_connects(&net, address(VM[0]), 80), Outcome::Echoed);
        assert_eq!(tcp_connects(&vm, address(HOST[0]), 80), Outcome::Refused);
    });
}

/// A frame from the machine with another MAC address than the tree says is dropped.
#[test]
fn the_mac_address_that_is_declared_is_the_only_one() {
    Lab::run("declared", |lab| {
        let vm = Netns::new("vm");
        let _machine = make_tap(lab, &vm);
        lab.repository().hold(&tree(&VM, tap()));
        lab.apply("a tap");
        is_judged(lab, &vm);
        vm.ip("link set eth0 address 02:00:5e:10:00:0b");
        let db = lab.alpha().container("shop/db");
        let _service = serve(&db);
        for to in ["10.44.0.2", "fd44::2"].map(address) {
            assert_eq!(tcp_connects(&vm, to, 80), Outcome::TimedOut, "{to}");
        }
        assert!(lab.drops(&lab.alpha()).of("shop/web", "spoofed_mac") > 0);
    });
}
