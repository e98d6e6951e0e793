//! What a plan changes in the words of the policy, container by container.

use std::collections::BTreeMap;

use similar::{ChangeTag, TextDiff};
use state::words::names::FullName;

/// The effective policy of each container, as lines.
pub type Words = BTreeMap<FullName, Vec<String>>;

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
    for (name, after) in new {
        let Some(before) = old.get(name) else {
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
