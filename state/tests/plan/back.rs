//! Going back: by one store or by the ordinary apply, to the old commit whole, and never to a slot
//! that somebody has begun to write. (The simulated host refuses a store to one.)

use std::cell::Cell;

use proptest::prelude::any;
use state::documents::Documents;
use state::live::{HELD_MOST, Live};
use state::plan::back::{Obstacle, Way, check_hold, held_after, previous};
use state::plan::{Kind, Operation, Phase, Plan};

use super::damage::damages;
use super::lab::{Lab, Planned, stops};
use super::{hold_trees, law, show, trees::trees};
use crate::random::run::hold;

/// Two trees that differ in policies alone.
fn other_policies(trees: &[Documents]) -> [Documents; 2] {
    let mut new = trees[0].clone();
    new.policies.clone_from(&trees[1].policies);
    new.namespaces.clone_from(&trees[1].namespaces);
    [trees[0].clone(), new]
}

fn begin(trees: &[Documents]) -> Result<Lab, String> {
    let mut lab = Lab::default();
    lab.run(&trees[0], "c1")?;
    lab.run(&trees[1], "c2")?;
    Ok(lab)
}

fn way(planned: &Planned) -> Result<&Way, String> {
    planned.plan.back.as_ref().ok_or("a way is told".to_owned())
}

/// One store, and nothing that prepares.
fn is_one_store(plan: &Plan) -> bool {
    let operations = |phase| plan.phase(phase).collect::<Vec<_>>();
    let settle = operations(Phase::Settle);
    operations(Phase::Prepare).is_empty()
        && matches!(
            operations(Phase::Verify)[..],
            [Operation::ConfirmSlot { .. }]
        )
        && matches!(operations(Phase::Commit)[..], [Operation::Store { .. }])
        && matches!(
            settle[..],
            [Operation::Barrier, Operation::MarkSettled { .. }]
        )
}

#[test]
fn a_commit_of_policy_alone_is_taken_back_by_one_store() {
    let stores = Cell::new(0);
    hold_trees(1_000, 2, |trees| {
        let trees = other_policies(trees);
        let mut lab = begin(&trees)?;
        let planned = lab.back(&trees[0], "c1")?;
        if planned.plan.kind == Kind::Rename {
            return law(way(&planned)? == &Way::Apply(Obstacle::Same), "it is told");
        }
        law(way(&planned)? == &Way::Store, "a store is the way")?;
        law(is_one_store(&planned.plan), "one store is all it does")?;
        stores.set(stores.get() + 1);
        Ok(())
    });
    assert!(stores.get() > 100, "{} stores", stores.get());
}

#[test]
fn going_back_is_one_store_or_what_an_ordinary_run_would_do() {
    let ways = [Cell::new(0), Cell::new(0)];
    hold_trees(1_000, 2, |trees| {
        let mut lab = begin(trees)?;
        let ordinary = lab.plan(&trees[0], "c1").plan;
        let planned = lab.back(&trees[0], "c1")?;
        law(
            planned.plan.to == ordinary.to,
            "it takes a generation of its own",
        )?;
        law(
            planned.plan.held == ["c2"],
            "what is gone back from is held",
        )?;
        match way(&planned)? {
            Way::Store => {
                ways[0].set(ways[0].get() + 1);
                law(is_one_store(&planned.plan), "one store is all it does")
            }
            Way::Apply(_) => {
                ways[1].set(ways[1].get() + 1);
                law(
                    planned.plan.steps == ordinary.steps,
                    "it is the ordinary plan",
                )
            }
        }
    });
    assert!(ways.iter().all(|count| count.get() > 20), "{ways:?}");
}

