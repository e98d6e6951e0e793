//! The policy of a container in rule ids: what can be said of a slot whose tree is gone.

use std::collections::BTreeMap;

use crate::target::tables::{EndpointIndex, PortPrefix, Tables};
use crate::words::identity::{IdentityId, RuleId, RulesetId};
use crate::words::names::FullName;
use crate::words::ports::Protocol;

/// One line for each row of a container's policy: with whom, on which ports, by which rule.
pub fn in_words(
    tables: &Tables,
    containers: impl Iterator<Item = (FullName, EndpointIndex)>,
) -> BTreeMap<FullName, Vec<String>> {
    let rulesets = rulesets(tables);
    let mut words = BTreeMap::new();
    for (name, index) in containers {
        let Some(endpoint) = tables.endpoints.get(&index) else {
            continue;
        };
        let rows = tables.policy.iter();
        let own = rows.filter(|(key, _)| key.subject == endpoint.subject);
        let lines = own.map(|(key, ruleset)| {
            let peer = match key.identity {
                IdentityId::ANY => "any other peer".to_owned(),
                identity => format!("identity {identity}"),
            };
            let ports = rulesets.get(ruleset).map_or("no port", String::as_str);
            format!("{} {peer}: {ports}", key.direction)
        });
        words.insert(name, lines.collect());
    }
    words
}

fn rulesets(tables: &Tables) -> BTreeMap<RulesetId, String> {
    let mut words: BTreeMap<RulesetId, String> = BTreeMap::new();
    for (key, rule) in &tables.rulesets {
        let line = words.entry(key.ruleset).or_default();
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&ports(key.ports));
        if *rule != RuleId::OPEN {
            line.push_str(&format!(" by rule {rule}"));
        }
    }
    words
}

fn ports(prefix: PortPrefix) -> String {
    match prefix {
        PortPrefix::Everything => "everything".to_owned(),
        PortPrefix::Ports {
            protocol,
            port,
            bits,
        } => {
            let name = Protocol::from_number(protocol)
                .map_or_else(|| protocol.to_string(), |protocol| protocol.to_string());
            let last = port | u16::try_from(0xffff_u32 >> bits).unwrap_or(0);
            match (bits, port == last) {
                (0, _) => name,
                (_, true) => format!("{port}/{name}"),
                (_, false) => format!("{port}-{last}/{name}"),
            }
        }
    }
}
