//! The shape of tables: complete, minimal, and no larger than subjects times the identities that
//! their rules name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use state::desired::resolve;
use state::documents::network_policy::{Peer, PeerKind, Port, PortNumber, Rule};
use state::documents::{Container, Documents, NetworkPolicy};
use state::target::tables::{Address, Owner, PolicyKey, PortPrefix, Tables};
use state::target::{Located, Target, compile};
use state::words::address::Cidr;
use state::words::identity::{IdentityId, RulesetId};
use state::words::labels::{Operator, Requirement, Selector};
use state::words::names::FullName;
use state::words::ports::Protocol;
use state::words::verdict::Direction;

use super::{compiled, datapath, show};
use crate::random::run::hold;
use crate::random::{self, place};

#[test]
fn tables_are_complete_and_minimal() {
    hold(1_000, random::case(0), show, |case| {
        let (_, target) = compiled(&case.documents, case);
        every_subject_has_its_rows(&target.tables)?;
        no_row_repeats_the_row_for_any_peer(&target.tables)?;
        no_address_repeats_its_holder(&target.tables)?;
        rulesets_are_used_and_disjoint(&target.tables)
    });
}

fn every_subject_has_its_rows(tables: &Tables) -> Result<(), String> {
    for endpoint in tables.endpoints.values() {
        for direction in Direction::ALL {
            let key = PolicyKey {
                subject: endpoint.subject,
                direction,
                identity: IdentityId::ANY,
            };
            if !tables.policy.contains_key(&key) {
                return Err(format!("no row {key:?}"));
            }
        }
    }
    Ok(())
}

fn no_row_repeats_the_row_for_any_peer(tables: &Tables) -> Result<(), String> {
    for (key, ruleset) in &tables.policy {
        let any = PolicyKey {
            identity: IdentityId::ANY,
            ..*key
        };
        if *key != any && tables.policy.get(&any) == Some(ruleset) {
            return Err(format!("{key:?} repeats the row for any other peer"));
        }
    }
    Ok(())
}

fn no_address_repeats_its_holder(tables: &Tables) -> Result<(), String> {
    let nobody = Address {
        identity: IdentityId::ANY,
        owner: Owner::Elsewhere,
    };
    for (cidr, address) in &tables.addresses {
        let holders = tables
            .addresses
            .iter()
            .filter(|(c, _)| c != &cidr && c.contains(cidr));
        let nearest = holders
            .max_by_key(|(c, _)| c.prefix_len())
            .map(|(_, address)| *address);
        if nearest.unwrap_or(nobody) == *address {
            return Err(format!("{cidr} repeats what holds it"));
        }
    }
    Ok(())
}

fn rulesets_are_used_and_disjoint(tables: &Tables) -> Result<(), String> {
    let used: BTreeSet<&RulesetId> = tables.policy.values().collect();
    let mut ports: BTreeMap<(RulesetId, u8), Vec<(u16, u8)>> = BTreeMap::new();
    for key in tables.rulesets.keys() {
        if !used.contains(&key.ruleset) {
            return Err(format!("{key:?} is used by nobody"));
        }
        if let PortPrefix::Ports {
            protocol,
            port,
            bits,
        } = key.ports
        {
            ports
                .entry((key.ruleset, protocol))
                .or_default()
                .push((port, bits));
        }
    }
    for prefixes in ports.values() {
        // The one prefix that means every port may hold others.
        let parts: Vec<&(u16, u8)> = prefixes.iter().filter(|(_, bits)| *bits > 0).collect();
        let mut covered = BTreeSet::new();
        for (port, bits) in parts {
            let last = port | u16::MAX.checked_shr(u32::from(*bits)).unwrap_or(0);
            if port & !u16::MAX.checked_shl(16 - u32::from(*bits)).unwrap_or(0) != 0 {
                return Err(format!("{port}/{bits} has bits beyond its prefix"));
            }
            if !(*port..=last).all(|port| covered.insert(port)) {
                return Err(format!("{port}/{bits} overlaps another prefix"));
            }
        }
    }
    Ok(())
}

fn name(name: &str) -> FullName {
    FullName::from_slashed(&format!("shop/{name}")).expect("a name")
}

fn app(value: usize) -> Selector {
    let requirement = Requirement {
        key: "app".into(),
        operator: Operator::In([format!("app{value}").into()].into()),
    };
    Selector {
        requirements: [requirement].into(),
    }
}

