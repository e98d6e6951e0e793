//! Which containers become open, or cease to be: told from the tables alone, so that it is right
//! also where the old tree can no longer be read.

use std::collections::BTreeMap;

use crate::live::Live;
use crate::target::Target;
use crate::target::tables::{EndpointIndex, PolicyKey, PortKey, PortPrefix, Tables};
use crate::words::identity::{IdentityId, RuleId};
use crate::words::names::FullName;
use crate::words::verdict::Direction;

/// A container that becomes open or isolated in a direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Which.
    pub container: FullName,
    /// In which direction.
    pub direction: Direction,
    /// Whether it becomes open; else isolated.
    pub open: bool,
}

/// Whether no policy isolates an endpoint in a direction. `None` where it is absent.
pub fn is_open(tables: &Tables, endpoint: EndpointIndex, direction: Direction) -> Option<bool> {
    let subject = tables.endpoints.get(&endpoint)?.subject;
    let key = PolicyKey {
        subject,
        direction,
        identity: IdentityId::ANY,
    };
    let ruleset = *tables.policy.get(&key)?;
    let everything = PortKey {
        ruleset,
        ports: PortPrefix::Everything,
    };
    Some(tables.rulesets.get(&everything) == Some(&RuleId::OPEN))
}

/// What changes between live and target for containers that both have.
pub(super) fn changes(target: &Target, live: &Live) -> Vec<Change> {
    let Some(base) = &live.base else {
        return Vec::new();
    };
    let tables = &base.live_slot().tables;
    let before: BTreeMap<&FullName, EndpointIndex> = live
        .containers
        .iter()
        .filter_map(|(name, c)| Some((name, c.endpoint?)))
        .collect();
    let mut list = Vec::new();
    for (name, container) in &target.containers {
        let Some(old) = before.get(name) else {
            continue;
        };
        for direction in Direction::ALL {
            let was = is_open(tables, *old, direction);
            let open = is_open(&target.tables, container.constants.endpoint, direction);
            if let (Some(was), Some(open)) = (was, open)
                && was != open
            {
                list.push(Change {
                    container: name.clone(),
                    direction,
                    open,
                });
            }
        }
    }
    list
}
