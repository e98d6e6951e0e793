//! Verdicts: allow with the rule that gave it, or deny with its reason.

use super::identity::RuleId;
use super::names::FullName;

/// A direction, as seen from the container that a policy selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards it.
    Ingress,
    /// From it.
    Egress,
}

impl Direction {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Why one side of a flow allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permit {
    /// The side is no container of this tree: it has no policy.
    NoPolicy,
    /// No policy isolates the container in this direction.
    Open,
    /// A container always reaches itself.
    Itself,
    /// The other end is the container's own host.
    Host,
    /// A rule allows it.
    Rule(RuleId),
}

/// The verdict on a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides allow it.
    Allow {
        /// What the initiator's egress says.
        egress: Permit,
        /// What the responder's ingress says.
        ingress: Permit,
    },
    /// One side does not.
    Deny {
        /// The direction that denies; where both do, egress.
        direction: Direction,
        /// The container whose policies deny.
        container: FullName,
        /// The first policy, by name, that isolates it in that direction.
        policy: FullName,
    },
}
