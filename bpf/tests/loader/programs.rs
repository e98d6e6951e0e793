//! A container's own: maps, programs, links, guard.

use bpf::connections::{ConnectionsError, NewConnections};
use bpf::kernel::Kernel;
use bpf::object::Build;
use bpf::programs::AttachError;
use state::target::programs::BuildHash;
use state::target::tables::EndpointIndex;
use state::words::names::FullName;

use crate::rig::{
    Ids, Lab, Stranger, Wire, alone, chain, constants, link_ids, name, run, tree, wait_until,
};

fn hash(byte: u8) -> BuildHash {
    BuildHash([byte; 32])
}

/// Makes the maps of a container and attaches it; its interface.
pub(crate) fn attach(lab: &Lab, kernel: &bpf::kernel::Kernel, full: &str, index: u16) -> u32 {
    let container = name(full);
    let ifindex = lab.container(container.name.as_str());
    connections(kernel, &container, index, 64).unwrap();
    kernel
        .attach(
            &container,
            ifindex,
            &Build::Plain(constants(index), hash(1)),
        )
        .unwrap();
    ifindex
}

fn connections(
    kernel: &bpf::kernel::Kernel,
    container: &FullName,
    index: u16,
    quota: u32,
) -> Result<(), ConnectionsError> {
    kernel.make_connections(&[NewConnections {
        container: container.clone(),
        endpoint: EndpointIndex(index),
        quota,
        live: false,
    }])
}

#[test]
fn attached_programs_are_read_back_as_they_were_given() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web.v1");
        assert!(kernel.live().unwrap().containers.is_empty());
        let ifindex = lab.container("web");
        let build = Build::Plain(constants(3), hash(7));
        let early = kernel.attach(&web, ifindex, &build);
        assert!(matches!(early, Err(AttachError::NoConnections(_))));
        connections(&kernel, &web, 3, 100).unwrap();
        let live = kernel.live().unwrap().containers.remove(&web).unwrap();
        assert_eq!(
            (live.connections, live.endpoint),
            (Some(100), Some(EndpointIndex(3)))
        );
        assert_eq!(live.programs, None);
        kernel.attach(&web, ifindex, &build).unwrap();
        let live = lab.open().unwrap().live().unwrap();
        let programs = live.containers[&web].programs.unwrap();
        assert_eq!(programs.build, hash(7));
        assert_eq!(programs.constants, constants(3));
        assert_eq!(programs.ifindex, ifindex);
        assert!(programs.guarded && programs.first);
        assert_eq!(live.base.block_code, bpf::object::datapath().block_code);
    });
}

#[test]
fn a_swap_keeps_the_links() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        let ifindex = attach(lab, &kernel, "shop/web", 0);
        let before = (chain(ifindex), link_ids(ifindex));
        kernel
            .swap(&web, &Build::Plain(constants(0), hash(2)))
            .unwrap();
        let after = (chain(ifindex), link_ids(ifindex));
        assert_eq!(before.1, after.1, "the links are the same");
        assert_ne!(before.0, after.0, "the programs are not");
        let live = kernel.live().unwrap().containers[&web].programs.unwrap();
        assert_eq!(live.build, hash(2));
        kernel
            .attach(&web, ifindex, &Build::Plain(constants(0), hash(3)))
            .unwrap();
        assert_eq!(link_ids(ifindex), before.1, "attaching again is a swap");
        let none = kernel.swap(&name("shop/none"), &Build::Plain(constants(0), hash(2)));
        assert!(matches!(none, Err(AttachError::NotAttached(_))));
    });
}

#[test]
fn a_transition_build_reads_as_the_live_slots_constants_and_as_no_build() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        attach(lab, &kernel, "shop/web", 0);
        let (a, b) = (constants(0), constants(500));
        kernel.swap(&web, &Build::Transition([a, b])).unwrap();
        let live = kernel.live().unwrap().containers[&web].programs.unwrap();
        assert_eq!((live.build, live.constants), (bpf::live::NO_BUILD, a));
        kernel.swap(&web, &Build::Plain(b, hash(9))).unwrap();
        let live = kernel.live().unwrap().containers[&web].programs.unwrap();
        assert_eq!((live.build, live.constants), (hash(9), b));
    });
}

