//! Rules and policies in words, for people: one line a fact, the same for the same content, so that
//! two trees can be compared line by line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::peers::{Block, Group, Scope};
use super::policies::{Peer, Port, PortNumber, Rule};
use super::{Class, Container, Desired, Policy, Subject, Told};
use crate::words::labels::{Operator, Requirement, Selector};
use crate::words::names::FullName;
use crate::words::verdict::Direction;

/// The effective policy of each container of this host.
pub fn describe(desired: &Desired) -> BTreeMap<&FullName, Vec<String>> {
    desired
        .containers_here()
        .map(|container| (&container.name, describe_container(desired, container)))
        .collect()
}

/// Of each container of another host what decides here: its addresses, and what peers can tell of
/// it.
pub fn describe_peers(desired: &Desired) -> BTreeMap<&FullName, Vec<String>> {
    let elsewhere = desired.containers.values().filter(|c| !c.here);
    elsewhere
        .map(|container| {
            let addresses = container.addresses.iter().map(|a| format!("address {a}"));
            let seen = seen_as(&desired.classes[container.class]);
            (&container.name, addresses.chain([seen]).collect())
        })
        .collect()
}

/// The effective policy of one container: what peers can tell of it, then for each direction
/// whether it is isolated and by which policy first, and every rule.
pub fn describe_container(desired: &Desired, container: &Container) -> Vec<String> {
    let mut lines = vec![seen_as(&desired.classes[container.class])];
    for direction in Direction::ALL {
        match desired.isolation(container).get(direction) {
            None => lines.push(format!("{direction} open")),
            Some(policy) => lines.push(format!("{direction} isolated ({policy})")),
        }
        let mut rules: Vec<String> = desired
            .isolating(container, direction)
            .flat_map(|policy| rules_in_words(desired, container, policy, direction))
            .collect();
        rules.sort();
        rules.dedup();
        lines.extend(rules);
    }
    lines
}

fn rules_in_words(
    desired: &Desired,
    container: &Container,
    policy: &Policy,
    direction: Direction,
) -> Vec<String> {
    let at = (direction == Direction::Ingress).then_some(container);
    let rules = desired.policies.rules_of(policy, direction).iter();
    rules
        .map(|rule| format!("{} ({})", rule_in_words_at(desired, rule, at), policy.name))
        .collect()
}

/// A rule, as in `ingress from pods app=web in shop to 5432/TCP`.
pub fn rule_in_words(desired: &Desired, rule: &Rule) -> String {
    rule_in_words_at(desired, rule, None)
}

fn rule_in_words_at(desired: &Desired, rule: &Rule, at: Option<&Container>) -> String {
    let policies = &desired.policies;
    let peer = match rule.peer {
        Peer::Anyone => "anyone".to_owned(),
        Peer::Group(group) => group_in_words(&policies.groups[group]),
        Peer::Block(block) => block_in_words(&policies.blocks[block]),
    };
    let ports = ports_in_words(rule.ports.as_deref(), at);
    match rule.direction {
        Direction::Ingress => format!("ingress from {peer} to {ports}"),
        Direction::Egress => format!("egress to {ports} of {peer}"),
    }
}

fn group_in_words(group: &Group) -> String {
    let pods = match group.pods.requirements.len() {
        0 => "all pods".to_owned(),
        _ => format!("pods {}", selector_in_words(&group.pods)),
    };
    match &group.scope {
        Scope::Own(namespace) => format!("{pods} in {namespace}"),
        Scope::Selected(selector) if selector.requirements.is_empty() => {
            format!("{pods} in all namespaces")
        }
        Scope::Selected(selector) => {
            format!("{pods} in namespaces {}", selector_in_words(selector))
        }
    }
}

/// A block, as in `10.0.0.0/8 except 10.1.0.0/16`.
pub fn block_in_words(block: &Block) -> String {
    match block.except.len() {
        0 => block.cidr.to_string(),
        _ => format!("{} except {}", block.cidr, joined(&block.except)),
    }
}

fn ports_in_words(ports: Option<&[Port]>, at: Option<&Container>) -> String {
    let Some(ports) = ports else {
        return "every port".to_owned();
    };
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by(|a, b| (a.protocol, &a.number).cmp(&(b.protocol, &b.number)));
    let mut words: Vec<String> = sorted.into_iter().map(|p| port_in_words(p, at)).collect();
    words.dedup();
    words.join(", ")
}

/// A port; one that is named, with its number at the container it belongs to where that is known.
fn port_in_words(port: &Port, at: Option<&Container>) -> String {
    let protocol = port.protocol;
    match &port.number {
        PortNumber::Any => format!("every {protocol} port"),
        PortNumber::Range(first, last) if first == last => format!("{first}/{protocol}"),
        PortNumber::Range(first, last) => format!("{first}-{last}/{protocol}"),
        PortNumber::Named(name) => {
            let Some(container) = at else {
                return format!("{name}/{protocol}");
            };
            let same = |p: &&_| -> bool {
                let p: &crate::words::ports::NamedPort = p;
                p.name == *name && p.protocol == protocol
            };
            match container.ports.iter().find(same) {
                Some(found) => format!("{name}={}/{protocol}", found.port),
                None => format!("{name}/{protocol} (which it does not have)"),
            }
        }
    }
}

/// A selector, as in `app=web, tier in (a, b), has owner`.
pub fn selector_in_words(selector: &Selector) -> String {
    let requirements = selector.requirements.iter().map(requirement_in_words);
    requirements.collect::<Vec<_>>().join(", ")
}

