//! `networking.k8s.io/v1 NetworkPolicy`, as it is written for Kubernetes.

use crate::words::address::Cidr;
use crate::words::labels::Selector;
use crate::words::names::FullName;
use crate::words::place::Place;
use crate::words::ports::{PortName, Protocol};

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
