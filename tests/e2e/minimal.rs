//! A run writes what its plan says and no more, counted at its system calls.

use std::process::Command;

use rig::calls::{self, Calls};
use rig::ids::{Held, Object};
use rig::lab::{Lab, binary};
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::Value;

use crate::kernel::{builds, everything, kernel, named};

/// How many policies there are beside those that a test is about.
const CROWD: usize = 10_000;

fn container(number: u16) -> Container {
    Container::numbered(&format!("shop/c{number}"), number).label("app", &format!("c{number}"))
}

/// Many policies, each with a range of its own, for one of `containers`.
fn crowd(tree: Tree, count: usize, containers: usize) -> Tree {
    (0..count).fold(tree, |tree, number| {
        let app = format!("c{}", 1 + number % containers);
        let block = format!("172.{}.{}.0/24", 16 + number / 256 % 16, number % 256);
        let port = 1_000 + u16::try_from(number / 4_096).unwrap();
        let rule = Rule::new().block(&block, &[]).port("TCP", port);
        let policy = Policy::new(&format!("shop/p{number}"));
        tree.policy(&policy.select(&[("app", &app)]).ingress(&[rule]))
    })
}

/// Commits a tree; the plan for it, and what applying it asked of the kernel.
fn apply(lab: &Lab, tree: &Tree) -> (Value, Calls) {
    lab.repository().hold(tree);
    lab.repository().commit("a tree");
    let plan = lab.reconcile(&["-n", "-o", "json"]).json();
    let mut command = Command::new(binary().unwrap());
    command
        .arg("-C")
        .arg(lab.repository().path())
        .args(["--host", "alpha"]);
    let (code, calls) = calls::count(&mut command);
    assert_eq!(code, 0);
    (plan, calls)
}

fn rows(plan: &Value) -> usize {
    let count = |name: &str| usize::try_from(plan["counts"][name].as_u64().unwrap()).unwrap();
    count("rowsPut") + count("rowsDeleted")
}

fn asked(calls: &Calls, what: &str) -> usize {
    calls.get(what).copied().unwrap_or_default()
}

/// What is there now and was not before; all else is as it was.
fn made_since(before: &Held, after: &Held) -> Vec<Object> {
    assert_eq!(after.counts(), before.counts());
    assert_eq!(after.pins, before.pins);
    assert_eq!(after.interfaces, before.interfaces);
    let made = after.objects.difference(&before.objects);
    made.copied().collect()
}

/// A commit of policy alone: its rows, and nothing else that lasts.
fn rows_alone(plan: &Value, calls: &Calls) {
    assert_eq!(asked(calls, "rows"), rows(plan), "{calls:?}\n{plan:#}");
    let others = calls
        .keys()
        .filter(|what| !["rows", "marks"].contains(what));
    assert_eq!(others.count(), 0, "{calls:?}");
    assert_eq!(plan["counts"]["programs"], 0);
}

#[test]
fn one_rule_among_ten_thousand_is_its_rows() {
    Lab::run("one rule", |lab| {
        let tree = |port| {
            let tree = (1..=4)
                .map(container)
                .fold(Tree::new(), |tree, c| tree.container(&c));
            let rule = Rule::new().containers(&[("app", "c2")]).port("TCP", port);
            let mine = Policy::new("shop/mine").select(&[("app", "c1")]);
            crowd(tree, CROWD, 4).policy(&mine.ingress(&[rule]))
        };
        apply(lab, &tree(80));
        // The other slot catches up.
        apply(lab, &tree(81));
        let (before, was) = everything(lab);
        let (plan, calls) = apply(lab, &tree(82));
        rows_alone(&plan, &calls);
        // They are all in the slot that was not live.
        let is = kernel().live().unwrap().base;
        let slot = was.base.record.slot;
        assert_eq!(is.record.slot, slot.other());
        assert_eq!(is.slot(slot), was.base.live_slot());
        assert!((1..=8).contains(&rows(&plan)), "{plan:#}");
        let made = made_since(&before, &Held::by(&lab.alpha()));
        // The map that a barrier puts in the place of another.
        assert!(matches!(made[..], [Object::Map(_)]), "{made:?}");
    });
}

#[test]
fn an_address_makes_the_programs_of_its_container_anew_and_a_label_none() {
    Lab::run("address", |lab| {
        let tree = |moves: u16, label: &str| {
            let first = Container::numbered("shop/c1", moves).label("app", "c1");
            let tree = Tree::new().container(&first.label("build", label));
            let tree = (2..=4)
                .map(container)
                .fold(tree, |tree, c| tree.container(&c));
            let rule = Rule::new().containers(&[("app", "c1")]).port("TCP", 80);
            let policy = Policy::new("shop/c2").select(&[("app", "c2")]);
            tree.policy(&policy.ingress(&[rule]))
        };
        apply(lab, &tree(1, "1"));
        let (before, made) = (Held::by(&lab.alpha()), builds());
        let (plan, calls) = apply(lab, &tree(1, "2"));
        assert_eq!(plan["kind"], "rename");
        let marks: Calls = [("marks", 1)].into();
        assert_eq!(calls, marks);
        assert_eq!(Held::by(&lab.alpha()), before);

        let (plan, calls) = apply(lab, &tree(9, "2"));
        // A build for both addresses, then a plain one: two programs each.
        assert_eq!(asked(&calls, "link update"), 4, "{calls:?}");
        assert_eq!(asked(&calls, "rows"), rows(&plan), "{calls:?}");
        let none = ["link create", "pin"].map(|what| asked(&calls, what));
        assert_eq!(none, [0; 2], "{calls:?}");
        let mut others = [made, builds()];
        let own = others.each_mut().map(|all| all.remove(&named("shop/c1")));
        assert!(own[0] != own[1] && others[0] == others[1], "{others:?}");
        let mut made = made_since(&before, &Held::by(&lab.alpha()));
        // Each has a map of constants, and a barrier puts one in the place of another.
        made.retain(|object| !matches!(object, Object::Map(_)));
        assert!(
            matches!(made[..], [Object::Program(_), Object::Program(_)]),
            "{made:?}"
        );
    });
}

#[test]
fn a_label_that_is_named_first_touches_who_carries_it() {
    Lab::run("label", |lab| {
        let tree = |named: bool| {
            let tree = (1..=40).fold(Tree::new(), |tree, number| {
                let carries = number <= 2;
                let one = container(number);
                tree.container(&if carries {
                    one.label("zone", "dmz")
                } else {
                    one
                })
            });
            let all = Policy::new("shop/all").ingress(&[Rule::new().port("TCP", 80)]);
            let zone = Policy::new("shop/zone").select(&[("zone", "dmz")]);
            let tree = tree.policy(&all);
            match named {
                true => tree.policy(&zone.ingress(&[Rule::new().port("TCP", 81)])),
                false => tree,
            }
        };
        apply(lab, &tree(false));
        let (plan, calls) = apply(lab, &tree(true));
        assert_eq!(plan["counts"]["programs"], 0);
        let changed: Vec<&Value> = plan["objects"].as_array().unwrap().iter().collect();
        let names: Vec<String> = changed
            .iter()
            .flat_map(|object| object["containers"].as_array().unwrap().clone())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["shop/c1", "shop/c2"], "{plan:#}");
        let rows_changed = plan["counts"]["rowsChanged"].as_u64().unwrap();
        assert!(rows_changed <= 16, "{plan:#}");
        assert_eq!(asked(&calls, "rows"), rows(&plan), "{calls:?}");
    });
}
