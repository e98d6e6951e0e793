//! Random trees and flows, small on purpose: a few names, keys, values, ranges and ports, so that
//! they meet often; and the runner, which prints a seed that replays the run.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select, subsequence};
use state::documents::network_policy::{Peer, PeerKind, Port, PortNumber, Rule};
use state::documents::{Config, Container, Documents, Namespace, NetworkPolicy};
use state::words::address::Cidr;
use state::words::flow::Flow;
use state::words::labels::{Labels, NAMESPACE_NAME_LABEL, Operator, Requirement, Selector};
use state::words::names::{FullName, HostName, NamespaceName};
use state::words::place::Place;
use state::words::ports::{NamedPort, Protocol};

pub(crate) mod run;
pub(crate) mod show;

/// The host that trees are resolved for.
pub(crate) const HERE: &str = "alpha";
const HOSTS: [Option<&str>; 5] = [None, Some(HERE), Some(HERE), Some(HERE), Some("beta")];
const NAMESPACES: [&str; 3] = ["a", "b", "c"];
/// Where documents are: more than half in one namespace, so that they meet.
const POPULATED: [&str; 5] = ["a", "a", "a", "b", "c"];
/// Keys of containers; no selector names the last.
const KEYS: [&str; 3] = ["app", "tier", "build"];
const NAMESPACE_KEYS: [&str; 2] = ["team", "app"];
const VALUES: [&str; 4] = ["web", "db", "", "web-1"];
const PORT_NAMES: [&str; 3] = ["http", "dns", "admin"];
const PORTS: [u16; 10] = [1, 53, 79, 80, 81, 443, 8_080, 32_767, 32_768, 65_535];
const CIDRS: [&str; 16] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/30",
    "10.0.0.4/30",
    "10.0.0.2/32",
    "10.1.0.0/24",
    "192.0.2.0/24",
    "192.0.2.128/25",
    "::/0",
    "fd00::/8",
    "fd00::/126",
    "fd00::2/128",
    "fd00:0:0:1::/64",
    "2001:db8::/32",
    "::/96",
];
/// Addresses that no container has; some are the host's.
const OUTSIDE: [&str; 12] = [
    "192.0.2.1",
    "192.0.2.127",
    "192.0.2.128",
    "10.255.0.1",
    "203.0.113.9",
    "0.0.0.0",
    "255.255.255.255",
    "2001:db8::1",
    "fd00::3",
    "fdff::1",
    "::1",
    "ff02::1",
];

/// A tree, the host's own addresses, and flows to ask about.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) documents: Documents,
    pub(crate) host_addresses: BTreeSet<IpAddr>,
    pub(crate) flows: Vec<Flow>,
}

/// A place that tells documents apart.
pub(crate) fn place(line: usize) -> Place {
    Place {
        line: u32::try_from(line).expect("a small tree"),
        ..Place::file("tree.yaml")
    }
}

pub(crate) fn host() -> HostName {
    HostName::new(HERE).expect("a name")
}

fn full_name(namespace: &str, name: &str) -> FullName {
    FullName::from_slashed(&format!("{namespace}/{name}")).expect("a name")
}

fn texts(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|text| (*text).into()).collect()
}

fn labels(keys: &'static [&'static str]) -> impl Strategy<Value = Labels> {
    let pairs = vec(option::weighted(0.6, select(texts(&VALUES))), keys.len());
    pairs.prop_map(|values| {
        let pairs = texts(keys).into_iter().zip(values);
        pairs
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    })
}

fn selector(keys: Vec<Arc<str>>, values: Vec<Arc<str>>) -> impl Strategy<Value = Selector> {
    let list = btree_set(select(values), 1..3);
    let operator = prop_oneof![
        3 => list.clone().prop_map(Operator::In),
        1 => list.prop_map(Operator::NotIn),
        1 => Just(Operator::Exists),
        1 => Just(Operator::DoesNotExist),
    ];
    let requirement =
        (select(keys), operator).prop_map(|(key, operator)| Requirement { key, operator });
    // Few requirements, so that selectors select somebody.
    let requirements = prop_oneof![
        4 => Just(std::collections::BTreeSet::new()),
        4 => btree_set(requirement.clone(), 1),
        1 => btree_set(requirement, 2),
    ];
    requirements.prop_map(|requirements| Selector { requirements })
}

fn pod_selector() -> impl Strategy<Value = Selector> {
    selector(texts(&KEYS[..2]), texts(&VALUES))
}

