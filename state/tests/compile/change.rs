//! What a change of the tree may change.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy, any};
use proptest::sample::Index;
use state::desired::{Desired, resolve};
use state::documents::network_policy::PortNumber;
use state::documents::{Documents, NetworkPolicy};
use state::target::judge::{self, Side};
use state::target::tables::{Owner, Tables};
use state::target::{Located, Memory, compile, compile_again};
use state::words::flow::Flow;
use state::words::identity::SubjectId;
use state::words::names::{FullName, HostName};
use state::words::verdict::Direction;

use super::{compiled, datapath, equal, show};
use crate::random;
use crate::random::run::hold;

#[test]
fn the_order_of_documents_changes_nothing() {
    let shuffled = random::case(0).prop_flat_map(|case| {
        let documents = &case.documents;
        let namespaces = Just(documents.namespaces.clone()).prop_shuffle();
        let containers = Just(documents.containers.clone()).prop_shuffle();
        let policies = Just(documents.policies.clone()).prop_shuffle();
        (Just(case), namespaces, containers, policies)
    });
    hold(
        500,
        shuffled,
        |(case, ..)| show(case),
        |(case, namespaces, containers, policies)| {
            let other = Documents {
                namespaces: namespaces.clone(),
                containers: containers.clone(),
                policies: policies.clone(),
                ..case.documents.clone()
            };
            let (one, two) = (compiled(&case.documents, case), compiled(&other, case));
            equal("desired states", &one.0, &two.0)?;
            equal("targets", &one.1, &two.1)
        },
    );
}

/// The keys `build` and `owner` are named by no selector.
#[test]
fn a_label_that_no_selector_names_changes_nothing() {
    let values = proptest::collection::vec("[a-z]{0,3}", 16);
    hold(
        500,
        (random::case(0), values),
        |(case, _)| show(case),
        |(case, values)| {
            let mut other = case.documents.clone();
            let containers = other.containers.iter_mut().map(|c| &mut c.labels);
            let namespaces = other.namespaces.iter_mut().map(|n| &mut n.labels);
            for (labels, value) in containers.chain(namespaces).zip(values) {
                labels.insert("owner".into(), value.as_str().into());
                labels.insert("build".into(), value.as_str().into());
            }
            let (one, two) = (compiled(&case.documents, case), compiled(&other, case));
            equal("targets", &one.1, &two.1)
        },
    );
}

/// Of one whose port nobody names by its name as well.
#[test]
fn a_named_port_that_no_rule_names_changes_nothing() {
    hold(500, random::case(0), show, |case| {
        let mut other = case.documents.clone();
        for (number, container) in (1..).zip(&mut other.containers) {
            container.ports.push(state::words::ports::NamedPort {
                name: "unheard".into(),
                port: number,
                protocol: state::words::ports::Protocol::Tcp,
            });
        }
        let (one, two) = (compiled(&case.documents, case), compiled(&other, case));
        equal("targets", &one.1, &two.1)
    });
}

/// Numbers move by one: whom a policy selects and names stays.
fn edit_ports(policy: &mut NetworkPolicy) {
    let rules = [&mut policy.ingress, &mut policy.egress];
    for rule in rules.into_iter().flatten().flatten() {
        for port in rule.ports.iter_mut().flatten() {
            if let PortNumber::Range(first, last) = &mut port.number {
                *last = last.saturating_add(1);
                *first = first.saturating_add(1);
            }
        }
    }
}

fn subjects_of(desired: &Desired, policy: &FullName) -> BTreeSet<SubjectId> {
    let list = &desired.policies.list;
    let index = list
        .iter()
        .position(|p| p.name == *policy)
        .expect("it is there");
    let subjects = desired.subjects.iter();
    subjects
        .filter(|s| {
            Direction::ALL
                .iter()
                .any(|d| s.policies.get(*d).contains(&index))
        })
        .map(|subject| subject.id)
        .collect()
}

