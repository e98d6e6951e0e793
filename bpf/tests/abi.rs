//! The types of both objects against the ones that Rust uses: every shared struct, field, offset
//! and size, from the BTF that goes into the kernel.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::mem::{offset_of, size_of};

use bpf::abi::{
    AddressRow, ConnectionRow, ConstantsRow, Counters, EndpointRow, FlowKey, PolicyRowKey,
    PortRowKey, PrefixV4, PrefixV6, SlotRow, SweepRow, header, maps,
};
use libbpf_rs::btf::types::{Array, Composite, Enum, Int, MemberAttr, Struct};
use libbpf_rs::btf::{BtfType, TypeId};
use libbpf_rs::{Btf, HasSize};

const CONTAINER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/container.bpf.o"));
const BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/blocks.bpf.o"));

/// A struct as Rust has it: its C name, its size, its fields with their offsets.
type Expected = (&'static str, usize, Vec<(&'static str, usize)>);

macro_rules! fields {
    ($name:literal, $row:ty, $($field:ident),+ $(,)?) => {
        ($name, size_of::<$row>(), vec![$((stringify!($field), offset_of!($row, $field))),+])
    };
}

fn expected() -> Vec<Expected> {
    vec![
        fields!(
            "pl_slot", SlotRow, generation, time_s, mark, layout, commit, tree, held
        ),
        fields!("pl_prefix_v4", PrefixV4, bits, address),
        fields!("pl_prefix_v6", PrefixV6, bits, address),
        fields!("pl_address", AddressRow, identity, endpoint, owner, unused),
        fields!(
            "pl_endpoint",
            EndpointRow,
            subject,
            ifindex,
            mac,
            present,
            tap,
            unused
        ),
        fields!(
            "pl_policy_key",
            PolicyRowKey,
            subject,
            identity,
            direction,
            unused
        ),
        fields!(
            "pl_port_key",
            PortRowKey,
            bits,
            ruleset,
            protocol,
            port,
            unused
        ),
        fields!(
            "pl_flow", FlowKey, peer, peer_port, own_port, protocol, family, kind, unused
        ),
        fields!(
            "pl_connection",
            ConnectionRow,
            word,
            expires,
            ingress,
            acknowledges,
            peer_port,
            own_port,
            answered,
            unused,
        ),
        fields!(
            "pl_constants",
            ConstantsRow,
            v6,
            v4,
            mac,
            gateway_mac,
            endpoint,
            has_v4,
            has_v6,
            theirs,
            passes,
            tap,
            unused,
        ),
        fields!("pl_counters", Counters, drops, reclaim, unused),
    ]
}

fn check(btf: &Btf<'_>, (name, size, fields): &Expected) {
    let found: Struct<'_> = btf
        .type_by_name(name)
        .unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(found.size(), *size, "size of {name}");
    let mut end = 0;
    let mut there = Vec::new();
    for member in found.iter() {
        let MemberAttr::Normal { offset } = member.attr else {
            panic!("{name} has a bit field");
        };
        let offset = offset as usize / 8;
        assert_eq!(offset, end, "{name} has padding before {:?}", member.name);
        end = offset + size_of_type(btf, member.ty);
        there.push((member.name.unwrap().to_str().unwrap(), offset));
    }
    assert_eq!(end, *size, "{name} has padding at its end");
    assert_eq!(&there, fields, "fields of {name}");
}

fn size_of_type(btf: &Btf<'_>, id: TypeId) -> usize {
    let of: BtfType<'_> = btf.type_by_id(id).unwrap();
    let of = of.skip_mods_and_typedefs();
    if let Ok(array) = Array::try_from(of) {
        return array.capacity() * size_of_type(btf, array.contained_type().type_id());
    }
    let composite = Composite::try_from(of).map(|of| of.size());
    let int = Int::try_from(of).map(|of| of.size());
    composite
        .or(int)
        .unwrap_or_else(|_| panic!("a shared struct holds a {:?}", of.kind()))
}

