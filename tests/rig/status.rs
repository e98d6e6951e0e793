//! What `reconcile status -o json` says, as far as tests ask.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::host::Host;
use crate::lab::Lab;

/// Packets that were dropped: how many, by container and reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: BTreeMap<(String, String), u64>,
}

impl Drops {
    /// Those of one container for one reason.
    pub fn of(&self, container: &str, reason: &str) -> u64 {
        let key = (container.to_owned(), reason.to_owned());
        self.counts.get(&key).copied().unwrap_or(0)
    }

    /// Those of a container for any reason.
    pub fn of_container(&self, container: &str) -> u64 {
        let own = self
            .counts
            .iter()
            .filter(|((name, _), _)| name == container);
        own.map(|(_, count)| count).sum()
    }

    /// Those that a policy denied.
    pub fn denied(&self) -> u64 {
        let by_policy = self
            .counts
            .iter()
            .filter(|((_, reason), _)| reason.contains("denied"));
        by_policy.map(|(_, count)| count).sum()
    }
}

impl Lab {
    /// `reconcile status -o json` on a host.
    ///
    /// # Panics
    /// Where it does not end with 0.
    #[track_caller]
    pub fn status(&self, host: &Host) -> Value {
        self.reconcile_on(host, &["status", "-o", "json"]).json()
    }

    /// The drops that a host's datapath has counted.
    ///
    /// # Panics
    /// Where `status` does not end with 0, or names no containers.
    #[track_caller]
    pub fn drops(&self, host: &Host) -> Drops {
        let status = self.status(host);
        let containers = status["containers"].as_array();
        let containers = containers.unwrap_or_else(|| panic!("no containers: {status}"));
        let counts = containers.iter().flat_map(|container| {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            let drops = container["drops"].as_object().cloned().unwrap_or_default();
            drops
                .into_iter()
                .map(move |(reason, count)| ((name.clone(), reason), count.as_u64().unwrap_or(0)))
        });
        Drops {
            counts: counts.collect(),
        }
    }
}
