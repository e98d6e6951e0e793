//! Rulesets: what several rules allow together, as disjoint port prefixes, each attributed to the
//! first rule that covers it.
//!
//! A rule that covers every protocol, or every port of one, is written as the one short prefix that
//! means so; what earlier rules cover stands in its place as longer prefixes. Later rules add
//! nothing to it. All other ranges are cut until none overlaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ids::{Ids, Width};
use super::tables::{PortKey, PortPrefix};
use super::{CompileError, capacity};
use crate::desired::describe::rule_in_words;
use crate::desired::{Desired, Port, PortNumber, Rule};
use crate::words::canonical::Canonical;
use crate::words::identity::{RuleId, RulesetId};
use crate::words::ports::{NamedPort, Protocol};

/// What a ruleset allows, sorted by prefix.
pub(super) type Content = Vec<(PortPrefix, RuleId)>;

/// A ruleset that was made.
#[derive(Clone, Debug)]
pub(super) struct Ruleset {
    pub(super) id: RulesetId,
    pub(super) content: Arc<Content>,
}

/// The rulesets made so far, each content once.
pub(super) struct Rulesets<'a> {
    desired: &'a Desired,
    ids: Ids<Arc<Content>>,
    by_content: BTreeMap<Arc<Content>, RulesetId>,
    /// Of which rules, and with which ports of the destination, each was made.
    made: BTreeMap<(Vec<usize>, Vec<NamedPort>), Ruleset>,
    /// How many rows the contents are.
    rows: usize,
}

impl<'a> Rulesets<'a> {
    pub(super) fn new(desired: &'a Desired, width: Width) -> Self {
        Self {
            desired,
            ids: Ids::new(width),
            by_content: BTreeMap::new(),
            made: BTreeMap::new(),
            rows: 0,
        }
    }

    /// The ruleset that allows everything because no policy isolates.
    pub(super) fn open(&mut self) -> Result<RulesetId, CompileError> {
        self.take(&Arc::new(vec![(PortPrefix::Everything, RuleId::OPEN)]))
    }

    /// The ruleset of some rules, ascending, where the destination has these named ports.
    pub(super) fn of(
        &mut self,
        rules: &[usize],
        ports: &[NamedPort],
    ) -> Result<Ruleset, CompileError> {
        let rules = &rules[..self.up_to_everything(rules)];
        let named = rules.iter().any(|rule| self.rule(*rule).has_named_ports());
        let ports = if named { ports } else { &[] };
        let key = (rules.to_vec(), ports.to_vec());
        if let Some(ruleset) = self.made.get(&key) {
            return Ok(ruleset.clone());
        }
        let content = Arc::new(self.content(rules, ports));
        let id = self.take(&content)?;
        let ruleset = Ruleset { id, content };
        self.made.insert(key, ruleset.clone());
        Ok(ruleset)
    }

    /// The rows of all rulesets.
    pub(super) fn rows(self) -> BTreeMap<PortKey, RuleId> {
        let rows = self.by_content.into_iter().flat_map(|(content, ruleset)| {
            let rows = content.iter().copied();
            let rows: Vec<_> = rows
                .map(|(ports, rule)| (PortKey { ruleset, ports }, rule))
                .collect();
            rows
        });
        rows.collect()
    }

    fn rule(&self, index: usize) -> &'a Rule {
        &self.desired.policies.rules[index]
    }

    /// How many of the rules count: none after one that covers everything.
    fn up_to_everything(&self, rules: &[usize]) -> usize {
        let first = rules
            .iter()
            .position(|rule| self.rule(*rule).ports.is_none());
        first.map_or(rules.len(), |at| at + 1)
    }

    fn content(&self, rules: &[usize], ports: &[NamedPort]) -> Content {
        let mut everything = None;
        let mut protocols: [Cells; Protocol::ALL.len()] = Default::default();
        for rule in rules.iter().map(|rule| self.rule(*rule)) {
            match &rule.ports {
                None => everything = Some(rule.id),
                Some(listed) => {
                    for (protocol, first, last) in ranges(listed, ports) {
                        protocols[protocol as usize].claim(first, last, rule.id);
                    }
                }
            }
        }
        let mut content: Content = everything
            .map(|id| (PortPrefix::Everything, id))
            .into_iter()
            .collect();
        for (protocol, cells) in Protocol::ALL.into_iter().zip(protocols) {
            cells.write(protocol, &mut content);
        }
        content.sort_unstable();
        content
    }

    /// The id of a content, which is new or the same as before.
    pub(super) fn take(&mut self, content: &Arc<Content>) -> Result<RulesetId, CompileError> {
        if let Some(id) = self.by_content.get(content) {
            return Ok(*id);
        }
        let desired = self.desired;
        let in_words = |content: &Arc<Content>| in_words(desired, content);
        let id = self.ids.take(hash(content), content, in_words)?;
        self.rows += content.len();
        capacity::check_rows("ruleset", self.rows)?;
        self.by_content.insert(Arc::clone(content), id);
        Ok(id)
    }
}

