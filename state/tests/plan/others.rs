//! Containers on interfaces of others: how live knows them whatever is lost, and what of theirs a
//! run may open.

use std::collections::BTreeMap;
use std::net::IpAddr;

use state::desired::resolve;
use state::diff::diff;
use state::documents::container::Attach;
use state::documents::{Container, Documents, NetworkPolicy};
use state::live::{
    Base, Entry, Guarded, Instead, Live, LiveContainer, LiveHost, LiveNetwork, LivePrograms,
    LiveSlot, SlotMark,
};
use state::plan::collisions::{Collision, collisions};
use state::plan::cuts::cuts;
use state::plan::{Operation, Phase, Plan, plan};
use state::target::located::Attachment;
use state::target::programs::BuildHash;
use state::target::tables::EndpointIndex;
use state::target::{Constants, Datapath, Target, compile};
use state::words::address::Mac;
use state::words::generation::{CommitRecord, Generation, Slot};
use state::words::labels::Selector;
use state::words::names::FullName;
use state::words::verdict::Direction;

use super::lab::{Lab, origin};
use super::world::lost_pin;
use crate::random;

const IFINDEX: u32 = 41;
const MAC: Mac = Mac([2, 0, 0x5e, 0x10, 0, 1]);
const GATEWAY: Mac = Mac([2, 0, 0x5e, 0x10, 0, 2]);

fn name(text: &str) -> FullName {
    FullName::from_slashed(text).expect("a name")
}

fn container(text: &str, address: [u8; 4], attach: Attach) -> Container {
    Container {
        place: random::place(usize::from(address[3])),
        name: name(text),
        labels: BTreeMap::new(),
        host: None,
        addresses: vec![(IpAddr::from(address), random::place(0))],
        ports: Vec::new(),
        connections: Container::CONNECTIONS_DEFAULT,
        attach,
    }
}

/// `a/db`, and `a/web` on `theirs0`.
fn tree(with_web: bool) -> Documents {
    let attach = Attach::Interface {
        name: "theirs0".to_owned(),
        mac: None,
    };
    let mut containers = vec![container("a/db", [10, 0, 0, 1], Attach::Managed)];
    if with_web {
        containers.push(container("a/web", [10, 0, 0, 2], attach));
    }
    Documents {
        containers,
        ..Documents::default()
    }
}

fn datapath() -> Datapath {
    Lab::default().datapath
}

fn compiled(tree: &Documents, live: &Live) -> Target {
    compiled_with(tree, live, "a/web")
}

/// The same where another one is attached to `theirs0`.
fn compiled_with(tree: &Documents, live: &Live, attached: &str) -> Target {
    let (desired, _) = resolve(tree, &random::host());
    let there = Attachment::Interface {
        mac: MAC,
        gateway_mac: GATEWAY,
        tap: false,
    };
    let located = live.located(BTreeMap::new(), [(name(attached), there)].into());
    compile(&desired, &located, &datapath()).expect("a small tree fits")
}

/// A host on which this has been applied, as far as a plan looks. `a/web` is live where the tree
/// has it; its programs are attached in any case.
fn live(tree: &Documents) -> Live {
    let mut live = Live {
        bpffs: true,
        ..Live::default()
    };
    for (text, ifindex) in [("a/db", 40), ("a/web", IFINDEX)] {
        let container = LiveContainer::default();
        live.containers.insert(name(text), container);
        let network = compiled(&self::tree(true), &live).containers[&name(text)]
            .network
            .clone();
        let found = live.containers.get_mut(&name(text)).expect("one");
        found.network = Some(LiveNetwork {
            ifindex: Some(ifindex),
            network,
            faults: Vec::new(),
            reached: Default::default(),
            resolv_conf: false,
        });
    }
    let all = compiled(&self::tree(true), &live);
    let slot = LiveSlot {
        mark: SlotMark::Settled,
        generation: Generation(1),
        commit: "c1".to_owned(),
        tree: "tree of c1".to_owned(),
        tables: compiled(tree, &live).tables,
        ..LiveSlot::default()
    };
    for (name, found) in &mut live.containers {
        let target = &all.containers[name];
        found.endpoint = Some(target.constants.endpoint);
        found.connections = Some(target.connections);
        found.pinned_quota = found.connections;
        found.programs = Some(LivePrograms {
            build: target.programs.build,
            constants: target.constants,
            ifindex: found.network.as_ref().and_then(|n| n.ifindex).expect("one"),
            guarded: true,
            first: true,
        });
    }
    live.host = LiveHost {
        sysctls: all.host.sysctls.clone(),
        ..LiveHost::default()
    };
    live.base = Some(Base {
        layout: 1,
        block_code: datapath().block_code,
        record: CommitRecord {
            generation: Generation(1),
            slot: Slot::A,
        },
        slots: [slot, LiveSlot::default()],
        unpinned: Vec::new(),
        lost: Vec::new(),
    });
    live
}

