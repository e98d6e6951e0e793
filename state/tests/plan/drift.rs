//! Drift is what the next run of the live commit would mend, and nothing else is.

use std::net::IpAddr;

use state::diff::{Delta, TableDelta};
use state::documents::Documents;
use state::drift::{Finding, Kind, drift, needs_attention};
use state::live::Entry;
use state::target::Constants;
use state::target::tables::EndpointIndex;
use state::words::flow::Flow;
use state::words::names::FullName;
use state::words::verdict::Direction;

use super::damage::damages;
use super::lab::{Lab, Planned};
use super::{hold_trees, law, show, trees::trees};
use crate::oracle::{Opinion, Oracle};
use crate::random::HERE;
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

/// An entry of the live generation is found where the tree does not give what it says, by the
/// evaluator that shares no code with ours; and one of another generation never.
#[test]
fn entries_are_as_the_tree_says() {
    hold_trees(300, 1, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let planned = lab.plan(&trees[0], "c1");
        let base = lab.world.base.as_ref().ok_or("there is no base")?;
        let generation = base.record.generation.0;
        let ends = planned.target.containers.iter();
        let ends: Vec<(&FullName, EndpointIndex, IpAddr)> = ends
            .flat_map(|(name, container)| {
                let Constants { endpoint, .. } = container.constants;
                let addresses = container.constants.addresses();
                addresses.map(move |address| (name, endpoint, address))
            })
            .collect();
        let outside = ["198.51.100.9", "2001:db8:9::9", "192.0.2.1", "2001:db8::1"];
        let outside = outside.map(|peer| (None, peer.parse().expect("an address")));
        for (container, own_index, own) in &ends {
            let others = ends.iter().filter(|(name, ..)| name != container);
            let others = others.map(|(_, endpoint, address)| (Some(*endpoint), *address));
            for (deliver_to, peer) in outside.into_iter().chain(others) {
                if own.is_ipv4() != peer.is_ipv4() {
                    continue;
                }
                let entry = Entry {
                    container: (*container).clone(),
                    peer,
                    protocol: 6,
                    own_port: 80,
                    peer_port: 443,
                    initiator: false,
                    established: true,
                    ended: false,
                    generation,
                    from_host: false,
                    deliver_to,
                };
                for initiator in [false, true] {
                    let entry = Entry {
                        initiator,
                        ..entry.clone()
                    };
                    let denied = oracle_denies(&trees[0], &planned, *own, &entry);
                    is_found(&planned, &entry, denied)?;
                }
                let begun_by_the_host = Entry {
                    from_host: true,
                    ..entry.clone()
                };
                is_found(&planned, &begun_by_the_host, false)?;
                let elsewhere = Entry {
                    deliver_to: Some(*own_index),
                    ..entry.clone()
                };
                is_found(&planned, &elsewhere, true)?;
                let old = Entry {
                    generation: generation + 1,
                    ..elsewhere
                };
                is_found(&planned, &old, false)?;
            }
        }
        Ok(())
    });
}

fn oracle_denies(tree: &Documents, planned: &Planned, own: IpAddr, entry: &Entry) -> bool {
    let (source, destination, port) = match entry.initiator {
        true => (own, entry.peer, entry.peer_port),
        false => (entry.peer, own, entry.own_port),
    };
    let flow = Flow {
        source,
        destination,
        protocol: entry.protocol,
        port,
    };
    let oracle = Oracle {
        documents: tree,
        host: HERE,
        host_addresses: &planned.live.host.addresses,
    };
    let denies = |direction| matches!(oracle.opinion(&flow, direction), Opinion::Denied(..));
    Direction::ALL.into_iter().any(denies)
}

/// Whether it is found, and what it is about is named.
fn is_found(planned: &Planned, entry: &Entry, denied: bool) -> Result<(), String> {
    let found = found(planned, std::slice::from_ref(entry));
    let named = found.iter().any(|finding| finding.kind == Kind::Connection);
    law(
        named == denied,
        &format!("denied is {denied}: {entry:?}, {found:?}"),
    )
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
