//! `reconcile doctor` on hosts that lack something, each really broken: it is named, with the
//! remedy.

use std::os::fd::AsFd;

use bpf::attached::{Hook, attach_first};
use nix::libc;
use rig::foreign;
use rig::lab::Lab;
use rig::program::Program;
use rig::refused::Refused;
use rig::tree::{Container, Tree};
use serde_json::{Value, json};

/// A check as it is told: its state, what was found, and the remedy.
#[derive(Debug)]
struct Told {
    state: String,
    found: String,
    remedy: String,
}

/// What it says of one thing, and the exit code.
#[track_caller]
fn told(lab: &Lab, check: &str) -> (Told, i32) {
    let run = lab.reconcile(&["doctor", "-o", "json"]);
    (of(&run.stdout, check), run.code)
}

#[track_caller]
fn of(printed: &str, check: &str) -> Told {
    let value: Value = serde_json::from_str(printed).unwrap();
    let checks = value["checks"].as_array().unwrap();
    let found = checks.iter().find(|one| one["check"] == json!(check));
    let found = found.unwrap_or_else(|| panic!("{check} in {value:#}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Told {
        state: text("state"),
        found: text("found"),
        remedy: text("remedy"),
    }
}

fn apply(lab: &Lab) {
    let web = Container::numbered("shop/web", 1);
    lab.repository().hold(&Tree::new().container(&web));
    lab.apply("a container");
}

#[test]
fn a_host_that_can_do_it_is_told_so() {
    Lab::run("doctor-good", |lab| {
        apply(lab);
        let run = lab.reconcile(&["doctor"]).ended(0);
        assert!(run.stdout.contains("nothing stands in the way"), "{run}");
    });
}

#[test]
fn a_chain_that_drops_is_named_and_its_remedy_is_a_command() {
    Lab::run("doctor-netfilter", |lab| {
        apply(lab);
        assert_eq!(told(lab, "netfilter").0.state, "good");
        let rules = "table inet theirs {\n chain forwards {\n \
                     type filter hook forward priority 0; policy drop;\n }\n}\n";
        let nft = Program::new("nft").args(["-f", "-"]).input(rules);
        lab.alpha().net().program(&nft).succeed();
        let (chain, exit) = told(lab, "netfilter");
        assert_eq!((chain.state.as_str(), exit), ("attention", 6), "{chain:?}");
        assert!(chain.found.contains("theirs forwards"), "{chain:?}");
        lab.shell(&lab.alpha(), &chain.remedy).succeed();
        let list = Program::new("nft").args(["list", "chain", "inet", "theirs", "forwards"]);
        let listed = lab.alpha().net().program(&list).ended(0).stdout;
        assert_eq!(listed.matches("accept").count(), 2, "{listed}");
    });
}

#[test]
fn a_program_of_others_on_an_interface_of_ours_is_named() {
    Lab::run("doctor-stranger", |lab| {
        apply(lab);
        assert_eq!(told(lab, "programs of others").0.state, "good");
        let object = foreign::load(foreign::PASSES);
        let program = object.progs().next().unwrap();
        let interfaces = lab.alpha().net().interfaces();
        let own = interfaces
            .iter()
            .find(|i| i.name.starts_with("pl"))
            .unwrap();
        let _link = attach_first(program.as_fd(), own.index, Hook::Ingress).unwrap();
        let (stranger, exit) = told(lab, "programs of others");
        assert_eq!((stranger.state.as_str(), exit), ("attention", 6));
        assert!(stranger.found.contains("shop/web"), "{stranger:?}");
        assert!(stranger.remedy.contains("bpftool net"), "{stranger:?}");
    });
}

/// A run turns it on, unless the tree says that it is not to.
#[test]
fn forwarding_that_is_off_and_stays_off_is_named() {
    Lab::run("doctor-forwarding", |lab| {
        let config = "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nforwarding: false\n";
        let off = Tree::new().file("plumbline.yaml", config);
        lab.repository().hold(&Tree::new());
        lab.repository().commit("forwarding as it comes");
        lab.alpha().net().sysctl("ipv4/ip_forward", "0");
        assert_eq!(told(lab, "forwarding of IPv4").0.state, "good");
        lab.repository().hold(&off);
        lab.repository().commit("no forwarding");
        let (forwarding, exit) = told(lab, "forwarding of IPv4");
        assert_eq!((forwarding.state.as_str(), exit), ("attention", 6));
        lab.shell(&lab.alpha(), &forwarding.remedy).succeed();
        assert_eq!(told(lab, "forwarding of IPv4").0.state, "good");
    });
}

#[test]
fn a_bpffs_that_is_not_there_is_no_obstacle_and_one_of_others_is() {
    Lab::run("doctor-bpffs", |lab| {
        apply(lab);
        assert!(told(lab, "bpffs").0.found.contains("on a bpffs"));
        let open = "chmod 777 /sys/fs/bpf/plumbline";
        lab.shell(&lab.alpha(), open).succeed();
        let (bpffs, exit) = told(lab, "bpffs");
        assert_eq!((bpffs.state.as_str(), exit), ("lacking", 1), "{bpffs:?}");
        lab.alpha().unmount_bpffs();
        let bpffs = told(lab, "bpffs").0;
        assert_eq!(bpffs.state, "good", "{bpffs:?}");
        assert!(bpffs.found.contains("the first run mounts it"), "{bpffs:?}");
    });
}

#[test]
fn a_capability_that_is_lacking_is_named() {
    Lab::run("doctor-capabilities", |lab| {
        let line = "setpriv --bounding-set=-net_admin reconcile doctor -o json";
        let run = lab.shell(&lab.alpha(), line).ended(1);
        let lacking = of(&run.stdout, "capabilities");
        assert_eq!(lacking.state, "lacking");
        assert!(lacking.found.contains("CAP_NET_ADMIN"), "{lacking:?}");
        assert!(lacking.remedy.contains("CapabilityBoundingSet"));
    });
}

/// Each is tried, so a kernel that refuses it is known by that, whatever its version.
#[test]
fn what_a_kernel_refuses_is_named_and_nothing_is_said_of_what_needs_it() {
    let refused = |first, errno| Refused {
        call: libc::SYS_bpf,
        first,
        errno,
    };
    /// `BPF_LINK_CREATE` of linux/bpf.h.
    const LINK_CREATE: u32 = 28;
    refused(None, libc::EPERM).to(|| {
        Lab::run_or(
            "doctor-bpf",
            |_| {},
            |lab| {
                let (bpf, exit) = told(lab, "the bpf system call");
                assert_eq!((bpf.state.as_str(), exit), ("lacking", 1), "{bpf:?}");
                assert!(bpf.found.contains("CAP_BPF"), "{bpf:?}");
                assert_eq!(told(lab, "our programs").0.state, "untried");
            },
        );
    });
    refused(Some(LINK_CREATE), libc::EINVAL).to(|| {
        Lab::run_or(
            "doctor-tcx",
            |_| {},
            |lab| {
                let (links, exit) = told(lab, "tcx links");
                assert_eq!((links.state.as_str(), exit), ("lacking", 1), "{links:?}");
                assert!(links.found.contains("6.6"), "{links:?}");
                assert_eq!(told(lab, "timers in maps").0.state, "good");
                assert_eq!(told(lab, "eBPF filters").0.state, "untried");
            },
        );
    });
}

#[test]
fn that_applying_is_suspended_is_told() {
    Lab::run("doctor-suspended", |lab| {
        apply(lab);
        let suspend = ["suspend", "--reason", "moving house"];
        lab.reconcile(&suspend).succeed();
        let (suspended, exit) = told(lab, "suspended");
        assert_eq!((suspended.state.as_str(), exit), ("attention", 6));
        assert!(suspended.found.contains("moving house"), "{suspended:?}");
        lab.shell(&lab.alpha(), &suspended.remedy).succeed();
        lab.reconcile(&["doctor"]).succeed();
    });
}
