//! What selectors can tell: the keys and values that they name.
//!
//! A selector asks of a key whether it is there (`Exists`, `DoesNotExist`) or whether its value is
//! one of some (`In`, `NotIn`). So of a label counts its value where some selector names that
//! value, else only that it is there where some selector asks that, else nothing. A label whose
//! key no selector names, like an absent one, leaves no trace.
//!
//! Who may see a container decides which selectors count: a policy's `podSelector` sees its own
//! namespace, a peer's sees that namespace or those that its `namespaceSelector` selects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::crowd::{Crowd, Member};
use super::peers::Scope;
use super::policies::{Policies, Policy, PortNumber};
use crate::words::labels::{Labels, Operator, Selector};
use crate::words::names::NamespaceName;
use crate::words::ports::{NamedPort, PortName, Protocol};
use crate::words::verdict::Direction;

/// What can be told of a label set, by key: the value, where some selector names it, or `None` for
/// a value that none does.
pub type Told = Vec<(Arc<str>, Option<Arc<str>>)>;

/// The keys that some selectors name.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary<'a> {
    keys: BTreeMap<&'a str, Named<'a>>,
}

#[derive(Clone, Debug, Default)]
struct Named<'a> {
    values: BTreeSet<&'a str>,
    presence: bool,
}

impl<'a> Vocabulary<'a> {
    fn add(&mut self, selector: &'a Selector) {
        for requirement in &selector.requirements {
            let named = self.keys.entry(&requirement.key).or_default();
            match &requirement.operator {
                Operator::In(values) | Operator::NotIn(values) => {
                    named.values.extend(values.iter().map(|v| &**v));
                }
                Operator::Exists | Operator::DoesNotExist => named.presence = true,
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (key, theirs) in &other.keys {
            let named = self.keys.entry(key).or_default();
            named.values.extend(&theirs.values);
            named.presence |= theirs.presence;
        }
    }
}

/// What the selectors of all these vocabularies can tell of a label set.
fn tell(labels: &Labels, vocabularies: &[&Vocabulary]) -> Told {
    let mut told = Told::new();
    for (key, value) in labels {
        let named = || vocabularies.iter().filter_map(|v| v.keys.get(&**key));
        if named().any(|n| n.values.contains(&**value)) {
            told.push((key.clone(), Some(value.clone())));
        } else if named().any(|n| n.presence) {
            told.push((key.clone(), None));
        }
    }
    told
}

/// A port that a rule names.
type Name<'a> = (&'a PortName, Protocol);

/// What the policies of a tree can tell, by namespace.
#[derive(Debug)]
pub(super) struct Tellers<'a> {
    /// Of each namespace that has policies: the selectors of those policies.
    subjects: BTreeMap<&'a NamespaceName, Vocabulary<'a>>,
    /// The `podSelector`s of peers, by scope.
    groups: BTreeMap<&'a Scope, Vocabulary<'a>>,
    /// The `namespaceSelector`s.
    namespaces: Vocabulary<'a>,
    /// For each namespace that has containers, the `podSelector`s of all scopes that hold it, other
    /// than its own: merged once, not for each container.
    selected: BTreeMap<&'a NamespaceName, Vocabulary<'a>>,
    /// There are too many selectors to tell.
    pub(super) exhausted: bool,
    ingress_ports: BTreeMap<&'a NamespaceName, BTreeSet<Name<'a>>>,
    egress_ports: BTreeSet<Name<'a>>,
}