/// The ranges that a rule's ports mean where the destination has these named ports.
fn ranges(listed: &[Port], named: &[NamedPort]) -> Vec<(Protocol, u16, u16)> {
    let mut ranges = Vec::with_capacity(listed.len());
    for port in listed {
        match &port.number {
            PortNumber::Any => ranges.push((port.protocol, 0, u16::MAX)),
            PortNumber::Range(first, last) => ranges.push((port.protocol, *first, *last)),
            PortNumber::Named(name) => ranges.extend(
                named
                    .iter()
                    .filter(|p| p.name == *name && p.protocol == port.protocol)
                    .map(|p| (p.protocol, p.port, p.port)),
            ),
        }
    }
    ranges
}

/// The ports of one protocol, each claimed by the first rule that covers it.
#[derive(Debug, Default)]
struct Cells {
    /// Who covers every port, after whom nobody counts.
    whole: Option<RuleId>,
    /// What is claimed, by its first port: the last, merged.
    covered: BTreeMap<u16, u16>,
    /// Who claimed what.
    claims: Vec<(u16, u16, RuleId)>,
}

impl Cells {
    /// Gives a rule what of a range nobody has.
    fn claim(&mut self, first: u16, last: u16, rule: RuleId) {
        if self.whole.is_some() || first > last {
            return;
        }
        if (first, last) == (0, u16::MAX) {
            self.whole = Some(rule);
            return;
        }
        let (mut from, mut to) = (first, last);
        let mut free = Some(first);
        for (covered_first, covered_last) in self.overlapping(first, last) {
            if let Some(free) = free
                && free < covered_first
            {
                self.claims.push((free, covered_first - 1, rule));
            }
            free = covered_last.checked_add(1);
            from = from.min(covered_first);
            to = to.max(covered_last);
            self.covered.remove(&covered_first);
        }
        if let Some(free) = free.filter(|free| *free <= last) {
            self.claims.push((free, last, rule));
        }
        self.covered.insert(from, to);
    }

    /// The covered ranges that a range meets, ascending.
    fn overlapping(&self, first: u16, last: u16) -> Vec<(u16, u16)> {
        let mut met: Vec<(u16, u16)> = self
            .covered
            .range(..=last)
            .rev()
            .take_while(|(_, covered_last)| **covered_last >= first)
            .map(|(covered_first, covered_last)| (*covered_first, *covered_last))
            .collect();
        met.reverse();
        met
    }

    fn write(mut self, protocol: Protocol, content: &mut Content) {
        let protocol = protocol.number();
        if let Some(rule) = self.whole {
            let whole = PortPrefix::Ports {
                protocol,
                port: 0,
                bits: 0,
            };
            content.push((whole, rule));
        }
        self.claims.sort_unstable();
        let next_to = |a: &(u16, u16, RuleId), b: &(u16, u16, RuleId)| {
            a.2 == b.2 && a.1.checked_add(1) == Some(b.0)
        };
        for run in self.claims.chunk_by(next_to) {
            let (first, last, rule) = (run[0].0, run[run.len() - 1].1, run[0].2);
            for (port, bits) in prefixes(first, last) {
                let ports = PortPrefix::Ports {
                    protocol,
                    port,
                    bits,
                };
                content.push((ports, rule));
            }
        }
    }
}

