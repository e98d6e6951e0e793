//! Containers that policies cannot tell apart, two ways.
//!
//! A *subject* is a set of containers that are isolated by the same policies and whose named ports
//! resolve alike: what the `podSelector` and the ingress rules of its namespace's policies can tell
//! of it. A *class* is a set of containers that are the same to every peer of every policy: what
//! the selectors of peers, and the named ports of egress rules, can tell. Together with the CIDR
//! region of an address a class makes an identity.
//!
//! Both are content: a subject's id and an identity's are hashes of what stands here, so a
//! container of another host, a label that no policy names, and the order of documents change none
//! of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Container;
use super::crowd::{Crowd, Member};
use super::peers::Scope;
use super::policies::{Policies, in_order};
use super::vocabulary::{Seen, Tellers, Told};
use crate::documents;
use crate::words::canonical::Canonical;
use crate::words::identity::SubjectId;
use crate::words::labels::Labels;
use crate::words::names::{FullName, HostName, NamespaceName};
use crate::words::ports::NamedPort;
use crate::words::verdict::{ByDirection, Direction};

/// Policies times the subjects that each selects: what a list of each subject's policies may hold.
const ISOLATIONS_MOST: usize = 1 << 24;

/// Containers that the same policies isolate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Hash of the content.
    pub id: SubjectId,
    /// What policies can tell of it; `None` where no policy lives in the namespace.
    pub content: Option<SubjectContent>,
    /// Whether a container of it is on this host.
    pub here: bool,
    /// The policies that isolate it, as indices, ascending.
    pub policies: ByDirection<Vec<usize>>,
}

/// What the policies of a namespace can tell of a container of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubjectContent {
    /// The namespace.
    pub namespace: NamespaceName,
    /// Its labels.
    pub labels: Told,
    /// Its ports that ingress rules there name.
    pub ports: Vec<NamedPort>,
}

/// Containers that are the same to every peer of every policy: what peers can tell of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class {
    /// Its namespace, where a `podSelector` without a `namespaceSelector` means it.
    pub namespace: Option<NamespaceName>,
    /// Its namespace's labels.
    pub namespace_labels: Told,
    /// Its labels.
    pub labels: Told,
    /// Its ports that egress rules name.
    pub ports: Vec<NamedPort>,
}

impl SubjectContent {
    fn id(content: Option<&Self>) -> SubjectId {
        let mut bytes = Canonical::default();
        bytes.choice(u8::from(content.is_some()));
        if let Some(content) = content {
            bytes.text(content.namespace.as_str());
            write_told(&mut bytes, &content.labels);
            write_ports(&mut bytes, &content.ports);
        }
        SubjectId::of(bytes.bytes())
    }
}

impl Class {
    /// Its content.
    pub fn write(&self, bytes: &mut Canonical) {
        match &self.namespace {
            None => bytes.choice(0),
            Some(name) => bytes.choice(1).text(name.as_str()),
        };
        write_told(bytes, &self.namespace_labels);
        write_told(bytes, &self.labels);
        write_ports(bytes, &self.ports);
    }
}

fn write_told(bytes: &mut Canonical, told: &Told) {
    bytes.length(told.len());
    for (key, value) in told {
        bytes.text(key);
        match value {
            None => bytes.choice(0),
            Some(value) => bytes.choice(1).text(value),
        };
    }
}

/// The content of named ports.
pub(crate) fn write_ports(bytes: &mut Canonical, ports: &[NamedPort]) {
    bytes.length(ports.len());
    for port in ports {
        bytes
            .text(&port.name)
            .choice(port.protocol.number())
            .number(port.port.into());
    }
}

/// The containers with their subject and class, and those.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) containers: BTreeMap<FullName, Container>,
    pub(super) subjects: Vec<Subject>,
    pub(super) classes: Vec<Class>,
    pub(super) group_classes: Vec<Vec<usize>>,
    /// There are too many selectors to tell: parts and classes are not all of them.
    pub(super) exhausted: bool,
}

/// Cuts the containers of all hosts into subjects and classes. Of two containers of one name the
/// first counts; the documents stage has refused the tree.
pub(super) fn partition(
    documents: &[documents::Container],
    policies: &Policies,
    namespaces: &BTreeMap<NamespaceName, Labels>,
    host: &HostName,
) -> Partition {
    let mut sorted: Vec<&documents::Container> = documents.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted.dedup_by(|later, first| later.name == first.name);

    let inhabited = sorted.iter().map(|c| &c.name.namespace).collect();
    let mut contents = Contents::of(policies, namespaces, &inhabited);
    let containers: Vec<Container> = sorted
        .into_iter()
        .map(|document| contents.container(document, host))
        .collect();
    let (subjects, without_subjects) = contents.subjects(&containers);
    let (group_classes, without_classes) = contents.group_classes(&containers);
    Partition {
        subjects,
        group_classes,
        exhausted: contents.tellers.exhausted || without_subjects || without_classes,
        classes: in_order(contents.classes),
        containers: containers
            .into_iter()
            .map(|container| (container.name.clone(), container))
            .collect(),
    }
}