fn web(live: &mut Live) -> &mut LiveContainer {
    live.containers
        .get_mut(&name("a/web"))
        .expect("it is there")
}

/// Its pins are gone, and with them its programs.
fn lose_pins(found: &mut LiveContainer) {
    found.programs = None;
    found.endpoint = None;
    found.connections = None;
    found.pinned_quota = None;
}

fn planned(live: &Live, tree: &Documents, commit: &str) -> Plan {
    let target = compiled(tree, live);
    let differences = diff(&target, live, &datapath());
    plan(&target, live, &differences, &origin(commit))
}

/// What its programs do with packets of the live slot until the store; `None` where no operation
/// before it changes them.
fn until_the_store(plan: &Plan) -> Option<Constants> {
    let prepare = plan.phase(Phase::Prepare);
    let web = prepare.filter(|operation| operation.container() == Some(&name("a/web")));
    let builds = web.filter_map(|operation| match operation {
        Operation::Attach {
            from, constants, ..
        }
        | Operation::Swap {
            from, constants, ..
        } => Some(from.unwrap_or(*constants)),
        _ => None,
    });
    builds.last()
}

#[test]
fn one_is_known_by_its_maps_or_else_by_its_interface() {
    let mut live = live(&tree(true));
    let index = web(&mut live).endpoint.expect("registered");
    let at = |live: &Live, text| live.endpoint(&name(text)).map(|(index, _)| index);
    assert_eq!(at(&live, "a/web"), Some(index));
    web(&mut live).endpoint = None;
    assert_eq!(at(&live, "a/web"), Some(index), "by its interface");
    let network = web(&mut live).network.take();
    assert_eq!(at(&live, "a/web"), None, "nothing says so");
    // Another container is not taken for it, whatever the index or interface says.
    let db = at(&live, "a/db").expect("live");
    web(&mut live).endpoint = Some(db);
    assert_eq!(at(&live, "a/web"), None, "that row is of a name");
    web(&mut live).endpoint = None;
    web(&mut live).network = network.clone();
    let other = live.containers[&name("a/web")].clone();
    live.containers.insert(name("a/other"), other);
    live.containers
        .get_mut(&name("a/other"))
        .expect("one")
        .endpoint = Some(index);
    assert_eq!(
        at(&live, "a/web"),
        None,
        "that row is another's by its maps"
    );
    assert_eq!(at(&live, "a/other"), Some(index));
}

/// Whatever stands there: what the live commit judges is never open before the store, and what it
/// does not know is as open as it was.
#[test]
fn nothing_that_is_judged_or_closed_is_opened_before_the_store() {
    for known in [true, false] {
        let before = live(&tree(known));
        let constants = before.containers[&name("a/web")]
            .programs
            .expect("one")
            .constants;
        let changed = Constants {
            v6: Some("fd00::7".parse().expect("one")),
            ..constants
        };
        let programs = [
            None,
            Some(constants),
            Some(changed),
            Some(constants.passing()),
        ];
        let sides = [Instead::Guard, Instead::Nobody, Instead::Ours];
        let cases = programs
            .iter()
            .flat_map(|p| sides.iter().map(move |i| (p, i)));
        for ((programs, instead), pinned) in cases.flat_map(|c| [(c, true), (c, false)]) {
            let mut live = before.clone();
            let found = web(&mut live);
            let was = found.programs.expect("one");
            if !pinned {
                lose_pins(found);
            }
            found.programs = programs.map(|constants| LivePrograms {
                constants,
                build: BuildHash([9; 32]),
                ..was
            });
            if programs.is_none() {
                let sides = [Direction::Egress, Direction::Ingress];
                found.instead = sides.map(|side| (side, instead.clone())).into();
            }
            let plan = planned(&live, &tree(true), "c2");
            let says = format!("{known} {pinned} {programs:?} {instead:?}");
            let found = until_the_store(&plan).unwrap_or_else(|| panic!("{says}: {plan:?}"));
            let open = match programs {
                Some(programs) => programs.passes,
                None => !known && *instead != Instead::Guard,
            };
            assert_eq!(found.passes, open, "{says}");
            if let (Some(programs), true) = (programs, known) {
                assert_eq!(found, *programs, "{says}");
            }
        }
    }
}

