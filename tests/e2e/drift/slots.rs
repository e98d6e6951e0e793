//! What others do to the slot that is not live: nothing that packets see, and nothing that a
//! rollback takes for what its commit put there.

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::lab::Lab;
use state::target::tables::PortPrefix;

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
