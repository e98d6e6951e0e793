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

/// One value for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByDirection<T> {
    /// That of ingress.
    pub ingress: T,
    /// That of egress.
    pub egress: T,
}

impl<T> ByDirection<T> {
    /// Makes each value from its direction.
    pub fn from_fn(mut make: impl FnMut(Direction) -> T) -> Self {
        Self {
            ingress: make(Direction::Ingress),
            egress: make(Direction::Egress),
        }
    }

    /// That of a direction.
    pub fn get(&self, direction: Direction) -> &T {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}

/// Why one side of a flow allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permit {
    /// The side is no container of the host that judges: what it may do is not judged there.
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

/// What one side of a flow says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It allows the flow.
    Permit(Permit),
    /// Its policies do not.
    Deny {
        /// The container whose policies deny.
        container: FullName,
        /// The first policy, by name, that isolates it in this direction.
        policy: FullName,
    },
}

/// The verdict on a flow: what the initiator's egress says, and the responder's ingress.
pub type Verdict = ByDirection<Decision>;

impl Verdict {
    /// Whether both sides allow the flow.
    pub fn allows(&self) -> bool {
        let denies = |direction| matches!(self.get(direction), Decision::Deny { .. });
        !Direction::ALL.into_iter().any(denies)
    }
}
