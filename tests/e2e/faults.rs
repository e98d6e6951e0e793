//! A run that is killed on entry to a system call: every verdict is the old commit's or every one
//! the new commit's, as `status` says; a connection that both allow goes on; the next run gets
//! there and leaves nothing behind.
//!
//! `state/tests/plan` stops a simulated host at every operation; here it is the real kernel and the
//! real program. A test run kills at a few calls of each scenario, by a seed that it prints.
//! `just faults` kills at all that differ: after every call that may leave anything, and after the
//! store that is none. Between two of these a kill leaves the same, wherever it comes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::calls::killed_after;
use rig::ids::{Held, Ledger};
use rig::lab::{Lab, binary};
use rig::netns::Netns;
use rig::random::Random;
use rig::stepper::{Stepped, killed_at};
use rig::traffic::{Attempt, Exchange, Listen, Outcome, Protocol, SILENCE, Service, attempt_all};
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::json;

use crate::kernel;

/// How many calls of each scenario a test run tries.
const SAMPLE: usize = 1;
/// The variable that says `all`.
const FAULTS: &str = "PLUMBLINE_FAULTS";

/// A tree in words: what the scenarios differ in.
#[derive(Clone, Copy)]
struct Spec {
    /// Which port of `a/web` everybody may use, beside 443.
    port: u16,
    /// A third container, and its number.
    third: (&'static str, u16),
    /// The number of `a/moves`, which makes its addresses.
    moves: u16,
    /// The quota of `a/moves`.
    quota: u32,
}

const BASE: Spec = Spec {
    port: 80,
    third: ("a/third", 3),
    moves: 4,
    quota: 64,
};

impl Spec {
    fn tree(self) -> Tree {
        let web = Container::numbered("a/web", 2).label("app", "web");
        let moves =
            Container::numbered("a/moves", self.moves).spec("connections", json!(self.quota));
        let containers = [
            Container::numbered("a/client", 1),
            web,
            Container::numbered(self.third.0, self.third.1),
            moves,
        ];
        let rule = Rule::new().port("TCP", self.port).port("TCP", 443);
        let rule = rule.port("UDP", 443);
        let policy = Policy::new("a/web")
            .select(&[("app", "web")])
            .ingress(&[rule]);
        let tree = containers.iter().fold(Tree::new(), Tree::container);
        tree.policy(&policy)
    }
}

/// What passes from the client to two ports of the web server, in both families.
fn matrix(lab: &Lab) -> Vec<Outcome> {
    let client = lab.alpha().container("a/client");
    let web = Container::numbered("a/web", 2);
    let flows = web.addresses.iter().flat_map(|a| [(*a, 80), (*a, 8080)]);
    let tries = flows.map(|(to, port)| Attempt::new(Protocol::Tcp, to, port).limit(SILENCE));
    attempt_all(&client, &tries.collect::<Vec<_>>())
}

/// Commits a tree, and gives the commit.
fn commit(lab: &Lab, tree: &Tree) -> String {
    lab.repository().hold(tree);
    lab.repository().commit("a tree")
}

fn reconcile(lab: &Lab) -> Command {
    let mut command = Command::new(binary().unwrap());
    let tree = lab.repository().path();
    command.arg("-C").arg(tree).args(["--host", "alpha"]);
    command
}

/// Where a run is killed.
#[derive(Clone, Copy, Debug)]
enum At {
    /// On entry to this call.
    Call(usize),
    /// After this change.
    Change(usize),
}

/// The commit record, which is stored to without a call.
fn record() -> Option<Vec<u8>> {
    let map = MapHandle::from_pinned_path(Path::new(kernel::BASE).join("v1/commit")).ok()?;
    let value = map.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
    value.ok().flatten()
}

fn killed(lab: &Lab, at: At) {
    let mut command = reconcile(lab);
    match at {
        At::Call(call) => killed_at(&mut command, call),
        At::Change(change) => killed_after(&mut command, change, record).0,
    };
}

/// Runs to the end; where another one may be killed.
#[expect(
    clippy::print_stdout,
    reason = "whoever waits for a whole sweep wants to know"
)]
fn undisturbed(lab: &Lab) -> Vec<At> {
    let (ended, changes) = killed_after(&mut reconcile(lab), usize::MAX, record);
    let Stepped::Ended { code: 0, calls } = ended else {
        panic!("an undisturbed run ends well: {ended:?}");
    };
    println!("{calls} calls, {} changes", changes.count);
    if std::env::var_os(FAULTS).is_some_and(|value| value == "all") {
        return (0..=changes.count).map(At::Change).collect();
    }
    let mut random = Random::new();
    // One of each part of the run, and on both sides of the store.
    let parts = (0..SAMPLE).map(|part| (calls * part / SAMPLE, calls * (part + 1) / SAMPLE));
    let calls = parts.map(|(first, end)| At::Call(first + random.below(end - first)));
    let store = *changes.stored.last().expect("the commit is a store");
    calls
        .chain([At::Change(store - 1), At::Change(store)])
        .collect()
}

fn serve(web: &Netns) -> Service {
    let ports = [80, 443, 8080].map(|port| Listen::everywhere(Protocol::Tcp, port));
    let datagrams = [Listen::everywhere(Protocol::Udp, 443)];
    Service::start(web, &[&ports[..], &datagrams].concat())
}

/// Traffic that every tree of a scenario allows.
struct Traffic {
    exchanges: Vec<Exchange>,
    _service: Service,
}