#[test]
fn links_are_first_in_the_chain_also_after_a_stranger() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        let ifindex = lab.container("web");
        let stranger = Stranger::attach(ifindex);
        connections(&kernel, &web, 0, 64).unwrap();
        let build = Build::Plain(constants(0), hash(1));
        kernel.attach(&web, ifindex, &build).unwrap();
        let live = || kernel.live().unwrap().containers[&web].programs.unwrap();
        assert!(live().first);
        assert_eq!(chain(ifindex)[0].len(), 2);
        drop(stranger);
        wait_until("the stranger is gone", || chain(ifindex)[1].len() == 1);

        let stranger = Stranger::attach(ifindex);
        assert!(!live().first, "the stranger came before us");
        kernel.attach(&web, ifindex, &build).unwrap();
        assert!(live().first);
        wait_until("ours is there once", || {
            chain(ifindex).iter().all(|side| side.len() == 2)
        });
        drop(stranger);
    });
}

#[test]
fn the_guard_closes_when_the_links_vanish() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        let ifindex = attach(lab, &kernel, "shop/web", 0);
        let wire = Wire::over("web");
        assert_eq!(wire.passes(), (false, false), "our programs drop");
        for link in ["from_container", "to_container"] {
            std::fs::remove_file(lab.base().join("v1/containers/shop/web").join(link)).unwrap();
        }
        wait_until("the links are gone", || chain(ifindex) == [vec![], vec![]]);
        assert_eq!(wire.passes(), (false, false), "the guard drops");
        assert_eq!(kernel.live().unwrap().containers[&web].programs, None);
        run("tc", &["qdisc", "del", "dev", "plweb", "clsact"]);
        assert_eq!(wire.passes(), (true, true), "and nothing else did");
    });
}

#[test]
fn connection_maps_are_made_once_and_kept() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        connections(&kernel, &web, 5, 100).unwrap();
        let before = run("ls", &["-iR", lab.base().to_str().unwrap()]);
        connections(&kernel, &web, 5, 100).unwrap();
        assert_eq!(run("ls", &["-iR", lab.base().to_str().unwrap()]), before);
        let other = connections(&kernel, &web, 5, 200);
        assert!(matches!(
            other,
            Err(ConnectionsError::Quota {
                is: 100,
                asked: 200,
                ..
            })
        ));
        let resized = kernel.resize_connections(&web, 200).unwrap();
        assert_eq!((resized.moved, resized.forgotten), (0, 0));
        let live = &kernel.live().unwrap().containers[&web];
        assert_eq!(
            (live.connections, live.endpoint),
            (Some(200), Some(EndpointIndex(5)))
        );
    });
}

#[test]
fn removal_leaves_nothing() {
    alone(|lab| {
        let kernel = lab.create();
        let before = tree(&lab.base());
        let interfaces = [("shop/web", 0), ("shop/db", 1), ("other/web2", 2)]
            .map(|(full, index)| attach(lab, &kernel, full, index));
        let ids = Ids::of_containers(&lab.base(), &interfaces);
        run("ip", &["link", "del", "plweb"]);
        kernel
            .remove(&[name("shop/web"), name("shop/db"), name("other/web2")])
            .unwrap();
        assert_eq!(tree(&lab.base()), before);
        wait_until("all objects of the containers are gone", || ids.gone());
        assert!(kernel.live().unwrap().containers.is_empty());
    });
}

#[test]
fn destroy_leaves_an_empty_bpffs() {
    alone(|lab| {
        let kernel = lab.create();
        let ifindex = attach(lab, &kernel, "shop/web", 0);
        let ids = Ids::of_containers(&lab.base(), &[ifindex]);
        std::fs::create_dir(lab.base().join("mine")).unwrap();
        drop(kernel);
        let unknown = Kernel::destroy(&lab.base()).unwrap().unwrap();
        assert_eq!(
            unknown.into_iter().collect::<Vec<_>>(),
            [lab.base().join("mine")]
        );
        std::fs::remove_dir(lab.base().join("mine")).unwrap();
        // The kernel takes an unpinned link away in its own time.
        wait_until("the links are gone", || matches!(lab.try_open(), Ok(None)));
        lab.create();
        Kernel::destroy(&lab.base()).unwrap();
        assert!(!lab.base().exists());
        assert_eq!(Kernel::destroy(&lab.base()).unwrap(), None);
        run("ip", &["link", "del", "plweb"]);
        wait_until("all objects are gone", || ids.gone());
    });
}

/// A first run may have died before the commit record was pinned, or a removal before the rest.
#[test]
fn destroy_removes_what_is_not_whole() {
    alone(|lab| {
        drop(lab.create());
        let containers = lab.base().join("v1/containers");
        std::fs::create_dir(containers.join("empty")).unwrap();
        for pin in ["commit", "slots"] {
            std::fs::remove_file(lab.base().join("v1").join(pin)).unwrap();
        }
        assert!(lab.open().is_none());
        assert_eq!(Kernel::destroy(&lab.base()).unwrap(), Some([].into()));
        assert!(!lab.base().exists());
    });
}
