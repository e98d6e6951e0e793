//! Connections, drops and trial packets of a container.

use bpf::conntrack::{Entries, Reason, State, Subject};
use bpf::object::Build;
use bpf::trial::Outcome;
use state::target::programs::BuildHash;
use state::target::tables::EndpointIndex;

use crate::programs::attach;
use crate::rig::{alone, commit, constants, name, plant, wait_until};

#[test]
fn a_trial_packet_comes_as_far_as_the_live_slot() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        let ifindex = attach(lab, &kernel, "shop/web", 2);
        let absent = Outcome::Dropped(vec![Reason::named("absent").unwrap()]);
        assert_eq!(kernel.trial(&web).unwrap(), [absent.clone(), absent]);
        commit(&kernel, 1, ifindex);
        assert_eq!(
            kernel.trial(&web).unwrap(),
            [Outcome::Judged, Outcome::Judged]
        );
        assert_eq!(
            kernel.drops(&web).unwrap()[&Reason::named("trial").unwrap()],
            2
        );
        // In the transition to another index the packet is judged under the live slot's.
        let wrong = Build::Transition([constants(2), constants(100)]);
        kernel.swap(&web, &wrong).unwrap();
        assert_ne!(
            kernel.trial(&web).unwrap(),
            [Outcome::Judged, Outcome::Judged]
        );
        kernel
            .swap(&web, &Build::Plain(constants(2), BuildHash([1; 32])))
            .unwrap();
        assert_eq!(
            kernel.trial(&web).unwrap(),
            [Outcome::Judged, Outcome::Judged]
        );
        assert!(kernel.trial(&name("shop/none")).is_err());
    });
}

#[test]
fn connections_are_listed_and_expire() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        attach(lab, &kernel, "shop/web", 2);
        assert_eq!(kernel.connections(&web).unwrap(), []);
        for map in ["established", "half_open", "datagrams"] {
            plant(&lab.base(), "shop/web", map, 5);
        }
        let counts = kernel.entry_counts(&web).unwrap();
        let one = Entries {
            established: 1,
            half_open: 1,
            datagrams: 1,
        };
        assert_eq!(counts, one);
        let found = kernel.connections(&web).unwrap();
        let states: Vec<State> = found.iter().map(|connection| connection.state).collect();
        assert_eq!(
            states,
            [State::Established, State::HalfOpen, State::Datagrams]
        );
        let first = &found[0];
        assert_eq!(first.peer.to_string(), "10.44.0.9");
        let ports = Subject::Flow {
            peer_port: 80,
            own_port: 40_000,
        };
        assert_eq!((first.subject, first.protocol), (ports, 6));
        assert_eq!((first.generation, first.initiator), (5, true));
        assert_eq!(first.deliver_to, Some(EndpointIndex(7)));
        assert_eq!((first.closed, first.reset), ((false, true), false));

        kernel.set_expiry(&web, first, 100).unwrap();
        let left = kernel.connections(&web).unwrap()[0].expires_in_s;
        assert!((95..=100).contains(&left), "{left}");
        for connection in &found {
            kernel.set_expiry(&web, connection, -1).unwrap();
        }
        drop(kernel);
        let kernel = lab.open().unwrap();
        wait_until("the kernel's timer has reclaimed them", || {
            kernel.entry_counts(&web).unwrap() == Entries::default()
        });
        assert!(kernel.set_expiry(&web, first, 1).is_err());
    });
}

#[test]
fn every_reason_has_a_name_and_a_meaning() {
    let names: Vec<&str> = Reason::all().map(Reason::name).collect();
    assert!(names.contains(&"spoofed_source") && names.contains(&"trial"));
    assert!(!names.contains(&"pass"));
    assert!(Reason::all().all(|reason| reason.meaning().len() > 8));
    assert_eq!(Reason::named("quota").map(Reason::name), Some("quota"));
    assert_eq!(Reason::named("nonsense"), None);
}

#[test]
fn a_resize_moves_connections_under_attached_programs() {
    alone(|lab| {
        let kernel = lab.create();
        let web = name("shop/web");
        let ifindex = attach(lab, &kernel, "shop/web", 2);
        commit(&kernel, 1, ifindex);
        plant(&lab.base(), "shop/web", "established", 1);
        let before = (
            kernel.connections(&web).unwrap(),
            crate::rig::link_ids(ifindex),
        );
        let resized = kernel.resize_connections(&web, 4096).unwrap();
        assert_eq!((resized.moved, resized.forgotten), (1, 0));
        let after = (
            kernel.connections(&web).unwrap(),
            crate::rig::link_ids(ifindex),
        );
        assert_eq!(before.0[0].peer, after.0[0].peer);
        assert_eq!(before.1, after.1);
        let live = &kernel.live().unwrap().containers[&web];
        assert_eq!(live.connections, Some(4096));
        assert_eq!(
            live.programs.unwrap().build,
            BuildHash([1; 32]),
            "the same build, over it"
        );
        assert_eq!(
            kernel.trial(&web).unwrap(),
            [Outcome::Judged, Outcome::Judged]
        );
    });
}

#[test]
fn this_kernel_can_do_it() {
    alone(|_| {
        bpf::doctor::probe().unwrap_or_else(|lack| panic!("{lack}"));
    });
}
