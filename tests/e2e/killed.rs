//! A run that is killed, at system calls spread over all of it: every verdict is the old commit's
//! or every one the new commit's, the next run gets there, and nothing is left behind.
//!
//! `state/tests/plan` stops a simulated host at every operation; here it is the real kernel and the
//! real program, at a sample of the calls of one commit that does a little of everything.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rig::ids::{Held, Ledger};
use rig::lab::{Lab, binary};
use rig::traffic::{Attempt, Listen, Outcome, Protocol, SILENCE, Service, attempt_all};
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::json;

/// How many runs are killed.
const KILLS: usize = 12;

/// The two trees differ in a policy, a container that goes, one that comes, and a quota, for which
/// programs are loaded anew.
fn tree(port: u16, other: (&str, u16), quota: u32) -> Tree {
    let client = Container::numbered("a/client", 1).spec("connections", json!(quota));
    let web = Container::numbered("a/web", 2).label("app", "web");
    let policy = Policy::new("a/web")
        .select(&[("app", "web")])
        .ingress(&[Rule::new().port("TCP", port)]);
    let other = Container::numbered(other.0, other.1);
    let containers = [client, web, other];
    let tree = containers.iter().fold(Tree::new(), Tree::container);
    tree.policy(&policy)
}

fn old() -> Tree {
    tree(80, ("a/goes", 3), 64)
}

fn new() -> Tree {
    tree(8080, ("a/comes", 4), 128)
}

/// Runs `reconcile` under ptrace and kills it at the `at`-th stop of its main thread, on entry to a
/// system call or on return. How many stops there were where it ended before that.
fn killed_at(tree: &Path, at: usize) -> Option<usize> {
    let mut child = Command::new(binary().unwrap())
        .arg("-C")
        .arg(tree)
        .args(["--host", "alpha"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).unwrap();
    ptrace::interrupt(pid).unwrap();
    let mut stops = 0;
    while stops < at {
        match waitpid(pid, None).unwrap() {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0);
                child.wait().ok();
                return Some(stops);
            }
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) => {}
            other => panic!("{other:?}"),
        }
        if stops < at {
            ptrace::syscall(pid, None).unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// What passes from the client to the two ports of the web server, in both families.
fn matrix(lab: &Lab, web: &Container) -> Vec<Outcome> {
    let client = lab.alpha().container("a/client");
    let flows = web.addresses.iter().flat_map(|a| [(*a, 80), (*a, 8080)]);
    let tries = flows.map(|(to, port)| Attempt::new(Protocol::Tcp, to, port).limit(SILENCE));
    attempt_all(&client, &tries.collect::<Vec<_>>())
}

fn apply(lab: &Lab, tree: &Tree) {
    lab.repository().hold(tree);
    lab.apply("a tree").succeed();
}

#[test]
fn a_run_that_is_killed_changes_all_or_nothing_and_the_next_gets_there() {
    Lab::run("killed", |lab| {
        let (ledger, before) = (Ledger::new(), Held::by(&lab.alpha()));
        apply(lab, &old());
        let web = Container::numbered("a/web", 2);
        let inside = lab.alpha().container("a/web");
        let ports = [80, 8080].map(|port| Listen::everywhere(Protocol::Tcp, port));
        let service = Service::start(&inside, &ports);
        let was = matrix(lab, &web);
        lab.repository().hold(&new());
        lab.repository().commit("another tree");
        let path = lab.repository().path();
        let stops = killed_at(path, usize::MAX).unwrap();
        let becomes = matrix(lab, &web);
        assert_ne!(was, becomes);
        let held = ledger.note(&lab.alpha()).counts();

        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let phase = since.subsec_nanos() as usize % (stops / KILLS);
        for kill in 0..KILLS {
            let at = stops * kill / KILLS + phase;
            apply(lab, &old());
            lab.repository().hold(&new());
            lab.repository().commit("another tree");
            killed_at(path, at + 1);
            let found = matrix(lab, &web);
            assert!([&was, &becomes].contains(&&found), "stop {at}: {found:?}");
            lab.reconcile(&[]).succeed();
            assert_eq!(matrix(lab, &web), becomes, "stop {at}");
            let run = lab.reconcile(&["--detailed-exitcode"]).ended(0);
            let now = ledger.note(&lab.alpha());
            assert_eq!(now.counts(), held, "stop {at} of {stops}: {run}\n{now}");
            ledger.only(&lab.alpha(), &now);
        }
        drop((service, inside));
        lab.reconcile(&["detach"]).succeed();
        ledger.only(&lab.alpha(), &before);
    });
}
