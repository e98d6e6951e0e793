//! What drift says of interfaces of others is what happens there: where a program of others is
//! asked before the guard, where another interface has the index or the name that one had, and
//! where nobody knows the tree.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bpf::attached::{Hook, attach_first, chain};
use nix::mount::{MntFlags, umount2};
use rig::lab::Lab;
use rig::netns::Netns;
use rig::program::Program;
use rig::traffic::{Exchange, Listen, Outcome, Protocol, Service, tcp_connects};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use rig::{foreign, program::Run};
use serde_json::{Value, json};
use state::target::host::interface_name;

use crate::attach::{VM, address, is_judged, make_theirs, serve, theirs, tree};
use crate::kernel::{named, pins};
use crate::pipeline::{planned, request};

/// A port that the machine may not reach.
const DENIED: u16 = 90;

fn findings(run: &Run) -> Vec<Value> {
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    found["drift"].as_array().unwrap().clone()
}

fn drift(lab: &Lab) -> Vec<Value> {
    findings(&lab.reconcile(&["drift", "-o", "json"]))
}

/// What is found where nobody says which tree it is.
fn without_tree(lab: &Lab) -> Vec<Value> {
    findings(&lab.shell(&lab.alpha(), "cd / && reconcile drift -o json"))
}

/// What the finding at a place means for traffic.
#[track_caller]
fn traffic(found: &[Value], kind: &str, place: &str) -> String {
    let told = traffic_so_far(found, kind, place);
    told.unwrap_or_else(|| panic!("no {kind} of {place}: {found:#?}"))
}

/// The same; `None` where there is no such finding yet: links go some time after their pins.
fn traffic_so_far(found: &[Value], kind: &str, place: &str) -> Option<String> {
    let is = |finding: &&Value| finding["kind"] == kind && finding["place"] == place;
    let told = found.iter().find(is)?["traffic"].as_str();
    told.map(str::to_owned)
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

fn unpin_links() {
    for link in ["from_container", "to_container"] {
        fs::remove_file(pins().join("containers/shop/web").join(link)).unwrap();
    }
}

/// `shop/web` may send to `shop/db` at port 80 alone.
fn isolated() -> Tree {
    let to_db = Rule::new().containers(&[("app", "db")]).port("TCP", 80);
    let policy = Policy::new("shop/web").select(&[("app", "web")]);
    tree(&VM, theirs()).policy(&policy.egress(&[to_db]))
}

/// It was there before us, so ours stand before it, and it before the guard.
#[test]
fn a_program_of_others_behind_ours_judges_before_the_guard() {
    Lab::run("words-behind", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        let object = foreign::load(foreign::PASSES);
        let program = object.progs_mut().next().unwrap();
        let index = net.interface("theirs0").index;
        let sides = [Hook::Ingress, Hook::Egress];
        let links = sides.map(|hook| attach_first(program.as_fd(), index, hook).unwrap());
        // To forward what comes from it is its owner's to say.
        net.sysctl("ipv4/conf/theirs0/forwarding", "1");
        let outside = lab.outside();
        outside.ip("route add 10.9.0.0/24 via 192.0.2.1");
        let to = lab.addresses(&outside)[0];
        let _service = Service::start(&outside, &[Listen::on(Protocol::Tcp, to, DENIED)]);
        lab.repository().hold(&isolated());
        lab.apply("isolated");
        let passes = |says: &str, expected: Outcome| {
            assert_eq!(tcp_connects(&vm, to, DENIED), expected, "{says}");
        };
        passes("judged", Outcome::TimedOut);
        let told = traffic(&drift(lab), "stranger", "theirs0");
        let before = "should they vanish, it judges before the guard";
        says(&told, &["none: ours hand nothing on", before]);
        let of_others = "is judged by program passes";
        unpin_links();
        wait::holds("the links to go", || {
            let found = drift(lab);
            let sides = ["from_container", "to_container"];
            sides.iter().all(|side| {
                let told = traffic_so_far(&found, "pin", side);
                told.is_some_and(|told| told.contains(of_others))
            })
        });
        passes("the links are lost", Outcome::Echoed);
        let told = traffic(&without_tree(lab), "pin", "from_container");
        says(&told, &["what it sends", of_others]);
        lab.reconcile(&[]).succeed();
        passes("judged again", Outcome::TimedOut);
        umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).unwrap();
        wait::holds("the links to go", || {
            let told = traffic_so_far(&drift(lab), "leftover", "theirs0").unwrap_or_default();
            let sides = [
                "what comes in there is judged",
                "what goes out there is judged",
            ];
            sides.iter().all(|side| told.contains(side))
        });
        passes("unmounted", Outcome::Echoed);
        drop(links);
        wait::holds("what it passed to be dropped", || {
            let told = traffic_so_far(&drift(lab), "leftover", "theirs0");
            told.is_some_and(|told| told == "whatever passes there is dropped")
        });
        passes("the guard alone", Outcome::TimedOut);
    });
}

/// The interface is there, whoever knows of it.
#[test]
fn what_links_of_others_interfaces_lost_means_is_told_without_a_tree() {
    Lab::run("words-treeless", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        lab.repository().hold(&isolated());
        lab.apply("isolated");
        unpin_links();
        wait::holds("the links to go", || {
            let told = traffic_so_far(&without_tree(lab), "pin", "from_container");
            told.is_some_and(|told| told == "what it sends is dropped by the guard")
        });
        let told = traffic(&without_tree(lab), "pin", "to_container");
        assert_eq!(told, "what it is sent is dropped by the guard");
        lab.reconcile(&[]).succeed();
        assert_eq!(without_tree(lab), [Value::Null; 0]);
    });
}

