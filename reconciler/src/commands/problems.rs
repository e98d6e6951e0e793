//! Findings of a tree, told as was asked for.

use state::documents::tree::Tree;
use state::words::problem::{Problem, Severity};

use crate::pipeline::Understood;
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::report::{json, problem};

/// All of them: as data where JSON was asked for, else as diagnostics.
pub(super) fn tell(problems: &[Problem], tree: &Tree, out: Out) -> Exit {
    if !out.json {
        warn(problems, tree, out);
        return Exit::Done;
    }
    json::tell(&problem::data(problems), out)
}

/// As diagnostics, whatever was asked for as data. Where quiet was asked for, errors alone.
pub(super) fn warn(problems: &[Problem], tree: &Tree, out: Out) {
    let told = problems
        .iter()
        .filter(|problem| !out.quiet || problem.severity == Severity::Error);
    let text = problem::text(told, tree, out.notes);
    if !text.is_empty() {
        out.insist(&text);
    }
}

/// Names what the commit that is read does not hold.
pub(super) fn tell_uncommitted(tree: &Understood, out: Out) {
    for change in &tree.source.uncommitted {
        let mark = out.notes.paint(33, "warning:");
        out.note(&format!(
            "{mark} {}: ignored; commit it, or read the files with --worktree\n",
            escape(&change.to_string())
        ));
    }
}
