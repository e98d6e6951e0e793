//! Whatever others change is found, named with what it means for traffic, and mended by the next
//! run by the smallest change: each kind alone, and in random combinations, with traffic running.
//!
//! `shop/web` may reach `shop/db` at two ports. What it sends to a third is denied, and comes
//! through under drift that opens it alone; after the mending run never.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use rig::lab::Lab;
use rig::random::Random;
use rig::traffic::{Exchange, Listen, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use serde_json::Value;
use state::plan::Operation;

use crate::pipeline::{planned, request};
use harms::{ALL, Harm, Left};

mod harms;
mod many;
mod pins;
mod slots;
mod tables;
mod theirs;
mod words;

const ENDS: [&str; 2] = ["shop/web", "shop/db"];
const DENIED: u16 = 54;

fn tree() -> Tree {
    let ends = [("web", 1), ("db", 2)].map(|(name, number)| {
        Container::numbered(&format!("shop/{name}"), number).label("app", name)
    });
    let from_web = Rule::new().containers(&[("app", "web")]);
    let policy = |name: &str| Policy::new(&format!("shop/{name}")).select(&[("app", name)]);
    let tree = ends.iter().fold(Tree::new(), Tree::container);
    tree.policy(&policy("web").ingress(&[]))
        .policy(&policy("db").ingress(&[from_web.port("TCP", 5432).port("UDP", 53)]))
}

/// A lab with the tree applied, and traffic between its ends.
struct Stage<'a> {
    lab: &'a Lab,
    commit: String,
    service: Service,
    allowed: Vec<Exchange>,
    denied: Vec<Exchange>,
    /// Of what is denied so much was served when all was well.
    settled: u64,
    /// A program of others stands behind ours, and lets pass what ours do not see.
    behind: bool,
}

impl<'a> Stage<'a> {
    fn set(lab: &'a Lab) -> Self {
        lab.outside();
        lab.repository().hold(&tree());
        let commit = lab.repository().commit("the tree");
        drop(lab.reconcile(&[]).ended(0));
        let db = lab.alpha().container(ENDS[1]);
        let listens = [
            (Protocol::Tcp, 5432),
            (Protocol::Udp, 53),
            (Protocol::Udp, DENIED),
        ];
        let listens = listens.map(|(protocol, port)| Listen::everywhere(protocol, port));
        let mut stage = Self {
            lab,
            commit,
            service: Service::start(&db, &listens),
            allowed: Vec::new(),
            denied: Vec::new(),
            settled: 0,
            behind: false,
        };
        stage.begin();
        stage
    }

    /// Begins the traffic, anew where connections were forgotten.
    fn begin(&mut self) {
        let web = self.lab.alpha().container(ENDS[0]);
        let to = |port| addresses().map(move |address| SocketAddr::new(address, port));
        self.allowed = to(5432).map(|to| Exchange::tcp(&web, to)).into();
        self.allowed
            .extend(to(53).map(|to| Exchange::udp(&web, to)));
        self.denied = to(DENIED).map(|to| Exchange::udp(&web, to)).into();
        self.goes_on();
    }

    #[track_caller]
    fn goes_on(&self) {
        self.allowed.iter().for_each(|exchange| exchange.advance(3));
    }

    fn served(&self) -> u64 {
        self.service.served(Protocol::Udp, DENIED)
    }

    /// What `drift` finds, by its exit code and as `status` tells it too.
    #[track_caller]
    fn drift(&self, exit: i32) -> Vec<Value> {
        // The kernel takes links and programs down some time after their last reference.
        wait::until("both to tell the same", || {
            let run = self.lab.reconcile(&["drift", "-o", "json"]).ended(exit);
            let found: Value = serde_json::from_str(&run.stdout).unwrap();
            let status = self.lab.reconcile(&["status", "-o", "json"]).json();
            let same = status["drift"] == found["drift"];
            same.then(|| found["drift"].as_array().unwrap().clone())
        })
    }

    /// What the next run would do.
    fn steps(&self) -> Vec<String> {
        let plan = planned(&request(self.lab, &self.commit)).plan;
        let checks = |operation: &Operation| matches!(operation, Operation::Check { .. });
        let steps = plan.steps.iter().map(|step| &step.operation);
        let steps = steps.filter(|operation| !checks(operation));
        steps.map(in_words).collect()
    }

