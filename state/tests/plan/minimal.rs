//! No run does more than it must, and the same input gives the same plan.

use proptest::prelude::{Strategy, any};
use proptest::sample::Index;
use state::diff::{Delta, TableDelta};
use state::documents::network_policy::PortNumber;
use state::documents::{Documents, NetworkPolicy};
use state::plan::{Kind, Operation, Phase, Plan};
use state::target::Tables;
use state::words::generation::Generation;

use super::lab::{Lab, Planned};
use super::{hold_trees, law, show, trees::trees};
use crate::random::run::hold;

/// The operations that load, attach or move anything that runs.
fn programs(plan: &Plan) -> usize {
    let steps = plan.steps.iter();
    let loads = steps.filter(|step| {
        matches!(
            step.operation,
            Operation::Attach { .. }
                | Operation::Swap { .. }
                | Operation::ReplaceBlocks
                | Operation::CreateConnections { .. }
                | Operation::ResizeConnections { .. }
        )
    });
    loads.count()
}

/// The rows that a plan writes.
fn written(plan: &Plan) -> Delta {
    let writes = plan
        .phase(Phase::Prepare)
        .find_map(|operation| match operation {
            Operation::WriteSlot { delta, .. } => Some(delta.clone()),
            _ => None,
        });
    writes.unwrap_or_default()
}

fn same_containers(one: &Documents, two: &Documents) -> Documents {
    Documents {
        policies: two.policies.clone(),
        ..one.clone()
    }
}

#[test]
fn nothing_differs_from_itself() {
    hold_trees(500, 2, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let Planned {
            differences, plan, ..
        } = lab.plan(&trees[0], "c1");
        law(
            differences.is_empty() && plan.is_empty(),
            "same commit, same target: no write",
        )?;
        law(
            plan.kind == Kind::Nothing && plan.from == plan.to,
            "the record stays",
        )?;
        // Another commit of the same tree.
        let before = lab.world.clone();
        let renamed = lab.run(&trees[0], "c2")?.plan;
        law(
            renamed.kind == Kind::Rename && renamed.steps.len() == 1,
            "one write",
        )?;
        let base = lab.world.base.as_mut().ok_or("there is no base")?;
        for slot in &mut base.slots {
            if slot.commit == "c2" {
                (slot.commit, slot.tree) = ("c1".to_owned(), "tree of c1".to_owned());
            }
        }
        law(before == lab.world, "of the commit's name alone")
    });
}

#[test]
fn a_change_of_policy_alone_touches_no_program_no_map_and_no_network() {
    hold_trees(1_000, 2, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let containers = lab.world.containers.clone();
        let plan = lab.run(&same_containers(&trees[0], &trees[1]), "c2")?.plan;
        law(programs(&plan) == 0, "nothing is loaded")?;
        law(
            containers == lab.world.containers,
            "containers stay as they are",
        )?;
        let delta = written(&plan);
        law(delta.endpoints.delete.is_empty(), "endpoints stay")
    });
}

#[test]
fn a_change_of_labels_loads_nothing() {
    hold_trees(500, 2, |trees| {
        let mut other = trees[0].clone();
        for (container, of) in other.containers.iter_mut().zip(&trees[1].containers) {
            container.labels = of.labels.clone();
        }
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let plan = lab.run(&other, "c2")?.plan;
        law(programs(&plan) == 0, "nothing is loaded")
    });
}

/// A container that comes or goes moves no other.
#[test]
fn who_comes_or_goes_touches_nobody_else() {
    hold(
        1_000,
        (trees(1), any::<Index>()),
        |(trees, _)| show(trees),
        |(trees, index)| {
            let all = &trees[0];
            if all.containers.is_empty() {
                return Ok(());
            }
            let mut fewer = all.clone();
            let one = fewer.containers.remove(index.index(fewer.containers.len()));
            let mut lab = Lab::default();
            for (tree, commit) in [(all, "c1"), (&fewer, "c2"), (all, "c3")] {
                let plan = lab.run(tree, commit)?.plan;
                let touched = plan
                    .steps
                    .iter()
                    .filter_map(|step| step.operation.container());
                if commit != "c1" {
                    law(
                        touched.clone().all(|name| *name == one.name),
                        "nobody else is touched",
                    )?;
                }
            }
            Ok(())
        },
    );
}

