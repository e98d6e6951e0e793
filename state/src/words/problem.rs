//! A finding in a document, as data. Renderers are elsewhere: a problem never prints itself.

use super::place::Place;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The tree is refused.
    Error,
    /// The tree is accepted, and a person should look.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// Error or warning.
    pub severity: Severity,
    /// A short stable code, such as `unknown-field`; docs/troubleshooting.md is sorted by it.
    pub code: &'static str,
    /// What is wrong, in a short sentence without a full stop. Text that came from outside stands
    /// in it as it was; renderers escape it.
    pub message: String,
    /// What to do, such as "did you mean podSelector?".
    pub help: Option<String>,
    /// The other place that takes part, such as the first of two documents of one name.
    pub related: Option<Place>,
}

impl Problem {
    /// An error.
    pub fn error(place: Place, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            place,
            severity: Severity::Error,
            code,
            message,
            help: None,
            related: None,
        }
    }

    /// A warning.
    pub fn warning(place: Place, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, code, message)
        }
    }

    /// The same with a hint of what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// The same with the other place that takes part.
    #[must_use]
    pub fn related(self, place: Place) -> Self {
        Self {
            related: Some(place),
            ..self
        }
    }
}

/// All findings of a tree. Collecting never stops at the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// More findings than this are counted, not kept.
    pub const MOST: usize = 1_000;

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
    }

    /// Whether any of them refuses the tree.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|p| p.severity == Severity::Error)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The findings in the order of their places, errors before warnings of the same place.
    pub fn sorted(mut self) -> Vec<Problem> {
        self.list.sort();
        self.list.dedup();
        self.list
    }

    /// The findings in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}