#[test]
fn every_shared_struct_is_the_same_on_both_sides() {
    for object in [CONTAINER, BLOCKS] {
        let btf = Btf::from_raw("object", object).unwrap().unwrap();
        for row in &expected() {
            check(&btf, row);
        }
    }
    let blocks = Btf::from_raw("blocks", BLOCKS).unwrap().unwrap();
    let sweep: Composite<'_> = blocks
        .type_by_name::<Struct<'_>>("pl_sweep")
        .unwrap()
        .into();
    assert_eq!(sweep.size(), size_of::<SweepRow>());
}

/// What is in `plumbline.h` and not in the table above is no key, value or constant.
#[test]
fn no_shared_struct_is_forgotten() {
    let header = include_str!("../datapath/plumbline.h");
    let structs = header
        .lines()
        .filter_map(|line| line.strip_prefix("struct "));
    let structs = structs.filter_map(|line| line.strip_suffix(" {"));
    let known: Vec<&str> = expected().iter().map(|(name, ..)| *name).collect();
    let forgotten: Vec<&str> = structs
        .filter(|name| !known.contains(name) && *name != "pl_scratch")
        .collect();
    assert_eq!(forgotten, [""; 0]);
}

#[test]
fn keys_and_values_of_maps_are_these_structs() {
    let sizes = |shape: &bpf::abi::Shape| {
        let inner = shape.inner.unwrap_or(shape);
        (inner.key_size as usize, inner.value_size as usize)
    };
    assert_eq!(
        sizes(&maps::ADDRESSES_V4),
        (size_of::<PrefixV4>(), size_of::<AddressRow>())
    );
    assert_eq!(
        sizes(&maps::ADDRESSES_V6),
        (size_of::<PrefixV6>(), size_of::<AddressRow>())
    );
    assert_eq!(sizes(&maps::ENDPOINTS), (4, size_of::<EndpointRow>()));
    assert_eq!(sizes(&maps::POLICY), (size_of::<PolicyRowKey>(), 8));
    assert_eq!(sizes(&maps::RULESETS), (size_of::<PortRowKey>(), 8));
    assert_eq!(sizes(&maps::SLOTS), (4, size_of::<SlotRow>()));
    for shape in [&maps::ESTABLISHED, &maps::HALF_OPEN, &maps::DATAGRAMS] {
        assert_eq!(
            sizes(shape),
            (size_of::<FlowKey>(), size_of::<ConnectionRow>())
        );
    }
    assert_eq!(sizes(&maps::COUNTERS), (4, size_of::<Counters>()));
}

#[test]
fn every_reason_of_the_object_is_listed() {
    let btf = Btf::from_raw("container", CONTAINER).unwrap().unwrap();
    let reasons: Enum<'_> = btf.type_by_name("pl_reason").unwrap();
    let mut named = 0;
    for reason in reasons.iter() {
        let name = reason.name.unwrap().to_str().unwrap();
        if name == "PL_REASONS" {
            assert_eq!(
                usize::try_from(reason.value).unwrap(),
                header::REASONS.len()
            );
            continue;
        }
        let (number, short, _) = header::REASONS[named];
        assert_eq!(i64::from(number), reason.value);
        assert_eq!(format!("PL_{}", short.to_uppercase()), name);
        named += 1;
    }
    assert_eq!(named, header::REASONS.len());
    assert!(named <= Counters::default().drops.len());
}

#[test]
fn constants_of_the_header_are_what_they_say() {
    assert_eq!(
        header::PL_ENDPOINTS_MOST,
        u64::from(maps::ALL_ESTABLISHED.entries)
    );
    assert_eq!(header::PL_WORD_INITIATOR, 1 << 60);
    assert_eq!(header::PL_WORD_TAG, 0xffff << 44);
    assert_eq!(header::PL_ETHERTYPE_TRIAL, 0x88b5);
    assert_eq!(bpf::object::datapath().layout, 1);
}