/// The contents met so far, each with its index, and one container that has it.
struct Contents<'a> {
    policies: &'a Policies,
    namespaces: &'a BTreeMap<NamespaceName, Labels>,
    tellers: Tellers<'a>,
    told_namespaces: BTreeMap<&'a NamespaceName, Told>,
    subjects: BTreeMap<Option<SubjectContent>, usize>,
    classes: BTreeMap<Class, usize>,
}

static NO_LABELS: Labels = Labels::new();

impl<'a> Contents<'a> {
    fn of(
        policies: &'a Policies,
        namespaces: &'a BTreeMap<NamespaceName, Labels>,
        inhabited: &BTreeSet<&NamespaceName>,
    ) -> Self {
        let tellers = Tellers::of(policies, namespaces, inhabited);
        let told_namespaces = namespaces
            .iter()
            .map(|(name, labels)| (name, tellers.namespace(labels)))
            .collect();
        Self {
            policies,
            namespaces,
            tellers,
            told_namespaces,
            subjects: BTreeMap::new(),
            classes: BTreeMap::new(),
        }
    }

    fn container(&mut self, document: &documents::Container, host: &HostName) -> Container {
        let seen = Seen {
            namespace: &document.name.namespace,
            labels: &document.labels,
            ports: &document.ports,
        };
        let next = self.subjects.len();
        let subject = *self.subjects.entry(self.subject(&seen)).or_insert(next);
        let next = self.classes.len();
        let class = *self.classes.entry(self.class(&seen)).or_insert(next);
        Container {
            place: document.place.clone(),
            name: document.name.clone(),
            labels: document.labels.clone(),
            host: document.host.clone(),
            here: document.host.as_ref().is_none_or(|h| h == host),
            addresses: document.addresses.iter().map(|(ip, _)| *ip).collect(),
            ports: document.ports.clone(),
            connections: document.connections,
            attach: document.attach.clone(),
            subject,
            class,
        }
    }

    fn subject(&self, seen: &Seen) -> Option<SubjectContent> {
        let (labels, ports) = self.tellers.subject(seen)?;
        Some(SubjectContent {
            namespace: seen.namespace.clone(),
            labels,
            ports,
        })
    }

    fn class(&self, seen: &Seen) -> Class {
        let (labels, ports) = self.tellers.peer(seen);
        let own = self.tellers.names_own(seen.namespace);
        let told = self.told_namespaces.get(seen.namespace);
        Class {
            namespace: own.then(|| seen.namespace.clone()),
            namespace_labels: told.cloned().unwrap_or_default(),
            labels,
            ports,
        }
    }

    fn member<'b>(&'b self, container: &'b Container) -> Member<'b> {
        let namespace = &container.name.namespace;
        Member {
            namespace,
            namespace_labels: self.namespaces.get(namespace).unwrap_or(&NO_LABELS),
            labels: &container.labels,
        }
    }

    /// The subjects, and which policies isolate each: every distinct selector is asked once, of one
    /// container of each subject. Whether the selectors are too many for that.
    fn subjects(&self, containers: &[Container]) -> (Vec<Subject>, bool) {
        let first = first_of(containers, self.subjects.len(), |c| c.subject);
        let mut subjects: Vec<Subject> = first.iter().map(|_| empty_subject()).collect();
        for (content, index) in &self.subjects {
            subjects[*index].id = SubjectContent::id(content.as_ref());
            subjects[*index].content.clone_from(content);
        }
        for container in containers {
            subjects[container.subject].here |= container.here;
        }
        let crowd = Crowd::of(first.iter().map(|c| self.member(c)).collect());
        let mut asked: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut isolations = 0_usize;
        for (index, policy) in self.policies.list.iter().enumerate() {
            let namespace = &policy.name.namespace;
            let selected = asked
                .entry((namespace, &policy.selects))
                .or_insert_with(|| crowd.select(&Scope::Own(namespace.clone()), &policy.selects));
            isolations += selected.len();
            if isolations > ISOLATIONS_MOST {
                return (subjects, true);
            }
            for direction in Direction::ALL {
                if policy.rules.get(direction).is_some() {
                    for subject in selected.iter() {
                        subjects[*subject].policies.get_mut(direction).push(index);
                    }
                }
            }
        }
        (subjects, crowd.is_exhausted())
    }

    /// For each group, the classes that it holds. Whether the groups are too many for that.
    fn group_classes(&self, containers: &[Container]) -> (Vec<Vec<usize>>, bool) {
        let first = first_of(containers, self.classes.len(), |c| c.class);
        let crowd = Crowd::of(first.iter().map(|c| self.member(c)).collect());
        let groups = self.policies.groups.iter();
        let classes = groups.map(|group| crowd.select(&group.scope, &group.pods));
        (classes.collect(), crowd.is_exhausted())
    }
}

fn empty_subject() -> Subject {
    Subject {
        id: SubjectContent::id(None),
        content: None,
        here: false,
        policies: ByDirection::default(),
    }
}

/// The first container of each part.
fn first_of(
    containers: &[Container],
    parts: usize,
    part: impl Fn(&Container) -> usize,
) -> Vec<&Container> {
    let mut first = Vec::with_capacity(parts);
    for container in containers {
        // Parts were numbered as they were met, so a new one is always the next.
        if part(container) == first.len() {
            first.push(container);
        }
    }
    first
}