impl<'a> Tellers<'a> {
    pub(super) fn of(
        policies: &'a Policies,
        namespaces: &'a BTreeMap<NamespaceName, Labels>,
        inhabited: &BTreeSet<&NamespaceName>,
    ) -> Self {
        let mut subjects: BTreeMap<_, Vocabulary> = BTreeMap::new();
        let mut ingress_ports: BTreeMap<_, BTreeSet<Name>> = BTreeMap::new();
        let mut egress_ports = BTreeSet::new();
        for policy in &policies.list {
            let namespace = &policy.name.namespace;
            subjects.entry(namespace).or_default().add(&policy.selects);
            let ingress = ports_named(policies, policy, Direction::Ingress);
            ingress_ports.entry(namespace).or_default().extend(ingress);
            egress_ports.extend(ports_named(policies, policy, Direction::Egress));
        }
        let mut groups: BTreeMap<_, Vocabulary> = BTreeMap::new();
        let mut namespace_vocabulary = Vocabulary::default();
        for group in &policies.groups {
            groups.entry(&group.scope).or_default().add(&group.pods);
        }
        for scope in groups.keys() {
            if let Scope::Selected(selector) = scope {
                namespace_vocabulary.add(selector);
            }
        }
        let inhabited = namespaces.iter().filter(|(n, _)| inhabited.contains(n));
        let (selected, exhausted) = selected(&groups, inhabited.collect());
        Self {
            subjects,
            selected,
            exhausted,
            groups,
            namespaces: namespace_vocabulary,
            ingress_ports,
            egress_ports,
        }
    }

    /// What the policies of its own namespace can tell of a container when they choose whom they
    /// isolate and resolve ports of theirs: nothing at all where no policy lives there.
    pub(super) fn subject(&self, container: &Seen) -> Option<(Told, Vec<NamedPort>)> {
        let vocabulary = self.subjects.get(container.namespace)?;
        let named = self.ingress_ports.get(container.namespace);
        let told = tell(container.labels, &[vocabulary]);
        Some((told, ports_told(container.ports, named)))
    }

    /// Whether a peer means the containers of a namespace by that namespace's name: a
    /// `podSelector` without a `namespaceSelector`.
    pub(super) fn names_own(&self, namespace: &NamespaceName) -> bool {
        self.own(namespace).is_some()
    }

    /// What `namespaceSelector`s can tell of a namespace.
    pub(super) fn namespace(&self, labels: &Labels) -> Told {
        tell(labels, &[&self.namespaces])
    }

    /// What peers can tell of a container's labels, and which of its ports egress rules name.
    pub(super) fn peer(&self, container: &Seen) -> (Told, Vec<NamedPort>) {
        let selected = self.selected.get(container.namespace);
        let vocabularies: Vec<&Vocabulary> = selected
            .into_iter()
            .chain(self.own(container.namespace))
            .collect();
        (
            tell(container.labels, &vocabularies),
            ports_told(container.ports, Some(&self.egress_ports)),
        )
    }

    fn own(&self, namespace: &NamespaceName) -> Option<&Vocabulary<'a>> {
        self.groups.get(&Scope::Own(namespace.clone()))
    }
}

/// A container, as far as policies may look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) namespace: &'a NamespaceName,
    pub(super) labels: &'a Labels,
    pub(super) ports: &'a [NamedPort],
}

fn ports_named<'a>(
    policies: &'a Policies,
    policy: &Policy,
    direction: Direction,
) -> impl Iterator<Item = Name<'a>> {
    let range = policy.rules.get(direction).clone().unwrap_or_default();
    policies.rules[range]
        .iter()
        .flat_map(|rule| rule.ports.iter().flat_map(|ports| ports.iter()))
        .filter_map(|port| match &port.number {
            PortNumber::Named(name) => Some((name, port.protocol)),
            PortNumber::Any | PortNumber::Range(..) => None,
        })
}

/// A container's ports that rules name, sorted.
fn ports_told(ports: &[NamedPort], named: Option<&BTreeSet<Name>>) -> Vec<NamedPort> {
    let is_named =
        |port: &&NamedPort| named.is_some_and(|n| n.contains(&(&port.name, port.protocol)));
    let mut told: Vec<NamedPort> = ports.iter().filter(is_named).cloned().collect();
    told.sort();
    told.dedup();
    told
}