/// The fewest prefixes that together are a range of ports: (first port, leading bits that count).
fn prefixes(first: u16, last: u16) -> Vec<(u16, u8)> {
    let (mut at, end) = (u32::from(first), u32::from(last) + 1);
    let mut prefixes = Vec::new();
    while at < end {
        // The largest block that begins here and does not reach beyond the end.
        let aligned = at.trailing_zeros().min(16);
        let fits = (end - at).ilog2();
        let free = aligned.min(fits);
        if let (Ok(port), Ok(bits)) = (u16::try_from(at), u8::try_from(16 - free)) {
            prefixes.push((port, bits));
        }
        at += 1 << free;
    }
    prefixes
}

fn hash(content: &Content) -> RulesetId {
    let mut bytes = Canonical::default();
    bytes.length(content.len());
    for (prefix, rule) in content {
        match prefix {
            PortPrefix::Everything => bytes.choice(0),
            PortPrefix::Ports {
                protocol,
                port,
                bits,
            } => bytes
                .choice(1)
                .choice(*protocol)
                .number((*port).into())
                .choice(*bits),
        };
        bytes.number(rule.0);
    }
    RulesetId::of(bytes.bytes())
}

fn in_words(desired: &Desired, content: &Content) -> String {
    let mut rules: Vec<String> = content
        .iter()
        .map(|(_, id)| match desired.policies.rule(*id) {
            Some((policy, rule)) => format!("{} ({})", rule_in_words(desired, rule), policy.name),
            None => "everything, because no policy isolates".to_owned(),
        })
        .collect();
    rules.dedup();
    match rules.len() {
        0 => "nothing".to_owned(),
        _ => rules.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RuleId = RuleId(10);
    const B: RuleId = RuleId(11);

    fn written(claims: &[(u16, u16, RuleId)]) -> Vec<(u16, u8, RuleId)> {
        let mut cells = Cells::default();
        for (first, last, rule) in claims {
            cells.claim(*first, *last, *rule);
        }
        let mut content = Content::new();
        cells.write(Protocol::Tcp, &mut content);
        content
            .into_iter()
            .map(|(prefix, rule)| match prefix {
                PortPrefix::Ports { port, bits, .. } => (port, bits, rule),
                PortPrefix::Everything => panic!("one protocol is not everything"),
            })
            .collect()
    }

    #[test]
    fn a_range_becomes_the_fewest_prefixes() {
        assert_eq!(prefixes(80, 80), [(80, 16)]);
        assert_eq!(prefixes(80, 81), [(80, 15)]);
        assert_eq!(prefixes(0, u16::MAX), [(0, 0)]);
        assert_eq!(prefixes(1, 4), [(1, 16), (2, 15), (4, 16)]);
        assert_eq!(prefixes(u16::MAX, u16::MAX), [(u16::MAX, 16)]);
        assert_eq!(prefixes(1, u16::MAX).len(), 16);
    }

    /// Every range of a small and a wrapping-prone corner covers exactly its ports.
    #[test]
    fn prefixes_cover_the_range_and_nothing_else() {
        let corners = [
            0, 1, 2, 3, 7, 8, 100, 1_023, 1_024, 32_767, 32_768, 65_534, 65_535,
        ];
        for first in corners {
            for last in corners.into_iter().filter(|last| *last >= first) {
                let mut next = u32::from(first);
                for (port, bits) in prefixes(first, last) {
                    assert_eq!(u32::from(port), next, "{first}-{last}");
                    next += 1 << (16 - bits);
                }
                assert_eq!(next, u32::from(last) + 1, "{first}-{last}");
            }
        }
    }

    #[test]
    fn the_first_rule_keeps_its_ports() {
        assert_eq!(written(&[(80, 80, A), (80, 80, B)]), [(80, 16, A)]);
        assert_eq!(
            written(&[(82, 82, A), (80, 83, B)]),
            [(80, 15, B), (82, 16, A), (83, 16, B)]
        );
        assert_eq!(
            written(&[(80, 80, A), (0, u16::MAX, B), (443, 443, A)]),
            [(0, 0, B), (80, 16, A)]
        );
        assert_eq!(
            written(&[(u16::MAX, u16::MAX, A), (u16::MAX - 1, u16::MAX, B)]),
            [(u16::MAX - 1, 16, B), (u16::MAX, 16, A)]
        );
    }

    #[test]
    fn neighbouring_ports_of_one_rule_merge() {
        assert_eq!(written(&[(80, 80, A), (81, 81, A)]), [(80, 15, A)]);
    }
}
