//! `reconcile validate`: every finding of a tree. No root, no kernel.

use std::fmt::Write;

use state::documents::tree::LeftOut;

use super::arguments::Global;
use super::{failure, problems, request};
use crate::pipeline::{self, Understood};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::report::plural::{count, plural};

/// Runs it.
pub(crate) fn run(global: &Global, out: Out) -> Exit {
    let request = match request(global) {
        Ok(request) => request,
        Err(message) => {
            out.error(&message);
            return Exit::Usage;
        }
    };
    let tree = match pipeline::understand(&request) {
        Ok(tree) => tree,
        Err(error) => return failure::source(&error, out),
    };
    problems::tell_uncommitted(&tree, out);
    let mut told = problems::tell(&tree.problems, &tree.source.tree, out);
    if !out.json {
        if global.verbose > 0 {
            out.note(&passed_over(&tree));
        }
        told = out.say(&summary(&tree));
    }
    if tree.is_valid() { told } else { Exit::Invalid }
}

fn summary(tree: &Understood) -> String {
    let documents = &tree.documents;
    let ignored: usize = documents.ignored.values().sum();
    let skipped = if ignored == 0 {
        String::new()
    } else {
        format!(", {} skipped by kind", plural(ignored, "document"))
    };
    let verdict = if tree.is_valid() { "valid" } else { "invalid" };
    format!(
        "{verdict}: {}, {}, {} in {}{skipped}\n",
        plural(documents.containers.len(), "container"),
        count(documents.policies.len(), "policy", "policies"),
        plural(documents.namespaces.len(), "declared namespace"),
        plural(tree.source.tree.files.len(), "file"),
    )
}

/// What was left out, skipped or accepted without effect.
fn passed_over(tree: &Understood) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (path, reason) in &tree.source.tree.left_out {
        let reason = match reason {
            LeftOut::DotName => "its name begins with a dot",
            LeftOut::NotYaml => "not *.yaml or *.yml",
            LeftOut::Ignored => "'ignore' of plumbline.yaml",
            LeftOut::NotAFile => "not a file",
        };
        let _ = writeln!(text, "left out: {}: {reason}", escape(path));
    }
    for (kind, count) in &tree.documents.ignored {
        let _ = writeln!(text, "skipped: {count} of kind {}", escape(kind));
    }
    for (field, place) in &tree.documents.accepted {
        let place = escape(&place.to_string());
        let _ = writeln!(text, "no effect: {place}: {}", escape(field));
    }
    text
}
