//! Drift of containers in namespaces and on interfaces of others: what is gone, there again or
//! another is named as that, and not as rows; and what others do to what we put there is named and
//! mended, with traffic running.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use libbpf_rs::{Link, Xdp, XdpFlags};
use rig::foreign;
use rig::lab::Lab;
use rig::netns::Netns;
use rig::traffic::{Exchange, Outcome, tcp_connects};
use rig::wait;
use serde_json::{Value, json};
use state::target::host::interface_name;

use crate::attach::{
    VM, WEB, address, in_mine, is_judged, is_reached, make_mine, make_theirs, missing, serve,
    theirs, tree,
};
use crate::kernel::{named, pins};

/// What `drift` finds, which is what the next run is for.
#[track_caller]
fn drift(lab: &Lab) -> Vec<Value> {
    let run = lab.reconcile(&["drift", "-o", "json"]);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    let mends = lab.reconcile(&["-n", "--detailed-exitcode"]).code == 2;
    assert_eq!(run.code == 6, mends, "{run}");
    found["drift"].as_array().unwrap().clone()
}

/// One finding of the container, and nothing beside it but addresses of the host, which the
/// interface has brought.
#[track_caller]
fn alone(lab: &Lab, kind: &str, place: &str, what: &str) {
    let mut found = drift(lab);
    found.retain(|finding| finding["place"] != "the host" || finding["kind"] != "address");
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = &found[0];
    let expected = [kind, place, what, "shop/web"].map(Value::from);
    let is = ["kind", "place", "what", "container"].map(|field| found[field].clone());
    assert_eq!(is, expected, "{found:#}");
    assert_ne!(found["traffic"], "", "{found:#}");
}

#[track_caller]
fn mended(lab: &Lab) {
    lab.reconcile(&[]).succeed();
    assert_eq!(drift(lab), [Value::Null; 0]);
}

#[test]
fn an_interface_of_others_that_is_gone_is_named_and_not_its_rows() {
    Lab::run("drift-theirs", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let net = lab.alpha().net().clone();
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        assert_eq!(drift(lab), [Value::Null; 0]);
        // Another in its place, and no run between.
        net.ip("link del theirs0");
        make_theirs(lab, &vm);
        let another = "is another interface than the one that its programs were attached to";
        alone(lab, "interface", "theirs0", another);
        mended(lab);
        is_judged(lab, &vm);
        vm.ip("link set eth0 address 02:00:00:00:00:09");
        let found = drift(lab);
        let what = found[0]["what"].as_str().unwrap().to_owned();
        let begins = "the MAC address behind it is 02:00:00:00:00:09, and was ";
        assert!(what.starts_with(begins), "{found:#?}");
        alone(lab, "interface", "theirs0", &what);
        mended(lab);
        is_judged(lab, &vm);
        // Put to other use it is closed by the next run, and judged until then.
        net.ip_batch("link add br0 type bridge\nlink set theirs0 master br0");
        let found = drift(lab);
        assert_eq!(found.len(), 1, "{found:#?}");
        let says = |field: &str| found[0][field].as_str().unwrap().to_owned();
        assert!(says("what").contains("is a port of br0"), "{found:#?}");
        assert!(says("traffic").contains("as before"), "{found:#?}");
        mended(lab);
        net.ip("link set theirs0 nomaster");
        let again = "is there, and has no row: it was missing when its commit became live";
        alone(lab, "interface", "theirs0", again);
        mended(lab);
        is_judged(lab, &vm);
        net.ip("link del theirs0");
        alone(lab, "interface", "theirs0", "there is no interface theirs0");
        let plan = lab.reconcile(&["-n"]).ended(0).stdout;
        let closed = "~ container shop/web\n    closed until it is there again";
        assert!(plan.contains(closed), "{plan}");
        assert!(!plan.contains("endpoint row"), "{plan}");
        mended(lab);
        assert_eq!(missing(lab)[0]["why"], "there is no interface theirs0");
        make_theirs(lab, &vm);
        alone(lab, "interface", "theirs0", again);
        mended(lab);
        is_judged(lab, &vm);
        is_reached(lab, &vm, VM);
    });
}

/// Their namespace goes, and with it, a while after its name, our pair: until then that is there,
/// and leads nowhere.
fn end_mine(lab: &Lab, mine: Netns) {
    let net = lab.alpha().net().clone();
    let pair = interface_name(&named("shop/web"));
    drop(mine);
    net.ip("netns del mine");
    wait::holds("the pair goes with the namespace", || {
        net.interfaces().iter().all(|one| one.name != pair)
    });
}