/// The subjects of rows that only one of two tables has, or that differ; each row counts once.
fn changed_rows(one: &Tables, two: &Tables) -> Vec<SubjectId> {
    let keys: BTreeSet<_> = one.policy.keys().chain(two.policy.keys()).collect();
    keys.into_iter()
        .filter(|key| one.policy.get(key) != two.policy.get(key))
        .map(|key| key.subject)
        .collect()
}

/// A policy's ports are edited, or a second one says the same of other ports: nothing new is named,
/// so no identity and no row of a subject that the policy does not select changes.
#[test]
fn an_edit_changes_only_rows_of_the_subjects_that_the_policy_selects() {
    let edits = (random::case(0), any::<Index>(), any::<bool>());
    hold(
        1_000,
        edits,
        |(case, ..)| show(case),
        |(case, index, second)| {
            let mut other = case.documents.clone();
            if other.policies.is_empty() {
                return Ok(());
            }
            let place = index.index(other.policies.len());
            let name = other.policies[place].name.clone();
            if *second {
                let mut twin = other.policies[place].clone();
                twin.name =
                    FullName::from_slashed(&format!("{}/z", name.namespace)).expect("a name");
                other.policies.push(twin);
            }
            let edited = if *second {
                other.policies.len() - 1
            } else {
                place
            };
            edit_ports(&mut other.policies[edited]);
            let (desired, one) = compiled(&case.documents, case);
            let (_, two) = compiled(&other, case);
            equal("addresses", &one.tables.addresses, &two.tables.addresses)?;
            equal("endpoints", &one.tables.endpoints, &two.tables.endpoints)?;
            equal("containers", &one.containers, &two.containers)?;
            let selected = subjects_of(&desired, &name);
            let changed = changed_rows(&one.tables, &two.tables);
            let foreign = changed
                .iter()
                .filter(|subject| !selected.contains(subject))
                .count();
            equal("rows of others", &foreign, &0)
        },
    );
}

/// S13. A policy is put in another's place, or added; whoever neither of them selects is judged as
/// before, in both directions and by the same rules.
#[test]
fn s13_a_policy_concerns_nobody_whom_it_does_not_select() {
    let replaced = (random::case(24), any::<Index>(), random::policy("q"));
    hold(
        1_000,
        replaced,
        |(case, ..)| show(case),
        |(case, index, policy)| {
            let mut other = case.documents.clone();
            let place = index.index(other.policies.len() + 1);
            let mut concerned = vec![policy.clone()];
            if place < other.policies.len() {
                concerned.push(std::mem::replace(
                    &mut other.policies[place],
                    policy.clone(),
                ));
            } else {
                other.policies.push(policy.clone());
            }
            let (desired, one) = compiled(&case.documents, case);
            let (_, two) = compiled(&other, case);
            for flow in &case.flows {
                let sides = [
                    judge::judge(&one.tables, flow),
                    judge::judge(&two.tables, flow),
                ];
                for direction in Direction::ALL {
                    if concerns(&desired, &concerned, flow, direction) {
                        continue;
                    }
                    let [before, after] = sides.map(|sides| *sides.get(direction));
                    equal::<Side>(&format!("{direction} of {flow}"), &before, &after)?;
                }
            }
            Ok(())
        },
    );
}

/// Whether one of the policies selects the container whose side of a flow is judged.
fn concerns(
    desired: &Desired,
    policies: &[NetworkPolicy],
    flow: &Flow,
    direction: Direction,
) -> bool {
    let own = match direction {
        Direction::Egress => flow.source,
        Direction::Ingress => flow.destination,
    };
    desired.container_at(own).is_some_and(|container| {
        policies.iter().any(|policy| {
            policy.name.namespace == container.name.namespace
                && policy.subject.selects(&container.labels)
        })
    })
}

/// Hosts that read the same tree agree on who is who without talking.
#[test]
fn hosts_agree_on_identities() {
    let beta = HostName::new("beta").expect("a name");
    hold(500, random::case(0), show, |case| {
        let [alpha, beta] = [random::host(), beta.clone()].map(|host| {
            let (desired, _) = resolve(&case.documents, &host);
            compile(&desired, &Located::default(), &datapath())
                .expect("it fits")
                .tables
        });
        for address in random::interesting(&case.documents) {
            let [one, two] = [&alpha, &beta].map(|tables| judge::lookup(tables, address));
            equal(
                &format!("identities of {address}"),
                &one.identity,
                &two.identity,
            )?;
        }
        Ok(())
    });
}

