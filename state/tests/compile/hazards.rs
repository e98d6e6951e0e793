//! What went wrong elsewhere, as tests named after their rows of the hazard list: families mixed,
//! nothing taken for everything, ranges by precedence, crafted labels. (S13 is in `change`.)

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use state::desired::resolve;
use state::documents::network_policy::{Peer, PeerKind, Port, PortNumber, Rule};
use state::documents::{Container, Documents, NetworkPolicy};
use state::target::judge::{Side, judge};
use state::target::{Located, compile};
use state::words::address::Cidr;
use state::words::flow::Flow;
use state::words::labels::{Labels, Operator, Requirement, Selector};
use state::words::names::FullName;
use state::words::ports::Protocol;

use super::agreement::three_agree;
use super::{compiled, datapath, show};
use crate::random::run::hold;
use crate::random::{Case, host, place};

fn container(name: &str, labels: &[(&str, &str)], addresses: &[&str]) -> Container {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    let addresses = addresses
        .iter()
        .map(|a| (a.parse().expect("an address"), place(0)));
    Container {
        place: place(0),
        name: FullName::from_slashed(name).expect("a name"),
        labels: labels.collect(),
        host: None,
        addresses: addresses.collect(),
        ports: Vec::new(),
        connections: Container::CONNECTIONS_DEFAULT,
        attach: Default::default(),
    }
}

fn ingress(subject: Selector, rules: Vec<Rule>) -> NetworkPolicy {
    NetworkPolicy {
        place: place(0),
        name: FullName::from_slashed("a/policy").expect("a name"),
        subject,
        subject_place: place(0),
        ingress: Some(rules),
        egress: None,
    }
}

fn rule(peers: Option<Vec<PeerKind>>, ports: Option<Vec<Port>>) -> Rule {
    let peers = peers.map(|peers| {
        let peers = peers.into_iter().map(|kind| Peer {
            place: place(0),
            kind,
        });
        peers.collect()
    });
    Rule {
        place: place(0),
        peers,
        ports,
    }
}

fn block(cidr: &str, except: &[&str]) -> PeerKind {
    PeerKind::Block {
        cidr: cidr.parse().expect("a CIDR"),
        except: except.iter().map(|c| c.parse().expect("a CIDR")).collect(),
    }
}

fn pods(key: &str, value: &str) -> PeerKind {
    let requirement = Requirement {
        key: key.into(),
        operator: Operator::In([value.into()].into()),
    };
    PeerKind::Containers {
        pods: Some(Selector {
            requirements: [requirement].into(),
        }),
        namespaces: None,
    }
}

fn tcp(source: &str, destination: &str, port: u16) -> Flow {
    Flow {
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        protocol: Protocol::Tcp.number(),
        port,
    }
}

fn case(containers: Vec<Container>, policies: Vec<NetworkPolicy>, flows: Vec<Flow>) -> Case {
    Case {
        documents: Documents {
            containers,
            policies,
            ..Documents::default()
        },
        host_addresses: BTreeSet::new(),
        flows,
    }
}

/// Whether the destination allows each flow; all three judges agree on it.
fn allowed(case: &Case) -> Vec<bool> {
    three_agree(case).unwrap_or_else(|disagreement| panic!("{disagreement}\n{}", show(case)));
    let (_, target) = compiled(&case.documents, case);
    let sides = case
        .flows
        .iter()
        .map(|flow| judge(&target.tables, flow).ingress);
    sides.map(|side| matches!(side, Side::Permit(_))).collect()
}

/// S4. A rule that mixes families means in each family what it says of that family, and a literal
/// of one is nothing in the other: neither everything nor an error.
#[test]
fn s4_a_literal_of_one_family_is_nothing_in_the_other() {
    let flows = || {
        vec![
            tcp("192.0.2.1", "10.0.0.1", 80),
            tcp("198.51.100.1", "10.0.0.1", 80),
            tcp("2001:db8::1", "fd00::1", 80),
            tcp("2001:db9::1", "fd00::1", 80),
            // The last 32 bits of 192.0.2.1, and the address mapped.
            tcp("::192.0.2.1", "fd00::1", 80),
            tcp("::ffff:192.0.2.1", "fd00::1", 80),
        ]
    };
    let (v4, v6) = (block("192.0.2.0/24", &[]), block("2001:db8::/32", &[]));
    for (peers, expected) in [
        (vec![v4.clone()], [true, false, false, false, false, false]),
        (vec![v6.clone()], [false, false, true, false, false, false]),
        (vec![v4, v6], [true, false, true, false, false, false]),
        (
            vec![block("0.0.0.0/0", &[])],
            [true, true, false, false, false, false],
        ),
        (
            vec![block("::/0", &[])],
            [false, false, true, true, true, true],
        ),
        (
            vec![block("::/0", &["2001:db8::/32"])],
            [false, false, false, true, true, true],
        ),
    ] {
        let case = case(
            vec![container("a/web", &[], &["10.0.0.1", "fd00::1"])],
            vec![ingress(
                Selector::default(),
                vec![rule(Some(peers.clone()), None)],
            )],
            flows(),
        );
        assert_eq!(allowed(&case), expected, "{peers:?}");
    }
}

