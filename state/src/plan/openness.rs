//! Which containers become open, or cease to be: told from the tables alone, so that it is right
//! also where the old tree can no longer be read.

use crate::live::Live;
use crate::target::Target;
use crate::target::tables::{EndpointIndex, PolicyKey, PortKey, PortPrefix, Tables};
use crate::words::identity::{IdentityId, RuleId};
use crate::words::names::FullName;
use crate::words::verdict::{ByDirection, Direction};

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

/// The directions in which an endpoint is open.
pub(super) fn open_in(tables: &Tables, endpoint: EndpointIndex) -> ByDirection<bool> {
    ByDirection::from_fn(|direction| is_open(tables, endpoint, direction) == Some(true))
}

/// What changes for containers that are live and stay.
pub(super) fn changes(target: &Target, live: &Live) -> Vec<Change> {
    let Some(base) = &live.base else {
        return Vec::new();
    };
    let mut list = Vec::new();
    let there = target.containers.iter();
    for (name, container) in there.filter(|(_, c)| c.missing.is_none()) {
        let Some((old, _)) = live.endpoint(name) else {
            continue;
        };
        let was = open_in(&base.live_slot().tables, old);
        let becomes = open_in(&target.tables, container.constants.endpoint);
        for direction in Direction::ALL {
            let open = *becomes.get(direction);
            if *was.get(direction) != open {
                let container = name.clone();
                list.push(Change {
                    container,
                    direction,
                    open,
                });
            }
        }
    }
    list
}