/// Numbers move by one: whom a policy selects and names stays.
fn edit_ports(policy: &mut NetworkPolicy) {
    let rules = [&mut policy.ingress, &mut policy.egress];
    for port in rules
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|r| r.ports.as_mut())
        .flatten()
    {
        if let PortNumber::Range(first, last) = &mut port.number {
            *last = last.saturating_add(1);
            *first = first.saturating_add(1);
        }
    }
}

/// An edit of one policy writes the rows that differ, and none twice: each slot catches up by its
/// own delta, and once both hold the same there is nothing to write.
#[test]
fn only_rows_that_differ_are_written_and_each_slot_catches_up() {
    hold(
        1_000,
        (trees(1), any::<Index>()),
        |(trees, _)| show(trees),
        |(trees, index)| {
            let old = &trees[0];
            if old.policies.is_empty() {
                return Ok(());
            }
            let mut new = old.clone();
            edit_ports(index.get_mut(&mut new.policies));
            let mut lab = Lab::default();
            let mut again = |tree: &Documents| -> Result<Planned, String> {
                // A row of others makes a commit of the same tree.
                if let Some(base) = &mut lab.world.base {
                    let live = base.record.slot;
                    base.slot(live).foreign = 1;
                }
                lab.run(tree, "c1")
            };
            again(old)?;
            again(old)?;
            // Both slots are the old tree.
            let steady = again(old)?;
            law(
                written(&steady.plan).is_empty(),
                "what both slots hold is not written again",
            )?;
            let first = again(&new)?;
            law(
                written(&first.plan) == first.plan.rows,
                "the first slot gets what changes",
            )?;
            let second = again(&new)?;
            law(
                written(&second.plan) == written(&first.plan),
                "the second catches up",
            )?;
            let third = again(&new)?;
            law(written(&third.plan).is_empty(), "and then both hold it")?;
            is_smallest(
                &written(&first.plan),
                &steady.target.tables,
                &first.target.tables,
            )
        },
    );
}

/// That a delta has no row that both have.
fn is_smallest(delta: &Delta, old: &Tables, new: &Tables) -> Result<(), String> {
    fn table<K: Ord + Clone, V: PartialEq + Clone>(
        delta: &TableDelta<K, V>,
        old: &std::collections::BTreeMap<K, V>,
        new: &std::collections::BTreeMap<K, V>,
    ) -> bool {
        let put = delta.put.iter();
        let deleted = delta.delete.iter();
        put.into_iter()
            .all(|(k, v)| old.get(k) != Some(v) && new.get(k) == Some(v))
            && deleted
                .into_iter()
                .all(|k| old.contains_key(k) && !new.contains_key(k))
    }
    law(
        table(&delta.addresses, &old.addresses, &new.addresses)
            && table(&delta.policy, &old.policy, &new.policy)
            && table(&delta.rulesets, &old.rulesets, &new.rulesets),
        "only rows that differ are written",
    )
}

/// The order of documents changes nothing, and a plan made twice is the same to the byte.
#[test]
fn the_same_input_gives_the_same_plan() {
    let shuffled = trees(2).prop_flat_map(|trees| {
        let containers = proptest::prelude::Just(trees[1].containers.clone()).prop_shuffle();
        let policies = proptest::prelude::Just(trees[1].policies.clone()).prop_shuffle();
        (proptest::prelude::Just(trees), containers, policies)
    });
    hold(
        500,
        shuffled,
        |(trees, ..)| show(trees),
        |(trees, containers, policies)| {
            let mut lab = Lab::default();
            lab.run(&trees[0], "c1")?;
            let other = Documents {
                containers: containers.clone(),
                policies: policies.clone(),
                ..trees[1].clone()
            };
            let (one, two) = (lab.plan(&trees[1], "c2"), lab.plan(&other, "c2"));
            law(
                format!("{:?}", one.plan) == format!("{:?}", two.plan),
                "one plan",
            )
        },
    );
}

/// A commit takes the next generation and the other slot, whatever happened before.
#[test]
fn a_generation_is_the_next_and_its_slot_the_other() {
    hold_trees(300, 4, |trees| {
        let mut lab = Lab::default();
        let mut last = Generation(0);
        for (tree, commit) in trees.iter().zip(["c1", "c2", "c3", "c4"]) {
            let plan = lab.run(tree, commit)?.plan;
            if plan.kind == Kind::Commit {
                law(plan.to.generation == last.next(), "the next generation")?;
                law(plan.to.slot == plan.from.slot.other(), "the other slot")?;
            } else {
                law(plan.to == plan.from, "no store")?;
            }
            last = plan.to.generation;
        }
        Ok(())
    });
}
