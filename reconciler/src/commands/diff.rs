//! `reconcile diff`: which flows two commits differ on. From git alone: no root, no kernel.

use state::reach::changes;

use super::arguments::{DiffArguments, Global, Output};
use super::{failure, problems, request};
use crate::pipeline::{self, Request, Understood};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::json;
use crate::report::out::Out;
use crate::report::reach::{self, Comparison};

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &DiffArguments, out: Out) -> Exit {
    let comparison = match compare(global, arguments, out) {
        Ok(comparison) => comparison,
        Err(exit) => return exit,
    };
    let told = match global.output {
        Output::Text => out.data(&reach::text(&comparison, out.data)),
        Output::Markdown => out.data(&reach::markdown(&comparison)),
        Output::Json => json::tell(&comparison, out),
    };
    match told {
        Exit::Done if arguments.detailed_exitcode && !comparison.flows.is_empty() => Exit::Pending,
        exit => exit,
    }
}

fn compare(global: &Global, arguments: &DiffArguments, out: Out) -> Result<Comparison, Exit> {
    let usage = |message: &str| {
        out.error(message);
        Exit::Usage
    };
    if global.rev.is_some() || global.worktree {
        return Err(usage(
            "diff names its commits itself: leave out --rev and --worktree",
        ));
    }
    let request = request(global).map_err(|message| usage(&message))?;
    let (old, new) = revisions(&arguments.range).map_err(|message| usage(&escape(&message)))?;
    let (old, new) = (tree(&request, old, out)?, tree(&request, new, out)?);
    let view = |tree: &Understood| {
        pipeline::reach(tree, &request.memory).map_err(|error| {
            out.error(&escape(&error.to_string()));
            Exit::Invalid
        })
    };
    let views = (view(&old)?, view(&new)?);
    let changes = changes(Some(&*views.0), &views.1);
    Ok(Comparison::of(&old.origin(), &new.origin(), &changes))
}

/// The ends of `A..B`; one end that is left out, and the second one of `A`, is `HEAD`. What git
/// means by three dots is two commands here, for two trees are compared and no history.
fn revisions(range: &str) -> Result<(&str, &str), String> {
    let (old, new) = range.split_once("..").unwrap_or((range, ""));
    if old.is_empty() && new.is_empty() {
        return Err("diff compares two commits: name one of them at least, as in A..B".to_owned());
    }
    if let Some(new) = new.strip_prefix('.') {
        let (old, new) = (or_head(old), or_head(new));
        return Err(format!(
            "{range} asks for what is new since both had a commit in common, which is \
             `git merge-base {old} {new}`: name that, as in A..B"
        ));
    }
    if new.contains("..") {
        return Err(format!("{range} names more than two commits"));
    }
    Ok((or_head(old), or_head(new)))
}

fn or_head(rev: &str) -> &str {
    if rev.is_empty() { "HEAD" } else { rev }
}

fn tree(request: &Request, rev: &str, out: Out) -> Result<Understood, Exit> {
    let mut request = request.clone();
    request.source.rev = Some(rev.to_owned());
    let tree = pipeline::understand(&request).map_err(|error| failure::source(&error, out))?;
    if !tree.is_valid() {
        out.note(&format!("{}:\n", escape(rev)));
        problems::warn(&tree.problems, &tree.source.tree, out);
        return Err(Exit::Invalid);
    }
    Ok(tree)
}