#[test]
fn a_namespace_of_others_that_is_gone_is_named_and_not_its_rows() {
    Lab::run("drift-mine", |lab| {
        let mine = make_mine(lab);
        lab.repository().hold(&tree(&WEB, in_mine()));
        lab.apply("mine");
        assert_eq!(drift(lab), [Value::Null; 0]);
        end_mine(lab, mine);
        let path = "/run/netns/mine";
        alone(lab, "namespace", path, "there is no /run/netns/mine");
        mended(lab);
        let mine = make_mine(lab);
        let again = "is there, and has no row: it was missing when its commit became live";
        alone(lab, "namespace", path, again);
        mended(lab);
        // Another in its place, and no run between.
        end_mine(lab, mine);
        let mine = make_mine(lab);
        let found = drift(lab);
        let kinds = found.iter().map(|finding| &finding["kind"]);
        assert!(kinds.clone().any(|kind| kind == "namespace"), "{found:#?}");
        assert!(kinds.clone().all(|kind| kind != "row"), "{found:#?}");
        mended(lab);
        is_judged(lab, &mine);
        is_reached(lab, &mine, WEB);
    });
}

/// It was there before us, or its owner's to put there: it is named, and stays.
#[test]
fn an_xdp_program_on_an_interface_of_others_is_named_and_stays() {
    Lab::run("drift-xdp", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        let object = foreign::load(foreign::DROPS);
        let program = object.progs().next().unwrap();
        let interfaces = lab.alpha().net().interfaces();
        let theirs = interfaces.iter().find(|found| found.name == "theirs0");
        let index = i32::try_from(theirs.unwrap().index).unwrap();
        let xdp = Xdp::new(program.as_fd());
        xdp.attach(index, XdpFlags::NONE).unwrap();
        let found = drift(lab);
        assert_eq!(found.len(), 1, "{found:#?}");
        let is = ["kind", "place", "harmless"].map(|field| found[0][field].clone());
        assert_eq!(is, [json!("stranger"), json!("theirs0"), json!(true)]);
        assert!(found[0]["what"].as_str().unwrap().contains("XDP program"));
        lab.reconcile(&[]).succeed();
        assert_eq!(drift(lab), found);
        xdp.detach(index, XdpFlags::NONE).unwrap();
        assert_eq!(drift(lab), [Value::Null; 0]);
    });
}

#[test]
fn what_is_missing_has_nothing_to_detach_but_pins() {
    Lab::run("detach-missing", |lab| {
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("a tree");
        let gone = lab.reconcile(&["detach"]).ended(0).stdout;
        assert!(
            gone.contains("container shop/web: what is pinned"),
            "{gone}"
        );
        let managed = "container shop/db: interface pl";
        assert!(gone.contains(managed), "{gone}");
    });
}

#[test]
fn what_is_done_to_programs_on_an_interface_of_others_is_named_and_mended() {
    Lab::run("drift-on-theirs", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        lab.repository().hold(&tree(&VM, theirs()));
        lab.apply("theirs");
        let db = lab.alpha().container("shop/db");
        let _service = serve(&db);
        let to = ["10.44.0.2", "fd44::2"].map(address);
        let open = to.map(|to| Exchange::tcp(&vm, SocketAddr::new(to, 80)));
        let goes_on = || open.iter().for_each(|exchange| exchange.advance(3));
        goes_on();
        let web = |pin: &str| pins().join("containers/shop/web").join(pin);
        let unpin = |pin: &str| fs::remove_file(web(pin)).unwrap();
        type Harm<'a> = (&'a str, &'a dyn Fn(), (&'a str, &'a str));
        let harms: [Harm<'_>; 4] = [
            (
                "the pin of a connection map is deleted",
                &|| unpin("established"),
                ("pin", "its pin is gone"),
            ),
            (
                "the pin of a link is deleted",
                &|| unpin("from_container"),
                ("pin", "its link has no pin"),
            ),
            (
                "a link is detached",
                &|| Link::open(web("to_container")).unwrap().detach().unwrap(),
                ("link", "its link is detached"),
            ),
            (
                "all pins are deleted",
                &|| fs::remove_dir_all(web("")).unwrap(),
                ("pin", "are gone, or not registered"),
            ),
        ];
        for (says, harm, (kind, what)) in harms {
            harm();
            let found = drift(lab);
            let named = |finding: &Value| {
                let said = finding["what"].as_str().unwrap().contains(what);
                finding["kind"] == kind && finding["container"] == "shop/web" && said
            };
            assert!(found.iter().any(named), "{says}: {found:#?}");
            let rows = found.iter().any(|finding| finding["kind"] == "row");
            assert!(!rows, "{says}: {found:#?}");
            let text = lab.reconcile(&["drift"]).ended(6).stdout;
            assert!(
                !text.contains(", pl"),
                "{says}: no interface of ours: {text}"
            );
            // What is judged by the commit is as it was, and what it denies never passes.
            for to in to {
                assert_eq!(tcp_connects(&vm, to, 81), Outcome::TimedOut, "{says}");
            }
            mended(lab);
            goes_on();
            for to in to {
                assert_eq!(tcp_connects(&vm, to, 81), Outcome::TimedOut, "{says}");
            }
        }
        assert_eq!(missing(lab), json!([]));
    });
}
