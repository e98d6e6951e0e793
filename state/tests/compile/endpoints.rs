//! Endpoint indices: kept while a container lives, the lowest free for a new one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Strategy, any};
use state::desired::resolve;
use state::target::located::Found;
use state::target::tables::EndpointIndex;
use state::target::{CompileError, Datapath, Located, compile};
use state::words::names::FullName;

use super::{datapath, show};
use crate::random::run::hold;
use crate::random::{self, Case};

/// Live as it may be: some containers of the tree with an index, some that are leaving, and
/// indices whose containers have left.
fn situations() -> impl Strategy<Value = (Case, Vec<u16>, Vec<bool>)> {
    let indices = proptest::sample::subsequence((0..24_u16).collect::<Vec<_>>(), 12);
    let present = proptest::collection::vec(any::<bool>(), 12);
    (random::case(0), indices.prop_shuffle(), present)
}

fn located(case: &Case, indices: &[u16], present: &[bool]) -> Located {
    let gone = (0..3).map(|i| FullName::from_slashed(&format!("a/gone{i}")).expect("a name"));
    let names = case.documents.containers.iter().map(|c| c.name.clone());
    let mut located = Located::default();
    for (index, (name, present)) in names.chain(gone).zip(present).enumerate() {
        if *present {
            let found = Found {
                ifindex: Some(100 + u32::from(indices[index])),
                endpoint: Some(EndpointIndex(indices[index])),
            };
            located.containers.insert(name, found);
        }
    }
    located.held = [EndpointIndex(indices[11])].into();
    located
}

#[test]
fn an_index_is_kept_or_the_lowest_free() {
    hold(
        1_000,
        situations(),
        |(case, ..)| show(case),
        |(case, indices, present)| {
            let located = located(case, indices, present);
            let (desired, _) = resolve(&case.documents, &random::host());
            let target = compile(&desired, &located, &datapath()).expect("it fits");
            let mut taken: BTreeSet<EndpointIndex> = located.held.clone();
            taken.extend(
                located
                    .containers
                    .values()
                    .filter_map(|found| found.endpoint),
            );
            let lowest_free = (0..)
                .map(EndpointIndex)
                .filter(|index| !taken.contains(index));
            let mut new = BTreeSet::new();
            for (name, container) in &target.containers {
                let index = container.constants.endpoint;
                let found = located.containers.get(name).copied().unwrap_or_default();
                match found.endpoint {
                    Some(kept) if kept == index => {}
                    Some(kept) => return Err(format!("{name} moved from {kept} to {index}")),
                    None => assert!(new.insert(index), "{index} was given twice"),
                }
                let row = target.tables.endpoints[&index];
                assert_eq!(row.ifindex, found.ifindex);
            }
            let expected: BTreeSet<EndpointIndex> = lowest_free.take(new.len()).collect();
            super::equal("new indices", &new, &expected)
        },
    );
}

#[test]
fn a_full_registry_is_refused_with_the_count() {
    let case = Case {
        documents: state::documents::Documents {
            containers: (0..3).map(container).collect(),
            ..Default::default()
        },
        host_addresses: BTreeSet::new(),
        flows: Vec::new(),
    };
    let leaving = FullName::from_slashed("a/leaving").expect("a name");
    let found = Found {
        ifindex: None,
        endpoint: Some(EndpointIndex(1)),
    };
    let located = Located {
        containers: BTreeMap::from([(leaving, found)]),
        ..Located::default()
    };
    let small = |endpoints_most| Datapath {
        endpoints_most,
        ..datapath()
    };
    let (desired, _) = resolve(&case.documents, &random::host());
    let refused = compile(&desired, &located, &small(3));
    let expected = CompileError::TooManyContainers {
        here: 3,
        leaving: 1,
        most: 3,
    };
    assert_eq!(refused, Err(expected));
    let fits = compile(&desired, &located, &small(4)).expect("it fits");
    let indices = fits.tables.endpoints.keys().map(|index| index.0);
    assert_eq!(indices.collect::<Vec<_>>(), [0, 2, 3]);
}

fn container(number: u8) -> state::documents::Container {
    state::documents::Container {
        place: random::place(usize::from(number)),
        name: FullName::from_slashed(&format!("a/c{number}")).expect("a name"),
        labels: BTreeMap::new(),
        host: None,
        addresses: vec![([10, 0, 0, number].into(), random::place(0))],
        ports: Vec::new(),
        connections: state::documents::Container::CONNECTIONS_DEFAULT,
        attach: Default::default(),
    }
}