fn requirement_in_words(requirement: &Requirement) -> String {
    let key = &requirement.key;
    match &requirement.operator {
        Operator::In(values) if values.len() == 1 => format!("{key}={}", joined(values)),
        Operator::In(values) => format!("{key} in ({})", joined(values)),
        Operator::NotIn(values) if values.len() == 1 => format!("{key} not {}", joined(values)),
        Operator::NotIn(values) => format!("{key} not in ({})", joined(values)),
        Operator::Exists => format!("has {key}"),
        Operator::DoesNotExist => format!("has no {key}"),
    }
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

/// What peers can tell of a class, as in `peers see app=web in shop, http=80/TCP`.
pub fn seen_as(class: &Class) -> String {
    let mut words = match class.labels.len() {
        0 => "peers see no label".to_owned(),
        _ => format!("peers see {}", told_in_words(&class.labels)),
    };
    // Writing to a string cannot fail.
    if let Some(namespace) = &class.namespace {
        let _ = write!(words, " in {namespace}");
    }
    if !class.namespace_labels.is_empty() {
        let _ = write!(
            words,
            " in a namespace {}",
            told_in_words(&class.namespace_labels)
        );
    }
    for port in &class.ports {
        let _ = write!(words, ", {}={}/{}", port.name, port.port, port.protocol);
    }
    words
}

/// What policies of its namespace can tell of a subject.
pub fn subject_in_words(subject: &Subject) -> String {
    let Some(content) = &subject.content else {
        return "containers of namespaces without policies".to_owned();
    };
    let labels = match content.labels.len() {
        0 => "all containers".to_owned(),
        _ => format!("containers {}", told_in_words(&content.labels)),
    };
    let mut words = format!("{labels} in {}", content.namespace);
    for port in &content.ports {
        // Writing to a string cannot fail.
        let _ = write!(words, ", {}={}/{}", port.name, port.port, port.protocol);
    }
    words
}

fn told_in_words(told: &Told) -> String {
    joined(told.iter().map(|(key, value)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key}=…"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::sample::{
        block, container, egress, ingress, name, named, pods, pods_of, resolved, rule,
    };

    #[test]
    fn a_containers_policy_reads_as_a_list_of_facts() {
        let mut web = container("shop/web", "app=web build=7", "10.0.0.1");
        web.ports = vec![named("http", 80)];
        let rules = vec![
            rule(
                vec![pods("app=db tier=1"), block("10.0.0.0/8", "10.1.0.0/16")],
                &["http"],
            ),
            rule(vec![], &["443", "8000-8100", "admin"]),
            rule(vec![pods_of("", "team=x")], &[]),
        ];
        let policies = vec![
            ingress("shop/web", "app=web", rules),
            ingress("shop/deny", "", Vec::new()),
            egress(
                "ops/x",
                "",
                vec![rule(vec![pods_of("app=web", "")], &["http"])],
            ),
        ];
        let (desired, _) = resolved(vec![web], policies);
        assert_eq!(
            describe(&desired)[&name("shop/web")],
            [
                "peers see app=web in shop, http=80/TCP",
                "ingress isolated (shop/deny)",
                "ingress from 10.0.0.0/8 except 10.1.0.0/16 to http=80/TCP (shop/web)",
                "ingress from all pods in namespaces team=x to every port (shop/web)",
                "ingress from anyone to 443/TCP, 8000-8100/TCP, admin/TCP (which it does not have) \
                 (shop/web)",
                "ingress from pods app=db, tier=1 in shop to http=80/TCP (shop/web)",
                "egress open",
            ]
        );
        assert!(describe_peers(&desired).is_empty());
        let egress = desired
            .policies
            .rules
            .iter()
            .find(|r| r.direction == Direction::Egress);
        assert_eq!(
            rule_in_words(&desired, egress.unwrap()),
            "egress to http/TCP of pods app=web in all namespaces"
        );
    }

    /// Whether a rule means it is told by what stands here, and by nothing else of it.
    #[test]
    fn a_container_of_another_host_reads_as_a_peer() {
        let mut far = container("shop/far", "app=far build=7", "10.0.1.1 fd00::1");
        far.ports = vec![named("http", 81)];
        far.host = Some(crate::words::names::HostName::new("beta").unwrap());
        let rules = vec![rule(vec![pods("app=far")], &[])];
        let policies = vec![
            ingress("shop/web", "app=web", rules),
            egress("shop/x", "", vec![rule(vec![], &["http"])]),
        ];
        let (desired, _) = resolved(vec![far], policies);
        assert!(describe(&desired).is_empty());
        assert_eq!(
            describe_peers(&desired)[&name("shop/far")],
            [
                "address 10.0.1.1",
                "address fd00::1",
                "peers see app=far in shop, http=81/TCP"
            ]
        );
    }

    #[test]
    fn every_operator_has_words() {
        let listed = |values: &[&str]| values.iter().map(|v| (*v).into()).collect();
        let words = [
            Operator::In(listed(&["a"])),
            Operator::In(listed(&["a", "b"])),
            Operator::NotIn(listed(&["a"])),
            Operator::NotIn(listed(&["a", "b"])),
            Operator::Exists,
            Operator::DoesNotExist,
        ]
        .map(|operator| {
            requirement_in_words(&Requirement {
                key: "k".into(),
                operator,
            })
        });
        assert_eq!(
            words,
            [
                "k=a",
                "k in (a, b)",
                "k not a",
                "k not in (a, b)",
                "has k",
                "has no k"
            ]
        );
    }
}
