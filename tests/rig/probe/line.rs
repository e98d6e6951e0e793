//! Lines of expectation: who reaches whom, and how (see [`super`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::traffic::Protocol;

/// One line of expectation.
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    from: Vec<&'a str>,
    to: Vec<&'a str>,
    ports: Vec<(Protocol, u16)>,
    pub(super) allowed: bool,
    pub(super) only_v6: Option<bool>,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (from, rest) = text.split_once("->")?;
        let mut words: Vec<&str> = rest.split_whitespace().collect();
        let only_v6 = match *words.last()? {
            "v4" => Some(false),
            "v6" => Some(true),
            _ => None,
        };
        words.truncate(words.len() - usize::from(only_v6.is_some()));
        let allowed = match words.pop()? {
            "allowed" => true,
            "denied" => false,
            _ => return None,
        };
        // Names end with the last comma's: "a, b tcp/80".
        let is_port = |word: &&str| port_of(word).is_some();
        let first_port = words.iter().position(is_port)?;
        let (to, ports) = words.split_at(first_port);
        let ports: Option<Vec<_>> = ports.iter().map(|word| port_of(word)).collect();
        let to = to.iter().map(|name| name.trim_end_matches(','));
        let from = from.split(',').map(str::trim).collect();
        Some(Self {
            text,
            from,
            to: to.collect(),
            ports: ports?,
            allowed,
            only_v6,
        })
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&'a str, &'a str, (Protocol, u16))> {
        let pairs = self
            .from
            .iter()
            .flat_map(|from| self.to.iter().map(move |to| (*from, *to)));
        pairs.flat_map(|(from, to)| self.ports.iter().map(move |port| (from, to, *port)))
    }
}

fn port_of(word: &str) -> Option<(Protocol, u16)> {
    let (protocol, port) = word.split_once('/').unwrap_or((word, "0"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        "icmp" => Protocol::Icmp,
        _ => return None,
    };
    Some((protocol, port.parse().ok()?))
}

/// The ports that lines of expectation ask each party for: what a cast for them must listen at.
///
/// # Panics
/// Where a line cannot be read.
#[track_caller]
pub fn ports_in(lines: &str) -> BTreeMap<String, BTreeSet<(Protocol, u16)>> {
    let mut ports: BTreeMap<String, BTreeSet<(Protocol, u16)>> = BTreeMap::new();
    for line in lines_in(lines) {
        for (from, to, port) in line.each() {
            ports.entry(from.to_owned()).or_default();
            let asked = ports.entry(to.to_owned()).or_default();
            asked.extend((port.0 != Protocol::Icmp).then_some(port));
        }
    }
    ports
}

#[track_caller]
pub(super) fn lines_in(lines: &str) -> Vec<Line<'_>> {
    let written = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let read =
        written.map(|line| Line::read(line).unwrap_or_else(|| panic!("no expectation: {line:?}")));
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_each_of_its_parts() {
        let line = Line::read("a/b, c -> d, e tcp/80 icmp denied v6").unwrap();
        assert!(!line.allowed && line.only_v6 == Some(true));
        let each: Vec<_> = line.each().collect();
        assert_eq!(each.len(), 8);
        assert_eq!(each[0], ("a/b", "d", (Protocol::Tcp, 80)));
        assert_eq!(each[7], ("c", "e", (Protocol::Icmp, 0)));
        for none in [
            "a -> b allowed",
            "a b tcp/80 allowed",
            "a -> b tcp/80",
            "a -> b tcp/x denied",
        ] {
            assert!(Line::read(none).is_none(), "{none}");
        }
    }
}