/// T2 of the planning: runs die, strangers do damage, and only then somebody goes back; that may
/// die, too.
#[test]
fn whatever_died_before_going_back_ends_in_the_old_commit_whole() {
    let shown = |(trees, stop, damages, again, alike): &(Vec<Documents>, _, Vec<_>, _, bool)| {
        let runs = format!("{stop:?}\n{damages:#?}\n{again:?}\n{alike}");
        format!("{}{runs}", show(trees))
    };
    let parts = (trees(3), stops(), damages(1), stops(), any::<bool>());
    hold(
        4_000,
        parts,
        shown,
        |(trees, stop, damages, again, alike)| {
            let mut trees = trees.clone();
            if *alike {
                let [_, second] = other_policies(&trees);
                let [_, third] = other_policies(&[trees[0].clone(), trees[2].clone()]);
                (trees[1], trees[2]) = (second, third);
            }
            let mut lab = begin(&trees)?;
            lab.run_to(&trees[2], "c3", stop)?;
            damages.iter().for_each(|damage| lab.world.suffer(damage));
            let mut dies = lab.clone();
            lab.back(&trees[0], "c1")?;
            // One that dies is completed by the next, whichever that is.
            dies.back_to(&trees[0], "c1", again)?;
            dies.clone()
                .back(&trees[0], "c1")
                .map(drop)
                .or_else(|error| {
                    // It may be live already: then there is nothing to go back to.
                    dies.clone()
                        .run(&trees[0], "c1")
                        .map(drop)
                        .map_err(|_| error)
                })?;
            dies.run(&trees[2], "c3").map(drop)
        },
    );
}

#[test]
fn what_the_kernel_knows_of_the_commit_before() {
    hold_trees(300, 3, |trees| {
        let mut lab = begin(trees)?;
        let known = |lab: &Lab| {
            let live = lab.live();
            let base = live.base.ok_or("there is no base")?;
            Ok::<_, String>(previous(&base).map(|slot| slot.commit.clone()))
        };
        // A commit with the same target took the name of the first.
        if lab
            .live()
            .base
            .is_some_and(|base| base.record.generation.0 == 1)
        {
            return Ok(());
        }
        law(known(&lab)?.as_deref() == Some("c1"), "c1 was before")?;
        let planned = lab.plan(&trees[2], "c3");
        let begun = planned.plan.steps.iter().position(|step| {
            let operation = &step.operation;
            matches!(operation, Operation::MarkPreparing { .. })
        });
        if let Some(at) = begun {
            lab.do_first(&planned, at + 1)?;
            law(known(&lab)?.is_none(), "a slot that is written was nothing")?;
        }
        Ok(())
    });
}

fn is_held(live: &Live, commit: &str) -> bool {
    check_hold(live, commit, false).is_err()
}

#[test]
fn what_was_gone_back_from_is_held_until_another_commit_is_head() {
    hold_trees(500, 3, |trees| {
        let mut lab = begin(trees)?;
        lab.back(&trees[0], "c1")?;
        let live = lab.live();
        law(
            is_held(&live, "c2") && !is_held(&live, "c3"),
            "c2 alone is held",
        )?;
        law(check_hold(&live, "c2", true).is_ok(), "unless it is lifted")?;
        law(
            held_after(&live, "c1", true) == ["c2"],
            "named, it stays held",
        )?;
        law(
            held_after(&live, "c3", false).is_empty(),
            "else HEAD has moved",
        )?;
        law(
            held_after(&live, "c2", true).is_empty(),
            "what is live is not held",
        )?;
        lab.run(&trees[2], "c3")?;
        law(!is_held(&lab.live(), "c2"), "nothing is held any more")
    });
}

/// Whoever goes back twice has left two, and `HEAD` is the first of them.
#[test]
fn what_was_gone_back_from_before_is_held_too() {
    hold_trees(300, 3, |trees| {
        let mut lab = begin(trees)?;
        lab.run(&trees[2], "c3")?;
        lab.back(&trees[1], "c2")?;
        lab.back(&trees[0], "c1")?;
        let live = lab.live();
        law(
            is_held(&live, "c3") && is_held(&live, "c2") && !is_held(&live, "c1"),
            "both are held",
        )?;
        lab.back(&trees[2], "c3")?;
        let live = lab.live();
        law(
            !is_held(&live, "c3") && is_held(&live, "c2") && is_held(&live, "c1"),
            "what was asked for is not",
        )
    });
}

#[test]
fn as_many_are_held_as_there_is_room_for_and_the_first_always() {
    hold_trees(20, 2, |trees| {
        let mut lab = begin(trees)?;
        let names: Vec<String> = (0..HELD_MOST + 3).map(|n| format!("b{n}")).collect();
        for (at, name) in names.iter().enumerate() {
            lab.back(&trees[at % 2], name)?;
        }
        let live = lab.live();
        law(is_held(&live, "c2"), "the one that HEAD is")?;
        law(is_held(&live, &names[HELD_MOST + 1]), "the last one")?;
        let held = names.iter().filter(|name| is_held(&live, name)).count();
        law(held == HELD_MOST - 1, "and as many between")
    });
}