fn containers(count: usize, apps: usize) -> Vec<Container> {
    (0..count)
        .map(|index| {
            let bytes = u32::try_from(index).expect("a small tree").to_be_bytes();
            let address = IpAddr::from([10, bytes[1], bytes[2], bytes[3]]);
            Container {
                place: place(index),
                name: name(&format!("c{index}")),
                labels: [
                    ("app".into(), format!("app{}", index % apps).into()),
                    ("build".into(), format!("{index}").into()),
                ]
                .into(),
                host: None,
                addresses: vec![(address, place(index))],
                ports: Vec::new(),
                connections: Container::CONNECTIONS_DEFAULT,
                attach: Default::default(),
            }
        })
        .collect()
}

/// Lets `from` reach what `subject` selects on one port, or every port.
fn allow(index: usize, subject: Selector, from: Vec<PeerKind>, port: Option<u16>) -> NetworkPolicy {
    let peers = from.into_iter().map(|kind| Peer {
        place: place(0),
        kind,
    });
    NetworkPolicy {
        place: place(0),
        name: name(&format!("p{index}")),
        subject,
        subject_place: place(0),
        ingress: Some(vec![Rule {
            place: place(0),
            peers: Some(peers.collect()),
            ports: port.map(|port| {
                vec![Port {
                    place: place(0),
                    protocol: Protocol::Tcp,
                    number: PortNumber::Range(port, port),
                }]
            }),
        }]),
        egress: None,
    }
}

fn pods(selector: Selector) -> PeerKind {
    PeerKind::Containers {
        pods: Some(selector),
        namespaces: None,
    }
}

fn target(containers: Vec<Container>, policies: Vec<NetworkPolicy>) -> Target {
    let documents = Documents {
        containers,
        policies,
        ..Documents::default()
    };
    let (desired, _) = resolve(&documents, &random::host());
    compile(&desired, &Located::default(), &datapath()).expect("it fits")
}

/// Ten apps, each named by a policy as subject and the next one as its peer: one row for any other
/// peer and one for that identity, whether ten containers carry the labels or a thousand.
#[test]
fn rows_do_not_grow_with_containers() {
    for count in [10, 100, 1_000] {
        let policies = (0..10).map(|i| allow(i, app(i), vec![pods(app((i + 1) % 10))], Some(80)));
        let target = target(containers(count, 10), policies.collect());
        // 10 subjects: ingress any, ingress one identity, egress any.
        assert_eq!(target.tables.policy.len(), 30, "{count} containers");
        assert_eq!(target.tables.addresses.len(), count);
    }
}

/// A thousand policies that say one thing are one row and one prefix.
#[test]
fn rows_do_not_grow_with_policies() {
    for count in [1, 10, 1_000] {
        let policies = (0..count).map(|i| allow(i, app(0), vec![pods(app(1))], Some(80)));
        let target = target(containers(100, 2), policies.collect());
        // Two subjects, each with a row for any other peer in each direction, and the one named.
        assert_eq!(target.tables.policy.len(), 5, "{count} policies");
        // The open ruleset, and one port.
        assert_eq!(target.tables.rulesets.len(), 2, "{count} policies");
    }
}

/// Values that no selector names are one: an app of its own for each container changes nothing.
#[test]
fn values_that_no_selector_names_do_not_multiply_rows() {
    let policies = || vec![allow(0, Selector::default(), vec![pods(app(0))], None)];
    let few = target(containers(100, 2), policies());
    let many = target(containers(100, 100), policies());
    assert_eq!(few.tables.policy.len(), many.tables.policy.len());
    let identities = |t: &Target| {
        let rows = t.tables.addresses.values().map(|a| a.identity);
        rows.collect::<BTreeSet<_>>().len()
    };
    assert_eq!((identities(&few), identities(&many)), (2, 2));
}

/// Ranges that no container lies in cost a row each, not one for each container.
#[test]
fn ranges_cost_a_row_each() {
    let blocks = (0..200_u8).map(|i| PeerKind::Block {
        cidr: Cidr::new(IpAddr::from([192, 0, i, 0]), 24).expect("a CIDR"),
        except: Vec::new(),
    });
    let policies = vec![allow(0, Selector::default(), blocks.collect(), Some(443))];
    let target = target(containers(50, 50), policies);
    assert_eq!(target.tables.addresses.len(), 50 + 200);
    // One subject; each range is a rule of its own, so a ruleset and an identity of its own.
    assert_eq!(target.tables.policy.len(), 2 + 200);
}