    /// The next run, and what holds after it.
    #[track_caller]
    fn mended(&mut self, says: &str, harms: &[&Harm]) {
        let harmed = self.served();
        let opens = harmed > self.settled || harms.iter().any(|harm| harm.opens);
        let opens = opens || self.behind;
        let run = self.lab.reconcile(&[]).ended(0);
        // Whatever is under way was judged before.
        let before = self.served();
        let meanwhile = before - harmed;
        assert!(
            opens || meanwhile == 0,
            "{says}: {meanwhile} passed meanwhile: {run}"
        );
        if harms::forget(harms) {
            self.begin();
        }
        self.goes_on();
        let lost: u64 = self.denied.iter().map(|d| d.progress().repeated).sum();
        wait::holds("what is denied to be sent", || {
            self.denied
                .iter()
                .map(|d| d.progress().repeated)
                .sum::<u64>()
                > lost + 1
        });
        let passed = self.served() - before;
        assert!(passed <= 2, "{says}: {passed} denied packets passed: {run}");
        let settled = self.served();
        self.goes_on();
        assert_eq!(self.served(), settled, "{says}: denied packets pass: {run}");
        self.settled = settled;
        let left = self.drift(0);
        let harmful: Vec<&Value> = left.iter().filter(|f| f["harmless"] == false).collect();
        assert_eq!(harmful, [&Value::Null; 0], "{says}: {run}");
        assert_eq!(self.steps(), [""; 0], "{says}");
    }
}

impl Stage<'_> {
    /// Several of them, each named and all mended.
    #[track_caller]
    fn together(&mut self, says: &str, harms: &[&Harm]) -> Vec<Left> {
        let left: Vec<Left> = harms.iter().map(|harm| (harm.act)(self.lab)).collect();
        let found = self.drift(6);
        for (at, harm) in harms.iter().enumerate() {
            let others = [&harms[..at], &harms[at + 1..]].concat();
            // What stands behind judges then.
            let behind = self.behind && harm.part == "links";
            let seen = harm.is_seen_beside(&others) && !behind;
            let named = !seen || is_named(&found, harm);
            assert!(named, "{says}, not named: {}: {found:#?}", harm.says);
        }
        self.mended(says, harms);
        left
    }
}

/// Without numbers, which are others each time.
fn in_words(operation: &Operation) -> String {
    match operation {
        Operation::WriteSlot { .. } => "write slot ROWS".to_owned(),
        Operation::Store { .. } => "store record".to_owned(),
        other => other.to_string(),
    }
}

fn addresses() -> [IpAddr; 2] {
    ["10.44.0.2", "fd44::2"].map(|address| address.parse().unwrap())
}

/// One finding that is as the harm says.
fn is_named(found: &[Value], harm: &Harm) -> bool {
    let (kind, words) = harm.finds;
    found.iter().any(|finding| {
        let says = |field: &str| finding[field].as_str().unwrap_or_default();
        let said = says("what").contains(words) || says("traffic").contains(words);
        says("kind") == kind && said && !says("traffic").is_empty()
    })
}

/// Each alone, one after the other.
fn alone(harms: &[Harm]) {
    Lab::run("drift", |lab| {
        let mut stage = Stage::set(lab);
        for harm in harms {
            let says = harm.says;
            let before = stage.served();
            let left: Left = (harm.act)(lab);
            let found = stage.drift(6);
            assert!(is_named(&found, harm), "{says}: {found:#?}");
            assert_eq!(stage.steps(), harm.steps, "{says}");
            if harm.opens {
                wait::holds("what is denied to pass", || stage.served() > before);
            }
            assert_eq!(stage.served() > before, harm.opens, "{says}: {found:#?}");
            stage.mended(says, &[harm]);
            drop(left);
        }
    });
}

#[test]
fn what_is_pinned_and_attached_is_mended() {
    alone(&pins::HARMS);
}

#[test]
fn rows_the_record_and_entries_are_mended() {
    alone(&tables::HARMS);
}

#[test]
fn interfaces_addresses_routes_and_sysctls_are_mended() {
    alone(&harms::HARMS);
}

