//! What a host can do and what stands in the way, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::escape::escape;
use super::exit::Exit;
use super::style::{GREEN, RED, Style, YELLOW};

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// Not tried, for what it needs is lacking.
    Untried,
    /// Works, and needs somebody's attention all the same.
    Attention,
    /// Nothing can be applied.
    Lacking,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What, in a word or two.
    pub what: String,
    /// What became of it.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where there is nothing to do.
    pub remedy: String,
}

impl Check {
    /// Without a remedy.
    pub fn new(what: &str, state: State, found: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            state,
            found: found.into(),
            remedy: String::new(),
        }
    }

    /// As it should be.
    pub fn good(what: &str, found: impl Into<String>) -> Self {
        Self::new(what, State::Good, found)
    }

    /// With one.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

/// What `doctor` prints.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Doctor {
    /// Each thing that was looked at, in the order in which they were.
    checks: Vec<Item>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    /// What, in a word or two.
    check: String,
    /// `good`, `untried`, `attention` or `lacking`.
    state: &'static str,
    /// What was found.
    found: String,
    /// What to do about it; `None` where there is nothing to do, or `found` says it.
    remedy: Option<String>,
}

impl Doctor {
    /// From what was found.
    pub fn of(checks: &[Check]) -> Self {
        let item = |check: &Check| Item {
            check: check.what.clone(),
            state: name(check.state),
            found: check.found.clone(),
            remedy: Some(check.remedy.clone()).filter(|remedy| !remedy.is_empty()),
        };
        Self {
            checks: checks.iter().map(item).collect(),
        }
    }
}

/// The worst of them.
pub fn exit(checks: &[Check]) -> Exit {
    match checks.iter().map(|check| check.state).max() {
        Some(State::Lacking) => Exit::Failed,
        Some(State::Attention) => Exit::Attention,
        _ => Exit::Done,
    }
}

/// For people: a line each, and its remedy.
pub fn text(checks: &[Check], style: Style) -> String {
    let mut out = String::new();
    for check in checks {
        let (mark, colour) = match check.state {
            State::Good => ("ok", GREEN),
            State::Untried => ("--", YELLOW),
            State::Attention => ("!", YELLOW),
            State::Lacking => ("!!", RED),
        };
        let mark = style.paint(colour, &format!("{mark:<2}"));
        let found: Vec<String> = check.found.lines().map(escape).collect();
        let found = found.join("\n     ");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{mark} {}: {found}", check.what);
        if !check.remedy.is_empty() {
            let _ = writeln!(out, "     {}", escape(&check.remedy));
        }
    }
    let _ = writeln!(
        out,
        "{}",
        match exit(checks) {
            Exit::Done => "this host can do it, and nothing stands in the way",
            Exit::Attention => "this host can do it; what is marked with ! needs attention",
            _ => "nothing can be applied here until what is marked with !! is there",
        }
    );
    out
}

fn name(state: State) -> &'static str {
    match state {
        State::Good => "good",
        State::Untried => "untried",
        State::Attention => "attention",
        State::Lacking => "lacking",
    }
}
