//! Small trees for tests, written shortly.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Desired, resolve};
use crate::documents::network_policy::{Peer, PeerKind, Port, PortNumber, Rule};
use crate::documents::{Container, Documents, NetworkPolicy};
use crate::words::labels::{Labels, Operator, Requirement, Selector};
use crate::words::names::{FullName, HostName};
use crate::words::place::Place;
use crate::words::ports::{NamedPort, Protocol};
use crate::words::problem::Problems;

pub(crate) fn name(text: &str) -> FullName {
    FullName::from_slashed(text).unwrap()
}

pub(crate) fn host() -> HostName {
    HostName::new("alpha").unwrap()
}

pub(crate) fn line(line: u32) -> Place {
    Place {
        line,
        ..Place::file("tree.yaml")
    }
}

fn pairs(text: &str) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    let pairs = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(key, value)| (key.into(), value.into()))
}

/// Labels, as in `app=web tier=1`.
pub(crate) fn labels(text: &str) -> Labels {
    pairs(text).collect()
}

/// `matchLabels`, as in `app=web tier=1`.
pub(crate) fn selector(text: &str) -> Selector {
    let requirements = pairs(text).map(|(key, value)| Requirement {
        key,
        operator: Operator::In([value].into()),
    });
    Selector {
        requirements: requirements.collect(),
    }
}

/// A container, with addresses as in `10.0.0.1 fd00::1`. It stands in line 1.
pub(crate) fn container(full_name: &str, its_labels: &str, addresses: &str) -> Container {
    let addresses = addresses
        .split_whitespace()
        .map(|text| text.parse::<IpAddr>().unwrap());
    Container {
        place: line(1),
        name: name(full_name),
        labels: labels(its_labels),
        host: None,
        addresses: addresses.map(|address| (address, line(2))).collect(),
        ports: Vec::new(),
        connections: Container::CONNECTIONS_DEFAULT,
        attach: Default::default(),
    }
}

pub(crate) fn named(port_name: &str, port: u16) -> NamedPort {
    NamedPort {
        name: port_name.into(),
        port,
        protocol: Protocol::Tcp,
    }
}

/// A TCP port: a number, a range, or a name.
pub(crate) fn port(text: &str) -> Port {
    let number = match text.split_once('-') {
        Some((first, last)) => PortNumber::Range(first.parse().unwrap(), last.parse().unwrap()),
        None => match text.parse() {
            Ok(number) => PortNumber::Range(number, number),
            Err(_) => PortNumber::Named(text.into()),
        },
    };
    Port {
        place: line(8),
        protocol: Protocol::Tcp,
        number,
    }
}

pub(crate) fn pods(text: &str) -> PeerKind {
    PeerKind::Containers {
        pods: Some(selector(text)),
        namespaces: None,
    }
}

pub(crate) fn pods_of(text: &str, namespaces: &str) -> PeerKind {
    PeerKind::Containers {
        pods: Some(selector(text)),
        namespaces: Some(selector(namespaces)),
    }
}

/// A range, and what is left out of it, as in `10.1.0.0/16 10.2.0.0/16`.
pub(crate) fn block(cidr: &str, except: &str) -> PeerKind {
    PeerKind::Block {
        cidr: cidr.parse().unwrap(),
        except: except
            .split_whitespace()
            .map(|c| c.parse().unwrap())
            .collect(),
    }
}

/// Peers (none: everyone) and ports (none: every port).
pub(crate) fn rule(peers: Vec<PeerKind>, ports: &[&str]) -> Rule {
    let peers = peers.into_iter().map(|kind| Peer {
        place: line(7),
        kind,
    });
    let peers: Vec<Peer> = peers.collect();
    let ports: Vec<Port> = ports.iter().map(|text| port(text)).collect();
    Rule {
        place: line(6),
        peers: Some(peers).filter(|peers| !peers.is_empty()),
        ports: Some(ports).filter(|ports| !ports.is_empty()),
    }
}

/// A policy that isolates for ingress.
pub(crate) fn ingress(full_name: &str, subject: &str, rules: Vec<Rule>) -> NetworkPolicy {
    NetworkPolicy {
        place: line(4),
        name: name(full_name),
        subject: selector(subject),
        subject_place: line(5),
        ingress: Some(rules),
        egress: None,
    }
}

/// A policy that isolates for egress.
pub(crate) fn egress(full_name: &str, subject: &str, rules: Vec<Rule>) -> NetworkPolicy {
    NetworkPolicy {
        egress: Some(rules),
        ingress: None,
        ..ingress(full_name, subject, Vec::new())
    }
}

pub(crate) fn documents(containers: Vec<Container>, policies: Vec<NetworkPolicy>) -> Documents {
    Documents {
        containers,
        policies,
        ..Documents::default()
    }
}

pub(crate) fn resolved(
    containers: Vec<Container>,
    policies: Vec<NetworkPolicy>,
) -> (Desired, Problems) {
    resolve(&documents(containers, policies), &host())
}
