//! A plan for people: a block for each object, what changes in words, who becomes open, and a last
//! line of counts. Whatever comes from outside is escaped.

use std::fmt::Write;

use state::plan::Plan;
use state::words::hash::short;

use super::escape::escape;
use super::plural::{self, plural, thousands};
use super::reach;
use super::style::{GREEN, RED, Style, YELLOW};
use super::view::{Action, CutsView, Object, Openness, PolicyLine, Rollback, View};

/// How many containers are named where many change in the same way.
const NAMED: usize = 3;

/// What is live after a plan was carried out.
pub fn is_live(plan: &Plan) -> String {
    let (commit, generation) = (short(&plan.origin.commit), plan.to.generation);
    let held = match &plan.back {
        Some(_) => plan
            .held
            .first()
            .map(|held| format!("; {} is held", short(held))),
        None => None,
    };
    let held = held.unwrap_or_default();
    format!("{commit} is live: generation {generation}{held}\n")
}

/// The whole plan.
pub fn plan(view: &View, style: Style) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", headline(view));
    if let Some(rollback) = &view.rollback {
        let _ = writeln!(out, "{}", way(rollback, &view.slot));
    }
    if view.unsettled {
        let _ = writeln!(
            out,
            "the last run ended before it had settled: this one completes it"
        );
    }
    out.push('\n');
    for object in &view.objects {
        block(&mut out, object, style);
    }
    if let Some(flows) = view.flows.as_ref().filter(|flows| !flows.is_empty()) {
        let _ = writeln!(out, "{}", reach::counts(flows));
        for missing in &view.missing {
            if flows.iter().any(|flow| flow.is_of(&missing.container)) {
                let line = format!(
                    "! {} is missing: until it is there none of its flows passes",
                    escape(&missing.container)
                );
                let _ = writeln!(out, "{}", style.paint(YELLOW, &line));
            }
        }
        let _ = writeln!(out, "{}", reach::blocks(flows, style));
    }
    cut(&mut out, &view.cuts, style);
    for change in &view.openness {
        out.push_str(&becomes(change, style));
    }
    out.push_str(&missing(view, style));
    for warning in &view.warnings {
        let line = format!("! {}", escape(warning));
        let _ = writeln!(out, "{}", style.paint(YELLOW, &line));
    }
    let said = !(view.openness.is_empty() && view.missing.is_empty() && view.warnings.is_empty());
    if said || view.cuts.count > 0 {
        out.push('\n');
    }
    let _ = writeln!(out, "{}", counts(view));
    out
}

/// By which way a rollback goes.
fn way(rollback: &Rollback, slot: &str) -> String {
    match &rollback.because {
        None => format!("rollback by one store: slot {slot} holds all of it"),
        Some(why) => format!("rollback by an apply of its tree: {}", escape(why)),
    }
}

/// Which live connections are cut.
fn cut(out: &mut String, cuts: &CutsView, style: Style) {
    if cuts.count == 0 {
        return;
    }
    let (count, of) = (thousands(cuts.count), thousands(cuts.of));
    let connections = match cuts.of {
        1 => "connection",
        _ => "connections",
    };
    let line = format!("! {count} of {of} {connections} would be cut");
    let _ = writeln!(out, "{}", style.paint(RED, &line));
    for connection in &cuts.named {
        let _ = writeln!(out, "    {}", escape(connection));
    }
    let forgotten: usize = cuts.forgotten.iter().map(|f| f.count).sum();
    let more = cuts.count - forgotten - cuts.named.len();
    if more > 0 {
        let _ = writeln!(out, "    and {} more", thousands(more));
    }
    for forgotten in &cuts.forgotten {
        let connections = plural::count(forgotten.count, "TCP connection", "TCP connections");
        let (container, quota) = (escape(&forgotten.container), forgotten.quota);
        let _ = writeln!(
            out,
            "    {connections} of {container}: its quota becomes {quota}"
        );
    }
}

/// The lines of those who are not there.
pub fn missing(view: &View, style: Style) -> String {
    let lines = view.missing.iter().map(|missing| {
        let line = format!("! {} is missing: {}", missing.container, missing.why);
        style.paint(YELLOW, &escape(&line)) + "\n"
    });
    lines.collect()
}

/// The lines of those who become open, alone.
pub fn opened(view: &View, style: Style) -> String {
    let opened = view.openness.iter().filter(|change| change.open);
    opened.map(|change| becomes(change, style)).collect()
}

fn becomes(change: &Openness, style: Style) -> String {
    let (state, colour) = match change.open {
        true => ("OPEN", RED),
        false => ("isolated", YELLOW),
    };
    let line = format!(
        "! {}: {} becomes {state}",
        change.container, change.direction
    );
    style.paint(colour, &line) + "\n"
}

fn headline(view: &View) -> String {
    let (commit, live) = (
        escape(short(&view.commit)),
        escape(short(&view.live_commit)),
    );
    let generation = view.generation;
    let becomes = format!("generation {}, slot {}", view.next_generation, view.slot);
    match view.kind {
        "nothing" => format!("{commit} is live as it is, generation {generation}"),
        "rename" => format!(
            "{commit} asks for what is live already; live is {live}, generation {generation}"
        ),
        "mend" => format!("{commit} is live, generation {generation}; the host differs"),
        _ if live.is_empty() => format!("{commit} becomes {becomes}; nothing is live yet"),
        _ if view.commit == view.live_commit && view.tree == view.live_tree => {
            format!("{commit} is live, generation {generation}, and becomes {becomes}")
        }
        _ if view.commit == view.live_commit => {
            format!(
                "{commit} becomes {becomes}; live is another folder of it, generation {generation}"
            )
        }
        _ => format!("{commit} becomes {becomes}; live is {live}, generation {generation}"),
    }
}

fn block(out: &mut String, object: &Object, style: Style) {
    let (mark, colour) = match object.action {
        Action::Create => ('+', GREEN),
        Action::Update => ('~', YELLOW),
        Action::Delete => ('-', RED),
    };
    let title = format!("{mark} {} {}", object.kind, escape(&name(object)));
    let _ = writeln!(out, "{}", style.paint(colour, &title));
    for detail in &object.details {
        let _ = writeln!(out, "    {}", escape(detail));
    }
    for PolicyLine { sign, line } in &object.policy {
        let colour = if *sign == '+' { GREEN } else { RED };
        let line = format!("{sign} {}", escape(line));
        let _ = writeln!(out, "  {}", style.paint(colour, &line));
    }
    out.push('\n');
}

/// A policy is that of containers, and of many only the first are named.
fn name(object: &Object) -> String {
    if object.containers.is_empty() {
        return object.name.clone();
    }
    let named: Vec<&str> = object
        .containers
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect();
    let more = object.containers.len() - named.len();
    match (named.as_slice(), more) {
        ([one], 0) => format!("of {one}"),
        ([first @ .., last], 0) => format!("of {} and {last}", first.join(", ")),
        _ => format!("of {} and {more} more", named.join(", ")),
    }
}

fn counts(view: &View) -> String {
    let counts = &view.counts;
    match view.kind {
        "nothing" => "Nothing to do.".to_owned(),
        "rename" => "Plan: the live slot takes the commit's name; nothing else changes.".to_owned(),
        _ => format!(
            "Plan: {} to create, {} to change, {} to remove; {} to change, {} to load.",
            counts.create,
            counts.update,
            counts.delete,
            plural(counts.rows_changed, "row"),
            plural(counts.programs, "program"),
        ),
    }
}
