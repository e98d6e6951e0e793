//! A run that plans once more, for what others took away meanwhile: it goes on with the commit of
//! its first plan, prints one document, and tells what came of both.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rig::lab::{Lab, binary};
use rig::stepper::{Stepped, stepped};
use rig::traffic::Exchange;
use rig::tree::Container;
use serde_json::{Value, json};

use crate::attach::{VM, address, serve, theirs, tree};
use crate::kernel::pins;
use crate::vanish::{interface, without_interface};

/// How a run ended.
pub(super) struct Ended {
    pub(super) code: i32,
    printed: String,
    said: String,
}

/// A run, and what happens each time that it says which phase begins, one after the other.
pub(super) fn run_while(lab: &Lab, arguments: &[&str], happens: &[(&str, &dyn Fn())]) -> Ended {
    let folder = lab.repository().path();
    let [printed, said] = ["printed", "said"].map(|name| folder.with_extension(name));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    drop(fs::remove_file(&said));
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" >\"$PRINTED\" 2>\"$SAID\""]);
    command.env("PRINTED", &printed).env("SAID", &said);
    command.arg(binary().unwrap()).arg("-C").arg(folder);
    command.args(["--host", "alpha", "-v"]).args(arguments);
    let (mut next, mut seen) = (0, 0);
    let ended = stepped(&mut command, |_| {
        if let Some((phase, then)) = happens.get(next) {
            let all = read(&said);
            let line = format!("{phase} operations=");
            if let Some(at) = all[seen..].find(&line) {
                seen += at + line.len();
                next += 1;
                then();
            }
        }
        true
    });
    let Stepped::Ended { code, .. } = ended else {
        unreachable!("nobody stops it")
    };
    let [printed, said] = [printed, said].map(|path| read(&path));
    assert_eq!(next, happens.len(), "{said}");
    Ended {
        code,
        printed,
        said,
    }
}

/// Another commit: of other addresses the container's programs are others, too.
fn commit(lab: &Lab, addresses: &[&str], name: &str) -> String {
    let more = Container::numbered(&format!("shop/{name}"), 3);
    let tree = tree(addresses, theirs()).container(&more);
    lab.repository().hold(&tree);
    lab.repository().commit(name)
}

/// One commit is live, and another one is to be.
fn two(lab: &Lab) -> [String; 2] {
    interface(lab);
    let first = commit(lab, &VM, "first");
    lab.reconcile(&[]).succeed();
    [first, commit(lab, &VM[..1], "second")]
}

/// It goes, and somebody commits something else.
fn goes(lab: &Lab) {
    without_interface(lab);
    commit(lab, &VM, "third");
}

#[test]
fn a_run_plans_again_for_the_commit_that_it_has_shown() {
    Lab::run("again-shown", |lab| {
        let [_, wanted] = two(lab);
        let ended = run_while(lab, &["-o", "json"], &[("prepare", &|| goes(lab))]);
        assert_eq!(ended.code, 0, "{}", ended.said);
        assert_eq!(lab.status(&lab.alpha())["commit"], json!(wanted));
        let shown: Value = serde_json::from_str(&ended.printed).unwrap();
        assert_eq!(shown["commit"], json!(wanted));
        let missing = "shop/web is missing: there is no interface";
        assert!(ended.said.contains(missing), "{}", ended.said);
        // What came meanwhile is the next run's.
        lab.reconcile(&["--max-prune", "2"]).succeed();
        assert_ne!(lab.status(&lab.alpha())["commit"], json!(wanted));
    });
}

