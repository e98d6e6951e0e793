//! The slots: deltas, growth, reading back, and who may be written.

use std::net::IpAddr;
use std::path::Path;

use bpf::kernel::Kernel;
use bpf::marks::SlotInfo;
use bpf::slots::SlotError;
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use state::diff::Delta;
use state::live::SlotMark;
use state::target::tables::{
    Address, Endpoint, EndpointIndex, Owner, PolicyKey, PortKey, PortPrefix, Tables,
};
use state::words::address::{Cidr, Mac};
use state::words::generation::{CommitRecord, Generation, Slot};
use state::words::identity::{IdentityId, RuleId, RulesetId, SubjectId};
use state::words::verdict::Direction;

use crate::rig::alone;

/// Tables with `count` rows of each kind, except endpoints.
fn tables(count: u32) -> Tables {
    let mut tables = Tables::default();
    for number in 0..count {
        let id = u64::from(number) + 1;
        let v4 = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        let v6 = IpAddr::from((0xfd00_u128 << 112 | u128::from(number)).to_be_bytes());
        for (address, bits) in [(v4, 32), (v6, 128)] {
            tables.addresses.insert(
                Cidr::new(address, bits).unwrap(),
                Address {
                    identity: IdentityId(id),
                    owner: Owner::Elsewhere,
                },
            );
        }
        tables.policy.insert(
            PolicyKey {
                subject: SubjectId(id),
                direction: Direction::ALL[number as usize % 2],
                identity: IdentityId(id / 2),
            },
            RulesetId(id),
        );
        let port = u16::try_from(number % 65_536).unwrap();
        tables.rulesets.insert(
            PortKey {
                ruleset: RulesetId(id),
                ports: PortPrefix::Ports {
                    protocol: 6,
                    port,
                    bits: 16,
                },
            },
            RuleId(id),
        );
    }
    for index in 0..count.min(100) {
        tables.endpoints.insert(
            EndpointIndex(u16::try_from(index).unwrap()),
            Endpoint {
                ifindex: (index != 7).then_some(index + 10),
                mac: Mac([2, 0, 0, 0, 0, 1]),
                subject: SubjectId(u64::from(index)),
                tap: index % 3 == 1,
            },
        );
    }
    tables
}

fn write(kernel: &Kernel, slot: Slot, to: &Tables) {
    let reading = kernel.read_slot(slot).unwrap();
    kernel
        .write_delta(slot, &Delta::between(&reading.tables, to))
        .unwrap();
    let reading = kernel.read_slot(slot).unwrap();
    assert_eq!(reading.foreign, []);
    assert_eq!(&reading.tables, to);
}

/// A slot's map of one table, as a stranger would open it.
fn inner(base: &Path, table: &str, slot: Slot) -> MapHandle {
    let outer = MapHandle::from_pinned_path(base.join("v1").join(table)).unwrap();
    let id = outer
        .lookup(&slot.index().to_ne_bytes(), MapFlags::ANY)
        .unwrap()
        .unwrap();
    MapHandle::from_map_id(u32::from_ne_bytes(id.try_into().unwrap())).unwrap()
}

#[test]
fn a_delta_is_written_and_read_back() {
    alone(|lab| {
        let kernel = lab.create();
        write(&kernel, Slot::B, &tables(50));
        write(&kernel, Slot::B, &tables(20));
        let mut other = tables(60);
        other.rulesets.insert(
            PortKey {
                ruleset: RulesetId(1),
                ports: PortPrefix::Everything,
            },
            RuleId::OPEN,
        );
        other.endpoints.remove(&EndpointIndex(3));
        write(&kernel, Slot::B, &other);
        assert_eq!(kernel.read_slot(Slot::A).unwrap().tables, Tables::default());
        write(&lab.open().unwrap(), Slot::B, &tables(0));
    });
}

#[test]
fn a_table_grows_to_whatever_is_written() {
    alone(|lab| {
        let kernel = lab.create();
        write(&kernel, Slot::B, &tables(1024));
        write(&kernel, Slot::B, &tables(1025));
        write(&kernel, Slot::B, &tables(10_000));
        assert_eq!(
            lab.open().unwrap().read_slot(Slot::B).unwrap().tables,
            tables(10_000)
        );
        write(&kernel, Slot::B, &tables(3));
    });
}

#[test]
fn an_interface_may_change_hands_in_one_delta() {
    alone(|lab| {
        let kernel = lab.create();
        let before = tables(10);
        write(&kernel, Slot::B, &before);
        let mut after = before.clone();
        let taken = after.endpoints[&EndpointIndex(2)].ifindex;
        after.endpoints.remove(&EndpointIndex(2));
        after.endpoints.get_mut(&EndpointIndex(9)).unwrap().ifindex = taken;
        write(&kernel, Slot::B, &after);
    });
}

#[test]
fn the_live_slot_is_not_touched() {
    alone(|lab| {
        let kernel = lab.create();
        let refused = kernel.write_delta(Slot::A, &Delta::between(&Tables::default(), &tables(1)));
        assert!(matches!(refused, Err(SlotError::Live(Slot::A))));
        let refused = kernel.mark_preparing(Slot::A, Generation(1));
        assert!(matches!(refused, Err(SlotError::Live(Slot::A))));
        let refused = kernel.mark_ready(Slot::A, SlotInfo::default());
        assert!(matches!(refused, Err(SlotError::Live(Slot::A))));
    });
}

