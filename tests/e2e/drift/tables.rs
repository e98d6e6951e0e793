//! What others do to rows of the live slot, the commit record and entries of connections.

use std::collections::BTreeMap;
use std::mem::offset_of;

use bpf::abi::{SlotRow, TABLES};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::lab::Lab;
use rig::wait;
use state::target::host::container_mac;
use state::target::tables::PortPrefix;
use state::words::generation::{CommitRecord, Generation};

use super::harms::{Harm, Left, harm};
use super::{DENIED, ENDS};
use crate::kernel::{connections, is_at, kernel, named, pins};

/// The same git commit under a new generation, and nothing else.
pub(super) const COMMIT: &[&str] = &[
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
pub(super) fn entries_kept(_: &Lab) -> Left {
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

/// The addresses of the receiver lead to the sender.
fn addresses_turned(_: &Lab) -> Left {
    for (table, own, other) in [
        ("addresses_v4", &[10, 44, 0, 2][..], &[10, 44, 0, 1][..]),
        ("addresses_v6", &[0, 2], &[0, 1]),
    ] {
        let map = live(table);
        let rows = rows(&map);
        let of = |end: &[u8]| rows.iter().find(|(key, _)| key.ends_with(end));
        if let (Some((key, _)), Some((_, value))) = (of(own), of(other)) {
            map.update(key, value, MapFlags::ANY).unwrap();
        }
    }
    Box::new(())
}

/// The row of the sender is empty: to others it is absent.
fn endpoint_emptied(_: &Lab) -> Left {
    let slot = kernel().record().slot;
    let rows = kernel().read_slot(slot).unwrap().tables.endpoints;
    let mac = container_mac(&named(ENDS[0]));
    let own = rows.iter().find(|(_, row)| row.mac == mac);
    if let Some((index, _)) = own {
        let endpoints = live("endpoints");
        let empty = vec![0; endpoints.value_size() as usize];
        let key = u32::from(index.0).to_ne_bytes();
        endpoints.update(&key, &empty, MapFlags::ANY).unwrap();
    }
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

/// Twenty bytes of it.
fn renamed() -> Left {
    let slots = MapHandle::from_pinned_path(pins().join("slots")).unwrap();
    let slot = kernel().record().slot.index().to_ne_bytes();
    let mut row = slots.lookup(&slot, MapFlags::ANY).unwrap().unwrap();
    let name = offset_of!(SlotRow, commit);
    row[name..name + 20].fill(b'e');
    slots.update(&slot, &row, MapFlags::ANY).unwrap();
    Box::new(())
}

pub(super) fn record(change: fn(CommitRecord) -> CommitRecord) -> Left {
    let map = MapHandle::from_pinned_path(pins().join("commit")).unwrap();
    let word = change(kernel().record()).to_word().to_ne_bytes();
    map.update(&0_u32.to_ne_bytes(), &word, MapFlags::ANY)
        .unwrap();
    Box::new(())
}

pub(super) const HARMS: [Harm; 13] = [
    Harm {
        opens: true,
        ..harm(
            "rows of the policy are changed",
            rows_opened,
            ("row", "changed"),
            COMMIT,
        )
        .at("rows", &[])
    },
    Harm {
        denies: true,
        ..harm(
            "a row of a ruleset is deleted",
            row_deleted,
            ("row", "1 missing"),
            COMMIT,
        )
        .at("ruleset row", &["entries"])
    },
    Harm {
        opens: true,
        ..harm(
            "entries say what the policy does not",
            entries_kept,
            ("connection", "as the policy does not give it"),
            COMMIT,
        )
        .at("entries", &[])
    },
    Harm {
        denies: true,
        ..harm(
            "rows of addresses lead elsewhere",
            addresses_turned,
            ("row", "2 changed"),
            COMMIT,
        )
        .at("rows", &[])
    },
    Harm {
        denies: true,
        ..harm(
            "a row of an endpoint is emptied",
            endpoint_emptied,
            ("row", "1 missing"),
            COMMIT,
        )
        .at("rows", &[])
    },
    harm(
        "the live slot bears another commit's name",
        |_| renamed(),
        ("record", "and the journal names"),
        &["name commit"],
    )
    .at("name", &[]),
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
        .at("raised", &["lowered", "other slot", "entries", "name"])
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
        .at(
            "beyond",
            &["raised", "lowered", "other slot", "entries", "name"],
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
        .at("lowered", &["entries", "name"])
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
        .at("other slot", &["rows", "ruleset row", "entries", "name"])
    },
    harm(
        "the other slot loses a table",
        |_| lose("policy", false),
        ("row", "the whole table is gone"),
        MAKE,
    )
    .at("table", &[]),
    Harm {
        denies: true,
        ..harm(
            "the live slot loses a table",
            |_| lose("rulesets", true),
            ("row", "the whole table is gone"),
            MAKE_AND_COMMIT,
        )
        .at("table", &["ruleset row"])
    },
    Harm {
        denies: true,
        ..harm(
            "both slots lose all their tables",
            lose_all,
            ("row", "the whole table is gone"),
            MAKE_AND_COMMIT,
        )
        .at("table", &["rows", "ruleset row", "entries"])
    },
];
