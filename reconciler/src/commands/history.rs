//! `reconcile history`: what was live when, from the journal.

use super::arguments::{Global, HistoryArguments};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::history::{self, HistoryView, Lived};
use crate::report::json;
use crate::report::out::Out;
use crate::report::plural::plural;
use crate::run::journal::{self, Entry};

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &HistoryArguments, out: Out) -> Exit {
    let read = match journal::read(&global.state_dir) {
        Ok(read) => read,
        Err(error) => {
            out.error(&escape(&error.to_string()));
            return Exit::Failed;
        }
    };
    let wanted = |entry: &&Entry| arguments.generation.is_none_or(|g| g == entry.generation);
    let entries = read.entries.iter().rev().filter(wanted);
    let view = HistoryView {
        entries: entries.map(lived).collect(),
        damaged: read.damaged.len(),
        cut: read.cut,
    };
    if view.damaged > 0 {
        let lines = plural(view.damaged, "line");
        out.note(&format!(
            "{lines} of the journal cannot be believed, left out\n"
        ));
    }
    if let (Some(generation), true) = (arguments.generation, view.entries.is_empty()) {
        out.error(&format!("the journal names no generation {generation}"));
        return Exit::Failed;
    }
    if !out.json {
        return out.data(&history::text(&view));
    }
    json::tell(&view, out)
}

fn lived(entry: &Entry) -> Lived {
    Lived {
        generation: entry.generation,
        since: entry.time_s,
        commit: entry.commit.clone(),
        tree: entry.tree.clone(),
        containers: entry.containers,
        kind: entry.kind.name(),
    }
}