#[test]
fn what_is_sent_goes_by_the_index_that_another_interface_has_now() {
    Lab::run("words-index", |lab| {
        let [vm, other] = ["vm", "other"].map(Netns::new);
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        let index = net.interface("theirs0").index;
        net.ip("link del theirs0");
        let path = other.path();
        net.ip(&format!(
            "link add other0 index {index} type veth peer name eth0 netns {path}"
        ));
        net.ip("link set other0 up");
        other.ip(&format!("address add {}/24 dev eth0", VM[0]));
        other.ip("link set eth0 up");
        net.wait_up("other0");
        let found = drift(lab);
        let told = traffic(&found, "interface", "theirs0");
        let words = [
            "what containers send to it goes out by other0",
            "nobody judges what comes in there",
            "it is missing",
        ];
        says(&told, &words);
        let listen = Listen::on(Protocol::Udp, address(VM[0]), 53);
        let service = Service::start(&other, &[listen]);
        let to = SocketAddr::new(address(VM[0]), 53);
        let sent = Exchange::unanswered(&lab.alpha().container("shop/db"), to);
        let arrived = || service.served(Protocol::Udp, 53);
        wait::holds("what is sent to go out there", || arrived() > 0);
        lab.reconcile(&[]).succeed();
        sent.advance(20);
        let before = arrived();
        sent.advance(20);
        assert_eq!(arrived(), before, "it is missing, and its row is gone");
        assert_eq!(drift(lab), [Value::Null; 0]);
        // A pair of ours may be gone as well.
        let pair = interface_name(&named("shop/db"));
        let index = net.interface(&pair).index;
        net.ip(&format!("link del {pair}"));
        net.ip(&format!(
            "link add other1 index {index} type veth peer name other2"
        ));
        let told = traffic(&drift(lab), "interface", &pair);
        says(&told, &["what containers send to it goes out by other1"]);
    });
}

/// Programs stay where they are, whatever the interface is called.
#[test]
fn two_interfaces_of_others_with_each_others_name_are_judged_as_before() {
    Lab::run("words-names", |lab| {
        let [vm, other] = ["vm", "other"].map(Netns::new);
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        let path = other.path();
        net.ip(&format!(
            "link add other0 type veth peer name eth0 netns {path}"
        ));
        net.ip("link set other0 up");
        let attach = json!({"interface": {"name": "other0"}});
        let two = Container::new("shop/two", &["10.8.0.2"]).spec("attach", attach);
        lab.repository().hold(&tree(&VM, theirs()).container(&two));
        lab.apply("both");
        is_judged(lab, &vm);
        net.ip_batch(
            "link set theirs0 name swap0\nlink set other0 name theirs0\nlink set swap0 name other0",
        );
        is_judged(lab, &vm);
        let found = drift(lab);
        let told = traffic(&found, "interface", "theirs0");
        let words = [
            "what passes other0 is judged by them as before",
            "what passes theirs0, by those of shop/two",
        ];
        says(&told, &words);
        let told = traffic(&found, "interface", "other0");
        says(&told, &["what passes other0, by those of shop/web"]);
        // A third one in the place of one of them is judged by nobody.
        net.ip("link set theirs0 name third0");
        net.ip("link add theirs0 type veth peer name theirs1");
        let elsewhere = Netns::new("elsewhere");
        net.ip(&format!("link set theirs1 netns {}", elsewhere.path()));
        let told = traffic(&drift(lab), "interface", "theirs0");
        let words = ["what comes in by theirs0 passes: nobody judges it"];
        says(&told, &words);
        is_judged(lab, &vm);
    });
}

#[test]
fn a_guard_gone_from_one_side_is_named_and_put_there_alone() {
    Lab::run("words-guard", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        lab.repository().hold(&isolated());
        let commit = lab.repository().commit("isolated");
        lab.reconcile(&[]).succeed();
        let index = net.interface("theirs0").index;
        let stand = || [Hook::Ingress, Hook::Egress].map(|hook| chain(index, hook).unwrap());
        let before = stand();
        for side in ["ingress", "egress"] {
            let delete = ["filter", "del", "dev", "theirs0", side];
            net.program(&Program::new("tc").args(delete)).succeed();
            for found in [drift(lab), without_tree(lab)] {
                let told = traffic(&found, "guard", "theirs0");
                says(&told, &["none yet"]);
            }
            let plan = planned(&request(lab, &commit)).plan;
            let steps = plan.steps.iter().map(|step| step.operation.to_string());
            let steps: Vec<String> = steps.collect();
            assert_eq!(steps, ["put guard shop/web", "check shop/web"]);
            let dry = lab.reconcile(&["-n"]).ended(0).stdout;
            says(&dry, &["no guard stands behind its programs", "0 programs"]);
            lab.reconcile(&[]).succeed();
            assert_eq!(drift(lab), [Value::Null; 0]);
        }
        assert_eq!(stand(), before, "the same programs under the same links");
        unpin_links();
        let dropped = |side: &str| traffic(&drift(lab), "pin", side).contains("by the guard");
        wait::holds("the links to go", || dropped("from_container"));
        let to = address("10.44.0.2");
        let _service = serve(&lab.alpha().container("shop/db"));
        assert_eq!(tcp_connects(&vm, to, 80), Outcome::TimedOut, "closed");
    });
}
