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

/// All findings of a tree. Collecting never stops at the first, and never fills the memory either:
/// of each severity [`Problems::MOST`] are kept, and the rest is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    errors: Kept,
    warnings: Kept,
}

/// The findings of one severity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    list: Vec<Problem>,
    found: usize,
}

impl Problems {
    /// More findings than this are counted, not kept.
    pub const MOST: usize = 1_000;

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        let kept = self.of(problem.severity);
        kept.found += 1;
        if kept.list.len() < Self::MOST {
            kept.list.push(problem);
        }
    }

    /// Adds one that is kept however many there are: it says that the list is not the whole truth.
    pub fn push_kept(&mut self, problem: Problem) {
        let kept = self.of(problem.severity);
        kept.found += 1;
        kept.list.insert(0, problem);
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.warnings.extend(other.warnings);
    }

    fn of(&mut self, severity: Severity) -> &mut Kept {
        match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        }
    }

    /// Whether any of them refuses the tree.
    pub fn has_errors(&self) -> bool {
        self.errors.found > 0
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were found, kept or not.
    pub fn len(&self) -> usize {
        self.errors.found + self.warnings.found
    }

    /// How many of them are errors, kept or not.
    pub fn errors(&self) -> usize {
        self.errors.found
    }

    /// How many of them are warnings, kept or not.
    pub fn warnings(&self) -> usize {
        self.warnings.found
    }

    /// The findings in the order of their places, errors before warnings of the same place. There
    /// are [`Problems::MOST`] of them at most, warnings only where errors leave room; the last one
    /// says how many more there are.
    pub fn sorted(self) -> Vec<Problem> {
        let mut list = self.errors.list;
        list.truncate(Self::MOST);
        let room = Self::MOST - list.len();
        let errors = self.errors.found - list.len();
        let warnings = self.warnings.found.saturating_sub(room);
        list.extend(self.warnings.list.into_iter().take(room));
        list.sort();
        list.dedup();
        if errors + warnings > 0 {
            list.push(Problem {
                severity: if errors > 0 {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                ..Problem::error(
                    Place::file(""),
                    "too-many",
                    format!("{errors} more errors and {warnings} more warnings are not shown"),
                )
            });
        }
        list
    }

    /// The findings that were kept, in the order they were found, errors first.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.errors.list.iter().chain(&self.warnings.list)
    }
}

impl Kept {
    fn extend(&mut self, other: Self) {
        let room = Problems::MOST.saturating_sub(self.list.len());
        self.list.extend(other.list.into_iter().take(room));
        self.found += other.found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: u32) -> Problem {
        let place = Place {
            file: "a.yaml".into(),
            line,
            column: 1,
            length: 0,
        };
        Problem::error(place, "code", "message")
    }

    #[test]
    fn the_rest_is_counted() {
        let mut problems = Problems::default();
        for line in 0..1_500 {
            problems.push(error(line));
            problems.push(Problem {
                severity: Severity::Warning,
                ..error(line)
            });
        }
        assert_eq!((problems.errors(), problems.warnings()), (1_500, 1_500));
        assert_eq!(problems.iter().count(), 2_000);
        let mut sorted = problems.sorted();
        assert_eq!(
            sorted.pop().unwrap().message,
            "500 more errors and 1500 more warnings are not shown"
        );
        assert_eq!(sorted.len(), Problems::MOST);
        assert!(sorted.iter().all(|p| p.severity == Severity::Error));
    }

    #[test]
    fn what_says_that_reading_stopped_is_kept() {
        let mut problems = Problems::default();
        for line in 1..1_500 {
            problems.push(error(line));
        }
        problems.push_kept(error(0));
        let sorted = problems.sorted();
        assert_eq!(sorted[0].place.line, 0);
        assert_eq!(
            sorted[1_000].message,
            "500 more errors and 0 more warnings are not shown"
        );
    }

    #[test]
    fn extending_keeps_the_counts() {
        let mut problems = Problems::default();
        problems.push(error(2));
        let mut others = Problems::default();
        for line in 0..1_200 {
            others.push(error(line));
        }
        problems.extend(others);
        assert_eq!(problems.len(), 1_201);
        assert_eq!(problems.iter().count(), Problems::MOST);
    }

    #[test]
    fn warnings_fill_what_errors_leave() {
        let mut problems = Problems::default();
        problems.push(Problem {
            severity: Severity::Warning,
            ..error(1)
        });
        assert!(!problems.has_errors());
        problems.push(error(1));
        let sorted = problems.sorted();
        assert_eq!(sorted[0].severity, Severity::Error);
        assert_eq!(sorted[1].severity, Severity::Warning);
    }
}
