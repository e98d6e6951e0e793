//! A random tree as a person would write it, so that a failure can be read.

use std::fmt::Display;

use state::documents::network_policy::{PeerKind, PortNumber, Rule};
use state::documents::{Container, Documents, NetworkPolicy};
use state::words::labels::{Labels, Operator, Selector};

/// The whole tree.
pub(crate) fn tree(documents: &Documents) -> String {
    let mut text = String::new();
    for namespace in &documents.namespaces {
        let labels = labels(&namespace.labels);
        text += &format!("Namespace {}: {labels}\n", namespace.name);
    }
    for document in &documents.containers {
        text += &container(document);
    }
    for document in &documents.policies {
        text += &policy(document);
    }
    text
}

fn container(container: &Container) -> String {
    let addresses = list(container.addresses.iter().map(|(address, _)| address));
    let ports = list(
        container
            .ports
            .iter()
            .map(|port| format!("{}={}/{}", port.name, port.port, port.protocol)),
    );
    let host = container
        .host
        .as_ref()
        .map_or("every host", |host| host.as_str());
    let labels = labels(&container.labels);
    format!(
        "Container {}: {labels} on {host}, addresses {addresses}, ports {ports}\n",
        container.name
    )
}

fn policy(policy: &NetworkPolicy) -> String {
    let mut text = format!("NetworkPolicy {}:\n", policy.name);
    text += &format!("  podSelector: {}\n", selector(&policy.subject));
    for (direction, peers, rules) in [
        ("ingress", "from", &policy.ingress),
        ("egress", "to", &policy.egress),
    ] {
        match rules {
            None => {}
            Some(rules) if rules.is_empty() => text += &format!("  {direction}: []\n"),
            Some(rules) => {
                text += &format!("  {direction}:\n");
                for item in rules {
                    text += &rule(item, peers);
                }
            }
        }
    }
    text
}

fn rule(rule: &Rule, direction: &str) -> String {
    let mut text = match &rule.peers {
        None => "  - {}\n".to_owned(),
        Some(peers) if peers.is_empty() => format!("  - {direction}: []\n"),
        Some(peers) => {
            let items = peers.iter().map(|peer| match &peer.kind {
                PeerKind::Block { cidr, except } => {
                    format!("    - ipBlock: {cidr} except {}\n", list(except))
                }
                PeerKind::Containers { pods, namespaces } => {
                    let absent = || "absent".to_owned();
                    let pods = pods.as_ref().map_or_else(absent, selector);
                    let namespaces = namespaces.as_ref().map_or_else(absent, selector);
                    format!("    - podSelector: {pods}, namespaceSelector: {namespaces}\n")
                }
            });
            format!("  - {direction}:\n{}", items.collect::<String>())
        }
    };
    if let Some(ports) = &rule.ports {
        let ports = list(ports.iter().map(|port| match &port.number {
            PortNumber::Any => format!("any/{}", port.protocol),
            PortNumber::Range(first, last) => format!("{first}-{last}/{}", port.protocol),
            PortNumber::Named(name) => format!("{name}/{}", port.protocol),
        }));
        text += &format!("    ports: {ports}\n");
    }
    text
}

fn selector(selector: &Selector) -> String {
    let requirements = selector.requirements.iter().map(|r| match &r.operator {
        Operator::In(values) => format!("{} In {}", r.key, list(values)),
        Operator::NotIn(values) => format!("{} NotIn {}", r.key, list(values)),
        Operator::Exists => format!("{} Exists", r.key),
        Operator::DoesNotExist => format!("{} DoesNotExist", r.key),
    });
    format!("{{{}}}", requirements.collect::<Vec<_>>().join(", "))
}

fn labels(labels: &Labels) -> String {
    let pairs = labels
        .iter()
        .map(|(key, value)| format!("{key}: '{value}'"));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items = items.into_iter().map(|item| item.to_string());
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