impl Traffic {
    fn begin(lab: &Lab) -> Self {
        let [client, web] = ["a/client", "a/web"].map(|name| lab.alpha().container(name));
        let addresses = Container::numbered("a/web", 2).addresses;
        let service = serve(&web);
        let to = addresses.iter().map(|a| SocketAddr::new(*a, 443));
        let exchanges = to.flat_map(|to| [Exchange::tcp(&client, to), Exchange::udp(&client, to)]);
        Self {
            exchanges: exchanges.collect(),
            _service: service,
        }
    }

    fn goes_on(&self) {
        self.exchanges
            .iter()
            .for_each(|exchange| exchange.advance(2));
    }
}

/// Kills runs that lead from one tree to another.
fn sweep(name: &str, new: Spec) {
    Lab::run(name, |lab| {
        let (ledger, before) = (Ledger::new(), Held::by(&lab.alpha()));
        commit(lab, &BASE.tree());
        lab.reconcile(&[]).succeed();
        let traffic = Traffic::begin(lab);
        let was = matrix(lab);
        commit(lab, &new.tree());
        let points = undisturbed(lab);
        let becomes = matrix(lab);
        let held = ledger.note(&lab.alpha()).counts();
        for (number, at) in points.into_iter().enumerate() {
            let old = commit(lab, &BASE.tree());
            lab.reconcile(&[]).succeed();
            let wanted = commit(lab, &new.tree());
            killed(lab, at);
            let live = lab.reconcile(&["status", "-o", "json"]).json();
            let live = live["commit"].as_str().unwrap().to_owned();
            assert!([&old, &wanted].contains(&&live), "{at:?}: {live}");
            let expected = if live == old { &was } else { &becomes };
            assert_eq!(matrix(lab), *expected, "{at:?}, live is {live}");
            traffic.goes_on();
            if number % 2 == 1 {
                // What was live before is the other tree, whichever slot this run has touched.
                lab.reconcile(&["rollback"]).succeed();
                let other = if live == old { &becomes } else { &was };
                assert_eq!(matrix(lab), *other, "{at:?}, back from {live}");
                traffic.goes_on();
            }
            lab.reconcile(&["--lift-hold"]).succeed();
            assert_eq!(matrix(lab), becomes, "{at:?}");
            traffic.goes_on();
            drop(lab.reconcile(&["--detailed-exitcode"]).ended(0));
            Held::once(&lab.alpha(), &held);
            let now = ledger.note(&lab.alpha());
            ledger.only(&lab.alpha(), &now);
        }
        drop(traffic);
        lab.reconcile(&["detach"]).succeed();
        ledger.only(&lab.alpha(), &before);
    });
}

#[test]
fn a_policy_edit_is_killed() {
    sweep("policy", Spec { port: 8080, ..BASE });
}

#[test]
fn a_container_that_comes_and_one_that_goes_are_killed() {
    let third = ("a/fourth", 5);
    sweep(
        "containers",
        Spec {
            port: 8080,
            third,
            ..BASE
        },
    );
}

#[test]
fn programs_that_are_made_anew_are_killed() {
    sweep(
        "programs",
        Spec {
            port: 8080,
            moves: 6,
            ..BASE
        },
    );
}

#[test]
fn a_little_of_everything_is_killed() {
    let third = ("a/fourth", 5);
    let new = Spec {
        port: 8080,
        third,
        moves: 6,
        quota: 128,
    };
    sweep("everything", new);
}

/// What passes where somebody would answer; `None` where a container is not there.
fn served(lab: &Lab) -> Option<Vec<Outcome>> {
    let mut names = ["a.client", "a.web"].iter();
    let there = names.all(|name| lab.alpha().netns(name).is_ok());
    there.then(|| {
        let _service = serve(&lab.alpha().container("a/web"));
        matrix(lab)
    })
}

/// Nothing is live before it: a container that is there is closed until the commit.
#[test]
fn the_first_apply_is_killed() {
    Lab::run("first", |lab| {
        let (ledger, before) = (Ledger::new(), Held::by(&lab.alpha()));
        let wanted = commit(lab, &BASE.tree());
        let points = undisturbed(lab);
        let held = ledger.note(&lab.alpha()).counts();
        let becomes = served(lab).expect("everything is there");
        for at in points {
            lab.reconcile(&["detach"]).succeed();
            ledger.only(&lab.alpha(), &before);
            killed(lab, at);
            let live = lab.reconcile(&["status", "-o", "json"]).json();
            let live = live["commit"].as_str().unwrap().to_owned();
            assert!(
                ["", wanted.as_str()].contains(&live.as_str()),
                "{at:?}: {live}"
            );
            if let Some(passes) = served(lab) {
                let closed = passes.iter().all(|outcome| *outcome != Outcome::Echoed);
                assert!(
                    if live.is_empty() {
                        closed
                    } else {
                        passes == becomes
                    },
                    "{at:?}"
                );
            }
            lab.reconcile(&[]).succeed();
            assert_eq!(served(lab), Some(becomes.clone()), "{at:?}");
            Traffic::begin(lab).goes_on();
            drop(lab.reconcile(&["--detailed-exitcode"]).ended(0));
            Held::once(&lab.alpha(), &held);
            ledger.note(&lab.alpha());
        }
        lab.reconcile(&["detach"]).succeed();
        ledger.only(&lab.alpha(), &before);
    });
}