/// S5. What is empty, absent or selects nothing: every combination of peers and ports. An absent or
/// empty list is everyone, as Kubernetes says; a list whose members match nobody is nobody.
#[test]
fn s5_nothing_is_never_taken_for_everything() {
    let peers: [(&str, Option<Vec<PeerKind>>, bool); 4] = [
        ("absent", None, true),
        ("empty", Some(Vec::new()), true),
        ("matches nobody", Some(vec![pods("app", "nobody")]), false),
        (
            "excepts all",
            Some(vec![block("10.0.0.0/31", &["10.0.0.0/32", "10.0.0.1/32"])]),
            false,
        ),
    ];
    let other_port = Port {
        place: place(0),
        protocol: Protocol::Tcp,
        number: PortNumber::Range(81, 81),
    };
    let nameless = Port {
        number: PortNumber::Named("nobodys".into()),
        ..other_port.clone()
    };
    let ports: [(&str, Option<Vec<Port>>, bool); 4] = [
        ("absent", None, true),
        ("empty", Some(Vec::new()), true),
        ("another", Some(vec![other_port]), false),
        ("a name that nobody has", Some(vec![nameless]), false),
    ];
    let flows = vec![tcp("10.0.0.1", "10.0.0.2", 80)];
    let web = || container("a/web", &[], &["10.0.0.1"]);
    let database = || container("a/db", &[("app", "db")], &["10.0.0.2"]);
    for (peers_are, peers, peers_match) in &peers {
        for (ports_are, ports, ports_match) in &ports {
            let rules = vec![rule(peers.clone(), ports.clone())];
            let policies = vec![ingress(Selector::default(), rules)];
            let case = case(vec![web(), database()], policies, flows.clone());
            let expected = [*peers_match && *ports_match];
            assert_eq!(
                allowed(&case),
                expected,
                "peers {peers_are}, ports {ports_are}"
            );
        }
    }
    let isolates = |subject| {
        case(
            vec![web(), database()],
            vec![ingress(subject, Vec::new())],
            flows.clone(),
        )
    };
    let PeerKind::Containers { pods: nobody, .. } = pods("app", "nobody") else {
        panic!("pods are containers");
    };
    assert_eq!(
        allowed(&isolates(Selector::default())),
        [false],
        "no rule at all"
    );
    assert_eq!(
        allowed(&isolates(nobody.expect("a selector"))),
        [true],
        "selects nobody"
    );
}

/// S6. Ten thousand ranges nested at random, allowed and excepted, each with a port of its own: at
/// every probed address the tables and the oracle name the same first rule.
#[test]
fn s6_ranges_within_ranges_mean_what_they_say() {
    let base = IpAddr::from([10, 0, 0, 0]);
    let range =
        (any::<u32>(), 8..=32_u8).prop_map(move |(bits, length)| nested(base, bits, length));
    let block = (range.clone(), vec((any::<u32>(), 1..=8_u8), 0..4)).prop_map(|(cidr, excepts)| {
        let except = excepts.into_iter().filter_map(|(bits, deeper)| {
            let length = cidr
                .prefix_len()
                .checked_add(deeper)
                .filter(|length| *length <= 32)?;
            Some(nested(cidr.network(), bits, length))
        });
        PeerKind::Block {
            cidr,
            except: except.collect(),
        }
    });
    let blocks = vec((block, 1..4_u16), 4_000);
    let probes = vec((any::<proptest::sample::Index>(), -1..=1_i64), 1_000);
    hold(
        1,
        (blocks, probes),
        |_| String::new(),
        |(blocks, probes)| {
            let rules = blocks.iter().map(|(kind, port)| {
                let port = Port {
                    place: place(0),
                    protocol: Protocol::Tcp,
                    number: PortNumber::Range(*port, 4),
                };
                rule(Some(vec![kind.clone()]), Some(vec![port]))
            });
            let policies = vec![ingress(Selector::default(), rules.collect())];
            let edges: Vec<Cidr> = blocks.iter().flat_map(|(kind, _)| cidrs(kind)).collect();
            assert!(edges.len() >= 8_000, "{} ranges", edges.len());
            let flows = probes.iter().enumerate().map(|(at, (index, beside))| {
                let cidr = index.get(&edges);
                let edge = if at % 2 == 0 {
                    cidr.network()
                } else {
                    cidr.broadcast()
                };
                Flow {
                    source: beside_of(edge, *beside),
                    destination: [172, 16, 0, 1].into(),
                    protocol: 6,
                    port: u16::try_from(at % 5).expect("small"),
                }
            });
            let web = container("a/web", &[], &["172.16.0.1"]);
            three_agree(&case(vec![web], policies, flows.collect()))
        },
    );
}

