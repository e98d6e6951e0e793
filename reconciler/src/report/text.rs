//! A plan for people: a block for each object, what changes in words, and a last line of counts.

use std::fmt::Write;

use super::escape::escape;
use super::view::{Action, Counts, Object, View, short};

/// How to write on this terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether colours may be used.
    pub colour: bool,
}

impl Style {
    /// The text in a colour (a number of ECMA-48 SGR), where colours may be used.
    pub fn paint(self, colour: u8, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;

/// The whole plan.
pub fn plan(view: &View, style: Style) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}\n", headline(view));
    for object in &view.objects {
        block(&mut out, object, style);
    }
    for change in &view.openness {
        let state = if change.open { "OPEN" } else { "isolated" };
        let line = format!(
            "! {}: {} becomes {state}",
            change.container, change.direction
        );
        let _ = writeln!(
            out,
            "{}",
            style.paint(if change.open { RED } else { YELLOW }, &line)
        );
    }
    for warning in &view.warnings {
        let line = format!("! {}", escape(warning));
        let _ = writeln!(out, "{}", style.paint(YELLOW, &line));
    }
    if !view.openness.is_empty() || !view.warnings.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{}", counts(view));
    out
}

fn headline(view: &View) -> String {
    let commit = short(&view.commit);
    let live = match short(&view.live_commit) {
        "" => "nothing is live yet".to_owned(),
        live => format!("live is {live}, generation {}", view.generation),
    };
    match view.kind {
        "nothing" => format!("{commit} is live as it is, generation {}", view.generation),
        "rename" => format!("{commit} asks for what is live already; {live}"),
        "mend" => format!(
            "{commit} is live, generation {}; the host differs",
            view.generation
        ),
        _ => format!(
            "{commit} becomes generation {}, slot {}; {live}",
            view.next_generation, view.slot
        ),
    }
}

fn block(out: &mut String, object: &Object, style: Style) {
    let (mark, colour) = match object.action {
        Action::Create => ('+', GREEN),
        Action::Update => ('~', YELLOW),
        Action::Delete => ('-', RED),
    };
    let title = format!("{mark} {} {}", object.kind, escape(&object.name));
    let _ = writeln!(out, "{}", style.paint(colour, &title));
    for detail in &object.details {
        let _ = writeln!(out, "    {}", escape(detail));
    }
    for line in &object.removed {
        let _ = writeln!(
            out,
            "  {}",
            style.paint(RED, &format!("- {}", escape(line)))
        );
    }
    for line in &object.added {
        let _ = writeln!(
            out,
            "  {}",
            style.paint(GREEN, &format!("+ {}", escape(line)))
        );
    }
    out.push('\n');
}

fn counts(view: &View) -> String {
    let Counts {
        create,
        update,
        delete,
        rows_put,
        rows_deleted,
        programs,
    } = view.counts;
    if view.kind == "nothing" {
        return "Nothing to do.".to_owned();
    }
    if view.kind == "rename" {
        return "Plan: the live slot takes the commit's name; nothing else changes.".to_owned();
    }
    format!(
        "Plan: {create} to create, {update} to change, {delete} to remove; \
         {rows_put} rows to write, {rows_deleted} to delete; {programs} programs to load."
    )
}
