//! What a run does is what its plan says, for random pairs of trees on the real kernel: the calls
//! that change it are those of the plan's operations, and what is there afterwards is what was, and
//! what the plan makes, less what it removes.
//!
//! `state/tests/plan` holds the same on a simulated host for many more pairs.

use std::collections::BTreeSet;
use std::process::Command;

use rig::calls::{self, Calls};
use rig::ids::Held;
use rig::lab::{Lab, binary};
use rig::random::Random;
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::{Value, json};
use state::diff::Detached;
use state::plan::{Operation, Plan};

use crate::pipeline::{planned, request};

/// How many trees follow one another in a run.
const TREES: usize = 6;
const NAMES: usize = 5;

/// Some containers with addresses and quotas of two kinds each, some policies, in any mixture.
fn tree(random: &mut Random) -> Tree {
    let mut tree = Tree::new();
    for name in 1..=NAMES {
        if random.below(4) == 0 {
            continue;
        }
        let number = u16::try_from(name + NAMES * random.below(2)).unwrap();
        let container = Container::numbered(&format!("shop/c{name}"), number)
            .label("app", &format!("c{name}"))
            .label("zone", ["dmz", "core"][random.below(2)])
            .spec("connections", json!([64, 128][random.below(2)]));
        tree = tree.container(&container);
        if random.below(2) == 0 {
            let port = 80 + u16::try_from(random.below(3)).unwrap();
            let rule = Rule::new().port("TCP", port);
            let rule = match random.below(3) {
                0 => rule.block("172.16.0.0/16", &[]),
                1 => rule.containers(&[("zone", "dmz")]),
                _ => rule,
            };
            let select = [("app", &format!("c{name}")[..])];
            let policy = Policy::new(&format!("shop/p{name}")).select(&select);
            tree = tree.policy(&match random.below(2) {
                0 => policy.ingress(&[rule]),
                _ => policy.egress(&[rule]),
            });
        }
    }
    tree
}

/// What a plan's operations ask of the kernel, and how often.
fn of_the_plan(plan: &Plan) -> Calls {
    let mut calls = Calls::new();
    let mut asks = |what, count| *calls.entry(what).or_default() += count;
    for step in &plan.steps {
        match &step.operation {
            Operation::WriteSlot { delta, foreign, .. } => asks("rows", delta.len() + foreign),
            Operation::CreateConnections { .. } => asks("pin", 4),
            Operation::ResizeConnections { attached, .. } => {
                asks("pin", 1);
                asks("programs", if *attached { 2 } else { 0 });
                asks("link update", if *attached { 2 } else { 0 });
            }
            Operation::Swap { .. } => {
                asks("programs", 2);
                asks("link update", 2);
            }
            Operation::Attach { why, .. } => {
                assert_eq!(*why, Detached::Missing, "nobody has been there");
                asks("programs", 2);
                asks("link create", 2);
                asks("pin", 2);
                // What interfaces of a new namespace start with, then `forwarding` of IPv4 and
                // `accept_ra` of IPv6 of the host's end.
                asks("sysctls", 9 + 2);
            }
            Operation::SetSysctl { .. } => asks("sysctls", 1),
            Operation::Remove { .. } => asks("link detach", 2),
            _ => {}
        }
    }
    calls.retain(|_, count| *count > 0);
    calls
}

