//! What live differs in from what its commit put there, for people and for programs.

use std::fmt::Write;

use serde::Serialize;
use state::drift::{Finding, Kind, needs_attention};
use state::live::Live;
use state::words::hash::short;

use super::escape::escape;
use super::style::{RED, Style, YELLOW};

/// Why what is live was not compared with its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Unread {
    /// Why.
    why: String,
    /// The tree alone is not known: what live says of itself was looked at all the same.
    #[serde(skip)]
    tree: bool,
}

impl Unread {
    /// Nothing is known, for the host changes meanwhile.
    pub fn host(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { why, tree: false }
    }

    /// There is no tree to compare with.
    pub fn tree(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { why, tree: true }
    }

    /// What is not known, and why.
    pub fn in_words(&self) -> String {
        let why = escape(&self.why);
        match self.tree {
            true => format!(
                "the tree of what is live could not be compared with ({why}): policy, addresses \
                 and sysctls were compared with nothing"
            ),
            false => format!("what drifted is not known: {why}"),
        }
    }
}

/// What `drift` prints.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The live commit, whole; empty where nothing is live.
    pub commit: String,
    /// The live generation; 0 where nothing is live.
    pub generation: u64,
    /// Why what is live could not be compared with its tree; `None` where it was.
    pub unread: Option<Unread>,
    /// What differs.
    pub drift: Vec<Item>,
    #[serde(skip)]
    attention: bool,
    /// Something stands in the way of every run.
    #[serde(skip)]
    blocked: bool,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is about, in one word.
    pub kind: &'static str,
    /// The container that it concerns.
    pub container: Option<String>,
    /// Where.
    pub place: String,
    /// What is not as it was put there.
    pub what: String,
    /// What it means for traffic.
    pub traffic: String,
    /// Whether it is not for a run to mend, and stays as it is.
    pub harmless: bool,
}

impl From<&Finding> for Item {
    fn from(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.name(),
            container: finding.container.as_ref().map(ToString::to_string),
            place: finding.place.clone(),
            what: finding.what.clone(),
            traffic: finding.traffic.clone(),
            harmless: finding.harmless,
        }
    }
}

impl Drift {
    /// From what was found.
    pub fn of(live: &Live, findings: &[Finding], unread: Option<Unread>) -> Self {
        let base = live.base.as_ref();
        Self {
            commit: base.map_or_else(String::new, |base| base.live_slot().commit.clone()),
            generation: base.map_or(0, |base| base.record.generation.0),
            unread,
            drift: findings.iter().map(Item::from).collect(),
            attention: needs_attention(findings),
            blocked: findings.iter().any(|f| f.kind == Kind::Collision),
        }
    }
}

/// For people.
pub fn text(drift: &Drift, style: Style) -> String {
    let mut out = items(&drift.drift, style);
    if let Some(why) = &drift.unread {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", why.in_words());
    }
    let live = match drift.generation {
        0 => "nothing is live on this host".to_owned(),
        generation => format!("{}, generation {generation}", escape(short(&drift.commit))),
    };
    let says = match (drift.attention, drift.generation) {
        (true, _) if drift.blocked => ": drift, which no run mends until that is out of the way",
        (true, _) => ": drift, which the next run mends",
        (false, 0) => "",
        (false, _) if drift.unread.is_some() => " is live; in what was compared, nothing differs",
        (false, _) => " is live as its commit put it there",
    };
    let _ = writeln!(out, "{live}{says}");
    out
}

/// Two lines for each.
pub fn items(items: &[Item], style: Style) -> String {
    let mut out = String::new();
    for item in items {
        let (mark, colour) = match item.harmless {
            true => ('~', YELLOW),
            false => ('!', RED),
        };
        let whose = item.container.as_deref();
        let whose = whose.map(|name| format!(" of {name}")).unwrap_or_default();
        let title = format!("{mark} {}{whose}, {}: {}", item.kind, item.place, item.what);
        let _ = writeln!(out, "{}", style.paint(colour, &escape(&title)));
        let _ = writeln!(out, "    traffic: {}", escape(&item.traffic));
    }
    out
}