#[test]
fn any_of_them_together_are_mended() {
    Lab::run("drift-random", |lab| {
        let mut stage = Stage::set(lab);
        // Both slots hold a commit.
        let another = Policy::new("shop/another").select(&[("app", "web")]);
        let another = another.ingress(&[Rule::new().port("TCP", 80)]);
        for tree in [tree().policy(&another), tree()] {
            lab.repository().hold(&tree);
            stage.commit = lab.repository().commit("another tree");
            drop(lab.reconcile(&[]).ended(0));
        }
        let mut random = Random::new();
        // A slot that bears a wrong name may be gone back to, and then no tree is found.
        let all = ALL.iter().flat_map(|harms| harms.iter());
        let all: Vec<&Harm> = all.filter(|harm| harm.part != "name").collect();
        for round in 0..5 {
            // Mended, a program of others stands behind ours.
            let behind = (round % 2 == 0).then(|| pins::stranger_before(lab));
            stage.behind = behind.is_some();
            drop(lab.reconcile(&[]).ended(0));
            let count = 2 + random.below(3);
            // In this order each finds what it is to harm.
            let chosen: BTreeSet<usize> = (0..count).map(|_| random.below(all.len())).collect();
            let mut harms: Vec<&Harm> = chosen.into_iter().map(|at| all[at]).collect();
            // Some are too much beside others: no run knows the other end of a pair, nothing holds
            // a map any more, or nothing leads to a namespace.
            let all_chosen = harms.clone();
            let too_much = ["mac", "links", "namespace"];
            harms.retain(|harm| !too_much.contains(&harm.part) || harm.is_seen_beside(&all_chosen));
            let says: Vec<&str> = harms.iter().map(|harm| harm.says).collect();
            let says = format!("round {round}: {}", says.join("; "));
            println!("{says}");
            let left = stage.together(&says, &harms);
            drop((left, behind));
        }
    });
}

/// Each of these was met by chance.
#[test]
fn what_one_hides_of_another_is_mended_all_the_same() {
    let met = [
        &["the guard is gone", "a program of others stands before"][..],
        &[
            "a route of the host is gone",
            "the pin of a block is deleted",
            "the pin of a connection map is deleted",
            "a link is replaced by another's",
        ],
        &[
            "the interface inside is renamed",
            "the interface inside has its name as a second one",
        ],
        &[
            "the interface inside is renamed",
            "another interface inside is in the place of ours",
        ],
        &[
            "IPv6 is switched off inside",
            "the default route inside is gone",
        ],
        &["an address is gone", "the default route inside is gone"],
        &[
            "an address has another prefix",
            "a sysctl of the interface is changed",
        ],
        &[
            "entries say what the policy does not",
            "both slots lose all their tables",
        ],
        &[
            "an address has another prefix",
            "a route of the host is gone",
            "the gateway's neighbour entry is gone",
        ],
        &[
            "the pin of a connection map is deleted",
            "all pins of links are deleted",
        ],
        &[
            "another container's connection map is pinned in the place of its own",
            "all pins of links are deleted",
        ],
        &[
            "another container's connection map is pinned in the place of its own",
            "the pin of a link is deleted",
            "a program is swapped for another",
        ],
        &[
            "two interfaces have each other's alias",
            "the namespace has lost its name",
            "a bpffs is mounted over ours",
        ],
    ];
    Lab::run("drift-met", |lab| {
        let mut stage = Stage::set(lab);
        let all = || ALL.iter().flat_map(|harms| harms.iter());
        for says in met {
            let named = |says: &&str| all().find(|harm| harm.says == *says).expect("it is one");
            let harms: Vec<&Harm> = says.iter().map(named).collect();
            drop(stage.together(&says.join("; "), &harms));
        }
    });
}

/// It is not ours to remove, and what is done is told by whoever is to do it.
#[test]
fn a_route_of_others_in_the_place_of_ours_is_named_and_refused() {
    Lab::run("drift-route", |lab| {
        let mut stage = Stage::set(lab);
        lab.alpha().net().ip("route replace unreachable 10.44.0.2");
        let words = "the host has a route of others to 10.44.0.2; remove it";
        let named = |finding: &Value| {
            let what = finding["what"].as_str().unwrap();
            finding["kind"] == "collision" && what.contains(words)
        };
        let found = stage.drift(6);
        assert!(found.iter().any(named), "{found:#?}");
        let told = lab.reconcile(&["drift"]).ended(6);
        assert!(told.stdout.contains("which no run mends"), "{told}");
        let refused = lab.reconcile(&[]).ended(4);
        assert!(refused.stderr.contains(words), "{refused}");
        stage.goes_on();
        lab.alpha().net().ip("route delete unreachable 10.44.0.2");
        stage.mended("the route of others is gone", &[]);
    });
}

#[test]
fn a_program_of_others_behind_ours_is_named_and_harmless() {
    Lab::run("drift-behind", |lab| {
        let mut stage = Stage::set(lab);
        let stranger = pins::stranger_before(lab);
        stage.drift(6);
        stage.mended("behind", &[]);
        let found = stage.drift(0);
        let behind =
            |finding: &&Value| finding["kind"] == "stranger" && finding["container"] == ENDS[1];
        assert_eq!(found.iter().filter(behind).count(), 2, "{found:#?}");
        drop(stranger);
        wait::holds("it to be gone", || stage.drift(0).is_empty());
    });
}
