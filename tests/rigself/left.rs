//! What a host holds, and that what it leaves behind is found.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use rig::ids::{Ledger, Object};
use rig::lab::Lab;

fn map(kind: MapType, inner: Option<&MapHandle>) -> MapHandle {
    let options = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as u64,
        inner_map_fd: inner.map_or(0, |inner| inner.as_fd().as_raw_fd().unsigned_abs()),
        ..Default::default()
    };
    MapHandle::create(kind, Some("rig"), 4, 4, 2, &options).unwrap()
}

fn id(map: &MapHandle) -> Object {
    Object::Map(map.info().unwrap().info.id)
}

#[test]
fn pins_lead_to_maps_and_maps_to_those_inside() {
    Lab::run("held", |lab| {
        let (host, ledger) = (lab.alpha(), Ledger::new());
        let empty = ledger.note(&host);
        // A kernel may put objects of its own into each bpffs.
        assert!(
            empty.interfaces.is_empty() && empty.namespaces.is_empty(),
            "{empty}"
        );

        let inner = map(MapType::Array, None);
        let mut outer = map(MapType::ArrayOfMaps, Some(&inner));
        let value = inner.as_fd().as_raw_fd().to_ne_bytes();
        outer
            .update(&1_u32.to_ne_bytes(), &value, MapFlags::ANY)
            .unwrap();
        outer.pin("/sys/fs/bpf/outer").unwrap();
        host.net().ip("netns add shop.web");
        host.net().ip("link add one type veth peer name two");

        let held = ledger.note(&host);
        let more = |kind| held.counts()[kind] - empty.counts()[kind];
        assert!(
            held.objects.is_superset(&[id(&inner), id(&outer)].into()),
            "{held}"
        );
        assert_eq!((more("maps"), more("pins")), (2, 1));
        assert_eq!((more("interfaces"), more("namespaces")), (2, 1));

        fs::remove_file("/sys/fs/bpf/outer").unwrap();
        host.net().ip("netns delete shop.web");
        host.net().ip("link delete one");
        drop((inner, outer));
        ledger.only(&host, &empty);
    });
}

#[test]
fn a_map_that_lives_on_is_found_though_nothing_leads_to_it_any_more() {
    Lab::run("left", |lab| {
        let (host, ledger) = (lab.alpha(), Ledger::new());
        let empty = ledger.note(&host);
        let mut leaked = map(MapType::Array, None);
        leaked.pin("/sys/fs/bpf/leaked").unwrap();
        ledger.note(&host);
        fs::remove_file("/sys/fs/bpf/leaked").unwrap();
        let left = ledger.left(&host, &empty);
        assert_eq!(left.objects, [id(&leaked)].into(), "{left}");
        drop(leaked);
        ledger.only(&host, &empty);
    });
}
