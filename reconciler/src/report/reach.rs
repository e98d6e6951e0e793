//! Which flows become allowed or denied, by whom they are begun with: for people, for programs, and
//! for a merge request.

use std::fmt::Write;

use serde::Serialize;
use state::plan::Origin;
use state::reach::{Became, Change, Party};
use state::words::hash::short;

use super::escape::escape;
use super::plural::plural;
use super::style::{GREEN, RED, Style};

/// Flows from each of some to each of others that change alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowChange {
    /// What they become: `allowed` or `denied`.
    pub verdict: &'static str,
    /// With whom they are begun.
    pub to: Vec<PartyView>,
    /// Who begins.
    pub from: Vec<PartyView>,
    /// `IPv4` or `IPv6`, where the other one does not change alike.
    pub family: Option<String>,
    /// On which ports: `80/TCP`, `8000-8999/UDP`, `every TCP port`, `everything`.
    pub ports: Vec<String>,
}

/// A container, or a range of addresses that are no container's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartyView {
    /// `namespace/name`.
    pub container: Option<String>,
    /// The range.
    pub cidr: Option<String>,
    /// Ranges within it that are told apart.
    pub except: Vec<String>,
}

/// Two trees compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The commit before.
    pub old: String,
    /// The commit after.
    pub new: String,
    /// What changes between them.
    pub flows: Vec<FlowChange>,
}

impl Comparison {
    /// From what was compared.
    pub fn of(old: &Origin, new: &Origin, changes: &[Change]) -> Self {
        Self {
            old: old.commit.clone(),
            new: new.commit.clone(),
            flows: flows(changes),
        }
    }
}

/// Changes as they are printed, in their order.
pub fn flows(changes: &[Change]) -> Vec<FlowChange> {
    changes.iter().map(FlowChange::of).collect()
}

impl FlowChange {
    fn of(change: &Change) -> Self {
        let parties = |list: &[Party]| list.iter().map(PartyView::of).collect();
        Self {
            verdict: match change.became {
                Became::Allowed => "allowed",
                Became::Denied => "denied",
            },
            to: parties(&change.to),
            from: parties(&change.from),
            family: change.family.map(|family| family.to_string()),
            ports: change.ports.in_words(),
        }
    }

    /// Whether a container is on either side of it.
    pub(super) fn is_of(&self, container: &str) -> bool {
        let mut parties = self.to.iter().chain(&self.from);
        parties.any(|party| party.container.as_deref() == Some(container))
    }

    fn is_allowed(&self) -> bool {
        self.verdict == "allowed"
    }

    fn line(&self) -> String {
        let sign = if self.is_allowed() { '+' } else { '-' };
        let family = self.family.as_ref();
        let family = family.map_or_else(String::new, |family| format!(" ({family})"));
        let (from, ports) = (several(&self.from), self.ports.join(", "));
        format!("{sign} from {from}: {ports}{family}")
    }
}

impl PartyView {
    fn of(party: &Party) -> Self {
        match party {
            Party::Container(name) => Self {
                container: Some(name.to_string()),
                cidr: None,
                except: Vec::new(),
            },
            Party::Outside(range) => Self {
                container: None,
                cidr: Some(range.cidr.to_string()),
                except: range.except.iter().map(ToString::to_string).collect(),
            },
        }
    }

    fn in_words(&self) -> String {
        if let Some(container) = &self.container {
            return container.clone();
        }
        let cidr = self.cidr.as_deref().unwrap_or_default();
        match self.except.as_slice() {
            [] => cidr.to_owned(),
            [one] => format!("{cidr} except {one}"),
            many => format!("{cidr} except {} ranges within", many.len()),
        }
    }
}

/// How many parties are named where many change alike.
const NAMED: usize = 6;

fn several(parties: &[PartyView]) -> String {
    let named = match parties.len() {
        all if all <= NAMED => all,
        _ => NAMED - 1,
    };
    let mut list: Vec<String> = parties[..named].iter().map(PartyView::in_words).collect();
    if named < parties.len() {
        list.push(format!("{} more", parties.len() - named));
    }
    match list.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => list.join(""),
    }
}

/// The changes as blocks, one for all that have the same responders.
pub(super) fn blocks(flows: &[FlowChange], style: Style) -> String {
    let mut out = String::new();
    for alike in flows.chunk_by(|a, b| a.to == b.to) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "to {}", escape(&several(&alike[0].to)));
        for flow in alike {
            let colour = if flow.is_allowed() { GREEN } else { RED };
            let line = escape(&flow.line());
            let _ = writeln!(out, "  {}", style.paint(colour, &line));
        }
    }
    out
}

/// How much changes: pairs of one who begins and one whom it reaches, a range counted as one.
pub(super) fn counts(flows: &[FlowChange]) -> String {
    let pairs = |allowed: bool| -> usize {
        let flows = flows.iter().filter(|flow| flow.is_allowed() == allowed);
        flows.map(|flow| flow.from.len() * flow.to.len()).sum()
    };
    format!(
        "Flows: {} more allowed, {} more denied.",
        plural(pairs(true), "pair"),
        plural(pairs(false), "pair")
    )
}

/// For people.
pub fn text(comparison: &Comparison, style: Style) -> String {
    let (old, new) = (short(&comparison.old), short(&comparison.new));
    if comparison.flows.is_empty() {
        return format!("{} -> {}: no flow changes\n", escape(old), escape(new));
    }
    format!(
        "{} -> {}\n\n{}\n{}\n",
        escape(old),
        escape(new),
        blocks(&comparison.flows, style),
        counts(&comparison.flows)
    )
}

/// For a merge request (GitHub Flavored Markdown).
pub fn markdown(comparison: &Comparison) -> String {
    let (old, new) = (short(&comparison.old), short(&comparison.new));
    let mut out = format!("### Flows from `{old}` to `{new}`\n\n");
    // Writing to a String cannot fail.
    if comparison.flows.is_empty() {
        let _ = writeln!(out, "No flow changes.");
        return out;
    }
    let _ = writeln!(out, "| to | from | ports | |\n|---|---|---|---|");
    for flow in &comparison.flows {
        let family = flow.family.as_deref().unwrap_or_default();
        let becomes = if flow.is_allowed() {
            "allowed"
        } else {
            "**denied**"
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} {family} | {becomes} |",
            cell(&several(&flow.to)),
            cell(&several(&flow.from)),
            cell(&flow.ports.join(", ")),
        );
    }
    let _ = writeln!(out, "\n{}", counts(&comparison.flows));
    out
}

/// Text in a cell of a table: nothing in it is markup.
fn cell(text: &str) -> String {
    format!("`{}`", escape(text).replace('|', "\\|"))
}
