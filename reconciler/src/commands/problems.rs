//! Findings of a tree, told as was asked for.

use state::documents::tree::Tree;
use state::words::problem::Problem;

use crate::report::escape::escape;
use crate::report::out::Out;

/// All of them: as data where JSON was asked for, else as diagnostics.
pub(super) fn tell(problems: &[Problem], tree: &Tree, out: Out) {
    warn(problems, tree, out);
}

/// As diagnostics, whatever was asked for as data.
pub(super) fn warn(problems: &[Problem], _tree: &Tree, out: Out) {
    for problem in problems {
        let text = format!(
            "{}: {:?}[{}]: {}\n",
            problem.place, problem.severity, problem.code, problem.message
        );
        out.note(&escape(&text).replace("\\u{a}", "\n"));
    }
}
