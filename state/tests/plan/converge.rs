//! Every run ends in what the tree asks, whatever it began with, and the next has nothing to do.

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use state::documents::Documents;

use super::damage::{Damage, damages};
use super::lab::{Lab, Stop, stops};
use super::{hold_trees, show, trees::trees};
use crate::random::run::hold;

const COMMITS: [&str; 4] = ["c1", "c2", "c3", "c4"];

#[test]
fn a_run_makes_the_host_what_the_tree_asks_and_the_next_does_nothing() {
    hold_trees(1_000, 4, |trees| {
        let mut lab = Lab::default();
        for (tree, commit) in trees.iter().zip(COMMITS) {
            lab.run(tree, commit)?;
        }
        Ok(())
    });
}

/// Two trees applied, and what was done to the host afterwards.
fn damaged() -> impl Strategy<Value = (Vec<Documents>, Vec<Damage>)> {
    (trees(3), damages(3))
}

#[test]
fn whatever_strangers_did_is_mended() {
    hold(
        1_500,
        damaged(),
        |(trees, _)| show(trees),
        |(trees, damages)| {
            let mut lab = Lab::default();
            lab.run(&trees[0], "c1")?;
            lab.run(&trees[1], "c2")?;
            damages.iter().for_each(|damage| lab.world.suffer(damage));
            // The same commit once more, or another.
            let mut other = lab.clone();
            lab.run(&trees[1], "c2")?;
            other.run(&trees[2], "c3")?;
            Ok(())
        },
    );
}

/// Up to three runs that end early, each of any tree.
fn stopped() -> impl Strategy<Value = (Vec<Documents>, Vec<(usize, Stop)>, Vec<Damage>)> {
    let early = proptest::collection::vec((0..3_usize, stops()), 1..4);
    (trees(3), early, damages(1))
}

/// T2 and S3 of the planning: a run may die anywhere, and more than one.
#[test]
fn a_run_that_died_is_completed_or_undone_by_the_next() {
    let show = |(trees, early, damages): &(Vec<Documents>, Vec<(usize, Stop)>, Vec<Damage>)| {
        format!("{}{early:#?}\n{damages:#?}", show(trees))
    };
    hold(4_000, stopped(), show, |(trees, early, damages)| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        for (tree, stop) in early {
            lab.run_to(&trees[*tree], COMMITS[*tree], stop)?;
        }
        damages.iter().for_each(|damage| lab.world.suffer(damage));
        for (tree, commit) in trees.iter().zip(COMMITS) {
            lab.clone().run(tree, commit)?;
        }
        Ok(())
    });
}

/// The very first run, on an empty host.
#[test]
fn the_first_run_may_die_too() {
    let first = (trees(2), stops(), any::<bool>());
    hold(
        1_500,
        first,
        |(trees, stop, _)| format!("{}{stop:?}", show(trees)),
        |(trees, stop, same)| {
            let mut lab = Lab::default();
            lab.run_to(&trees[0], "c1", stop)?;
            let (tree, commit) = if *same { (0, "c1") } else { (1, "c2") };
            lab.run(&trees[tree], commit)?;
            Ok(())
        },
    );
}

/// Another version of the datapath, other blocks or other programs or both, and a run of it that
/// dies.
#[test]
fn another_datapath_is_swapped_in_and_nothing_of_the_old_is_left() {
    let upgrade = (
        trees(2),
        stops(),
        select(&[(1, 9), (9, 2), (9, 9)][..]),
        any::<bool>(),
    );
    hold(
        1_500,
        upgrade,
        |(trees, ..)| show(trees),
        |(trees, stop, (container, blocks), dies)| {
            let mut lab = Lab::default();
            lab.run(&trees[0], "c1")?;
            lab.datapath.container_code = [*container; 32];
            lab.datapath.block_code = [*blocks; 32];
            if *dies {
                lab.run_to(&trees[0], "c1", stop)?;
            }
            // The version before, too: a downgrade.
            let mut back = lab.clone();
            back.datapath = Lab::default().datapath;
            back.run(&trees[1], "c2")?;
            lab.run(&trees[0], "c1")?;
            lab.run(&trees[1], "c2")?;
            Ok(())
        },
    );
}
