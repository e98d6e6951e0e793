//! What was live when, for people and for programs.

use std::fmt::Write;

use serde::Serialize;
use state::words::hash::short;
use state::words::time::utc;

use super::escape::escape;
use super::plural::plural;

/// What the journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HistoryView {
    /// Commits that were live, newest first.
    pub entries: Vec<Lived>,
    /// Lines that cannot be believed and were left out.
    pub damaged: usize,
    /// Whether the last line was cut short, as a crash may leave it.
    pub cut: bool,
}

/// A commit that was live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lived {
    /// Its generation.
    pub generation: u64,
    /// Since when: seconds since 1970.
    pub since: u64,
    /// The commit, whole.
    pub commit: String,
    /// Its tree.
    pub tree: String,
    /// How many containers this host had.
    pub containers: usize,
    /// `apply` or `rollback`.
    pub kind: &'static str,
}

/// For people: a line each.
pub fn text(view: &HistoryView) -> String {
    let mut out = String::new();
    if view.entries.is_empty() {
        out.push_str(match view.damaged > 0 || view.cut {
            true => "the journal names no commit that can be believed\n",
            false => "the journal is empty\n",
        });
    }
    let digits = view.entries.iter().map(|e| e.generation.to_string().len());
    let width = digits.max().unwrap_or(0);
    for entry in &view.entries {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{:width$}  {}  {}  {:8}  {}",
            entry.generation,
            utc(entry.since),
            escape(short(&entry.commit)),
            entry.kind,
            plural(entry.containers, "container"),
        );
    }
    out
}
