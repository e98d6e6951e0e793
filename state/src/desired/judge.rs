//! The semantics in plain Rust: a flow is asked of every policy, one after the other.
//!
//! Nothing here uses what the compile step relies on (subjects, classes, regions): it is what they
//! are tested against, and what `explain` lists all rules by.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Desired, Peer, Policy, Port, PortNumber, Rule};
use crate::words::flow::Flow;
use crate::words::identity::RuleId;
use crate::words::ports::Protocol;
use crate::words::verdict::{ByDirection, Decision, Direction, Permit, Verdict};

/// A verdict, and every rule that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict. It names the first rule of each side.
    pub verdict: Verdict,
    /// For each direction all rules that allow the flow, as ids, the first one first. Empty where
    /// no rule was asked.
    pub rules: ByDirection<Vec<RuleId>>,
}

/// Judges a flow as this host does. A container of another host is judged there: resolve the tree
/// for its host ([`super::Container::host`]) and ask again.
///
/// `host_addresses` are the host's own. An address that is also one of a container of this host is
/// the container's; one that is also a container's of another host is the host's.
pub fn judge(desired: &Desired, host_addresses: &BTreeSet<IpAddr>, flow: &Flow) -> Judgement {
    let asked = Asked {
        desired,
        host_addresses,
        flow,
    };
    let mut rules = ByDirection::<Vec<RuleId>>::default();
    let verdict = ByDirection::from_fn(|direction| {
        let (decision, by) = asked.side(direction);
        *rules.get_mut(direction) = by;
        decision
    });
    Judgement { verdict, rules }
}

struct Asked<'a> {
    desired: &'a Desired,
    host_addresses: &'a BTreeSet<IpAddr>,
    flow: &'a Flow,
}

impl Asked<'_> {
    fn side(&self, direction: Direction) -> (Decision, Vec<RuleId>) {
        let permit = |permit| (Decision::Permit(permit), Vec::new());
        let (own, other) = match direction {
            Direction::Egress => (self.flow.source, self.flow.destination),
            Direction::Ingress => (self.flow.destination, self.flow.source),
        };
        let Some(container) = self.desired.container_at(own).filter(|c| c.here) else {
            return permit(Permit::NoPolicy);
        };
        if container.addresses.contains(&other) {
            return permit(Permit::Itself);
        }
        if self.is_host(other) {
            return permit(Permit::Host);
        }
        let selects = |policy: &&Policy| {
            policy.name.namespace == container.name.namespace
                && policy.rules.get(direction).is_some()
                && policy.selects.selects(&container.labels)
        };
        let policies = &self.desired.policies;
        let isolating: Vec<&Policy> = policies.list.iter().filter(selects).collect();
        let Some(first) = isolating.first() else {
            return permit(Permit::Open);
        };
        let rules: Vec<RuleId> = isolating
            .iter()
            .flat_map(|policy| policies.rules_of(policy, direction))
            .filter(|rule| self.allows(rule, other))
            .map(|rule| rule.id)
            .collect();
        let decision = match rules.first() {
            Some(id) => Decision::Permit(Permit::Rule(*id)),
            None => Decision::Deny {
                container: container.name.clone(),
                policy: first.name.clone(),
            },
        };
        (decision, rules)
    }

    fn is_host(&self, address: IpAddr) -> bool {
        let container = self.desired.container_at(address);
        self.host_addresses.contains(&address) && !container.is_some_and(|c| c.here)
    }

    fn allows(&self, rule: &Rule, peer: IpAddr) -> bool {
        let ports = rule.ports.as_deref();
        self.means(rule.peer, peer) && ports.is_none_or(|p| p.iter().any(|p| self.covers(p)))
    }

    fn means(&self, peer: Peer, address: IpAddr) -> bool {
        let policies = &self.desired.policies;
        match peer {
            Peer::Anyone => true,
            Peer::Block(block) => policies.blocks[block].holds(address),
            Peer::Group(group) => self.desired.container_at(address).is_some_and(|container| {
                let group = &policies.groups[group];
                let namespace = &container.name.namespace;
                let labels = self.desired.namespaces.get(namespace);
                labels.is_some_and(|labels| group.scope.holds(namespace, labels))
                    && group.pods.selects(&container.labels)
            }),
        }
    }

    fn covers(&self, port: &Port) -> bool {
        if Protocol::from_number(self.flow.protocol) != Some(port.protocol) {
            return false;
        }
        match &port.number {
            PortNumber::Any => true,
            PortNumber::Range(first, last) => (*first..=*last).contains(&self.flow.port),
            PortNumber::Named(name) => {
                let destination = self.desired.container_at(self.flow.destination);
                destination.is_some_and(|container| {
                    container.ports.iter().any(|named| {
                        named.name == *name
                            && named.protocol == port.protocol
                            && named.port == self.flow.port
                    })
                })
            }
        }
    }
}
