//! A second evaluator, written straight from the specification and as naive as it can be.
//!
//! It reads documents, asks every policy about every packet, and shares no code with `desired` or
//! `target`: selectors, prefixes, ports and named ports are evaluated here once more. Sentences in
//! quotes are from the API reference of `networking.k8s.io/v1 NetworkPolicy`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use state::documents::network_policy::{Peer, PeerKind, Port, PortNumber, Rule};
use state::documents::{Container, Documents, NetworkPolicy};
use state::words::address::Cidr;
use state::words::flow::Flow;
use state::words::labels::{Operator, Selector};
use state::words::names::FullName;
use state::words::verdict::Direction;

/// Where a rule is written: its policy, the item of `ingress` or `egress`, the item of its peers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Written {
    pub(crate) policy: FullName,
    pub(crate) item: usize,
    pub(crate) peer: Option<usize>,
}

/// What one side of a flow says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// It is no container of this host.
    NotOurs,
    /// The other end is the container itself.
    Itself,
    /// The other end is the container's host.
    Host,
    /// No policy selects the container in this direction.
    Open,
    /// These rules allow it, in the order of policy names and as written.
    Rules(Vec<Written>),
    /// Policies select the container and no rule of theirs allows it; the first of them by name.
    Denied(FullName, FullName),
}

/// The question and all that is known.
pub(crate) struct Oracle<'a> {
    pub(crate) documents: &'a Documents,
    pub(crate) host: &'a str,
    pub(crate) host_addresses: &'a BTreeSet<IpAddr>,
}

