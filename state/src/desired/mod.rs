//! What a tree asks for, resolved: who is who, which policies isolate whom, and what each rule
//! says.
//!
//! [`resolve`] takes the documents of a whole tree and one host's name. Containers of all hosts
//! take part as peers; what is made and judged is for the containers that are `here`. Everything
//! is sorted by content, so the order of files and documents changes nothing.
//!
//! How a rule is read:
//!
//! - A peer of labels means containers. An `ipBlock` means every address of its family within it, a
//!   container's too. A rule without peers means everyone.
//! - A named port is the destination container's: for ingress the container that the policy
//!   isolates, for egress whichever container the address belongs to, whatever peer allowed it. An
//!   address that is no container's has no named ports, so there it matches nothing.
//! - A rule without ports covers every protocol. One with ports covers those and no others.
//! - A flow that several rules allow is attributed to the first: by policy name, then as written.

pub mod peers;
pub mod policies;
mod crowd;
mod vocabulary;
pub mod subjects;
mod attachments;
pub mod validate;
pub mod judge;
pub mod describe;
#[cfg(test)]
pub(crate) mod sample;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::documents::Documents;
pub use crate::documents::config::{Config, Dns};
pub use crate::documents::container::Attach;
use crate::words::labels::{Labels, NAMESPACE_NAME_LABEL};
use crate::words::names::{FullName, HostName, NamespaceName};
use crate::words::place::Place;
use crate::words::ports::NamedPort;
use crate::words::problem::Problems;
use crate::words::verdict::{ByDirection, Direction};

pub use describe::{describe, describe_peers};
pub use judge::judge;
pub use peers::{Block, Group, Scope};
pub use policies::{Peer, Policies, Policy, Port, PortNumber, Rule};
pub use subjects::{Class, Subject, SubjectContent};
pub use vocabulary::Told;

/// What a tree asks of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The host it was resolved for.
    pub host: HostName,
    /// `plumbline.yaml`, or its defaults.
    pub config: Config,
    /// Every namespace that exists, declared or not, with its labels.
    pub namespaces: BTreeMap<NamespaceName, Labels>,
    /// Containers of all hosts.
    pub containers: BTreeMap<FullName, Container>,
    /// Whose each container's address is.
    pub by_address: BTreeMap<IpAddr, FullName>,
    /// The policies and their rules.
    pub policies: Policies,
    /// The subjects of containers of all hosts; [`Container::subject`] is an index.
    pub subjects: Vec<Subject>,
    /// The classes of containers of all hosts; [`Container::class`] is an index.
    pub classes: Vec<Class>,
    /// For each of [`Policies::groups`], the classes that it holds, ascending.
    pub group_classes: Vec<Vec<usize>>,
}

/// A container of any host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Where its document begins.
    pub place: Place,
    /// Namespace and name.
    pub name: FullName,
    /// Its labels.
    pub labels: Labels,
    /// The host that it names; `None` means every host.
    pub host: Option<HostName>,
    /// Whether it is on this host. If not, it is a peer only.
    pub here: bool,
    /// Its addresses: one for each family at most.
    pub addresses: Vec<IpAddr>,
    /// Its named ports.
    pub ports: Vec<NamedPort>,
    /// Quota of established TCP connections.
    pub connections: u32,
    /// How it is found on its host.
    pub attach: Attach,
    /// Its subject, as an index of [`Desired::subjects`].
    pub subject: usize,
    /// Its class, as an index of [`Desired::classes`].
    pub class: usize,
}

/// Resolves the documents of a tree for one host. With an error among the problems the desired
/// state is not to be compiled. That of incomplete documents has no policies: the tree is refused
/// anyway, and whom they select cannot be told.
pub fn resolve(documents: &Documents, host: &HostName) -> (Desired, Problems) {
    let namespaces = namespaces(documents);
    let policies = match documents.incomplete {
        true => Policies::default(),
        false => Policies::of(&documents.policies),
    };
    let parts = subjects::partition(&documents.containers, &policies, &namespaces, host);
    let exhausted = parts.exhausted;
    let desired = Desired {
        host: host.clone(),
        config: documents.config.clone(),
        by_address: by_address(&parts.containers),
        containers: parts.containers,
        subjects: parts.subjects,
        classes: parts.classes,
        group_classes: parts.group_classes,
        namespaces,
        policies,
    };
    let problems = validate::problems(&desired, &documents.containers, exhausted);
    (desired, problems)
}

/// Every namespace: a declared one has its labels, any that a document is in has its name's alone.
fn namespaces(documents: &Documents) -> BTreeMap<NamespaceName, Labels> {
    let mut namespaces: BTreeMap<NamespaceName, Labels> = BTreeMap::new();
    for declared in &documents.namespaces {
        let labels = || declared.labels.clone();
        namespaces
            .entry(declared.name.clone())
            .or_insert_with(labels);
    }
    let containers = documents.containers.iter().map(|c| &c.name.namespace);
    let policies = documents.policies.iter().map(|p| &p.name.namespace);
    for name in containers.chain(policies) {
        if !namespaces.contains_key(name) {
            namespaces.insert(name.clone(), Labels::new());
        }
    }
    for (name, labels) in &mut namespaces {
        labels.insert(NAMESPACE_NAME_LABEL.into(), name.as_str().into());
    }
    namespaces
}