/// From the store on: what goes on without us is not stopped until settle has come to it.
#[test]
fn what_leaves_the_tree_is_opened_by_the_store() {
    let before = live(&tree(true));
    let own = before.containers[&name("a/web")]
        .programs
        .expect("one")
        .constants;
    let plan = planned(&before, &tree(false), "c2");
    let of_web = |operation: &&Operation| operation.container() == Some(&name("a/web"));
    let prepare: Vec<&Operation> = plan.phase(Phase::Prepare).filter(of_web).collect();
    let [
        Operation::Swap {
            from: Some(from),
            constants,
            ..
        },
    ] = prepare[..]
    else {
        panic!("{prepare:?}");
    };
    assert_eq!((*from, *constants), (own, own.passing()));
    let last = plan.phase(Phase::Prepare).last();
    assert_eq!(last, Some(&Operation::Barrier), "T1");
    let settle: Vec<&Operation> = plan.phase(Phase::Settle).filter(of_web).collect();
    assert!(
        matches!(settle[..], [Operation::Remove { .. }]),
        "{settle:?}"
    );
    // What a run that died has made, or whose maps no program could be loaded over, goes as it is.
    let mut unpinned = before.clone();
    web(&mut unpinned).unpinned = vec![lost_pin("counters")];
    for live in [&live(&tree(false)), &unpinned] {
        let plan = planned(live, &tree(false), "c2");
        assert_eq!(plan.phase(Phase::Prepare).filter(of_web).count(), 0);
    }
    assert_eq!(plan.phase(Phase::Settle).filter(of_web).count(), 1);
}

/// Connection maps that have lost their pins are its own where the live slot has it at their index.
#[test]
fn maps_without_pins_are_kept_where_the_live_slot_has_the_container() {
    let asked = |live: &Live| {
        let plan = planned(live, &tree(true), "c1");
        let asked = plan
            .phase(Phase::Prepare)
            .find_map(|operation| match operation {
                Operation::CreateConnections {
                    container,
                    endpoint,
                    live,
                    ..
                } if *container == name("a/web") => Some((*endpoint, *live)),
                _ => None,
            });
        asked.unwrap_or_else(|| panic!("{plan:?}"))
    };
    let mut known = live(&tree(true));
    let index: EndpointIndex = web(&mut known).endpoint.expect("registered");
    lose_pins(web(&mut known));
    assert_eq!(asked(&known), (index, true));
    let mut unknown = live(&tree(false));
    lose_pins(web(&mut unknown));
    assert!(!asked(&unknown).1);
}

/// The same, and nobody may begin anything with any of them.
fn isolated(with_web: bool) -> Documents {
    let policy = NetworkPolicy {
        place: random::place(9),
        name: name("a/isolates"),
        subject: Selector::default(),
        subject_place: random::place(9),
        ingress: Some(Vec::new()),
        egress: None,
    };
    Documents {
        policies: vec![policy],
        ..tree(with_web)
    }
}