impl Oracle<'_> {
    /// What the container at one end says: the source of a flow for egress, its destination for
    /// ingress.
    pub(crate) fn opinion(&self, flow: &Flow, direction: Direction) -> Opinion {
        let (own, other) = match direction {
            Direction::Egress => (flow.source, flow.destination),
            Direction::Ingress => (flow.destination, flow.source),
        };
        let Some(container) = self.container(own).filter(|c| self.is_here(c)) else {
            return Opinion::NotOurs;
        };
        if container
            .addresses
            .iter()
            .any(|(address, _)| *address == other)
        {
            return Opinion::Itself;
        }
        if self.is_host(other) {
            return Opinion::Host;
        }
        let mut policies: Vec<(&NetworkPolicy, &Vec<Rule>)> = Vec::new();
        for policy in &self.documents.policies {
            let rules = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            // "Selects the pods to which this NetworkPolicy object applies", in its namespace.
            if let Some(rules) = rules
                && policy.name.namespace == container.name.namespace
                && selects(&policy.subject, &own_labels(container))
            {
                policies.push((policy, rules));
            }
        }
        policies.sort_by_key(|(policy, _)| policy.name.clone());
        // "Traffic is allowed to a pod if there are no NetworkPolicies selecting the pod".
        let Some((first, _)) = policies.first() else {
            return Opinion::Open;
        };
        let denied = Opinion::Denied(container.name.clone(), first.name.clone());
        // "OR if the traffic matches at least one ingress rule across all of the NetworkPolicy
        // objects whose podSelector matches the pod".
        let mut allowing = Vec::new();
        for (policy, rules) in policies {
            for (item, rule) in rules.iter().enumerate() {
                let peers = self.matching_peers(policy, rule, other);
                if self.ports_match(rule, flow) {
                    allowing.extend(peers.into_iter().map(|peer| Written {
                        policy: policy.name.clone(),
                        item,
                        peer,
                    }));
                }
            }
        }
        if allowing.is_empty() {
            denied
        } else {
            Opinion::Rules(allowing)
        }
    }

    /// "List of sources which should be able to access the pods selected for this rule. Items in
    /// this list are combined using a logical OR operation. If this field is empty or missing, this
    /// rule matches all sources."
    fn matching_peers(
        &self,
        policy: &NetworkPolicy,
        rule: &Rule,
        other: IpAddr,
    ) -> Vec<Option<usize>> {
        match &rule.peers {
            None => vec![None],
            Some(peers) if peers.is_empty() => vec![None],
            Some(peers) => (0..peers.len())
                .filter(|index| self.peer_matches(policy, &peers[*index], other))
                .map(Some)
                .collect(),
        }
    }

    fn peer_matches(&self, policy: &NetworkPolicy, peer: &Peer, other: IpAddr) -> bool {
        let (pods, namespaces) = match &peer.kind {
            // "except is a slice of CIDRs that should not be included within an IPBlock".
            PeerKind::Block { cidr, except } => {
                return within(cidr, other) && !except.iter().any(|e| within(e, other));
            }
            PeerKind::Containers { pods, namespaces } => (pods, namespaces),
        };
        let Some(container) = self.container(other) else {
            return false;
        };
        let namespace_matches = match namespaces {
            // "If namespaceSelector is also set, then the NetworkPolicyPeer as a whole selects the
            // pods matching podSelector in the namespaces selected by namespaceSelector."
            Some(selector) => selects(selector, &self.namespace_labels(container)),
            // "Otherwise it selects the pods matching podSelector in the policy's own namespace."
            None => container.name.namespace == policy.name.namespace,
        };
        // "If [podSelector is not] set, [the peer] selects all pods in the namespaces selected".
        let pod_matches = match pods {
            Some(selector) => selects(selector, &own_labels(container)),
            None => true,
        };
        namespace_matches && pod_matches
    }

    /// "Each item in this list is combined using a logical OR. If this field is empty or missing,
    /// this rule matches all ports (traffic not restricted by port)."
    fn ports_match(&self, rule: &Rule, flow: &Flow) -> bool {
        match &rule.ports {
            None => true,
            Some(ports) => {
                ports.is_empty() || ports.iter().any(|port| self.port_matches(port, flow))
            }
        }
    }

    /// "port represents the port on the given protocol. This can either be a numerical or named
    /// port on a pod. If this field is not provided, this matches all port names and numbers."
    fn port_matches(&self, port: &Port, flow: &Flow) -> bool {
        if flow.protocol != port.protocol.number() {
            return false;
        }
        match &port.number {
            PortNumber::Any => true,
            PortNumber::Range(first, last) => *first <= flow.port && flow.port <= *last,
            PortNumber::Named(name) => match self.container(flow.destination) {
                None => false,
                Some(container) => container.ports.iter().any(|named| {
                    named.name == *name
                        && named.protocol == port.protocol
                        && named.port == flow.port
                }),
            },
        }
    }

    fn container(&self, address: IpAddr) -> Option<&Container> {
        let mut containers = self.documents.containers.iter();
        containers.find(|c| c.addresses.iter().any(|(own, _)| *own == address))
    }

    fn is_here(&self, container: &Container) -> bool {
        match &container.host {
            None => true,
            Some(host) => host.as_str() == self.host,
        }
    }

    fn is_host(&self, address: IpAddr) -> bool {
        if self.container(address).is_some_and(|c| self.is_here(c)) {
            return false;
        }
        self.host_addresses.contains(&address)
    }

    /// A namespace that is not declared exists with its name's label alone.
    fn namespace_labels(&self, container: &Container) -> BTreeMap<String, String> {
        let name = container.name.namespace.as_str();
        let mut labels = BTreeMap::new();
        for namespace in &self.documents.namespaces {
            if namespace.name.as_str() == name {
                for (key, value) in &namespace.labels {
                    labels.insert(key.to_string(), value.to_string());
                }
            }
        }
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        labels
    }
}

fn own_labels(container: &Container) -> BTreeMap<String, String> {
    let labels = container.labels.iter();
    labels
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// "The requirements are ANDed. An empty label selector matches all objects."
fn selects(selector: &Selector, labels: &BTreeMap<String, String>) -> bool {
    for requirement in &selector.requirements {
        let value = labels.get(&*requirement.key);
        let is_listed = |list: &BTreeSet<std::sync::Arc<str>>| {
            list.iter().any(|listed| Some(&listed.to_string()) == value)
        };
        let holds = match &requirement.operator {
            Operator::In(list) => is_listed(list),
            Operator::NotIn(list) => !is_listed(list),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        };
        if !holds {
            return false;
        }
    }
    true
}

/// Bit by bit.
fn within(cidr: &Cidr, address: IpAddr) -> bool {
    let (network, address) = match (cidr.addr(), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.octets().to_vec(), address.octets().to_vec())
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.octets().to_vec(), address.octets().to_vec())
        }
        _ => return false,
    };
    (0..usize::from(cidr.prefix_len())).all(|bit| {
        let mask = 0x80 >> (bit % 8);
        network[bit / 8] & mask == address[bit / 8] & mask
    })
}