fn namespace_selector() -> impl Strategy<Value = Selector> {
    let named = selector(vec![NAMESPACE_NAME_LABEL.into()], texts(&NAMESPACES));
    prop_oneof![2 => selector(texts(&NAMESPACE_KEYS), texts(&VALUES)), 1 => named]
}

fn block() -> impl Strategy<Value = PeerKind> {
    let all: Vec<Cidr> = CIDRS.iter().map(|c| c.parse().expect("a CIDR")).collect();
    let within = all.clone();
    select(all).prop_flat_map(move |cidr| {
        let smaller = within.iter().filter(|c| cidr.contains(*c) && **c != cidr);
        let smaller: Vec<Cidr> = smaller.copied().collect();
        let most = smaller.len().min(2);
        subsequence(smaller, 0..=most).prop_map(move |except| PeerKind::Block { cidr, except })
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    let containers = (option::of(pod_selector()), option::of(namespace_selector()));
    let containers = containers.prop_map(|(pods, namespaces)| {
        let neither = pods.is_none() && namespaces.is_none();
        PeerKind::Containers {
            pods: if neither {
                Some(Selector::default())
            } else {
                pods
            },
            namespaces,
        }
    });
    prop_oneof![2 => containers, 1 => block()].prop_map(|kind| Peer {
        place: place(0),
        kind,
    })
}

fn port() -> impl Strategy<Value = Port> {
    let range = (select(&PORTS[..]), select(&PORTS[..]));
    let number = prop_oneof![
        1 => Just(PortNumber::Any),
        2 => select(&PORTS[..]).prop_map(|port| PortNumber::Range(port, port)),
        2 => range.prop_map(|(a, b)| PortNumber::Range(a.min(b), a.max(b))),
        2 => select(texts(&PORT_NAMES)).prop_map(PortNumber::Named),
    ];
    (select(&Protocol::ALL[..]), number).prop_map(|(protocol, number)| Port {
        place: place(0),
        protocol,
        number,
    })
}

pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let peers = option::weighted(0.8, vec(peer(), 0..4));
    let ports = option::weighted(0.7, vec(port(), 0..4));
    (peers, ports).prop_map(|(peers, ports)| Rule {
        place: place(0),
        peers,
        ports,
    })
}

/// A policy. Its name begins with `name`, and its namespace is random.
pub(crate) fn policy(name: &'static str) -> impl Strategy<Value = NetworkPolicy> {
    let rules = || option::weighted(0.6, vec(rule(), 0..3));
    let parts = (
        select(&POPULATED[..]),
        0..6_u8,
        pod_selector(),
        rules(),
        rules(),
    );
    parts.prop_map(
        move |(namespace, number, subject, ingress, egress)| NetworkPolicy {
            place: place(0),
            name: full_name(namespace, &format!("{name}{number}")),
            subject,
            subject_place: place(0),
            // The default of policyTypes.
            ingress: ingress.or_else(|| egress.is_none().then(Vec::new)),
            egress,
        },
    )
}

fn named_ports() -> impl Strategy<Value = Vec<NamedPort>> {
    let port = (select(texts(&PORT_NAMES)), select(&Protocol::ALL[..]));
    let ports = vec((port, select(&PORTS[..])), 0..4);
    ports.prop_map(|ports| {
        // A container may use one name once for each protocol.
        let once: std::collections::BTreeMap<_, _> = ports.into_iter().collect();
        let ports = once.into_iter();
        ports
            .map(|((name, protocol), port)| NamedPort {
                name,
                port,
                protocol,
            })
            .collect()
    })
}

/// Containers with addresses of one family or both, none twice.
fn containers() -> impl Strategy<Value = Vec<Container>> {
    let one = (
        select(&POPULATED[..]),
        labels(&KEYS),
        select(&HOSTS[..]),
        0..3_u8,
        any::<bool>(),
        named_ports(),
    );
    vec(one, 0..10).prop_map(|containers| {
        let numbered = containers.into_iter().enumerate();
        numbered
            .map(
                |(index, (namespace, labels, host, families, near, ports))| Container {
                    place: place(index),
                    name: full_name(namespace, &format!("c{index}")),
                    labels,
                    host: host.map(|host| HostName::new(host).expect("a name")),
                    addresses: addresses(index, families, near),
                    ports,
                    connections: Container::CONNECTIONS_DEFAULT,
                    attach: Default::default(),
                },
            )
            .collect()
    })
}

fn addresses(index: usize, families: u8, near: bool) -> Vec<(IpAddr, Place)> {
    let index = u8::try_from(index).expect("a small tree");
    let v4 = IpAddr::from([10, u8::from(!near), 0, index + 1]);
    let subnet = u16::from(!near);
    let v6 = IpAddr::from([0xfd00, 0, 0, subnet, 0, 0, 0, u16::from(index) + 1]);
    let both = [v4, v6];
    let some = match families {
        0 => &both[..1],
        1 => &both[1..],
        _ => &both[..],
    };
    some.iter().map(|address| (*address, place(0))).collect()
}

fn namespaces() -> impl Strategy<Value = Vec<Namespace>> {
    let declared = vec(
        option::weighted(0.7, labels(&NAMESPACE_KEYS)),
        NAMESPACES.len(),
    );
    declared.prop_map(|declared| {
        let named = NAMESPACES.iter().zip(declared);
        named
            .filter_map(|(name, labels)| {
                let mut labels = labels?;
                labels.insert(NAMESPACE_NAME_LABEL.into(), (*name).into());
                Some(Namespace {
                    place: place(0),
                    name: NamespaceName::new(name).expect("a name"),
                    labels,
                })
            })
            .collect()
    })
}

/// A whole tree. Of policies that came out with one name the first stays.
pub(crate) fn documents() -> impl Strategy<Value = Documents> {
    let parts = (namespaces(), containers(), vec(policy("p"), 0..9));
    parts.prop_map(|(namespaces, containers, policies)| {
        let mut names = BTreeSet::new();
        Documents {
            config: Config::default(),
            namespaces,
            containers,
            policies: policies
                .into_iter()
                .filter(|policy| names.insert(policy.name.clone()))
                .collect(),
            ..Documents::default()
        }
    })
}

/// Which of the interesting addresses and ports a flow takes.
type FlowPick = (Index, Index, u8, Index);

/// A tree with flows between its containers, the ends of its ranges, the host and the rest.
pub(crate) fn case(flows: usize) -> impl Strategy<Value = Case> {
    let protocol = select(vec![6_u8, 6, 6, 17, 17, 132, 1, 58, 0, 255]);
    let pick = (any::<Index>(), any::<Index>(), protocol, any::<Index>());
    let host = subsequence(OUTSIDE.to_vec(), 0..=4);
    // Now and then the host has an address that the tree gives a container.
    let shared = option::weighted(0.1, any::<Index>());
    (documents(), host, shared, vec(pick, flows)).prop_map(|(documents, host, shared, picks)| {
        let all = interesting(&documents);
        let mut host_addresses: BTreeSet<IpAddr> = host
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect();
        host_addresses.extend(shared.map(|index| *index.get(&all)));
        let flows = picks.into_iter().map(|pick| flow(&documents, &all, pick));
        Case {
            flows: flows.collect(),
            host_addresses,
            documents,
        }
    })
}

/// Addresses where something may change: containers', the ends of every range and their
/// neighbours, and the rest of the world.
pub(crate) fn interesting(documents: &Documents) -> Vec<IpAddr> {
    let containers = documents.containers.iter().flat_map(|c| &c.addresses);
    let containers: Vec<IpAddr> = containers.map(|(address, _)| *address).collect();
    let mut all = containers.clone();
    all.extend(
        OUTSIDE
            .iter()
            .map(|a| a.parse::<IpAddr>().expect("an address")),
    );
    for cidr in CIDRS {
        let cidr: Cidr = cidr.parse().expect("a CIDR");
        all.extend([cidr.network(), cidr.broadcast()]);
    }
    // Flows between containers are what policies are about.
    all.extend(containers.iter().cycle().take(containers.len() * 20));
    all
}

fn flow(documents: &Documents, all: &[IpAddr], (from, to, protocol, port): FlowPick) -> Flow {
    let source = *from.get(all);
    let same_family: Vec<IpAddr> = all
        .iter()
        .copied()
        .filter(|address| address.is_ipv4() == source.is_ipv4())
        .collect();
    let named = documents.containers.iter().flat_map(|c| &c.ports);
    let named: Vec<u16> = named.map(|port| port.port).collect();
    let mut ports: Vec<u16> = PORTS.into_iter().chain([0, 2, 8_079, 65_534]).collect();
    ports.extend(named.iter().cycle().take(named.len() * 2));
    Flow {
        source,
        destination: *to.get(&same_family),
        protocol,
        port: if Protocol::from_number(protocol).is_some() {
            *port.get(&ports)
        } else {
            0
        },
    }
}
