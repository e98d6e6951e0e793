//! The rows of a slot against those it is to have.

use std::collections::{BTreeMap, BTreeSet};

use crate::target::tables::{Address, Endpoint, EndpointIndex, PolicyKey, PortKey, Tables};
use crate::words::address::Cidr;
use crate::words::identity::{RuleId, RulesetId};

/// What turns one table into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDelta<K: Ord, V> {
    /// Rows to write, new or in place of others.
    pub put: BTreeMap<K, V>,
    /// Rows to delete.
    pub delete: BTreeSet<K>,
}

impl<K: Ord, V> Default for TableDelta<K, V> {
    fn default() -> Self {
        Self {
            put: BTreeMap::new(),
            delete: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> TableDelta<K, V> {
    /// What turns `from` into `to`.
    pub fn between(from: &BTreeMap<K, V>, to: &BTreeMap<K, V>) -> Self {
        let differs = |(key, value): &(&K, &V)| from.get(*key) != Some(*value);
        let put = to
            .iter()
            .filter(differs)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let delete = from
            .keys()
            .filter(|key| !to.contains_key(key))
            .cloned()
            .collect();
        Self { put, delete }
    }

    /// How many rows it writes or deletes.
    pub fn len(&self) -> usize {
        self.put.len() + self.delete.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What turns the contents of one slot into others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Of [`Tables::addresses`].
    pub addresses: TableDelta<Cidr, Address>,
    /// Of [`Tables::endpoints`].
    pub endpoints: TableDelta<EndpointIndex, Endpoint>,
    /// Of [`Tables::policy`].
    pub policy: TableDelta<PolicyKey, RulesetId>,
    /// Of [`Tables::rulesets`].
    pub rulesets: TableDelta<PortKey, RuleId>,
}

impl Delta {
    /// What turns `from` into `to`.
    pub fn between(from: &Tables, to: &Tables) -> Self {
        Self {
            addresses: TableDelta::between(&from.addresses, &to.addresses),
            endpoints: TableDelta::between(&from.endpoints, &to.endpoints),
            policy: TableDelta::between(&from.policy, &to.policy),
            rulesets: TableDelta::between(&from.rulesets, &to.rulesets),
        }
    }

    /// How many rows it writes or deletes.
    pub fn len(&self) -> usize {
        let Self {
            addresses,
            endpoints,
            policy,
            rulesets,
        } = self;
        addresses.len() + endpoints.len() + policy.len() + rulesets.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
