//! Pins that are lost, runs that died, strangers' pins.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bpf::connections::NewConnections;
use bpf::kernel::{Kernel, OpenError};
use bpf::live::NO_BUILD;
use bpf::object::Build;
use bpf::pins::BaseError;
use libbpf_rs::{MapCore, MapHandle};
use state::target::programs::BuildHash;
use state::target::tables::EndpointIndex;
use state::words::generation::{CommitRecord, Generation, Slot};

use crate::programs::attach;
use crate::rig::{Lab, alone, commit, constants, link_ids, name, plant};

fn map_id(path: &std::path::Path) -> u32 {
    MapHandle::from_pinned_path(path)
        .unwrap()
        .info()
        .unwrap()
        .info
        .id
}

/// Removes the pins of the maps that a host has once.
fn lose_maps(lab: &Lab) {
    for entry in lab.base().join("v1").read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn t13_lost_map_pins_are_found_through_attached_programs() {
    alone(|lab| {
        let kernel = lab.create();
        attach(lab, &kernel, "shop/web", 4);
        commit(&kernel, 1, 1);
        let maps: Vec<(std::path::PathBuf, u32)> =
            ["commit", "slots", "policy", "sweep", "barrier"]
                .map(|map| lab.base().join("v1").join(map))
                .map(|path| (path.clone(), map_id(&path)))
                .into();
        plant(&lab.base(), "shop/web", "datagrams", 1);
        let (record, live) = (kernel.record(), kernel.live().unwrap());
        drop(kernel);
        lose_maps(lab);

        let found = lab.open().unwrap();
        assert_eq!(found.unpinned().len(), 15);
        assert_eq!(found.record(), record);
        let lost = found.live().unwrap().base.unpinned;
        assert_eq!(lost.len(), 15, "so that a plan mends it: {lost:?}");
        assert!(
            !lab.base().join("v1/commit").exists(),
            "reading mends nothing"
        );
        let mended = lab.create();
        for (path, id) in maps {
            assert_eq!(map_id(&path), id, "{}", path.display());
        }
        assert_eq!(mended.live().unwrap(), live);
        assert_eq!(lab.open().unwrap().live().unwrap(), live);
        // The kernel ended the timer with the last pin of its map.
        let web = name("shop/web");
        let connection = mended.connections(&web).unwrap().remove(0);
        mended.set_expiry(&web, &connection, -1).unwrap();
        crate::rig::wait_until("the timer runs again", || mended.reclaimed().unwrap() == 1);
        assert_eq!(mended.connections(&web).unwrap(), []);
    });
}

#[test]
fn t13_all_pins_lost_and_links_held_by_another() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        let ifindex = attach(lab, &kernel, "shop/web", 4);
        commit(&kernel, 1, 1);
        plant(&lab.base(), "shop/web", "established", 1);
        let record = kernel.record();
        let folder = lab.base().join("v1/containers/shop/web");
        let holders = ["from_container", "to_container"]
            .map(|link| libbpf_rs::Link::open(folder.join(link)).unwrap());
        let links = link_ids(ifindex);
        drop(kernel);
        fs::remove_dir_all(lab.base()).unwrap();

        assert_eq!(lab.open().unwrap().record(), record);
        let kernel = lab.create();
        assert_eq!(kernel.record(), record, "no second commit record");
        assert!(kernel.live().unwrap().containers.is_empty());
        let wanted = NewConnections {
            container: web.clone(),
            endpoint: EndpointIndex(4),
            quota: 64,
            live: false,
        };
        kernel.make_connections(&[wanted]).unwrap();
        assert_eq!(
            kernel.connections(&web).unwrap().len(),
            1,
            "the connection is still there"
        );
        let build = Build::Plain(constants(4), BuildHash([1; 32]));
        kernel.attach(&web, ifindex, &build).unwrap();
        assert_eq!(
            link_ids(ifindex),
            links,
            "the links are pinned again, not made anew"
        );
        drop(holders);
        let live = &kernel.live().unwrap().containers[&web];
        assert_eq!(live.programs.unwrap().build, BuildHash([1; 32]));
        assert_eq!(live.connections, Some(64));
    });
}

