//! What others do to rows of the live slot, the commit record and entries of connections.

use std::collections::BTreeMap;

use bpf::abi::TABLES;
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::lab::Lab;
use rig::wait;
use state::target::tables::PortPrefix;
use state::words::generation::{CommitRecord, Generation};

use super::DENIED;
use super::harms::{Harm, Left, harm};
use crate::kernel::{connections, is_at, kernel, pins};

/// The same git commit under a new generation, and nothing else.
const COMMIT: &[&str] = &[
    "mark slot preparing",
    "write slot ROWS",
    "verify slot",
    "store record",
    "barrier",
    "mark slot settled",
];
const MAKE: &[&str] = &["make tables"];
/// The same git commit, once there is a place for its rows.
const MAKE_AND_COMMIT: &[&str] = &[
    "make tables",
    "mark slot preparing",
    "write slot ROWS",
    "verify slot",
    "store record",
    "barrier",
    "mark slot settled",
];
/// The same, where the record says that the last run did not settle.
const UNSETTLED: &[&str] = &[
    "barrier",
    "mark slot preparing",
    "write slot ROWS",
    "verify slot",
    "store record",
    "barrier",
    "mark slot settled",
];

/// The live slot's map of a table.
fn live(table: &str) -> MapHandle {
    let outer = MapHandle::from_pinned_path(pins().join(table)).unwrap();
    let slot = kernel().record().slot.index().to_ne_bytes();
    let id = outer.lookup(&slot, MapFlags::ANY).unwrap().unwrap();
    MapHandle::from_map_id(u32::from_ne_bytes(id.try_into().unwrap())).unwrap()
}

fn rows(map: &MapHandle) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let row = |key: Vec<u8>| Some((key.clone(), map.lookup(&key, MapFlags::ANY).unwrap()?));
    map.keys().filter_map(row).collect()
}

/// Every row of the policy leads to the ruleset that allows everything, where there is one, until
/// what is denied passes.
fn open_all() {
    let tables = kernel().read_slot(kernel().record().slot).unwrap().tables;
    let mut rulesets = tables.rulesets.keys();
    let Some(open) = rulesets.find(|key| key.ports == PortPrefix::Everything) else {
        return;
    };
    let open = open.ruleset.0.to_ne_bytes();
    let policy = live("policy");
    for key in rows(&policy).keys() {
        policy.update(key, &open, MapFlags::ANY).unwrap();
    }
    wait::holds("what is denied to pass", || cached() > 1);
}

/// Entries of the flows that are denied.
fn cached() -> usize {
    let all = connections("shop/db").into_iter();
    all.filter(|found| is_at(found.subject, DENIED)).count()
}

fn rows_opened(_: &Lab) -> Left {
    open_all();
    Box::new(())
}

/// Entries are made while the rows are other ones, which then are put back.
fn entries_kept(_: &Lab) -> Left {
    let was = rows(&live("policy"));
    open_all();
    let policy = live("policy");
    for (key, value) in &was {
        policy.update(key, value, MapFlags::ANY).unwrap();
    }
    Box::new(())
}

fn row_deleted(_: &Lab) -> Left {
    let rulesets = live("rulesets");
    let first = rows(&rulesets).into_keys().next().unwrap();
    rulesets.delete(&first).unwrap();
    Box::new(())
}

/// The map of a slot's table, out of its place.
fn lose(table: &str, live: bool) -> Left {
    let outer = MapHandle::from_pinned_path(pins().join(table)).unwrap();
    let slot = kernel().record().slot;
    let slot = if live { slot } else { slot.other() };
    // Another harm may have taken it away.
    drop(outer.delete(&slot.index().to_ne_bytes()));
    Box::new(())
}

/// Both of each: no slot is whole.
fn lose_all(_: &Lab) -> Left {
    for table in TABLES {
        drop((lose(table.name, true), lose(table.name, false)));
    }
    Box::new(())
}

fn record(change: fn(CommitRecord) -> CommitRecord) -> Left {
    let map = MapHandle::from_pinned_path(pins().join("commit")).unwrap();
    let word = change(kernel().record()).to_word().to_ne_bytes();
    map.update(&0_u32.to_ne_bytes(), &word, MapFlags::ANY)
        .unwrap();
    Box::new(())
}

pub(super) const HARMS: [Harm; 10] = [
    Harm {
        opens: true,
        ..harm(
            "rows of the policy are changed",
            rows_opened,
            ("row", "changed"),
            COMMIT,
        )
    },
    Harm {
        denies: true,
        ..harm(
            "a row of a ruleset is deleted",
            row_deleted,
            ("row", "1 missing"),
            COMMIT,
        )
    },
    Harm {
        opens: true,
        ..harm(
            "entries say what the policy does not",
            entries_kept,
            ("connection", "as the policy does not give it"),
            COMMIT,
        )
    },
    Harm {
        again: true,
        ..harm(
            "the commit record is raised",
            |_| {
                record(|record| CommitRecord {
                    generation: Generation(record.generation.0 + 5),
                    ..record
                })
            },
            ("record", "whose commit was generation"),
            &["barrier", "mark slot settled"],
        )
    },
    Harm {
        again: true,
        ..harm(
            "the commit record is raised beyond what any store gives",
            |_| {
                record(|record| CommitRecord {
                    generation: Generation((1 << 63) - 1),
                    ..record
                })
            },
            ("record", "where no store gets"),
            UNSETTLED,
        )
    },
    Harm {
        again: true,
        ..harm(
            "the commit record is lowered",
            |_| {
                record(|record| CommitRecord {
                    generation: Generation(record.generation.0 - 1),
                    ..record
                })
            },
            ("record", "was live after it"),
            UNSETTLED,
        )
    },
    Harm {
        // An earlier harm may have left the other slot without rows.
        denies: true,
        ..harm(
            "the commit record names the other slot",
            |_| {
                record(|record| CommitRecord {
                    slot: record.slot.other(),
                    ..record
                })
            },
            ("record", "was live after it"),
            UNSETTLED,
        )
    },
    harm(
        "the other slot loses a table",
        |_| lose("policy", false),
        ("row", "the whole table is gone"),
        MAKE,
    ),
    Harm {
        denies: true,
        ..harm(
            "the live slot loses a table",
            |_| lose("rulesets", true),
            ("row", "the whole table is gone"),
            MAKE_AND_COMMIT,
        )
    },
    Harm {
        denies: true,
        ..harm(
            "both slots lose all their tables",
            lose_all,
            ("row", "the whole table is gone"),
            MAKE_AND_COMMIT,
        )
    },
];