/// For each of these namespaces, what the scopes that select it by its labels ask of its
/// containers; and whether there are too many of both.
fn selected<'a>(
    groups: &BTreeMap<&'a Scope, Vocabulary<'a>>,
    namespaces: Vec<(&'a NamespaceName, &'a Labels)>,
) -> (BTreeMap<&'a NamespaceName, Vocabulary<'a>>, bool) {
    let none = Labels::new();
    let members = namespaces.iter().map(|(namespace, labels)| Member {
        namespace,
        namespace_labels: labels,
        labels: &none,
    });
    let crowd = Crowd::of(members.collect());
    let mut by_namespace: BTreeMap<_, Vocabulary> = BTreeMap::new();
    for (scope, vocabulary) in groups {
        if matches!(scope, Scope::Selected(_)) {
            for index in crowd.select(scope, &Selector::default()) {
                let merged = by_namespace.entry(namespaces[index].0).or_default();
                merged.merge(vocabulary);
            }
        }
    }
    let exhausted = crowd.is_exhausted();
    drop(crowd);
    (by_namespace, exhausted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Group;
    use crate::desired::sample::{egress, ingress, labels, named, pods, pods_of, rule, selector};
    use crate::documents::NetworkPolicy;
    use crate::words::labels::Requirement;

    fn told(text: &str, selectors: &[&Selector]) -> String {
        let mut vocabulary = Vocabulary::default();
        for selector in selectors {
            vocabulary.add(selector);
        }
        let told = tell(&labels(text), &[&vocabulary]);
        let words = told.iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => format!("{key}=?"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_a_selector_names_is_told() {
        let web = selector("app=web");
        assert_eq!(told("app=web tier=1", &[&web]), "app=web");
        assert_eq!(told("app=db tier=1", &[&web]), "");
        assert_eq!(told("", &[&web]), "");
        let requirement = Requirement {
            key: "app".into(),
            operator: Operator::DoesNotExist,
        };
        let without = Selector {
            requirements: [requirement].into(),
        };
        assert_eq!(told("app=db tier=1", &[&without]), "app=?");
        assert_eq!(told("app=web", &[&without, &web]), "app=web");
        assert_eq!(told("app=web", &[&Selector::default()]), "");
    }

    /// A peer's `podSelector` tells of the namespaces it can see, and of no others.
    #[test]
    fn who_cannot_see_a_container_tells_nothing_of_it() {
        let policies: &[NetworkPolicy] = &[
            ingress(
                "a/own",
                "tier=1",
                vec![rule(vec![pods("app=web")], &["http"])],
            ),
            egress(
                "b/other",
                "",
                vec![rule(vec![pods_of("app=db", "team=x")], &["admin"])],
            ),
        ];
        let policies = Policies::of(policies);
        let namespaces = [("a", ""), ("b", "team=x"), ("c", "")];
        let namespaces: BTreeMap<_, _> = namespaces
            .map(|(name, text)| (NamespaceName::new(name).unwrap(), labels(text)))
            .into();
        let inhabited = namespaces.keys().collect();
        let tellers = Tellers::of(&policies, &namespaces, &inhabited);
        let ports = [named("http", 80), named("admin", 81), named("dns", 53)];
        let container = labels("app=web tier=1");
        let database = labels("app=db tier=1");
        let seen = |namespace: &str, labels| {
            let namespace = &NamespaceName::new(namespace).unwrap();
            let seen = Seen {
                namespace,
                labels,
                ports: &ports,
            };
            let names = |ports: Vec<NamedPort>| -> Vec<String> {
                ports.iter().map(|p| p.name.to_string()).collect()
            };
            let (peer, peer_ports) = tellers.peer(&seen);
            let subject = tellers
                .subject(&seen)
                .map(|(told, ports)| (told.len(), names(ports)));
            (subject, peer.len(), names(peer_ports))
        };
        let (http, admin) = (vec!["http".to_owned()], vec!["admin".to_owned()]);
        assert_eq!(
            seen("a", &container),
            (Some((1, http.clone())), 1, admin.clone())
        );
        assert_eq!(seen("a", &database), (Some((1, http)), 0, admin.clone()));
        assert_eq!(seen("b", &container), (Some((0, vec![])), 0, admin.clone()));
        assert_eq!(seen("b", &database), (Some((0, vec![])), 1, admin.clone()));
        assert_eq!(seen("c", &container), (None, 0, admin.clone()));
        assert_eq!(seen("c", &database), (None, 0, admin));
        let own = |name| tellers.names_own(&NamespaceName::new(name).unwrap());
        assert_eq!(["a", "b", "c"].map(own), [true, false, false]);
        assert!(matches!(
            policies.groups[1],
            Group {
                scope: Scope::Selected(_),
                ..
            }
        ));
    }
}
