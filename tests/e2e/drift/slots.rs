//! What others do to the slot that is not live: nothing that packets see, and nothing that a
//! rollback takes for what its commit put there.

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::lab::Lab;
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::Value;
use state::target::tables::PortPrefix;
use state::words::generation::{CommitRecord, Generation};

use super::{Stage, tables, tree as allowing};
use crate::kernel::{kernel, pins};
use crate::rollback::{apply, reached, says, serve, tree};

/// Whoever changes the slot that is not live changes nothing, and no rollback makes it live as it
/// is: it is compared with the old commit's tree, and written anew.
#[test]
fn a_slot_that_others_changed_is_not_made_live_by_a_rollback() {
    Lab::run("changed", |lab| {
        let old = apply(lab, &tree(80));
        let _service = serve(lab);
        apply(lab, &tree(81));
        let slot = kernel().record().slot.other();
        let outer = MapHandle::from_pinned_path(pins().join("policy")).unwrap();
        let key = slot.index().to_ne_bytes();
        let id = outer.lookup(&key, MapFlags::ANY).unwrap().unwrap();
        let id = u32::from_ne_bytes(id.try_into().unwrap());
        let policy = MapHandle::from_map_id(id).unwrap();
        let tables = kernel().read_slot(slot).unwrap().tables;
        let mut rulesets = tables.rulesets.keys();
        let open = rulesets.find(|key| key.ports == PortPrefix::Everything);
        let open = open.unwrap().ruleset.0.to_ne_bytes();
        for row in policy.keys().collect::<Vec<_>>() {
            policy.update(&row, &open, MapFlags::ANY).unwrap();
        }
        assert_eq!(reached(lab), [81, 81]);
        drop(lab.reconcile(&["drift"]).ended(0));
        let dry = lab.reconcile(&["rollback", "-n"]).ended(0);
        let because = format!("1 row of slot {slot} is not what its commit asks for");
        says(&dry, &["by an apply", &because]);
        let run = lab.reconcile(&["rollback"]).ended(0);
        says(&run, &["is live: generation 3", &old[..12]]);
        assert_eq!(reached(lab), [80, 80]);
        assert_eq!(kernel().live().unwrap().base.live_slot().tables, tables);
    });
}

/// What a commit opened was allowed when it was made. Whoever makes the slot live again that was so
/// before it closes that, and the run that mends it is no accident.
#[test]
fn what_a_commit_opened_is_open_again_after_others_took_its_record_back() {
    Lab::run("taken-back", |lab| {
        let ends = [("web", 1), ("db", 2)];
        let ends = ends.map(|(name, number)| Container::numbered(&format!("shop/{name}"), number));
        let open = ends.iter().fold(Tree::new(), Tree::container);
        let closed = open.clone();
        let closed = closed.policy(&Policy::new("shop/all").select(&[]).ingress(&[]));
        apply(lab, &closed);
        lab.repository().hold(&open);
        lab.repository().commit("open");
        let refused = lab.reconcile(&[]).ended(4);
        assert!(refused.stderr.contains("--max-prune"), "{refused}");
        lab.reconcile(&["--max-prune", "2"]).succeed();
        let is = kernel().record();
        let mut harms = tables::HARMS.iter();
        let taken = harms.find(|harm| harm.says == "the commit record names the other slot");
        drop((taken.unwrap().act)(lab));
        assert_ne!(kernel().record().slot, is.slot);
        drop(lab.reconcile(&["drift"]).ended(6));
        // Another tree that opens as much is looked at all the same.
        let another = open.clone();
        lab.repository()
            .hold(&another.container(&Container::numbered("shop/cache", 3)));
        lab.repository().commit("another");
        drop(lab.reconcile(&[]).ended(4));
        apply(lab, &open);
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}

/// A record that was raised and put back says nothing of it, and whatever was judged meanwhile is
/// in entries under numbers that are still to come.
#[test]
fn a_generation_that_entries_name_already_is_left_out() {
    Lab::run("ahead", |lab| {
        let mut stage = Stage::set(lab);
        let is = kernel().record();
        drop(tables::record(|record| CommitRecord {
            generation: record.generation.next(),
            ..record
        }));
        drop(tables::entries_kept(lab));
        stage.denied.clear();
        drop(tables::record(|record| CommitRecord {
            generation: Generation(record.generation.0 - 1),
            ..record
        }));
        assert_eq!(kernel().record(), is);
        assert_eq!(stage.drift(0), [Value::Null; 0]);
        let another = Policy::new("shop/another").select(&[("app", "web")]);
        let another = another.ingress(&[Rule::new().port("TCP", 80)]);
        apply(lab, &allowing().policy(&another));
        assert_eq!(stage.drift(0), [Value::Null; 0]);
        assert_eq!(kernel().record().generation, is.generation.next().next());
    });
}