#[test]
fn a_rollback_plans_again_for_the_commit_that_it_goes_back_to() {
    Lab::run("again-back", |lab| {
        let [first, second] = two(lab);
        lab.reconcile(&["--max-prune", "2"]).succeed();
        let back = ["rollback", "--max-prune", "2"];
        let ended = run_while(lab, &back, &[("settle", &|| goes(lab))]);
        assert_eq!(ended.code, 0, "{}", ended.said);
        assert!(ended.said.contains("planned again"), "{}", ended.said);
        let status = lab.status(&lab.alpha());
        assert_eq!(status["commit"], json!(first), "{}", ended.said);
        assert_eq!(status["held"], json!([second]));
        // Both of its commits were live.
        let history = lab.reconcile(&["history", "-o", "json"]).json();
        for (number, generation) in [4, 3].into_iter().enumerate() {
            let entry = &history["entries"][number];
            assert_eq!(entry["generation"], generation, "{history}");
            assert_eq!(entry["commit"], json!(first), "{history}");
            assert_eq!(entry["kind"], "rollback", "{history}");
        }
    });
}

/// What was to be shown is one document, also where it is the second plan that is refused.
#[test]
fn a_second_plan_that_is_refused_leaves_what_the_first_one_came_to() {
    Lab::run("again-refused", |lab| {
        let [first, _] = two(lab);
        let db = lab.alpha().container("shop/db");
        let _service = serve(&db);
        let vm = lab.alpha().netns("vm").unwrap();
        let connection = Exchange::tcp(&vm, SocketAddr::new(address("10.44.0.2"), 80));
        connection.advance(3);
        let careful = ["--max-prune", "2", "--max-cut", "0", "-o", "json"];
        let ended = run_while(lab, &careful, &[("prepare", &|| goes(lab))]);
        assert_eq!(ended.code, 1, "{}", ended.said);
        let refused = "is refused: 1 connection would be cut";
        assert!(ended.said.contains(refused), "{}", ended.said);
        let _: Value = serde_json::from_str(&ended.printed).unwrap();
        assert_eq!(lab.status(&lab.alpha())["commit"], json!(first));
    });
}

/// The first one has committed, and its second plan finds that yet another interface has gone.
#[test]
fn what_was_committed_is_told_and_kept_where_the_second_plan_stops() {
    Lab::run("again-stops", |lab| {
        interface(lab);
        let net = lab.alpha().net().clone();
        let vm = lab.alpha().netns("vm").unwrap();
        net.ip(&format!(
            "link add zed0 type veth peer name zed1 netns {}",
            vm.path()
        ));
        net.ip("link set zed0 up");
        let commit = |addresses: [&[&str]; 2], name: &str| {
            let zed = Container::new("shop/zed", addresses[1]);
            let zed = zed.spec("attach", json!({"interface": {"name": "zed0"}}));
            lab.repository()
                .hold(&tree(addresses[0], theirs()).container(&zed));
            lab.repository().commit(name)
        };
        let zed = ["10.8.0.2", "fd08::2"];
        commit([&VM, &zed], "first");
        lab.reconcile(&[]).succeed();
        let wanted = commit([&VM[..1], &zed[..1]], "second");
        let zed_goes = || drop(net.ip("link del zed0"));
        // Both are to be swapped then: one has gone, and of the other something is left to do.
        let web_goes = || {
            without_interface(lab);
            fs::remove_file(pins().join("containers/shop/zed/from_container")).unwrap();
        };
        let ended = run_while(lab, &[], &[("settle", &web_goes), ("prepare", &zed_goes)]);
        assert_eq!(ended.code, 6, "{}", ended.said);
        let printed = &ended.printed;
        assert!(printed.contains("is live: generation 2"), "{printed}");
        assert!(ended.said.contains("left behind: "), "{}", ended.said);
        assert!(ended.said.contains("shop/zed"), "{}", ended.said);
        assert_eq!(lab.status(&lab.alpha())["commit"], json!(wanted));
        let history = lab.reconcile(&["history", "-o", "json"]).json();
        assert_eq!(history["entries"][0]["generation"], 2);
        assert_eq!(history["entries"][0]["commit"], json!(wanted));
        lab.reconcile(&[]).succeed();
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}
