//! What stands on an interface of others is lost: it is closed, and opened by the run that judges
//! it again and not before; and where nobody is to judge it any more, the guard goes with us.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use libbpf_rs::Link;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rig::foreign;
use rig::lab::{Lab, binary};
use rig::netns::Netns;
use rig::program::Program;
use rig::stepper::stepped;
use rig::traffic::{Exchange, Listen, Outcome, Protocol, Service, tcp_connects};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use serde_json::{Value, json};
use state::target::host::interface_name;

use crate::attach::{HOST, VM, WEB, address, is_judged, make_theirs, serve, theirs, tree};
use crate::kernel::named;

/// A port outside that the machine may not send to once it is isolated.
const DENIED: u16 = 54;

/// A pin of the container's, which may be gone, as may all that it is below.
fn own(pin: &str) -> PathBuf {
    PathBuf::from("/sys/fs/bpf/plumbline/v1/containers/shop/web").join(pin)
}

/// The machine, which may send to `db` at port 80 alone, and sends beyond the host.
struct Stage {
    vm: Netns,
    denied: Exchange,
    outside: Service,
}

impl Stage {
    fn set(lab: &Lab) -> Self {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        // To forward what comes from it is its owner's to say.
        net.sysctl("ipv4/conf/theirs0/forwarding", "1");
        let outside = lab.outside();
        outside.ip("route add 10.9.0.0/24 via 192.0.2.1");
        let to = lab.addresses(&outside)[0];
        // Whoever is silent is still known.
        let mac = |net: &Netns, device: &str| {
            let shown = net.ip_json(&format!("link show {device}"));
            shown[0]["address"].as_str().unwrap().to_owned()
        };
        let (host, own) = (mac(&net, "theirs0"), mac(&vm, "eth0"));
        let known = |to: &str, mac: &str| format!("neighbour replace {to} lladdr {mac} dev");
        vm.ip(&format!("{} eth0", known(HOST[0], &host)));
        net.ip(&format!("{} theirs0", known(VM[0], &own)));
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("open");
        let listens = [Listen::on(Protocol::Udp, to, DENIED)];
        let stage = Self {
            outside: Service::start(&outside, &listens),
            denied: Exchange::unanswered(&vm, SocketAddr::new(to, DENIED)),
            vm,
        };
        wait::holds("what is allowed to arrive", || stage.arrived() > 0);
        lab.repository().hold(&isolated());
        lab.apply("isolated");
        stage.is_closed("judged");
        stage
    }

    fn arrived(&self) -> u64 {
        self.outside.served(Protocol::Udp, DENIED)
    }

    fn sends(&self) {
        self.denied.advance(50);
    }

    /// Nothing that is denied arrives, however much is sent, once what was under way has.
    #[track_caller]
    fn is_closed(&self, says: &str) {
        let mut before = u64::MAX;
        wait::holds(says, || {
            self.sends();
            let now = self.arrived();
            let same = now == before;
            before = now;
            same
        });
    }
}

fn isolated() -> Tree {
    let to_db = Rule::new().containers(&[("app", "db")]).port("TCP", 80);
    let policy = Policy::new("shop/web").select(&[("app", "web")]);
    tree(&VM, theirs()).policy(&policy.egress(&[to_db]))
}

fn without_web() -> Tree {
    Tree::new().container(&Container::numbered("shop/db", 2).label("app", "db"))
}

fn unpin(_: &Lab) {
    fs::remove_dir_all(own("")).unwrap();
}

fn mount_anew(_: &Lab) {
    while umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).is_ok() {}
    mount(
        Some("bpf"),
        "/sys/fs/bpf",
        Some("bpf"),
        MsFlags::empty(),
        Some("mode=0700"),
    )
    .unwrap();
}

fn detach_links(_: &Lab) {
    for link in ["from_container", "to_container"] {
        Link::open(own(link)).unwrap().detach().unwrap();
        fs::remove_file(own(link)).unwrap();
    }
}

fn drift(lab: &Lab, exit: i32) -> Vec<Value> {
    let run = lab.reconcile(&["drift", "-o", "json"]).ended(exit);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    found["drift"].as_array().unwrap().clone()
}

/// A run that dies soon after its last program stands there, and not at its store.
fn dies(lab: &Lab, calls: usize) {
    let mut command = Command::new(binary().unwrap());
    let tree = lab.repository().path();
    command.arg("-C").arg(tree).args(["--host", "alpha"]);
    let mut left = calls;
    stepped(&mut command, |_| {
        let attached = own("to_container").exists();
        let goes_on = !attached || left > 0;
        left -= usize::from(attached && left > 0);
        goes_on
    });
}

