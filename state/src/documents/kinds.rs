//! From documents of any kind to those that are served.
//!
//! `apiVersion` and `kind` choose the parser. A kind that no parser serves is a finding, unless
//! `ignoreKinds` names it: then the document is counted and nothing in it is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::fields::{Context, Fields, Shape};
use super::metadata::{Metadata, metadata};
use super::suggest::did_you_mean;
use super::told::{Document, Parsed, Told};
use super::tree::Tree;
use super::yaml::{Budget, Node, Spot, Value, shown};
use super::{Documents, codes, config, container, namespace, network_policy};
use crate::words::names::FullName;
use crate::words::place::Place;
use crate::words::problem::{Problem, Problems};

/// A kind that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    NetworkPolicy,
    Namespace,
    Container,
    Config,
    /// Documents in one; the kind that all of them have, if the list says so.
    List(Option<&'static Served>),
}

/// A kind with the version that is served.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Served {
    version: &'static str,
    name: &'static str,
    kind: Kind,
}

const NETWORKING: &str = "networking.k8s.io/v1";
const CORE: &str = "v1";
const OURS: &str = "plumbline.dev/v1alpha1";

const fn served(version: &'static str, name: &'static str, kind: Kind) -> Served {
    Served {
        version,
        name,
        kind,
    }
}

static POLICY: Served = served(NETWORKING, "NetworkPolicy", Kind::NetworkPolicy);
static NAMESPACE: Served = served(CORE, "Namespace", Kind::Namespace);
static CONTAINER: Served = served(OURS, "Container", Kind::Container);

static SERVED: &[Served] = &[
    served(NETWORKING, "NetworkPolicy", Kind::NetworkPolicy),
    served(CORE, "Namespace", Kind::Namespace),
    served(OURS, "Container", Kind::Container),
    served(OURS, "Config", Kind::Config),
    served(CORE, "List", Kind::List(None)),
    served(NETWORKING, "NetworkPolicyList", Kind::List(Some(&POLICY))),
    served(CORE, "NamespaceList", Kind::List(Some(&NAMESPACE))),
    served(OURS, "ContainerList", Kind::List(Some(&CONTAINER))),
];

/// Kinds that a later version serves.
const LATER: &[(&str, &str)] = &[
    (CORE, "Service"),
    (CORE, "ServiceList"),
    (OURS, "PolicyTest"),
];

/// Whether a kind of this name is served, in whatever version.
pub(super) fn is_served(name: &str) -> bool {
    SERVED.iter().any(|served| served.name == name)
}

/// What a document calls itself.
struct Named<'n> {
    version: &'n str,
    kind: &'n str,
    version_spot: Spot,
    kind_spot: Spot,
}

/// Collects the documents of a tree, file by file.
pub(super) struct Collection {
    pub(super) documents: Documents,
    pub(super) problems: Problems,
    pub(super) budget: Budget,
    /// `plumbline.yaml` was read to its end. If not, nobody knows which kinds it ignores.
    pub(super) config_known: bool,
    config_place: Option<Place>,
    /// The documents of `plumbline.yaml` that were read as a Config.
    configs: BTreeSet<Spot>,
    pub(super) names: BTreeMap<(Kind, String), Place>,
    pub(super) addresses: BTreeMap<IpAddr, (FullName, Place)>,
    /// What the file that is being taken in has told so far.
    pub(super) told: Vec<Told>,
}