/// Where neither pins nor programs are left, the registration alone has them: whose they are, the
/// live slot says.
#[test]
fn maps_that_are_registered_alone_are_kept_for_who_is_live() {
    alone(|lab| {
        let kernel = lab.create();
        for (text, endpoint, live) in [("shop/web", 4, true), ("shop/db", 5, false)] {
            let container = name(text);
            attach(lab, &kernel, text, endpoint);
            plant(&lab.base(), text, "established", 1);
            let folder = lab.base().join("v1/containers").join(text);
            for link in ["from_container", "to_container"] {
                let link = libbpf_rs::Link::open(folder.join(link)).unwrap();
                link.detach().unwrap();
            }
            fs::remove_dir_all(folder).unwrap();
            let wanted = NewConnections {
                container: container.clone(),
                endpoint: EndpointIndex(endpoint),
                quota: 64,
                live,
            };
            kernel.make_connections(&[wanted]).unwrap();
            let left = kernel.connections(&container).unwrap().len();
            assert_eq!(left, usize::from(live));
        }
    });
}

#[test]
fn t13_a_new_record_is_above_every_stored_generation() {
    alone(|lab| {
        let kernel = lab.create();
        commit(&kernel, 41, 0);
        drop(kernel);
        fs::remove_file(lab.base().join("v1/commit")).unwrap();
        assert!(lab.open().is_none());
        let kernel = lab.create();
        let above = |generation| CommitRecord {
            generation: Generation(generation),
            slot: Slot::A,
        };
        assert_eq!(kernel.record(), above(42));
        // Slots lost as well: what connections cache counts.
        let wanted = NewConnections {
            container: name("shop/web"),
            endpoint: EndpointIndex(0),
            quota: 64,
            live: false,
        };
        kernel.make_connections(&[wanted]).unwrap();
        plant(&lab.base(), "shop/web", "datagrams", 77);
        drop(kernel);
        lose_maps(lab);
        assert_eq!(lab.create().record(), above(78));
    });
}

#[test]
fn an_emptied_block_table_is_replaced_and_programs_count_as_another_build() {
    alone(|lab| {
        let mut kernel = lab.create();
        let web = name("shop/web");
        attach(lab, &kernel, "shop/web", 0);
        let sets = || kernel_sets(lab);
        let old = sets();
        let table = lab.base().join("v1/blocks").join(&old[0]).join("table");
        MapHandle::from_pinned_path(table)
            .unwrap()
            .delete(&0_u32.to_ne_bytes())
            .unwrap();
        assert_eq!(lab.open().unwrap().block_code(), [0; 32]);
        kernel.replace_blocks().unwrap();
        assert_eq!(
            sets(),
            old,
            "this handle has found it whole and looks no more"
        );
        let mut kernel = lab.open().unwrap();
        kernel.replace_blocks().unwrap();
        assert_eq!(sets().len(), 2);
        assert_eq!(kernel.block_code(), bpf::object::datapath().block_code);
        let build = |kernel: &Kernel| {
            kernel.live().unwrap().containers[&web]
                .programs
                .unwrap()
                .build
        };
        assert_eq!(build(&kernel), NO_BUILD, "it reaches the old table");
        kernel.remove_leftovers().unwrap();
        assert_eq!(sets().len(), 2, "as long as a program reaches it, it stays");
        let plain = Build::Plain(constants(0), BuildHash([1; 32]));
        kernel.swap(&web, &plain).unwrap();
        assert_eq!(build(&kernel), BuildHash([1; 32]));
        kernel.remove_leftovers().unwrap();
        let left = sets();
        assert!(left.len() == 1 && left != old);
        assert_eq!(kernel.block_code(), lab.open().unwrap().block_code());
    });
}

