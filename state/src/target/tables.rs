//! The contents of a slot: what turns the two addresses of a packet into a verdict.
//!
//! ```text
//! address                      -> identity, endpoint
//! interface                    -> endpoint
//! endpoint                     -> interface, MAC, subject
//! subject, direction, identity -> ruleset
//! ruleset, protocol, port      -> rule
//! ```
//!
//! A subject has a row for [`IdentityId::ANY`] in each direction, always: a subject that no policy
//! isolates has the ruleset that allows everything there. A row of another identity stands in
//! place of that row and already holds what it would add. A port that a ruleset does not have is
//! denied.

use std::collections::BTreeMap;
use std::fmt;

use crate::words::address::{Cidr, Mac};
use crate::words::identity::{IdentityId, RuleId, RulesetId, SubjectId};
use crate::words::verdict::Direction;

/// A container as the datapath knows it on this host: the index of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointIndex(pub u16);

impl fmt::Display for EndpointIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The contents of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Longest prefix match, both families.
    pub addresses: BTreeMap<Cidr, Address>,
    /// This host's containers.
    pub endpoints: BTreeMap<EndpointIndex, Endpoint>,
    /// Which ruleset decides.
    pub policy: BTreeMap<PolicyKey, RulesetId>,
    /// What each ruleset allows; the ranges of one ruleset do not overlap, save that a longer
    /// prefix stands in place of a shorter one.
    pub rulesets: BTreeMap<PortKey, RuleId>,
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// What policies can tell about it.
    pub identity: IdentityId,
    /// Whose it is.
    pub owner: Owner,
}

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Nobody's on this host: outside, or a container of another host.
    Elsewhere,
    /// The host's own.
    Host,
    /// A container's of this host.
    Endpoint(EndpointIndex),
}

/// One container of this host. An index without a row is `absent`: drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Index of the host-side interface; `None` until it has been made.
    pub ifindex: Option<u32>,
    /// The MAC address of the container's interface.
    pub mac: Mac,
    /// Which subject it belongs to.
    pub subject: SubjectId,
    /// The interface is a tap: what is delivered goes out by it.
    pub tap: bool,
}

/// Key of the policy table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Whose policies.
    pub subject: SubjectId,
    /// In which direction.
    pub direction: Direction,
    /// With whom.
    pub identity: IdentityId,
}

/// Key of the ruleset table: a prefix over (ruleset, protocol, destination port).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The ruleset.
    pub ruleset: RulesetId,
    /// Which protocols and ports of it.
    pub ports: PortPrefix,
}

/// A prefix of (protocol, port).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortPrefix {
    /// Every protocol, ICMP and unknown ones too.
    Everything,
    /// Ports of one protocol.
    Ports {
        /// The protocol's number in the IP header.
        protocol: u8,
        /// The first port; bits beyond `bits` are 0.
        port: u16,
        /// How many leading bits of the port count, 0 to 16. 0 is every port.
        bits: u8,
    },
}