#[test]
fn what_is_mended_on_an_interface_of_others_is_never_open() {
    Lab::run("mended", |lab| {
        let stage = Stage::set(lab);
        let to_db = SocketAddr::new(address("10.44.0.2"), 80);
        let db = serve(&lab.alpha().container("shop/db"));
        let open = Exchange::tcp(&stage.vm, to_db);
        // Of this one nobody else has an entry from which it could be made again.
        let to_host = SocketAddr::new(address(HOST[0]), 90);
        let _host = Service::start(
            lab.alpha().net(),
            &[Listen::on(Protocol::Tcp, to_host.ip(), to_host.port())],
        );
        let own = Exchange::tcp(&stage.vm, to_host);
        own.advance(3);
        for calls in [0, 1, 8] {
            unpin(lab);
            stage.is_closed("the guard");
            let before = stage.arrived();
            dies(lab, calls);
            stage.sends();
            assert_eq!(
                stage.arrived(),
                before,
                "{calls}: opened by a run that died"
            );
        }
        unpin(lab);
        let before = stage.arrived();
        lab.reconcile(&[]).succeed();
        stage.sends();
        assert_eq!(stage.arrived(), before, "opened by a run");
        // Neither is what it had forgotten, nor its index left to nobody.
        open.advance(3);
        own.advance(3);
        drop((open, own));
        assert_eq!(drift(lab, 0), [Value::Null; 0]);
        mount_anew(lab);
        stage.is_closed("the guard, without a base");
        let before = stage.arrived();
        for calls in [0, 8] {
            dies(lab, calls);
            stage.sends();
            assert_eq!(stage.arrived(), before, "{calls}: opened by a first run");
        }
        lab.reconcile(&[]).succeed();
        stage.sends();
        assert_eq!(stage.arrived(), before, "opened by a first run");
        assert_eq!(tcp_connects(&stage.vm, to_db.ip(), 80), Outcome::Echoed);
        drop(db);
        assert_eq!(drift(lab, 0), [Value::Null; 0]);
    });
}

/// No filter of ours is there, and whoever was behind it is heard.
#[track_caller]
fn is_released(lab: &Lab, stage: &Stage, says: &str) {
    let before = stage.arrived();
    stage.sends();
    wait::holds(says, || stage.arrived() > before);
    for side in ["ingress", "egress"] {
        let show = ["filter", "show", "dev", "theirs0", side];
        let shown = lab.alpha().net().program(&Program::new("tc").args(show));
        assert_eq!(shown.ended(0).stdout, "", "{says}");
    }
}

#[test]
fn the_guard_goes_from_an_interface_of_others_whatever_was_lost() {
    Lab::run("guard", |lab| {
        let stage = Stage::set(lab);
        type Harm = fn(&Lab);
        let harms: [(&str, Harm); 3] = [
            ("links detached", detach_links),
            ("unpinned", unpin),
            ("mounted anew", mount_anew),
        ];
        for (says, harm) in harms {
            harm(lab);
            stage.is_closed(says);
            let gone = lab.reconcile(&["detach"]).ended(0).stdout;
            assert!(gone.contains("theirs0, which stays"), "{says}: {gone}");
            is_released(lab, &stage, says);
            lab.reconcile(&[]).succeed();
            stage.is_closed("judged again");
            // The tree drops it, and no run has seen what was lost.
            harm(lab);
            lab.repository().hold(&without_web());
            lab.repository().commit("without");
            if says == "mounted anew" {
                // Nothing says whose it was: it is by its interface that the plan names it. The
                // kernel takes links off some time after their pins.
                wait::holds("the plan to name it", || {
                    let plan = lab.reconcile(&["-n", "-o", "json", "--max-prune", "2"]);
                    let objects = plan.json()["objects"].take();
                    let named = |o: &Value| {
                        (&o["action"], &o["type"], &o["name"])
                            == (&json!("delete"), &json!("guard"), &json!("theirs0"))
                    };
                    objects.as_array().unwrap().iter().any(named)
                });
            }
            lab.reconcile(&["--max-prune", "2"]).succeed();
            is_released(lab, &stage, says);
            assert_eq!(drift(lab, 0), [Value::Null; 0], "{says}");
            lab.repository().hold(&isolated());
            lab.apply("isolated again");
            stage.is_closed("judged again");
        }
        // Nothing is left that could say whose it was, and it is found all the same.
        umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).unwrap();
        // The kernel takes links off some time after their pins.
        let named = |f: &Value| f["place"] == "theirs0" && f["kind"] == "leftover";
        wait::holds("the guard to be named", || drift(lab, 6).iter().any(named));
        lab.reconcile(&["detach"]).succeed();
        is_released(lab, &stage, "unmounted");
    });
}

/// Under a link it is its owner's to take off: no run can, and says so, until it has gone.
#[test]
fn an_xdp_program_under_a_link_of_others_is_told_and_refuses_the_run() {
    Lab::run("xdp", |lab| {
        let managed = json!({"netns": {}});
        lab.repository().hold(&tree(&WEB, managed));
        lab.apply("managed");
        let web = lab.alpha().container("shop/web");
        is_judged(lab, &web);
        let index = |device: &str| lab.alpha().net().interface(device).index;
        let object = foreign::load(foreign::DROPS);
        let program = object.progs_mut().next().unwrap();
        let device = index(&interface_name(&named("shop/web")));
        let link = program.attach_xdp(device.cast_signed()).unwrap();
        let found = drift(lab, 6);
        let told = |finding: &Value| {
            finding["kind"] == "stranger"
                && finding["what"].as_str().unwrap().contains("XDP program")
        };
        assert!(found.iter().any(told), "{found:?}");
        let refused = lab.reconcile(&[]).ended(1).to_string();
        assert!(refused.contains("take XDP program"), "{refused}");
        assert!(drift(lab, 6).iter().any(told));
        drop(link);
        lab.reconcile(&[]).succeed();
        assert!(drift(lab, 0).is_empty());
        is_judged(lab, &web);
    });
}
