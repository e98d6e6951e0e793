//! What a plan changes in the words of the policy, container by container.

use std::collections::{BTreeMap, BTreeSet};

use similar::{ChangeTag, TextDiff};
use state::words::names::FullName;

/// What a tree says, in lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The effective policy of each container of this host.
    pub policies: BTreeMap<FullName, Vec<String>>,
    /// What is known of each container of other hosts.
    pub peers: BTreeMap<FullName, Vec<String>>,
}

/// One line that goes or comes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Whether it comes; else it goes.
    pub added: bool,
    /// The line.
    pub text: String,
}

/// The lines that differ, each change once with all containers for which it is the same, in the
/// order of their first. A container that only one of the two has is left out: its whole policy
/// comes or goes with it.
pub fn changes(old: &Words, new: &Words) -> Vec<(Vec<FullName>, Vec<Line>)> {
    let mut found: BTreeMap<Vec<Line>, Vec<FullName>> = BTreeMap::new();
    for (name, after) in &new.policies {
        let Some(before) = old.policies.get(name) else {
            continue;
        };
        let lines = lines(before, after);
        if !lines.is_empty() {
            found.entry(lines).or_default().push(name.clone());
        }
    }
    let mut changes: Vec<_> = found
        .into_iter()
        .map(|(lines, names)| (names, lines))
        .collect();
    changes.sort();
    changes
}

/// The containers of other hosts that come, go, or are known by something else; and for each which
/// of the two has it, old and new.
pub fn peers<'w>(old: &'w Words, new: &'w Words) -> Vec<(&'w FullName, [bool; 2], Vec<Line>)> {
    let names: BTreeSet<&FullName> = old.peers.keys().chain(new.peers.keys()).collect();
    let changes = names.into_iter().map(|name| {
        let [before, after] = [old, new].map(|words| words.peers.get(name));
        let has = [before.is_some(), after.is_some()];
        let [before, after] = [before, after].map(|l| l.map_or(&[][..], Vec::as_slice));
        (name, has, lines(before, after))
    });
    changes.filter(|(_, _, lines)| !lines.is_empty()).collect()
}

fn lines(before: &[String], after: &[String]) -> Vec<Line> {
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let after: Vec<&str> = after.iter().map(String::as_str).collect();
    TextDiff::from_slices(&before, &after)
        .iter_all_changes()
        .filter(|change| change.tag() != ChangeTag::Equal)
        .map(|change| Line {
            added: change.tag() == ChangeTag::Insert,
            text: change.value().to_string(),
        })
        .collect()
}