/// The calls of a run are those of its plan. How many messages of rtnetlink an operation takes, and
/// what a mark or a barrier writes, is not told there: only that there are none without one.
fn executed(made: &Calls, plan: &Plan) {
    let operations = || plan.steps.iter().map(|step| &step.operation);
    let networks = operations().any(|operation| {
        matches!(
            operation,
            Operation::EnsureNetwork { .. }
                | Operation::OpenNetwork { .. }
                | Operation::TrimNetwork { .. }
                | Operation::Remove { .. }
        )
    });
    assert_eq!(made.contains_key("netlink"), networks, "{made:?}");
    assert_eq!(made.contains_key("marks"), !plan.is_empty(), "{made:?}");
    let endpoints = operations().any(|operation| {
        matches!(operation, Operation::WriteSlot { delta, .. } if !delta.endpoints.is_empty())
    });
    assert!(endpoints || !made.contains_key("interfaces"), "{made:?}");
    let mut counted = made.clone();
    counted.retain(|what, _| !["netlink", "marks", "interfaces"].contains(what));
    let base = |operation: &Operation| matches!(operation, Operation::CreateBase);
    let mut said = of_the_plan(plan);
    if operations().any(base) {
        // How many pins the base has is no word of a plan, and the kernel is tried out before it is
        // made, in a namespace of that trial's own and with programs of a container.
        *said.entry("programs").or_default() += 2;
        for calls in [&mut counted, &mut said] {
            calls.retain(|what, _| !["pin", "link create", "sysctls"].contains(what));
        }
    }
    assert_eq!(counted, said, "{:#?}", plan.steps);
}

/// Nothing of a container is another than before, or gone, or new, but of those that the plan is
/// about: its pins, its interface and its namespace.
fn nobody_else(before: &Held, after: &Held, touched: &BTreeSet<String>) {
    let changed = |before: &BTreeSet<String>, after: &BTreeSet<String>| {
        let changed = before.symmetric_difference(after);
        changed.cloned().collect::<Vec<_>>()
    };
    let names = changed(&before.namespaces, &after.namespaces);
    let of = |name: &String| touched.contains(&name.replacen('.', "/", 1));
    assert!(names.iter().all(of), "{names:?}, {touched:?}");
    let pins = changed(&before.pins, &after.pins);
    let of = |pin: &&String| touched.iter().any(|name| pin.contains(&format!("/{name}")));
    let others: Vec<&String> = pins.iter().filter(|pin| !of(pin)).collect();
    let base = before.pins.len() <= 2;
    assert!(base || others.is_empty(), "{others:?}, {touched:?}");
}

/// Who the plan's operations are about.
fn touched(plan: &Plan) -> BTreeSet<String> {
    let operations = plan.steps.iter().map(|step| &step.operation);
    let touched = operations.filter(|operation| !matches!(operation, Operation::Check { .. }));
    touched
        .filter_map(|operation| operation.container())
        .map(ToString::to_string)
        .collect()
}

/// What the dry run prints is about these containers, and counts these programs and rows.
fn printed(printed: &Value, plan: &Plan) {
    let said = of_the_plan(plan);
    let said = ["programs", "rows"].map(|what| said.get(what).copied().unwrap_or_default());
    let counts = ["programs", "rowsPut", "rowsDeleted"];
    let [programs, put, deleted] =
        counts.map(|name| usize::try_from(printed["counts"][name].as_u64().unwrap()).unwrap());
    assert_eq!([programs, put + deleted], said, "{printed:#}");
    let objects = printed["objects"].as_array().unwrap().iter();
    let named: BTreeSet<String> = objects
        .filter(|object| object["type"] == "container")
        .map(|object| object["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(named, touched(plan));
}

#[test]
fn what_is_executed_is_what_the_plan_says() {
    let mut random = Random::new();
    Lab::run("executed", |lab| {
        for _ in 0..TREES {
            lab.repository().hold(&tree(&mut random));
            let commit = lab.repository().commit("a tree");
            let plan = planned(&request(lab, &commit)).plan;
            let arguments = ["--allow-empty", "--max-prune", "100%"];
            let mut dry = vec!["-n", "-o", "json"];
            dry.extend(arguments);
            printed(&lab.reconcile(&dry).json(), &plan);
            let before = Held::by(&lab.alpha());
            let mut command = Command::new(binary().unwrap());
            command.arg("-C").arg(lab.repository().path());
            command.args(["--host", "alpha"]).args(arguments);
            let (code, made) = calls::count(&mut command);
            assert_eq!(code, 0);
            executed(&made, &plan);
            nobody_else(&before, &Held::by(&lab.alpha()), &touched(&plan));
        }
        lab.reconcile(&["detach"]).succeed();
    });
}
