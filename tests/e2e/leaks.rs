//! Containers that come and go leave nothing behind: after 200 commits the kernel holds for the
//! host what it held after the first, and after `detach` what it held before. Each object that was
//! ever the host's is remembered by its id, which is not given again, so what was replaced and kept
//! alive by anything is found, too.
//!
//! The commits run in this process, on a thread that has a table of file descriptors of its own, so
//! that one left open is seen. (What a process leaves open ends with it.)

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use reconciler::host::Host;
use rig::ids::{Held, Ledger};
use rig::lab::Lab;
use rig::traffic::{Attempt, Listen, Outcome, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::json;

use crate::pipeline;

const COMMITS: u16 = 200;
/// How often everything is looked at while it goes on.
const LOOK_EVERY: u16 = 20;

fn comer(number: u16) -> String {
    format!("go/n{number}")
}

/// Two that stay, and those that come and go: with each odd number one comes, with each even one
/// the one before it goes. The policy about them is another one each time.
fn tree(number: u16) -> Tree {
    let container = |name: &str, number| {
        Container::numbered(name, number)
            .label("app", "any")
            .spec("connections", json!(64))
    };
    let tree = Tree::new()
        .container(&container("stay/one", 1))
        .container(&container("stay/two", 2).port("echo", 7, "TCP"));
    let there = number / 2..=number.div_ceil(2);
    let tree = there.fold(tree, |tree, number| {
        tree.container(&container(&comer(number), 100 + number))
    });
    let port = |rule: Rule| rule.port("TCP", 1000 + number);
    tree.namespace("go", &[("kind", "passing")]).policy(
        &Policy::new("stay/two").select(&[("app", "any")]).ingress(&[
            port(Rule::new().containers(&[("app", "any")])),
            Rule::new()
                .namespaces(&[("kind", "passing")])
                .port("TCP", 7),
        ]),
    )
}

/// What the host holds that is neither of BPF nor an interface nor a named namespace.
#[derive(Debug, PartialEq, Eq)]
struct Rest {
    descriptors: usize,
    mounts: usize,
    resolvers: BTreeSet<String>,
}

impl Rest {
    fn now() -> Self {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        Self {
            descriptors: count("/proc/thread-self/fd"),
            mounts: mounts.lines().count(),
            resolvers: names(Path::new("/etc/netns")),
        }
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// Whoever has just come can do what it may.
fn talks(lab: &Lab, number: u16) {
    let newest = lab.alpha().container(&comer(number / 2));
    let echo = "10.44.0.2".parse().unwrap();
    let outcome = Attempt::new(Protocol::Tcp, echo, 7).from(&newest);
    assert_eq!(outcome, Outcome::Echoed, "after {number} commits");
}

fn commit(lab: &Lab, number: u16) {
    lab.repository().hold(&tree(number));
    let id = lab.repository().commit(&number.to_string());
    pipeline::apply(&pipeline::request(lab, &id));
}

fn come_and_go(lab: &Lab, ledger: &Ledger) {
    // The first runtime of a process opens two sockets for signals, which are its own for good.
    drop(Host::open().unwrap());
    let first = (ledger.note(&lab.alpha()).counts(), Rest::now());
    let stays = lab.alpha().container("stay/two");
    let echo = Service::start(&stays, &[Listen::everywhere(Protocol::Tcp, 7)]);
    for number in 1..=COMMITS {
        commit(lab, number);
        if number % LOOK_EVERY == 0 {
            talks(lab, number);
            ledger.note(&lab.alpha());
        }
    }
    drop((echo, stays));
    let now = Held::once(&lab.alpha(), &first.0);
    ledger.only(&lab.alpha(), &now);
    let mut rest = Rest::now();
    assert!(rest.resolvers.remove(&comer(COMMITS / 2).replace('/', ".")));
    rest.resolvers.insert(comer(0).replace('/', "."));
    assert_eq!(rest, first.1);
}

#[test]
fn containers_that_come_and_go_leave_nothing() {
    Lab::run("leaks", |lab| {
        let (ledger, before) = (Ledger::new(), Held::by(&lab.alpha()));
        lab.repository().hold(&tree(0));
        lab.apply("0").succeed();
        thread::scope(|scope| {
            let own = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FILES).unwrap();
                come_and_go(lab, &ledger);
            });
            own.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        lab.reconcile(&["detach"]).succeed();
        ledger.only(&lab.alpha(), &before);
        assert_eq!(names(Path::new("/etc/netns")), BTreeSet::new());
    });
}
