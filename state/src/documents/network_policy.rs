//! `networking.k8s.io/v1 NetworkPolicy`, as it is written for Kubernetes.
//!
//! What the Kubernetes API server refuses is refused (`ValidateNetworkPolicySpec` of
//! k8s.io/kubernetes), and defaults are its defaults (`SetDefaults_NetworkPolicy`). Absent, `null`
//! and empty are told apart only where it tells them apart: an absent peer selector selects by its
//! absence, an empty one selects everything, and a list of peers or ports that is empty, `null` or
//! absent allows all of them.

mod peer;
mod port;

use super::codes;
use super::fields::{Context, Fields};
use super::labels::selector;
use super::metadata::Metadata;
use super::suggest::one_of;
use super::yaml::{Node, Spot, shown};

use crate::words::address::Cidr;
use crate::words::labels::Selector;
use crate::words::names::FullName;
use crate::words::place::Place;
use crate::words::ports::{PortName, Protocol};
use crate::words::problem::Problem;
use crate::words::verdict::Direction;

/// One policy. What is absent, `null` or empty has been told apart where it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Where its document begins.
    pub place: Place,
    /// Namespace and name.
    pub name: FullName,
    /// `podSelector`: which containers of its namespace it selects. Empty selects all.
    pub subject: Selector,
    /// Where `podSelector` stands.
    pub subject_place: Place,
    /// The ingress rules, if `policyTypes` (or its default) says that it isolates for ingress. An
    /// empty list isolates and allows nothing.
    pub ingress: Option<Vec<Rule>>,
    /// The same for egress.
    pub egress: Option<Vec<Rule>>,
}

/// One item of `ingress` or `egress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub place: Place,
    /// `from` or `to`. `None` where it is absent, `null` or empty: every peer.
    pub peers: Option<Vec<Peer>>,
    /// `ports`. `None` where it is absent, `null` or empty: every protocol and port.
    pub ports: Option<Vec<Port>>,
}

/// One item of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it stands.
    pub place: Place,
    /// Whom it means.
    pub kind: PeerKind,
}

/// Whom a peer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// Containers by labels. At least one of the two is present.
    Containers {
        /// `podSelector`; absent means all containers of the namespaces.
        pods: Option<Selector>,
        /// `namespaceSelector`; absent means the policy's own namespace.
        namespaces: Option<Selector>,
    },
    /// Any address of a range, a container's too.
    Block {
        /// `cidr`, truncated to its prefix.
        cidr: Cidr,
        /// `except`, each within `cidr`.
        except: Vec<Cidr>,
    },
}

/// One item of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Where it stands.
    pub place: Place,
    /// `protocol`; TCP where it is absent.
    pub protocol: Protocol,
    /// `port` and `endPort`.
    pub number: PortNumber,
}

/// What a port item says of numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortNumber {
    /// Every port of the protocol.
    Any,
    /// From the first to the last, both included; equal for a single port.
    Range(u16, u16),
    /// The port of this name at the destination container.
    Named(PortName),
}

/// Reads `spec`.
pub(super) fn parse(
    mut fields: Fields<'_, '_>,
    metadata: &Metadata,
    context: &mut Context<'_>,
) -> Option<NetworkPolicy> {
    let spot = fields.spot();
    let spec = fields.take("spec");
    if let Some(entry) = fields.entry("status") {
        context.accept("status", entry.spot);
    }
    fields.finish(context);
    let name = metadata.object_name(context).map(|(name, _)| name);
    let spec = match spec {
        Some(node) => self::spec(node, context)?,
        // Kubernetes takes a policy without a spec: every container, and no ingress.
        None => Spec::empty(spot),
    };
    Some(NetworkPolicy {
        place: context.place(spot),
        name: FullName {
            namespace: metadata.namespace.clone()?,
            name: name?,
        },
        subject: spec.subject,
        subject_place: context.place(spec.subject_spot),
        ingress: spec.ingress,
        egress: spec.egress,
    })
}

