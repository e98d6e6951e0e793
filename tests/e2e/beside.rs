//! Filters, programs and qdiscs of others where the guard is to stand on an interface of theirs.

use std::os::fd::AsFd;

use libbpf_rs::{TC_EGRESS, TcHook};
use rig::foreign;
use rig::lab::Lab;
use rig::netns::Netns;
use rig::program::Program;
use serde_json::json;

use crate::attach::{
    VM, is_judged, is_missing_for, is_reached, make_theirs, missing, theirs, tree,
};
use crate::theirs::{Carried, tc};

#[test]
fn a_filter_of_others_in_the_guards_place_refuses_the_run_and_stays() {
    Lab::run("filter", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        lab.repository().hold(&tree(&VM, theirs()));
        lab.repository().commit("theirs");
        let filter = "dev theirs0 egress prio 1 handle 1 protocol all bpf da bytecode";
        let bytecode = "1,6 0 0 4294967295,";
        let add = Program::new("tc").args(["filter", "add"]);
        let add = add.args(filter.split_whitespace()).args([bytecode]);
        net.program(&add).succeed();
        let shown = tc(&net, "filter show dev theirs0 egress");
        let carried = Carried::begin(lab, &vm);
        let refused = lab.reconcile(&[]).ended(1).to_string();
        assert!(
            refused.contains("a filter of others stands on egress"),
            "{refused}"
        );
        assert_eq!(tc(&net, "filter show dev theirs0 egress"), shown);
        let status = lab.reconcile(&["status"]).ended(0).stdout;
        assert!(status.contains("nothing is live"), "{status}");
        carried.goes_on();
        // At another place it stays, and does not run while our programs do.
        tc(&net, "filter del dev theirs0 egress");
        let again = filter.replace("prio 1 handle 1", "prio 2 handle 2");
        let add = Program::new("tc").args(["filter", "add"]);
        let add = add.args(again.split_whitespace()).args(["1,6 0 0 2,"]);
        net.program(&add).succeed();
        lab.reconcile(&[]).succeed();
        carried.goes_on();
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
        lab.reconcile(&["detach"]).succeed();
        let left = tc(&net, "filter show dev theirs0 egress");
        assert!(
            left.contains("pref 2") && !left.contains("pref 1 "),
            "{left}"
        );
    });
}

/// What leaves by it would pass a filter on neither side, or one would stand for others as well.
#[test]
fn an_interface_whose_qdisc_has_no_place_for_a_guard_is_refused() {
    Lab::run("qdisc", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        tc(&net, "qdisc del dev theirs0 clsact");
        lab.repository().hold(&tree(&VM, theirs()));
        for (qdisc, why) in [
            ("ingress", "of kind ingress, beside which nothing"),
            ("ingress_block 22 ingress", "of kind ingress"),
            ("egress_block 23 clsact", "which shares its filters"),
        ] {
            tc(&net, &format!("qdisc add dev theirs0 {qdisc}"));
            lab.apply(qdisc);
            is_missing_for(lab, why);
            drop(lab.reconcile(&["drift"]).ended(0));
            let kind = qdisc.rsplit(' ').next().unwrap();
            tc(&net, &format!("qdisc del dev theirs0 {kind}"));
        }
        // Of one that nobody asks for it means nothing.
        net.ip("link add other0 type veth peer name other1");
        tc(&net, "qdisc add dev other0 egress_block 24 clsact");
        tc(&net, "qdisc add dev theirs0 clsact");
        lab.reconcile(&[]).succeed();
        assert_eq!(missing(lab), json!([]));
        is_judged(lab, &vm);
    });
}

/// It does something else than our guard: it is somebody else's, wherever it stands.
#[test]
fn a_program_of_others_that_bears_the_guards_name_is_no_guard() {
    Lab::run("namesake", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        net.ip("link add never0 type veth peer name never1");
        let object = foreign::load(foreign::NAMESAKE);
        let program = object.progs().next().unwrap();
        let put = |device: &str| {
            let mut hook = TcHook::new(program.as_fd());
            hook.ifindex(net.interface(device).index.cast_signed())
                .handle(1)
                .priority(1)
                .attach_point(TC_EGRESS);
            hook.create().and_then(|mut hook| hook.attach()).unwrap();
            tc(&net, &format!("filter show dev {device} egress"))
        };
        let [never, other] = ["never0", "theirs0"].map(put);
        assert!(other.contains("plumbline_guard"), "{other}");
        let left = |device: &str| tc(&net, &format!("filter show dev {device} egress"));
        lab.repository().hold(&tree(&VM, theirs()));
        lab.repository().commit("theirs");
        let refused = lab.reconcile(&[]).ended(1).to_string();
        let why = "a filter of others stands on egress";
        assert!(refused.contains(why), "{refused}");
        assert_eq!(left("theirs0"), other);
        tc(&net, "filter del dev theirs0 egress");
        lab.reconcile(&[]).succeed();
        is_judged(lab, &vm);
        let found = lab.reconcile(&["drift"]).ended(0).to_string();
        assert_eq!(left("never0"), never, "{found}");
        // Nor does it stand for ours once that is gone.
        tc(&net, "filter del dev theirs0 egress");
        put("theirs0");
        let found = lab.reconcile(&["drift"]).ended(6).to_string();
        assert!(found.contains("guard"), "{found}");
        let refused = lab.reconcile(&[]).ended(1).to_string();
        assert!(refused.contains(why), "{refused}");
        let other = left("theirs0");
        lab.reconcile(&["detach"]).succeed();
        assert_eq!([left("never0"), left("theirs0")], [never, other]);
    });
}
