//! Sets of protocols and ports: what one ruleset allows, and what two sets have in common or not.

use std::collections::BTreeMap;
use std::fmt;

use crate::target::tables::{PortKey, PortPrefix, Tables};
use crate::words::identity::RulesetId;
use crate::words::ports::Protocol;

/// Protocols with their ports: of TCP, UDP and SCTP ranges, of all others together whether.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortSet {
    /// By [`Protocol::ALL`].
    ranges: [Ranges; 3],
    /// Every protocol that a policy cannot name: ICMP and the rest.
    others: bool,
}

/// Ascending, none empty, none touching the next: first and last port of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Ranges(Vec<(u16, u16)>);

impl PortSet {
    /// Every port of every protocol.
    pub fn everything() -> Self {
        Self {
            ranges: Protocol::ALL.map(|_| Ranges::whole()),
            others: true,
        }
    }

    /// What a ruleset allows.
    pub fn of(tables: &Tables, ruleset: RulesetId) -> Self {
        let key = |ports| PortKey { ruleset, ports };
        let last = PortPrefix::Ports {
            protocol: u8::MAX,
            port: u16::MAX,
            bits: u8::MAX,
        };
        let rows = tables
            .rulesets
            .range(key(PortPrefix::Everything)..=key(last));
        let mut found: BTreeMap<u8, Vec<(u16, u16)>> = BTreeMap::new();
        for (row, _) in rows {
            match row.ports {
                PortPrefix::Everything => return Self::everything(),
                PortPrefix::Ports {
                    protocol,
                    port,
                    bits,
                } => {
                    let span = u16::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                    let ranges = found.entry(protocol).or_default();
                    ranges.push((port, port | span));
                }
            }
        }
        Self {
            ranges: Protocol::ALL.map(|protocol| {
                let ranges = found.remove(&protocol.number());
                Ranges::joined(ranges.unwrap_or_default())
            }),
            others: false,
        }
    }

    /// Whether a protocol's port is in it. Of protocols without ports the port is not asked.
    pub fn holds(&self, protocol: u8, port: u16) -> bool {
        let named = Protocol::ALL.iter().position(|p| p.number() == protocol);
        named.map_or(self.others, |index| self.ranges[index].holds(port))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.others && self.ranges.iter().all(|ranges| ranges.0.is_empty())
    }

    /// What is in both.
    pub fn and(&self, other: &Self) -> Self {
        self.each(other, Ranges::and, self.others && other.others)
    }

    /// What is in this one and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        self.each(other, Ranges::without, self.others && !other.others)
    }

    fn each(&self, other: &Self, of: impl Fn(&Ranges, &Ranges) -> Ranges, others: bool) -> Self {
        let [tcp, udp, sctp] = &self.ranges;
        let [other_tcp, other_udp, other_sctp] = &other.ranges;
        Self {
            ranges: [of(tcp, other_tcp), of(udp, other_udp), of(sctp, other_sctp)],
            others,
        }
    }

    /// Its parts in words: `80/TCP`, `8000-8999/TCP`, `every UDP port`.
    pub fn in_words(&self) -> Vec<String> {
        if *self == Self::everything() {
            return vec!["everything".to_owned()];
        }
        let mut words = Vec::new();
        for (protocol, ranges) in Protocol::ALL.iter().zip(&self.ranges) {
            if *ranges == Ranges::whole() {
                words.push(format!("every {protocol} port"));
                continue;
            }
            words.extend(ranges.0.iter().map(|(first, last)| match first == last {
                true => format!("{first}/{protocol}"),
                false => format!("{first}-{last}/{protocol}"),
            }));
        }
        if self.others {
            words.push("ICMP and every protocol without ports".to_owned());
        }
        words
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_words().join(", "))
    }
}

impl Ranges {
    fn whole() -> Self {
        Self(vec![(0, u16::MAX)])
    }

    /// From ranges in any order that may touch or overlap.
    fn joined(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    fn holds(&self, port: u16) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= port);
        after > 0 && self.0[after - 1].1 >= port
    }

    fn and(&self, other: &Self) -> Self {
        let mut common = Vec::new();
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                common.push((first, last));
            }
            match a.1 < b.1 {
                true => left.next(),
                false => right.next(),
            };
        }
        Self(common)
    }

    fn without(&self, other: &Self) -> Self {
        self.and(&other.complement())
    }

    fn complement(&self) -> Self {
        let mut rest = Vec::new();
        // The first port after the last range, if there is one.
        let mut next = Some(0);
        for (first, last) in &self.0 {
            if let (Some(from), Some(to)) = (next, first.checked_sub(1))
                && from <= to
            {
                rest.push((from, to));
            }
            next = last.checked_add(1);
        }
        rest.extend(next.map(|from| (from, u16::MAX)));
        Self(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(tcp: &[(u16, u16)], others: bool) -> PortSet {
        PortSet {
            ranges: [
                Ranges::joined(tcp.to_vec()),
                Ranges::default(),
                Ranges::default(),
            ],
            others,
        }
    }

    /// Every operation against the same on single ports, with ranges at both ends.
    #[test]
    fn sets_are_as_their_members() {
        let sets = [
            set(&[], false),
            set(&[(0, u16::MAX)], true),
            set(&[(0, 0), (2, 5), (9, 9)], false),
            set(&[(3, 3), (5, 65_534)], true),
            set(&[(65_535, 65_535), (1, 2)], false),
        ];
        let ports = (0..12).chain(65_530..=65_535);
        for (a, b) in sets.iter().flat_map(|a| sets.iter().map(move |b| (a, b))) {
            let (and, without) = (a.and(b), a.without(b));
            for (protocol, port) in ports.clone().flat_map(|p| [(6, p), (17, p), (1, p)]) {
                let (in_a, in_b) = (a.holds(protocol, port), b.holds(protocol, port));
                assert_eq!(
                    and.holds(protocol, port),
                    in_a && in_b,
                    "{a} and {b}: {port}"
                );
                let expected = in_a && !in_b;
                assert_eq!(
                    without.holds(protocol, port),
                    expected,
                    "{a} without {b}: {port}"
                );
            }
            assert_eq!(a.without(b).is_empty(), a.and(b) == *a);
        }
    }

    #[test]
    fn sets_are_told_in_words() {
        assert_eq!(PortSet::everything().to_string(), "everything");
        let some = set(&[(80, 80), (81, 81), (443, 443)], true);
        assert_eq!(
            some.to_string(),
            "80-81/TCP, 443/TCP, ICMP and every protocol without ports"
        );
        assert_eq!(set(&[(0, u16::MAX)], false).to_string(), "every TCP port");
    }
}
