//! The question of a verdict, asked of the tables alone, in the steps of the datapath: the two
//! addresses, the endpoints, then for each side the subject's row and the ruleset's prefix.
//!
//! It must say what [`mod@crate::desired::judge`] says of the tree that the tables were compiled
//! from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Target;
use super::tables::{Address, EndpointIndex, Owner, PolicyKey, PortKey, PortPrefix, Tables};
use crate::desired::Desired;
use crate::words::address::Cidr;
use crate::words::flow::Flow;
use crate::words::identity::{IdentityId, RuleId};
use crate::words::names::FullName;
use crate::words::verdict::{ByDirection, Decision, Direction, Permit, Verdict};

/// What the tables say of one side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It allows the flow.
    Permit(Permit),
    /// The policies of this endpoint do not.
    Deny(EndpointIndex),
    /// The address table names an endpoint that has no row, or its subject has none: drop.
    Absent(EndpointIndex),
}

/// Judges a flow by the contents of a slot.
pub fn judge(tables: &Tables, flow: &Flow) -> ByDirection<Side> {
    let source = lookup(tables, flow.source);
    let destination = lookup(tables, flow.destination);
    ByDirection {
        egress: side(tables, Direction::Egress, source, destination, flow),
        ingress: side(tables, Direction::Ingress, destination, source, flow),
    }
}

/// The row of the longest prefix that holds an address.
pub fn lookup(tables: &Tables, address: IpAddr) -> Address {
    let whole = Cidr::from(address);
    let prefixes = (0..=whole.max_prefix_len()).rev();
    let rows = prefixes.filter_map(|bits| {
        let prefix = Cidr::new(address, bits).ok()?.trunc();
        tables.addresses.get(&prefix)
    });
    rows.copied().next().unwrap_or(Address {
        identity: IdentityId::ANY,
        owner: Owner::Elsewhere,
    })
}

fn side(tables: &Tables, direction: Direction, own: Address, other: Address, flow: &Flow) -> Side {
    let Owner::Endpoint(index) = own.owner else {
        return Side::Permit(Permit::NoPolicy);
    };
    let Some(endpoint) = tables.endpoints.get(&index) else {
        return Side::Absent(index);
    };
    if other.owner == own.owner {
        return Side::Permit(Permit::Itself);
    }
    if other.owner == Owner::Host {
        return Side::Permit(Permit::Host);
    }
    let row = |identity| {
        tables.policy.get(&PolicyKey {
            subject: endpoint.subject,
            direction,
            identity,
        })
    };
    let Some(ruleset) = row(other.identity).or_else(|| row(IdentityId::ANY)) else {
        return Side::Absent(index);
    };
    let longest_first = (0..=16).rev().map(|bits| PortPrefix::Ports {
        protocol: flow.protocol,
        port: flow.port & u16::MAX.checked_shl(16 - bits).unwrap_or(0),
        bits: u8::try_from(bits).unwrap_or_default(),
    });
    let rule = longest_first
        .chain([PortPrefix::Everything])
        .find_map(|ports| {
            tables.rulesets.get(&PortKey {
                ruleset: *ruleset,
                ports,
            })
        });
    match rule {
        None => Side::Deny(index),
        Some(&RuleId::OPEN) => Side::Permit(Permit::Open),
        Some(id) => Side::Permit(Permit::Rule(*id)),
    }
}

/// The verdict of a target, with the names that its tables leave out: the container of an endpoint
/// and the first policy that isolates it come from `desired`. `None` where an endpoint is absent,
/// or isolated by no policy of `desired`: then the two do not belong together.
pub fn verdict(desired: &Desired, target: &Target, flow: &Flow) -> Option<Verdict> {
    let sides = judge(&target.tables, flow);
    let names: BTreeMap<EndpointIndex, &FullName> = target
        .containers
        .iter()
        .map(|(name, container)| (container.constants.endpoint, name))
        .collect();
    let decide = |direction| match sides.get(direction) {
        Side::Permit(permit) => Some(Decision::Permit(*permit)),
        Side::Absent(_) => None,
        Side::Deny(index) => {
            let container = desired.containers.get(*names.get(index)?)?;
            let policy = desired.isolating(container, direction).next()?;
            Some(Decision::Deny {
                container: container.name.clone(),
                policy: policy.name.clone(),
            })
        }
    };
    Some(Verdict {
        egress: decide(Direction::Egress)?,
        ingress: decide(Direction::Ingress)?,
    })
}