/// What the host begins passes from whatever address; and who goes on without us is elsewhere then,
/// whom nobody cuts but who has a policy.
#[test]
fn neither_what_the_host_begins_nor_who_goes_on_without_us_is_cut() {
    let live = live(&tree(true));
    let entry = |container: &str, peer: [u8; 4], initiator, from_host| Entry {
        container: name(container),
        peer: peer.into(),
        protocol: 6,
        own_port: 80,
        peer_port: 443,
        initiator,
        established: true,
        ended: false,
        generation: 1,
        from_host,
        deliver_to: None,
    };
    let (db, web, outside) = ([10, 0, 0, 1], [10, 0, 0, 2], [198, 51, 100, 9]);
    let cases = [
        (isolated(true), entry("a/db", outside, false, false), true),
        (isolated(true), entry("a/db", outside, false, true), false),
        (isolated(true), entry("a/db", outside, true, false), false),
        (tree(false), entry("a/web", outside, true, false), false),
        (tree(false), entry("a/web", db, true, false), false),
        (tree(false), entry("a/db", web, true, false), false),
        (
            isolated(false),
            entry("a/web", outside, false, false),
            false,
        ),
        (isolated(false), entry("a/web", db, true, false), true),
        (isolated(false), entry("a/web", db, false, false), false),
    ];
    for (next, entry, cut) in cases {
        let target = compiled(&next, &live);
        let plan = planned(&live, &next, "c2");
        let found = cuts(&plan, std::slice::from_ref(&entry), &live, &target);
        assert_eq!(
            (found.of, found.count()),
            (1, usize::from(cut)),
            "{entry:?}"
        );
    }
}

/// Whoever is to be on an interface where programs of another one are, live or not: nothing is put
/// before them, nor is the guard taken away with them.
#[test]
fn an_interface_on_which_another_one_is_is_not_taken() {
    let found = |live: &Live| {
        let target = compiled(&tree(true), live);
        let collisions = collisions(&target, live);
        collisions
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let mut live = live(&tree(true));
    assert_eq!(found(&live), [""; 0]);
    let mut other = web(&mut live).clone();
    other.endpoint = Some(EndpointIndex(7));
    lose_pins(web(&mut live));
    live.containers.insert(name("a/other"), other);
    let [said] = &found(&live)[..] else {
        panic!("{:?}", found(&live));
    };
    assert!(
        said.starts_with("a/web: programs of a/other are on"),
        "{said}"
    );
}

/// Where a link of it is lost, its row says where it is, and its removal would take the guard.
#[test]
fn an_interface_on_which_what_is_left_of_another_one_stands_is_not_taken() {
    let mut live = live(&tree(true));
    let renamed = |live: &Live| {
        let mut tree = tree(true);
        tree.containers[1].name = name("a/other");
        let target = compiled_with(&tree, live, "a/other");
        collisions(&target, live)
    };
    let other = LiveContainer {
        network: web(&mut live).network.take(),
        ..LiveContainer::default()
    };
    live.containers.insert(name("a/other"), other);
    let shared = Collision::Shared {
        container: name("a/other"),
        with: name("a/web"),
    };
    let shared = [shared];
    assert_eq!(renamed(&live), shared, "whole");
    web(&mut live).programs = None;
    assert_eq!(renamed(&live), shared, "without a link");
    // What is left of it elsewhere is in nobody's way.
    let base = live.base.as_mut().expect("one");
    for row in base.slots[0].tables.endpoints.values_mut() {
        row.ifindex = Some(IFINDEX + 1);
    }
    assert_eq!(renamed(&live), []);
}

/// It opens an interface: the plan says which, and a run does not look for others.
#[test]
fn a_guard_where_nobody_is_to_judge_is_taken_off_by_the_plan() {
    let mut live = live(&tree(true));
    let guards = [("theirs0", IFINDEX), ("theirs9", 99)];
    let guarded = |ifindex| Guarded {
        ifindex,
        instead: BTreeMap::new(),
    };
    let guards = guards.map(|(name, index)| (name.to_owned(), guarded(index)));
    live.host.guards = guards.into();
    let taken = |live: &Live, tree: &Documents| {
        let plan = planned(live, tree, "c1");
        let taken = plan.phase(Phase::Settle).filter_map(|o| match o {
            Operation::RemoveGuard { interface, ifindex } => Some((interface.clone(), *ifindex)),
            _ => None,
        });
        taken.collect::<Vec<_>>()
    };
    assert_eq!(taken(&live, &tree(true)), [("theirs9".to_owned(), 99)]);
    // The guard of one that leaves goes with it.
    assert_eq!(taken(&live, &tree(false)), [("theirs9".to_owned(), 99)]);
    live.host.guards.remove("theirs9");
    assert_eq!(taken(&live, &tree(true)), []);
}