/// A container of another host is a peer only: no endpoint, no rows, nothing made for it.
#[test]
fn nothing_is_made_for_a_container_of_another_host() {
    hold(500, random::case(0), show, |case| {
        let (desired, target) = compiled(&case.documents, case);
        let here: BTreeSet<_> = desired.containers_here().map(|c| &c.name).collect();
        equal("containers", &target.containers.keys().collect(), &here)?;
        equal("endpoints", &target.tables.endpoints.len(), &here.len())?;
        let subjects = desired
            .containers_here()
            .map(|c| desired.subjects[c.subject].id);
        let subjects: BTreeSet<SubjectId> = subjects.collect();
        let rows: BTreeSet<_> = target.tables.policy.keys().map(|key| key.subject).collect();
        equal("subjects", &rows, &subjects)?;
        for container in desired.containers.values().filter(|c| !c.here) {
            for address in &container.addresses {
                let owner = judge::lookup(&target.tables, *address).owner;
                if matches!(owner, Owner::Endpoint(_)) {
                    return Err(format!("{address} has an endpoint here"));
                }
            }
        }
        Ok(())
    });
}

/// One thing is another: `at` says which, and `from` has what takes its place.
fn edit(documents: &mut Documents, from: &Documents, kind: u8, at: &Index) {
    let containers = documents.containers.len();
    let policies = documents.policies.len();
    match kind % 6 {
        0 if policies > 0 => drop(documents.policies.remove(at.index(policies))),
        1 if !from.policies.is_empty() => {
            let policy = &from.policies[at.index(from.policies.len())];
            documents.policies.retain(|p| p.name != policy.name);
            documents.policies.push(policy.clone());
        }
        2 if containers > 0 => drop(documents.containers.remove(at.index(containers))),
        3 if !from.containers.is_empty() => {
            let container = &from.containers[at.index(from.containers.len())];
            let taken = |c: &state::documents::Container| {
                let mut own = c.addresses.iter();
                c.name == container.name || own.any(|a| container.addresses.contains(a))
            };
            documents.containers.retain(|c| !taken(c));
            documents.containers.push(container.clone());
        }
        4 if containers > 0 && !from.containers.is_empty() => {
            let other = &from.containers[at.index(from.containers.len())];
            let one = &mut documents.containers[at.index(containers)];
            (one.labels, one.ports) = (other.labels.clone(), other.ports.clone());
        }
        5 if policies > 0 => {
            let policy = &mut documents.policies[at.index(policies)];
            let lists = [&mut policy.ingress, &mut policy.egress];
            for rules in lists.into_iter().flatten() {
                rules.reverse();
                drop(rules.pop());
            }
        }
        _ => {}
    }
}

#[test]
fn what_was_compiled_before_changes_nothing() {
    let edits = proptest::collection::vec((any::<u8>(), any::<Index>()), 1..12);
    hold(
        300,
        (random::case(0), random::case(0), edits),
        |(case, other, edits)| format!("{}{}{edits:?}", show(case), show(other)),
        |(case, other, edits)| {
            let mut memory = Memory::default();
            let mut documents = case.documents.clone();
            for (number, (kind, at)) in edits.iter().enumerate() {
                edit(&mut documents, &other.documents, *kind, at);
                let (desired, _) = resolve(&documents, &random::host());
                let case = if number % 4 == 3 { other } else { case };
                let located = Located {
                    host_addresses: case.host_addresses.clone(),
                    ..Located::default()
                };
                let first = compile(&desired, &located, &datapath()).expect("it fits");
                let again = compile_again(&desired, &located, &datapath(), &mut memory);
                equal("targets", &first, &again.expect("it fits"))?;
            }
            Ok(())
        },
    );
}