struct Spec {
    subject: Selector,
    subject_spot: Spot,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

impl Spec {
    fn empty(spot: Spot) -> Self {
        Self {
            subject: Selector::default(),
            subject_spot: spot,
            ingress: Some(Vec::new()),
            egress: None,
        }
    }
}

fn spec(node: &Node<'_>, context: &mut Context<'_>) -> Option<Spec> {
    let mut fields = Fields::of(node, "spec", context)?;
    let subject = fields.take("podSelector");
    let types = fields.take("policyTypes");
    let ingress = fields.take("ingress");
    let egress = fields.take("egress");
    fields.finish(context);
    let subject_spot = subject.map_or(node.spot, |subject| subject.spot);
    let subject = subject.map(|subject| selector(subject, "podSelector", context));
    let types = types.and_then(|types| policy_types(types, context));
    let ingress_rules = rules(ingress, Direction::Ingress, context);
    let egress_rules = rules(egress, Direction::Egress, context);
    // Without policyTypes every policy isolates for ingress, and one with egress rules for egress.
    let types = types.unwrap_or(Types {
        ingress: true,
        egress: !egress_rules.is_empty(),
    });
    if let (Some(node), false, false) = (ingress, types.ingress, ingress_rules.is_empty()) {
        warn_without_effect(node.spot, Direction::Ingress, context);
    }
    if let (Some(node), false, false) = (egress, types.egress, egress_rules.is_empty()) {
        warn_without_effect(node.spot, Direction::Egress, context);
    }
    Some(Spec {
        subject: subject.unwrap_or_default(),
        subject_spot,
        ingress: types.ingress.then_some(ingress_rules),
        egress: types.egress.then_some(egress_rules),
    })
}

fn warn_without_effect(spot: Spot, direction: Direction, context: &mut Context<'_>) {
    let message = format!("these {direction} rules have no effect: policyTypes does not name them");
    let help = format!(
        "add {} to policyTypes, or take the rules away",
        type_of(direction)
    );
    let place = context.place(spot);
    let problem = Problem::warning(place, codes::WITHOUT_EFFECT, message).help(help);
    context.problems.push(problem);
}

fn type_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    }
}

/// The directions that `policyTypes` names.
struct Types {
    ingress: bool,
    egress: bool,
}

/// Reads `policyTypes`; `None` where it is empty, which is the same as absent.
fn policy_types(node: &Node<'_>, context: &mut Context<'_>) -> Option<Types> {
    let items = context.list(node, "policyTypes")?;
    if items.is_empty() {
        return None;
    }
    if items.len() > 2 {
        let message = "policyTypes has more than two items";
        context.error(node.spot, codes::BAD_POLICY_TYPE, message);
    }
    let mut types = Types {
        ingress: false,
        egress: false,
    };
    for item in items {
        match context.text(item, "an item of policyTypes") {
            None => {}
            Some("Ingress") => types.ingress = true,
            Some("Egress") => types.egress = true,
            Some(other) => {
                let message = format!("{} is no policy type", shown(other));
                let help = one_of(other, &["Ingress", "Egress"]);
                context.error_with(item.spot, codes::BAD_POLICY_TYPE, message, help);
            }
        }
    }
    Some(types)
}

fn rules(node: Option<&Node<'_>>, direction: Direction, context: &mut Context<'_>) -> Vec<Rule> {
    let (list, item, peers) = match direction {
        Direction::Ingress => ("ingress", "an ingress rule", "from"),
        Direction::Egress => ("egress", "an egress rule", "to"),
    };
    let items = node.and_then(|node| context.list(node, list));
    let items = items.unwrap_or_default();
    let mut rules = Vec::with_capacity(items.len());
    rules.extend(
        items
            .iter()
            .filter_map(|node| rule(node, item, peers, context)),
    );
    rules
}

fn rule(
    node: &Node<'_>,
    what: &'static str,
    peers_field: &'static str,
    context: &mut Context<'_>,
) -> Option<Rule> {
    let mut fields = Fields::of(node, what, context)?;
    let peers = fields.take(peers_field);
    let ports = fields.take("ports");
    fields.finish(context);
    let peers = peers.and_then(|node| context.list(node, peers_field));
    let ports = ports.and_then(|node| context.list(node, "ports"));
    let peers: Option<Vec<_>> = peers.filter(|items| !items.is_empty()).map(|items| {
        items
            .iter()
            .filter_map(|n| peer::peer(n, context))
            .collect()
    });
    let ports: Option<Vec<_>> = ports.filter(|items| !items.is_empty()).map(|items| {
        items
            .iter()
            .filter_map(|n| port::port(n, context))
            .collect()
    });
    Some(Rule {
        place: context.place(node.spot),
        peers,
        ports,
    })
}