#[test]
fn marks_and_names_are_in_the_kernel() {
    alone(|lab| {
        let kernel = lab.create();
        assert_eq!(kernel.slot_info(Slot::B).unwrap(), SlotInfo::default());
        kernel.mark_preparing(Slot::B, Generation(1)).unwrap();
        let prepared = lab.open().unwrap().slot_info(Slot::B).unwrap();
        assert_eq!(
            (prepared.mark, prepared.generation),
            (SlotMark::Preparing, Generation(1))
        );
        let record = CommitRecord {
            generation: Generation(1),
            slot: Slot::B,
        };
        assert!(kernel.store(record).is_err(), "it is not ready");
        let info = SlotInfo {
            mark: SlotMark::Ready,
            generation: Generation(1),
            commit: "c0ffee".repeat(10),
            tree: "beef".repeat(16),
            time_s: 1_700_000_000,
            held: vec!["d00d".repeat(10), "bad0".repeat(16)],
        };
        kernel.mark_ready(Slot::B, info.clone()).unwrap();
        assert_eq!(lab.open().unwrap().slot_info(Slot::B).unwrap(), info);
        kernel.store(record).unwrap();
        assert_eq!(lab.open().unwrap().record(), record);
        assert!(kernel.store(record).is_err(), "the generation did not grow");
        kernel.barrier().unwrap();
        assert!(kernel.hold(Slot::B, &[]).is_err(), "it is live");
        kernel
            .mark_settled(Slot::B, Generation(1), 1_700_000_009)
            .unwrap();
        let settled = lab.open().unwrap().slot_info(Slot::B).unwrap();
        assert_eq!((settled.time_s, &settled.held), (info.time_s, &info.held));
        let named = SlotInfo {
            commit: "1234".to_owned(),
            tree: "5678".to_owned(),
            ..SlotInfo::default()
        };
        kernel.name_commit(Slot::B, named.clone()).unwrap();
        let settled = lab.open().unwrap().slot_info(Slot::B).unwrap();
        assert_eq!(settled.mark, SlotMark::Settled);
        assert_eq!(
            (settled.commit.as_str(), settled.tree.as_str()),
            ("1234", "5678")
        );
        assert_eq!(settled.generation, Generation(1));
        let commit = "x".repeat(72);
        let long = kernel.name_commit(Slot::B, SlotInfo { commit, ..named });
        assert!(matches!(long, Err(SlotError::Name(_))));
    });
}

#[test]
fn foreign_rows_are_told_and_removed_by_the_next_write() {
    alone(|lab| {
        let kernel = lab.create();
        write(&kernel, Slot::B, &tables(5));
        // An owner that does not exist, an interface of nobody, and a port beyond its prefix.
        let rows: [(&str, &[u8], &[u8]); 3] = [
            (
                "addresses_v4",
                &[32, 0, 0, 0, 9, 9, 9, 9],
                &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0],
            ),
            ("interfaces", &[99, 0, 0, 0], &[1, 0, 0, 0]),
            (
                "rulesets",
                &[80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6, 1, 1, 0],
                &[1, 0, 0, 0, 0, 0, 0, 0],
            ),
        ];
        for (table, key, value) in rows {
            inner(&lab.base(), table, Slot::B)
                .update(key, value, MapFlags::ANY)
                .unwrap();
        }
        let reading = kernel.read_slot(Slot::B).unwrap();
        let foreign: Vec<&str> = reading.foreign.iter().map(|row| row.table).collect();
        assert_eq!(foreign, ["addresses_v4", "rulesets", "interfaces"]);
        assert_eq!(reading.tables, tables(5));
        // Another handle, which has not read the slot, finds them too.
        lab.open()
            .unwrap()
            .write_delta(Slot::B, &Delta::default())
            .unwrap();
        assert_eq!(kernel.read_slot(Slot::B).unwrap().foreign, []);
        write(&kernel, Slot::B, &tables(5));
    });
}

/// Whole tables of either slot, and the barrier's map: to packets one without rows is what one that
/// is missing was, and what is there is left.
#[test]
fn tables_that_slots_have_lost_are_made_again() {
    alone(|lab| {
        let kernel = lab.create();
        let wanted = tables(20);
        let generation = Generation(1);
        kernel.mark_preparing(Slot::B, generation).unwrap();
        let delta = Delta::between(&Tables::default(), &wanted);
        kernel.write_delta(Slot::B, &delta).unwrap();
        let lose = |table: &str, slot: Slot| {
            let outer = MapHandle::from_pinned_path(lab.base().join("v1").join(table)).unwrap();
            outer.delete(&slot.index().to_ne_bytes()).unwrap();
        };
        lose("policy", Slot::B);
        lose("endpoints", Slot::A);
        lose("barrier", Slot::A);
        let lost = |kernel: &Kernel| {
            let lost = kernel.live().unwrap().base.lost;
            lost.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(lost(&kernel), ["endpoints of slot A", "policy of slot B"]);
        let refused = kernel.write_delta(Slot::B, &delta).unwrap_err().to_string();
        assert!(refused.contains("has no table policy"), "{refused}");
        kernel.make_tables().unwrap();
        assert!(lost(&kernel).is_empty());
        kernel.barrier().unwrap();
        let found = kernel.read_slot(Slot::B).unwrap().tables;
        let without = Tables {
            policy: Default::default(),
            ..wanted.clone()
        };
        assert_eq!(found, without);
        kernel
            .write_delta(Slot::B, &Delta::between(&found, &wanted))
            .unwrap();
        assert_eq!(kernel.read_slot(Slot::B).unwrap().tables, wanted);
        assert_eq!(kernel.read_slot(Slot::A).unwrap().tables, Tables::default());
    });
}
