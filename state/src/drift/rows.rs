//! Rows of the live slot that are not as the commit put them, by table.

use std::collections::BTreeSet;

use super::gone::Gone;
use super::{Finding, Kind};
use crate::diff::{Differences, TableDelta};
use crate::live::Live;
use crate::target::Target;
use crate::target::tables::{Address, EndpointIndex, Owner, PolicyKey, Tables};
use crate::words::address::Cidr;
use crate::words::identity::{RulesetId, SubjectId};
use crate::words::names::FullName;

/// How many containers are named.
const NAMED: usize = 5;

/// `told`: what rows differ for that is no change of theirs.
pub(super) fn findings(
    target: &Target,
    live: &Live,
    differences: &Differences,
    told: &Gone,
) -> Vec<Finding> {
    let Some(base) = &live.base else {
        return Vec::new();
    };
    let mut rows = differences.live.clone();
    let is = &base.live_slot().tables;
    let mut found = of_the_host(&mut rows.addresses, is);
    let mut table = |count: Counts, name: &str, whose: BTreeSet<EndpointIndex>, traffic: &str| {
        if count.all > 0 {
            let place = format!("slot {}, {name}", base.record.slot);
            let finding = Finding::new(Kind::Row, place, count.in_words());
            let named = named(target, &whose);
            found.push(finding.means(match named.is_empty() {
                true => traffic.to_owned(),
                false => format!("{traffic}: {named}"),
            }));
        }
    };
    let says = "addresses may be taken for somebody else's";
    table(
        count(&rows.addresses, &is.addresses),
        "addresses",
        BTreeSet::new(),
        says,
    );
    let mut delta = rows.endpoints.clone();
    delta.put.retain(|index, _| !told.rows.contains(index));
    delta.delete.retain(|index| !told.rows.contains(index));
    let endpoints = count(&delta, &is.endpoints);
    let whose = delta.put.keys().chain(&delta.delete);
    let says = "packets to it may be dropped, or delivered elsewhere";
    table(endpoints, "endpoints", whose.copied().collect(), says);
    let keys = rows.policy.put.keys().chain(&rows.policy.delete);
    let whose = of_subjects(target, keys.map(|key| key.subject).collect());
    let says = "new flows may be judged otherwise than the policy says";
    table(count(&rows.policy, &is.policy), "policy", whose, says);
    let keys = rows.rulesets.put.keys().chain(&rows.rulesets.delete);
    let rulesets: BTreeSet<RulesetId> = keys.map(|key| key.ruleset).collect();
    let whose = of_rulesets(target, is, &rulesets);
    table(count(&rows.rulesets, &is.rulesets), "rulesets", whose, says);
    found
}

/// Addresses that the host has since, or has no more: nobody has touched the rows.
fn of_the_host(rows: &mut TableDelta<Cidr, Address>, is: &Tables) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |what: String, traffic: &str| {
        found.push(Finding::new(Kind::Address, "the host", what).means(traffic));
    };
    rows.put.retain(|cidr, row| {
        let new = row.owner == Owner::Host && !is.addresses.contains_key(cidr);
        if new {
            let what = format!("has a new address {}", cidr.addr());
            tell(what, "policies judge it as an address beyond the host");
        }
        !new
    });
    rows.delete.retain(|cidr| {
        let row = is.addresses.get(cidr);
        let gone = row.is_some_and(|row| row.owner == Owner::Host);
        if gone {
            let what = format!("has the address {} no more", cidr.addr());
            tell(what, "whoever has it now is let in and out as the host is");
        }
        !gone
    });
    found
}

/// Rows of one table that differ.
struct Counts {
    all: usize,
    missing: usize,
    surplus: usize,
}

impl Counts {
    fn in_words(&self) -> String {
        let changed = self.all - self.missing - self.surplus;
        let parts = [
            (self.missing, "missing"),
            (changed, "changed"),
            (self.surplus, "too much"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        format!("rows are not as the commit put them: {}", parts.join(", "))
    }
}

fn count<K: Ord + Clone, V: PartialEq + Clone>(
    delta: &TableDelta<K, V>,
    is: &std::collections::BTreeMap<K, V>,
) -> Counts {
    Counts {
        all: delta.len(),
        missing: delta.put.keys().filter(|key| !is.contains_key(key)).count(),
        surplus: delta.delete.len(),
    }
}

fn of_subjects(target: &Target, subjects: BTreeSet<SubjectId>) -> BTreeSet<EndpointIndex> {
    let rows = target.tables.endpoints.iter();
    let own = rows.filter(|(_, row)| subjects.contains(&row.subject));
    own.map(|(index, _)| *index).collect()
}

fn of_rulesets(
    target: &Target,
    is: &Tables,
    rulesets: &BTreeSet<RulesetId>,
) -> BTreeSet<EndpointIndex> {
    let rows = target.tables.policy.iter().chain(&is.policy);
    let using = rows.filter(|(_, ruleset)| rulesets.contains(ruleset));
    let subject = |(key, _): (&PolicyKey, &RulesetId)| key.subject;
    of_subjects(target, using.map(subject).collect())
}

/// The first containers of some indices, and how many more there are.
fn named(target: &Target, whose: &BTreeSet<EndpointIndex>) -> String {
    let containers = target.containers.iter();
    let own = containers.filter(|(_, c)| whose.contains(&c.constants.endpoint));
    let all: Vec<&FullName> = own.map(|(name, _)| name).collect();
    let first: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    match all.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
