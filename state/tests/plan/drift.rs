//! Drift is what the next run of the live commit would mend, and nothing else is.

use state::diff::{Delta, TableDelta};
use state::drift::{Finding, Kind, drift, needs_attention};
use state::live::Entry;
use state::plan;
use state::target::tables::Tables;

use super::damage::damages;
use super::lab::{Lab, Planned};
use super::{hold_trees, law, show, trees::trees};
use crate::random::run::hold;

fn found(planned: &Planned, entries: &[Entry]) -> Vec<Finding> {
    drift(
        Some(&planned.target),
        &planned.live,
        entries,
        &planned.datapath,
    )
}

#[test]
fn there_is_none_after_a_run() {
    hold_trees(300, 3, |trees| {
        let mut lab = Lab::default();
        for (tree, commit) in trees.iter().zip(["c1", "c2", "c3"]) {
            lab.run(tree, commit)?;
            let left = found(&lab.plan(tree, commit), &[]);
            law(left.is_empty(), &format!("nothing is found: {left:#?}"))?;
        }
        Ok(())
    });
}

#[test]
fn it_is_found_where_a_run_would_mend_something() {
    hold(
        1_500,
        (trees(2), damages(2)),
        |(trees, _)| show(trees),
        |(trees, damages)| {
            let mut lab = Lab::default();
            lab.run(&trees[0], "c1")?;
            lab.run(&trees[1], "c2")?;
            damages.iter().for_each(|damage| lab.world.suffer(damage));
            let live = lab
                .world
                .base
                .as_ref()
                .map(|base| base.live().commit.clone());
            let (tree, commit) = match live.as_deref() {
                Some("c1") => (&trees[0], "c1"),
                _ => (&trees[1], "c2"),
            };
            let planned = lab.plan(tree, commit);
            let found = found(&planned, &[]);
            law(
                found.iter().all(|finding| !finding.traffic.is_empty()),
                "each says what it means for traffic",
            )?;
            let lost = planned.live.base.is_none() && planned.live.containers.is_empty();
            law(
                lost || needs_attention(&found) != planned.plan.is_empty(),
                &format!("both say so: {found:#?} {:#?}", planned.differences),
            )
        },
    );
}

/// An entry of the live generation is found where the tables do not give what it says, and one of
/// another generation never.
#[test]
fn entries_are_as_the_tables_say() {
    hold_trees(300, 1, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let planned = lab.plan(&trees[0], "c1");
        let Some((container, target)) = planned.target.containers.first_key_value() else {
            return Ok(());
        };
        let Some(own) = target.constants.addresses().next() else {
            return Ok(());
        };
        let peer = if own.is_ipv4() {
            "198.51.100.9"
        } else {
            "2001:db8:9::9"
        };
        let generation = lab
            .world
            .base
            .as_ref()
            .map_or(0, |base| base.record.generation.0);
        let entry = |initiator, generation| Entry {
            container: container.clone(),
            peer: peer.parse().expect("an address"),
            protocol: 6,
            own_port: 80,
            peer_port: 40_000,
            initiator,
            established: true,
            ended: false,
            generation,
            from_host: false,
            deliver_to: None,
        };
        for initiator in [false, true] {
            let entries = [entry(initiator, generation)];
            let denied = plan::connections::denied(&entries, &planned.live, &planned.target.tables);
            let none = plan::connections::denied(&entries, &planned.live, &Tables::default());
            law(
                none.is_empty(),
                "where no container has an address nothing is denied",
            )?;
            let found = found(&planned, &entries);
            let named = found.iter().any(|finding| finding.kind == Kind::Connection);
            law(named != denied.is_empty(), "it is named")?;
            let delivered = Entry {
                deliver_to: Some(target.constants.endpoint),
                ..entry(initiator, generation)
            };
            let elsewhere = self::found(&planned, &[delivered]);
            law(!elsewhere.is_empty(), "nobody else gets its packets")?;
            let old = self::found(&planned, &[entry(initiator, generation + 1)]);
            law(old.is_empty(), "another generation is believed by nobody")?;
        }
        Ok(())
    });
}

/// How rows differ is told table by table.
#[test]
fn rows_are_counted_by_table() {
    hold_trees(200, 1, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let mut planned = lab.plan(&trees[0], "c1");
        let Some(base) = &mut planned.live.base else {
            return Err("there is no base".to_owned());
        };
        let slot = base.record.slot.index() as usize;
        let Some((lost, _)) = base.slots[slot].tables.policy.pop_first() else {
            return Ok(());
        };
        let delta = Delta::between(&base.live_slot().tables, &planned.target.tables);
        let of_policy = TableDelta {
            put: planned
                .target
                .tables
                .policy
                .get_key_value(&lost)
                .into_iter()
                .map(|(key, row)| (*key, *row))
                .collect(),
            ..TableDelta::default()
        };
        law(delta.policy == of_policy, "one row is lost")?;
        let found = found(&planned, &[]);
        let says = |finding: &Finding| finding.what.ends_with("1 missing");
        law(
            found.len() == 1 && found.iter().all(says),
            &format!("{found:#?}"),
        )
    });
}
