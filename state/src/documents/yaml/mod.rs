//! YAML with places.
//!
//! One parser decides what a file says: its events become one tree, in which every key and value
//! knows its line and column. serde_yaml is the second reader, in a test: whatever is accepted here
//! it reads to the same values, and a form on which the two could differ is refused here. That is
//! why the YAML accepted here is the YAML that people write: no anchors, aliases, tags, directives,
//! merge keys, explicit keys, keys that are not strings, no tabs between values.
//!
//! A syntax error ends its file, since what comes after it cannot be told; the documents before it
//! are kept. Any other finding is told and reading goes on. Reading takes time and memory in
//! proportion to the text, whatever the text is; [`super::limits`] says how much.

mod node;
mod scalar;
mod text;
mod input;
mod source;
mod syntax;
mod build;

use std::sync::Arc;

use saphyr_parser::{Event, Parser};

use super::{codes, limits};
use crate::words::place::Place;
use crate::words::problem::{Problem, Problems};

use build::Builder;
use input::{Limited, ReadAhead};
pub use node::{Entry, Node, Scalar, Spot, Value};
pub use scalar::{Kind, Otherwise};

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Contents<'t> {
    /// Its documents, those without a value included.
    pub documents: Vec<Node<'t>>,
    /// Whether it was read to its end.
    pub complete: bool,
}

/// The file is not read further; a finding says why.
pub(super) struct Ended;

/// What is left of the limits of a tree, and whether one was reached.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    documents: usize,
    values: usize,
    labels: usize,
    costly: u32,
    stopped: bool,
}

/// What reading one file has taken of a budget. One that was costly is not among them: there are
/// few, and each has a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    documents: usize,
    values: usize,
    labels: usize,
}

impl Budget {
    /// Whether a limit was reached, so that nothing more is read.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What was spent since a budget was as it is there.
    pub fn spent_since(&self, before: &Self) -> Spent {
        Spent {
            documents: self.documents - before.documents,
            values: self.values - before.values,
            labels: self.labels - before.labels,
        }
    }

    /// Spends as much again, if no limit is in the way.
    pub fn spend(&mut self, spent: &Spent) -> bool {
        let documents = self.documents + spent.documents;
        let values = self.values + spent.values;
        let labels = self.labels + spent.labels;
        let fits =
            documents <= limits::DOCUMENTS && values <= limits::VALUES && labels <= limits::LABELS;
        if fits {
            (self.documents, self.values, self.labels) = (documents, values, labels);
        }
        fits
    }

    /// One more item of a list of documents. Whether the limit is reached.
    pub(super) fn item(&mut self, file: &Arc<str>, problems: &mut Problems) -> bool {
        self.document(file, problems).is_err() || self.check_findings(file, problems).is_err()
    }

    /// One more label. Whether there is room for it.
    pub(super) fn label(&mut self, file: &Arc<str>, problems: &mut Problems) -> bool {
        self.labels += 1;
        if self.labels > limits::LABELS {
            let message = format!("the tree has more than {} labels", limits::LABELS);
            self.stop(file, problems, message);
        }
        self.labels <= limits::LABELS
    }

    /// One more document.
    fn document(&mut self, file: &Arc<str>, problems: &mut Problems) -> Result<(), Ended> {
        self.documents += 1;
        if self.documents > limits::DOCUMENTS {
            let message = format!("the tree has more than {} documents", limits::DOCUMENTS);
            return Err(self.stop(file, problems, message));
        }
        Ok(())
    }

    fn value(&mut self, file: &Arc<str>, problems: &mut Problems) -> Result<(), Ended> {
        self.values += 1;
        if self.values > limits::VALUES {
            let message = format!("the tree has more than {} values", limits::VALUES);
            return Err(self.stop(file, problems, message));
        }
        self.check_findings(file, problems)
    }

    fn check_findings(&mut self, file: &Arc<str>, problems: &mut Problems) -> Result<(), Ended> {
        if problems.errors() > limits::FINDINGS {
            let message = format!("more than {} errors were found", limits::FINDINGS);
            return Err(self.stop(file, problems, message));
        }
        Ok(())
    }

    /// A file ends here that may have cost more to read than its size.
    fn costly(&mut self, file: &Arc<str>, problems: &mut Problems) -> Ended {
        self.costly += 1;
        if self.costly >= limits::COSTLY_FILES {
            let message = format!("{} files were too deep or too complex", self.costly);
            return self.stop(file, problems, message);
        }
        Ended
    }

    fn stop(&mut self, file: &Arc<str>, problems: &mut Problems, reason: String) -> Ended {
        if !self.stopped {
            self.stopped = true;
            let place = Place::file(Arc::clone(file));
            let message = format!("{reason}; nothing after this was read");
            problems.push_kept(Problem::error(place, codes::TOO_MANY, message));
        }
        Ended
    }
}

/// Reads one file.
pub fn read<'t>(
    file: &Arc<str>,
    bytes: &'t [u8],
    budget: &mut Budget,
    problems: &mut Problems,
) -> Contents<'t> {
    let Some(text) = text::text(file, bytes, problems) else {
        return Contents::default();
    };
    let ahead = ReadAhead::default();
    let mut builder = Builder::new(file, text, budget, problems);
    let complete = drive(&mut builder, text, &ahead).is_ok();
    Contents {
        documents: builder.documents,
        complete,
    }
}

/// Runs the parser to the end of the text.
fn drive<'t>(builder: &mut Builder<'_, 't>, text: &'t str, ahead: &ReadAhead) -> Result<(), Ended> {
    let mut parser = Parser::new(Limited::new(text, ahead));
    loop {
        ahead.reset();
        let next = parser.next_event();
        if ahead.is_exhausted() {
            return Err(builder.too_complex());
        }
        match next {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((event, span))) => builder.event(event, span)?,
            Some(Err(error)) => return Err(builder.syntax_error(&error, ahead.is_costly())),
        }
    }
    builder.gap(usize::MAX);
    Ok(())
}

/// Text from a tree within a message: quoted, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let end = text
        .char_indices()
        .nth(MOST)
        .map_or(text.len(), |(at, _)| at);
    let (kept, more) = (&text[..end], if end < text.len() { "…" } else { "" });
    format!("\"{kept}{more}\"")
}