/// Of two containers with one address the first by name counts; the documents stage has refused
/// the tree.
fn by_address(containers: &BTreeMap<FullName, Container>) -> BTreeMap<IpAddr, FullName> {
    let mut by_address = BTreeMap::new();
    for container in containers.values() {
        for address in &container.addresses {
            by_address
                .entry(*address)
                .or_insert_with(|| container.name.clone());
        }
    }
    by_address
}

impl Desired {
    /// The containers of this host, by name.
    pub fn containers_here(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|container| container.here)
    }

    /// What of others the containers of this host are attached to.
    pub fn attachments(&self) -> BTreeMap<FullName, Attach> {
        let here = self.containers_here();
        let others = here.filter(|container| container.attach != Attach::Managed);
        others
            .map(|container| (container.name.clone(), container.attach.clone()))
            .collect()
    }

    /// The container of an address.
    pub fn container_at(&self, address: IpAddr) -> Option<&Container> {
        self.containers.get(self.by_address.get(&address)?)
    }

    /// The policies that isolate a container in a direction, by name. None: it is open.
    pub fn isolating(
        &self,
        container: &Container,
        direction: Direction,
    ) -> impl Iterator<Item = &Policy> {
        let subject = &self.subjects[container.subject];
        let indices = subject.policies.get(direction).iter();
        indices.map(|index| &self.policies.list[*index])
    }

    /// For each direction the first policy, by name, that isolates a container; `None` where it
    /// is open.
    pub fn isolation(&self, container: &Container) -> ByDirection<Option<&FullName>> {
        ByDirection::from_fn(|direction| {
            let first = self.isolating(container, direction).next()?;
            Some(&first.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{container, documents, host, ingress, labels, name, pods, rule};
    use super::*;
    use crate::documents::Namespace;

    #[test]
    fn a_namespace_that_is_not_declared_exists_with_its_name_alone() {
        let mut tree = documents(
            vec![container("shop/web", "", "10.0.0.1")],
            vec![ingress("ops/deny", "", Vec::new())],
        );
        tree.namespaces.push(Namespace {
            place: sample::line(9),
            name: NamespaceName::new("lab").unwrap(),
            labels: labels("team=x"),
        });
        let (desired, _) = resolve(&tree, &host());
        let shown: Vec<String> = desired
            .namespaces
            .iter()
            .map(|(name, labels)| format!("{name} {labels:?}"))
            .collect();
        let label = "kubernetes.io/metadata.name";
        assert_eq!(
            shown,
            [
                format!(r#"lab {{"{label}": "lab", "team": "x"}}"#),
                format!(r#"ops {{"{label}": "ops"}}"#),
                format!(r#"shop {{"{label}": "shop"}}"#),
            ]
        );
    }

    #[test]
    fn a_container_without_a_host_is_on_every_host() {
        let mut elsewhere = container("shop/db", "", "10.0.0.2");
        elsewhere.host = Some(HostName::new("beta").unwrap());
        let mut here = container("shop/job", "", "10.0.0.3");
        here.host = Some(host());
        let containers = vec![container("shop/web", "", "10.0.0.1"), elsewhere, here];
        let (desired, _) = sample::resolved(containers, Vec::new());
        let here: Vec<String> = desired
            .containers_here()
            .map(|c| c.name.to_string())
            .collect();
        assert_eq!(here, ["shop/job", "shop/web"]);
    }

    #[test]
    fn isolation_names_the_first_policy_by_name() {
        let policies = vec![
            ingress("shop/b", "app=web", Vec::new()),
            ingress("shop/a", "app=web", vec![rule(vec![pods("")], &[])]),
            ingress("shop/0", "app=db", Vec::new()),
        ];
        let containers = vec![container("shop/web", "app=web", "10.0.0.1")];
        let (desired, _) = sample::resolved(containers, policies);
        let web = &desired.containers[&name("shop/web")];
        let isolation = desired.isolation(web);
        assert_eq!(isolation.ingress, Some(&name("shop/a")));
        assert_eq!(isolation.egress, None);
    }

    /// What the documents stage refuses must not end in a panic here.
    #[test]
    fn twins_are_told_apart_by_name_and_the_first_counts() {
        let containers = vec![
            container("shop/web", "app=web", "10.0.0.1"),
            container("shop/web", "app=db", "10.0.0.2"),
            container("shop/zoo", "", "10.0.0.1"),
        ];
        let policies = vec![
            ingress("shop/a", "app=web", Vec::new()),
            ingress("shop/a", "app=db", Vec::new()),
        ];
        let (desired, _) = sample::resolved(containers, policies);
        assert_eq!(desired.containers.len(), 2);
        assert_eq!(desired.policies.list.len(), 1);
        let at = desired.container_at("10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(at.name, name("shop/web"));
    }
}