fn kernel_sets(lab: &Lab) -> Vec<String> {
    let names = lab.base().join("v1/blocks").read_dir().unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_registration_without_pins_is_removed() {
    alone(|lab| {
        let kernel = lab.create();
        attach(lab, &kernel, "shop/web", 9);
        let established = map_id(&lab.base().join("v1/containers/shop/web/established"));
        fs::remove_dir_all(lab.base().join("v1/containers/shop")).unwrap();
        assert!(
            MapHandle::from_map_id(established).is_ok(),
            "the registry holds it"
        );
        kernel.remove_leftovers().unwrap();
        crate::rig::wait_until("the map is gone", || {
            MapHandle::from_map_id(established).is_err()
        });
    });
}

#[test]
fn a_run_that_died_in_create_is_completed() {
    alone(|lab| {
        drop(lab.create());
        fs::remove_file(lab.base().join("v1/commit")).unwrap();
        for map in ["policy", "scratch", "all_counters", "sweep"] {
            fs::remove_file(lab.base().join("v1").join(map)).unwrap();
        }
        assert!(lab.open().is_none());
        let kernel = lab.create();
        assert_eq!(kernel.block_code(), bpf::object::datapath().block_code);
        commit(&kernel, 1, 3);
    });
}

#[test]
fn a_base_directory_that_others_could_change_is_refused() {
    alone(|lab| {
        fs::create_dir(lab.base()).unwrap();
        let refused = Kernel::open(&lab.base());
        assert!(
            matches!(
                &refused,
                Err(OpenError::Base(BaseError::Unsafe { mode: 0o755, .. }))
            ),
            "{refused:?}"
        );
        fs::set_permissions(lab.base(), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(lab.base(), Some(65_534), None).unwrap();
        let refused = Kernel::create(&lab.base()).unwrap_err().to_string();
        assert!(refused.contains("belongs to user 65534"), "{refused}");
        let elsewhere = tempfile::tempdir().unwrap();
        fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let refused = Kernel::open(elsewhere.path());
        assert!(
            matches!(refused, Err(OpenError::Base(BaseError::NotBpffs { .. }))),
            "{refused:?}"
        );
    });
}

#[test]
fn a_strangers_pin_under_our_name_is_refused_or_makes_room() {
    alone(|lab| {
        drop(lab.create());
        let policy = lab.base().join("v1/policy");
        fs::remove_file(&policy).unwrap();
        let slots = lab.base().join("v1/slots");
        let mut map = MapHandle::from_pinned_path(&slots).unwrap();
        map.pin(&policy).unwrap();
        assert!(matches!(
            lab.try_open(),
            Err(OpenError::Shape { name: "policy" })
        ));
        fs::remove_file(&policy).unwrap();
        let set = lab.base().join("v1/blocks").join(&kernel_sets(lab)[0]);
        libbpf_rs::ProgramHandle::from_pinned_path(set.join("guard"))
            .unwrap()
            .pin(&policy)
            .unwrap();
        // No map of another version: it is as if nothing were pinned there.
        assert_eq!(lab.try_open().unwrap().unwrap().block_code(), [0; 32]);
        drop(lab.create());
        assert!(MapHandle::from_pinned_path(&policy).is_ok());
        assert_ne!(lab.try_open().unwrap().unwrap().block_code(), [0; 32]);
    });
}

#[test]
fn what_is_not_known_is_listed() {
    alone(|lab| {
        let kernel = lab.create();
        attach(lab, &kernel, "shop/web.v1", 0);
        let strange = ["v1/containers/shop/web_v1/extra", "v1/more", "v9"];
        for path in strange {
            fs::create_dir(lab.base().join(path)).unwrap();
        }
        let listing = kernel.listing().unwrap();
        let unknown: Vec<_> = listing.unknown.iter().collect();
        assert_eq!(
            unknown,
            strange
                .map(|path| lab.base().join(path))
                .iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(
            listing.containers.keys().collect::<Vec<_>>(),
            [&name("shop/web.v1")]
        );
    });
}

/// libbpf goes on where the kernel does not take a program's types, and a stranger may have put his
/// own in the place of ours.
#[test]
fn a_program_without_types_is_none_of_ours_and_is_replaced() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        let ifindex = attach(lab, &kernel, "shop/web", 4);
        crate::rig::put_without_types(&lab.base().join("v1/containers/shop/web"));
        let found = kernel.live().unwrap();
        assert_eq!(found.containers[&web].programs, None);
        let build = Build::Plain(constants(4), BuildHash([1; 32]));
        kernel.attach(&web, ifindex, &build).unwrap();
        let found = kernel.live().unwrap();
        let programs = found.containers[&web].programs.unwrap();
        assert_eq!(programs.build, BuildHash([1; 32]));
    });
}

#[test]
fn directories_that_somebody_removed_are_made_again() {
    alone(|lab| {
        let kernel = lab.create();
        for folder in ["containers", "blocks"] {
            fs::remove_dir_all(lab.base().join("v1").join(folder)).unwrap();
        }
        drop(kernel);
        let mut kernel = lab.open().unwrap();
        assert_eq!(kernel.block_code(), [0; 32], "so that a plan mends it");
        kernel.replace_blocks().unwrap();
        attach(lab, &kernel, "shop/web", 4);
        assert_eq!(kernel.live().unwrap().containers.len(), 1);
    });
}