/// A range within another, its free bits chosen by `bits`.
fn nested(within: IpAddr, bits: u32, length: u8) -> Cidr {
    let IpAddr::V4(network) = within else {
        panic!("IPv4 only");
    };
    // Few distinct bits, so that ranges meet.
    let bits = bits & 0x00f1_8c63;
    let address = std::net::Ipv4Addr::from(u32::from(network) | bits);
    Cidr::new(address.into(), length).expect("a CIDR").trunc()
}

fn cidrs(kind: &PeerKind) -> Vec<Cidr> {
    match kind {
        PeerKind::Block { cidr, except } => [&[*cidr], &except[..]].concat(),
        PeerKind::Containers { .. } => Vec::new(),
    }
}

fn beside_of(address: IpAddr, by: i64) -> IpAddr {
    let IpAddr::V4(v4) = address else {
        panic!("IPv4 only");
    };
    let by = i32::try_from(by).expect("small");
    std::net::Ipv4Addr::from(u32::from(v4).wrapping_add_signed(by)).into()
}

/// S7. Labels that look like others, or like what hashes and selectors are written with, are
/// themselves and nothing else. (The documents stage refuses most of these; this shows that
/// nothing here leans on that.)
#[test]
fn s7_crafted_labels_are_only_themselves() {
    let long = "x".repeat(10_000);
    let crafted: [&[(&str, &str)]; 9] = [
        &[("app", "web")],
        &[("app=web", "")],
        &[("app", "web,tier=db")],
        &[("app", "web\0")],
        &[("app\0web", "")],
        &[("ap", "pweb")],
        &[("App", "web")],
        &[("kubernetes.io/metadata.name", "a"), ("app", "Web")],
        &[("app", &long)],
    ];
    let subject = container("a/db", &[], &["10.0.0.1"]);
    let sources = crafted.iter().zip(10_u8..).map(|(labels, last)| {
        let address = IpAddr::from([10, 0, 0, last]).to_string();
        container(&format!("a/c{last}"), labels, &[&address])
    });
    let flows: Vec<Flow> = (10..19_u8)
        .map(|last| tcp(&IpAddr::from([10, 0, 0, last]).to_string(), "10.0.0.1", 80))
        .collect();
    let containers: Vec<Container> = [subject].into_iter().chain(sources).collect();
    for (named, (key, value)) in crafted.iter().enumerate().map(|(i, l)| (i, l[l.len() - 1])) {
        let peers = Some(vec![pods(key, value)]);
        let policies = vec![ingress(Selector::default(), vec![rule(peers, None)])];
        let case = case(containers.clone(), policies, flows.clone());
        let expected: Vec<bool> = (0..crafted.len()).map(|i| i == named).collect();
        assert_eq!(allowed(&case), expected, "{key:?}={value:?}");
    }
    identities_differ(&containers, &crafted);
}

/// Where selectors name all of them, each crafted label set is an identity of its own.
fn identities_differ(containers: &[Container], crafted: &[&[(&str, &str)]]) {
    let peers = crafted.iter().flat_map(|labels| labels.iter());
    let peers: Vec<PeerKind> = peers.map(|(key, value)| pods(key, value)).collect();
    let documents = Documents {
        containers: containers.to_vec(),
        policies: vec![ingress(Selector::default(), vec![rule(Some(peers), None)])],
        ..Documents::default()
    };
    let (desired, _) = resolve(&documents, &host());
    let target = compile(&desired, &Located::default(), &datapath()).expect("it fits");
    let identities: BTreeSet<_> = target
        .tables
        .addresses
        .values()
        .map(|a| a.identity)
        .collect();
    assert_eq!(identities.len(), containers.len());
}

/// A reserved namespace label cannot be had by declaring it: it is the namespace's own name.
#[test]
fn s7_a_namespace_cannot_take_anothers_name() {
    let named_a = Requirement {
        key: state::words::labels::NAMESPACE_NAME_LABEL.into(),
        operator: Operator::In(["a".into()].into()),
    };
    let peer = PeerKind::Containers {
        pods: None,
        namespaces: Some(Selector {
            requirements: [named_a].into(),
        }),
    };
    let mut labels = Labels::new();
    labels.insert(
        state::words::labels::NAMESPACE_NAME_LABEL.into(),
        "a".into(),
    );
    let mut case = case(
        vec![
            container("a/web", &[], &["10.0.0.1"]),
            container("b/impostor", &[], &["10.0.0.2"]),
            container("a/friend", &[], &["10.0.0.3"]),
        ],
        vec![ingress(
            Selector::default(),
            vec![rule(Some(vec![peer]), None)],
        )],
        vec![
            tcp("10.0.0.2", "10.0.0.1", 80),
            tcp("10.0.0.3", "10.0.0.1", 80),
        ],
    );
    case.documents.namespaces.push(state::documents::Namespace {
        place: place(0),
        name: state::words::names::NamespaceName::new("b").expect("a name"),
        labels,
    });
    assert_eq!(allowed(&case), [false, true]);
}
