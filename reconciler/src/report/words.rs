//! What a plan changes in the words of the policy, container by container.

use std::collections::BTreeMap;

use similar::{ChangeTag, TextDiff};
use state::words::names::FullName;

/// The effective policy of each container, as sorted lines.
pub type Words = BTreeMap<FullName, Vec<String>>;

/// One line that goes or comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whether it comes; else it goes.
    pub added: bool,
    /// The line.
    pub text: String,
}

/// The lines that differ, for each container for which some do. A container that only one of the
/// two has is left out: its whole policy comes or goes with it.
pub fn changes(old: &Words, new: &Words) -> BTreeMap<FullName, Vec<Line>> {
    let mut found = BTreeMap::new();
    for (name, after) in new {
        let Some(before) = old.get(name) else {
            continue;
        };
        let lines = lines(before, after);
        if !lines.is_empty() {
            found.insert(name.clone(), lines);
        }
    }
    found
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