impl Collection {
    pub(super) fn new() -> Self {
        Self {
            documents: Documents::default(),
            problems: Problems::default(),
            budget: Budget::default(),
            config_known: true,
            config_place: None,
            configs: BTreeSet::new(),
            names: BTreeMap::new(),
            addresses: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// Takes the configuration from the documents of `plumbline.yaml`.
    pub(super) fn take_config(&mut self, file: &Arc<str>, nodes: &[Node<'_>]) {
        for node in nodes {
            let mut context = self.context(file);
            let Some(fields) = config_fields(node, &mut context) else {
                continue;
            };
            let config = config::parse(fields, &mut context);
            let place = node.spot.of(file);
            self.configs.insert(node.spot);
            match &self.config_place {
                None => {
                    self.documents.config = config;
                    self.config_place = Some(place);
                }
                Some(first) => {
                    let message = "a second Config";
                    let problem = Problem::error(place, codes::DUPLICATE_NAME, message)
                        .help("write all settings into one")
                        .related(first.clone());
                    self.problems.push(problem);
                }
            }
        }
    }

    fn context<'a>(&'a mut self, file: &Arc<str>) -> Context<'a> {
        Context {
            file: Arc::clone(file),
            problems: &mut self.problems,
            accepted: &mut self.documents.accepted,
            budget: &mut self.budget,
        }
    }

    /// Takes one document in.
    pub(super) fn take(&mut self, file: &Arc<str>, node: &Node<'_>) {
        // Anything else than a mapping has been told of already, save what is nothing at all.
        if matches!(node.value, Value::Map(_)) {
            self.object(file, node, None);
        }
    }

    /// Takes a mapping in, which is of the given kind if it does not say so itself.
    fn object(&mut self, file: &Arc<str>, node: &Node<'_>, default: Option<&'static Served>) {
        let mut context = self.context(file);
        let Some(mut fields) = Fields::of(node, "the document", &mut context) else {
            return;
        };
        let version_node = fields.take("apiVersion");
        let kind_node = fields.take("kind");
        let version = version_node.map(|n| (context.text(n, "apiVersion"), n.spot));
        let kind = kind_node.map(|n| (context.text(n, "kind"), n.spot));
        let named = match (version, kind, default) {
            (Some((version, version_spot)), Some((kind, kind_spot)), _) => {
                let (Some(version), Some(kind)) = (version, kind) else {
                    return;
                };
                Named {
                    version,
                    kind,
                    version_spot,
                    kind_spot,
                }
            }
            (None, None, Some(served)) => Named {
                version: served.version,
                kind: served.name,
                version_spot: node.spot,
                kind_spot: node.spot,
            },
            (version, kind, _) => {
                let config_known = self.config_known;
                self.unnamed(
                    file,
                    node.spot,
                    version.is_some(),
                    kind.is_some(),
                    config_known,
                );
                return;
            }
        };
        if self.documents.config.ignore_kinds.contains(named.kind) {
            return self.tell(Told::Ignored(named.kind.to_owned()));
        }
        if let Some(kind) = self.served(file, &named, default) {
            self.of_kind(file, kind, fields);
        }
    }

    fn unnamed(&mut self, file: &Arc<str>, spot: Spot, version: bool, kind: bool, known: bool) {
        if !known {
            return;
        }
        let missing = match (version, kind) {
            (false, false) => "neither apiVersion nor kind",
            (false, true) => "no apiVersion",
            _ => "no kind",
        };
        let help = "a file that holds something else is left out by `ignore` in plumbline.yaml";
        let message = format!("the document has {missing}");
        self.context(file)
            .error_with(spot, codes::MISSING_FIELD, message, help);
    }

    /// The kind of a document; a finding where it is not served.
    fn served(
        &mut self,
        file: &Arc<str>,
        named: &Named<'_>,
        default: Option<&'static Served>,
    ) -> Option<Kind> {
        let config_known = self.config_known;
        let mut context = self.context(file);
        let (version, kind) = (named.version, named.kind);
        let known = SERVED.iter().find(|served| served.name == kind);
        if let Some(served) = known.filter(|served| served.version == version) {
            let Some(default) = default.filter(|default| default.kind != served.kind) else {
                return Some(served.kind);
            };
            let message = format!("a {kind} in a list of kind {}List", default.name);
            context.error(named.kind_spot, codes::UNKNOWN_KIND, message);
            return None;
        }
        let ignore = format!("to skip such documents, add {kind} to ignoreKinds in plumbline.yaml");
        if LATER.contains(&(version, kind)) {
            let message = format!("{kind} is not served by this version");
            context.error_with(named.kind_spot, codes::NOT_SERVED, message, ignore);
        } else if let Some(served) = known {
            let message = format!("{kind} is not served in version {}", shown(version));
            let help = format!("write apiVersion: {}", served.version);
            context.error_with(named.version_spot, codes::UNKNOWN_VERSION, message, help);
        } else if config_known {
            let names: Vec<&str> = SERVED.iter().map(|served| served.name).collect();
            let message = format!("the kind {} is not known", shown(kind));
            let help = did_you_mean(kind, &names).unwrap_or(ignore);
            context.error_with(named.kind_spot, codes::UNKNOWN_KIND, message, help);
        }
        None
    }

    fn of_kind(&mut self, file: &Arc<str>, kind: Kind, mut fields: Fields<'_, '_>) {
        let spot = fields.spot();
        match kind {
            Kind::List(default) => return self.list(file, fields, default),
            Kind::Config => return self.misplaced_config(file, spot),
            Kind::NetworkPolicy | Kind::Namespace | Kind::Container => {}
        }
        let node = fields.take("metadata");
        let before = self.problems.errors();
        let mut context = self.context(file);
        let Some(metadata) = metadata(node, spot, &mut context) else {
            return;
        };
        let parsed = match kind {
            Kind::NetworkPolicy => {
                network_policy::parse(fields, &metadata, &mut context).map(Parsed::NetworkPolicy)
            }
            Kind::Namespace => {
                namespace::parse(fields, &metadata, &mut context).map(Parsed::Namespace)
            }
            _ => container::parse(fields, &metadata, &mut context).map(Parsed::Container),
        };
        let right = self.problems.errors() == before;
        self.tell(Told::Document(Box::new(Document {
            kind,
            named: named(kind, &metadata, file),
            parsed,
            right,
        })));
    }

    fn misplaced_config(&mut self, file: &Arc<str>, spot: Spot) {
        let (message, help) = match &**file == Tree::CONFIG {
            true if self.configs.contains(&spot) => return,
            // Nobody would follow its settings.
            true => (
                "a Config is a document of its own, and no item of a list",
                "take it out of the list, and write --- before it",
            ),
            false => (
                "a Config stands in plumbline.yaml at the root of the tree, and nowhere else",
                "move it there",
            ),
        };
        self.context(file)
            .error_with(spot, codes::MISPLACED, message, help);
    }

    fn list(
        &mut self,
        file: &Arc<str>,
        mut fields: Fields<'_, '_>,
        default: Option<&'static Served>,
    ) {
        let mut context = self.context(file);
        if let Some(entry) = fields.entry("metadata") {
            context.shape(&entry.value, "metadata", Shape::Map);
            context.accept("metadata", entry.spot);
        }
        let items = fields.take("items");
        fields.finish(&mut context);
        let items = items.and_then(|node| context.list(node, "items"));
        for item in items.unwrap_or_default() {
            if self.budget.item(file, &mut self.problems) {
                return;
            }
            self.object(file, item, default);
        }
    }
}

/// What a document of a kind is called among the others of it; `None` where it is not known.
fn named(kind: Kind, metadata: &Metadata, file: &Arc<str>) -> Option<(String, Place)> {
    let (Some((name, spot)), Some(namespace)) = (&metadata.name, &metadata.namespace) else {
        return None;
    };
    let named = match kind {
        Kind::Namespace => name.clone(),
        _ => format!("{namespace}/{name}"),
    };
    Some((named, spot.of(file)))
}

/// The fields of a document that is a Config of the served version, `metadata` taken.
fn config_fields<'n, 't>(node: &'n Node<'t>, context: &mut Context<'_>) -> Option<Fields<'n, 't>> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let says = |key: &str, value: &str| {
        entries.iter().any(|entry| match &entry.value.value {
            Value::Scalar(scalar) => entry.key == key && scalar.text == value,
            _ => false,
        })
    };
    if !says("apiVersion", OURS) || !says("kind", "Config") {
        return None;
    }
    let mut fields = Fields::of(node, "the Config", context)?;
    fields.entry("apiVersion");
    fields.entry("kind");
    if let Some(entry) = fields.entry("metadata") {
        context.shape(&entry.value, "metadata", Shape::Map);
        context.accept("metadata", entry.spot);
    }
    Some(fields)
}
