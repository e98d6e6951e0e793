//! From events to trees.

use std::borrow::Cow;
use std::sync::Arc;

use saphyr_parser::{Event, ScalarStyle, ScanError, Span};

use crate::documents::{codes, limits};
use crate::words::problem::{Problem, Problems};

use super::node::{Entry, Node, Scalar, Spot, Value};
use super::scalar::{Kind, Otherwise};
use super::source::{Oddity, Source};
use super::syntax;
use super::{Budget, Ended};

/// Builds the trees of one file.
pub(super) struct Builder<'a, 't> {
    pub(super) source: Source<'t>,
    pub(super) documents: Vec<Node<'t>>,
    pub(super) problems: &'a mut Problems,
    budget: &'a mut Budget,
    file: &'a Arc<str>,
    open: Vec<Open<'t>>,
}

/// A list or mapping whose end has not come yet.
struct Open<'t> {
    spot: Spot,
    /// Within brackets, its own or those of what it stands in.
    bracketed: bool,
    items: Items<'t>,
}

/// Code, message and help.
type Finding = (&'static str, &'static str, &'static str);

enum Items<'t> {
    List(Vec<Node<'t>>),
    Map(Vec<Entry<'t>>, Option<Key<'t>>),
}

/// A key that waits for its value.
struct Key<'t> {
    text: Cow<'t, str>,
    spot: Spot,
    ambiguous: bool,
    /// A finding about it has been made, so it is left out with its value.
    refused: bool,
}

impl<'a, 't> Builder<'a, 't> {
    pub(super) fn new(
        file: &'a Arc<str>,
        text: &'t str,
        budget: &'a mut Budget,
        problems: &'a mut Problems,
    ) -> Self {
        Self {
            source: Source::new(text),
            documents: Vec::new(),
            problems,
            budget,
            file,
            open: Vec::new(),
        }
    }

    /// Takes one event in.
    pub(super) fn event(&mut self, event: Event<'t>, span: Span) -> Result<(), Ended> {
        self.gap(span.start.index());
        match event {
            Event::DocumentStart(explicit) => self.begin(explicit),
            Event::Scalar(text, style, anchor, tag) => {
                let marked = self.marked(anchor, tag.is_some());
                self.scalar(text, style, &span, marked)
            }
            Event::SequenceStart(anchor, tag) => {
                let marked = self.marked(anchor, tag.is_some());
                let spot = self.list_spot();
                self.open(spot, &span, marked, Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let marked = self.marked(anchor, tag.is_some());
                let spot = self.source.spot(1);
                self.open(spot, &span, marked, Items::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(_) => {
                self.error(
                    codes::YAML_ALIAS,
                    "aliases are not read",
                    "write the value out",
                );
                self.source.scalar(ScalarStyle::Plain, span.end.index());
                let spot = self.source.spot(1);
                self.value(Node {
                    spot,
                    value: Value::Refused,
                })
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    /// The parser found no YAML here.
    pub(super) fn syntax_error(&mut self, error: &ScanError, costly: bool) -> Ended {
        let mut problem = syntax::problem(self.file, self.source.text(), error);
        if error.info().contains("expected ',' or") {
            let bracket = self.open.iter().rev().find(|open| open.bracketed);
            problem.related = bracket.map(|open| open.spot.of(self.file));
        }
        self.problems.push(problem);
        if costly {
            self.budget.costly(self.file, self.problems)
        } else {
            Ended
        }
    }

    /// The parser had to read too far ahead.
    pub(super) fn too_complex(&mut self) -> Ended {
        let message = "a text or a list or mapping in brackets that is too long begins after this";
        let help = "write long lists and mappings without brackets, and long texts as a block";
        self.error(codes::TOO_COMPLEX, message, help);
        self.budget.costly(self.file, self.problems)
    }

    /// Walks to `index` and tells what is odd on the way.
    pub(super) fn gap(&mut self, index: usize) {
        let bracketed = self.is_bracketed();
        let (problems, file) = (&mut *self.problems, self.file);
        self.source.gap(index, bracketed, |oddity, spot| {
            if problems.errors() <= limits::FINDINGS {
                problems.push(odd(oddity, spot, file));
            }
        });
    }

    fn error(&mut self, code: &'static str, message: &str, help: &str) {
        let spot = self.source.spot(1);
        self.error_at(spot, code, message, help);
    }

    fn error_at(&mut self, spot: Spot, code: &'static str, message: &str, help: &str) {
        let place = spot.of(self.file);
        self.problems
            .push(Problem::error(place, code, message).help(help));
    }

    /// Whether an anchor or a tag stands before the value; a finding about each.
    fn marked(&mut self, anchor: usize, tagged: bool) -> bool {
        if anchor > 0 {
            self.error(codes::YAML_ALIAS, "anchors are not read", "take it away");
        }
        if tagged {
            let help = "take the tag away, or quote the value if it is text";
            self.error(codes::YAML_TAG, "tags are not read", help);
        }
        anchor > 0 || tagged
    }

    /// Where a list stands. Without brackets and indentation, the parser places it behind its dash.
    fn list_spot(&self) -> Spot {
        if self.source.rest().starts_with(['-', '[']) {
            self.source.spot(1)
        } else {
            self.source.indicator
        }
    }

    /// Opens a list or mapping. Only a bracket, or a mark before it, has a length of its own.
    fn open(
        &mut self,
        spot: Spot,
        span: &Span,
        marked: bool,
        items: Items<'t>,
    ) -> Result<(), Ended> {
        if self.wants_key() {
            let message = "a list or mapping stands where a key is expected";
            self.error(
                codes::YAML_KEY,
                message,
                "keys are strings; quote it if it is text",
            );
            return Err(self.budget.costly(self.file, self.problems));
        }
        if self.open.len() == limits::DEPTH {
            let message = "lists and mappings stand too deep within each other here";
            let help = "at most 64 may stand within each other";
            self.error(codes::TOO_DEEP, message, help);
            return Err(self.budget.costly(self.file, self.problems));
        }
        let own = !marked && !span.is_empty();
        if own {
            let next = self.source.index() + 1;
            self.gap(next);
        } else if marked {
            self.source.scalar(ScalarStyle::Plain, span.end.index());
        }
        let bracketed = own || self.is_bracketed();
        self.open.push(Open {
            spot,
            bracketed,
            items,
        });
        Ok(())
    }

    fn is_bracketed(&self) -> bool {
        self.open.last().is_some_and(|open| open.bracketed)
    }

    fn wants_key(&self) -> bool {
        let top = self.open.last().map(|open| &open.items);
        matches!(top, Some(Items::Map(_, None)))
    }

    fn close(&mut self) -> Result<(), Ended> {
        let Some(Open { spot, items, .. }) = self.open.pop() else {
            return Ok(());
        };
        let value = match items {
            Items::List(items) => Value::List(items),
            Items::Map(entries, _) => {
                self.check_duplicates(&entries);
                Value::Map(entries)
            }
        };
        self.value(Node { spot, value })
    }

    /// Puts a value where it belongs.
    fn value(&mut self, node: Node<'t>) -> Result<(), Ended> {
        self.budget.value(self.file, self.problems)?;
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.document(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map(entries, key)) => match key.take() {
                Some(key) if key.refused => {}
                Some(key) => entries.push(Entry {
                    key: key.text,
                    ambiguous: key.ambiguous,
                    spot: key.spot,
                    value: node,
                }),
                // An alias as a key: it has been told of already.
                None => {
                    *key = Some(Key {
                        text: Cow::Borrowed(""),
                        spot: node.spot,
                        ambiguous: false,
                        refused: true,
                    });
                }
            },
        }
        Ok(())
    }

    fn begin(&mut self, explicit: bool) -> Result<(), Ended> {
        if !explicit && !self.documents.is_empty() {
            let help = "write --- on the line before it";
            self.error(
                codes::YAML_SYNTAX,
                "a second document begins without ---",
                help,
            );
        }
        self.source.begun = true;
        self.budget.document(self.file, self.problems)
    }

    /// Takes a document: a mapping, or nothing at all.
    fn document(&mut self, node: Node<'t>) {
        if !matches!(node.value, Value::Map(_) | Value::Refused) && !node.is_null() {
            let message = "a document must be a mapping";
            let help = "write apiVersion, kind and the other fields, or leave the file out by \
                        `ignore` in plumbline.yaml";
            self.error_at(node.spot, codes::WRONG_TYPE, message, help);
        }
        self.documents.push(node);
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        span: &Span,
        marked: bool,
    ) -> Result<(), Ended> {
        let start = self.source.spot(1);
        let walked = if marked { ScalarStyle::Plain } else { style };
        let empty = text.is_empty() && style == ScalarStyle::Plain && !marked;
        let raw = if empty {
            ""
        } else {
            self.source.scalar(walked, span.end.index())
        };
        let spot = Spot {
            length: length(raw),
            ..if empty { self.empty_spot() } else { start }
        };
        self.check_form(raw, style, start);
        let scalar = Scalar {
            text: shared(text, raw),
            plain: style == ScalarStyle::Plain,
        };
        if self.wants_key() {
            return self.key(scalar, spot, raw, marked);
        }
        let value = if marked || self.is_too_large(&scalar, spot) {
            Value::Refused
        } else {
            Value::Scalar(scalar)
        };
        self.value(Node { spot, value })
    }

    /// Where a value stands that is not there: at its key, or at its dash.
    fn empty_spot(&self) -> Spot {
        match self.open.last().map(|open| &open.items) {
            Some(Items::Map(_, Some(key))) => key.spot,
            _ => self.source.indicator,
        }
    }

    /// Readers differ on tabs at the ends of lines that are folded and at the beginning of a block,
    /// on the end of a block that has no line break, and on some signs within brackets.
    fn check_form(&mut self, raw: &str, style: ScalarStyle, start: Spot) {
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if !block && raw.contains('\n') && raw.contains('\t') {
            let message = "a text on several lines has a tab in it";
            let help = "write \"\\t\" for a tab that is meant, on one line";
            self.error_at(start, codes::YAML_TAB, message, help);
        }
        let sign = raw.starts_with(['|', '>', '?', ':']) || raw.contains(":?");
        if style == ScalarStyle::Plain && sign && self.is_bracketed() {
            let message = "a value within brackets has a sign in it that has a meaning elsewhere";
            self.error_at(start, codes::YAML_AMBIGUOUS, message, "quote it");
        }
        if block && raw.starts_with('\t') {
            let message = "a text block begins with a tab";
            self.error_at(start, codes::YAML_TAB, message, "indent with spaces");
        }
        if block && self.source.rest().is_empty() && !raw.ends_with('\n') {
            let message = "a text block ends the file without a line break";
            let help = "end the last line with a line break";
            self.error_at(start, codes::YAML_AMBIGUOUS, message, help);
        }
    }

    fn is_too_large(&mut self, scalar: &Scalar<'t>, spot: Spot) -> bool {
        let too_large = scalar.plain && scalar.kind() == Kind::TooLarge;
        if too_large {
            let message = "a number that does not fit 64 bits";
            self.error_at(
                spot,
                codes::YAML_AMBIGUOUS,
                message,
                "quote it if it is text",
            );
        }
        too_large
    }

    fn key(
        &mut self,
        scalar: Scalar<'t>,
        spot: Spot,
        raw: &str,
        marked: bool,
    ) -> Result<(), Ended> {
        let finding = match scalar.kind() {
            _ if scalar.text == "<<" => {
                let help = "write the keys out, or call the key something else";
                Some((codes::YAML_ALIAS, "merge keys are not read", help))
            }
            Kind::Null => Some((codes::YAML_KEY, "a key is missing before ':'", "write it")),
            Kind::Text | Kind::Ambiguous(Otherwise::Boolean) => self.key_form(scalar.plain, raw),
            _ => Some((codes::YAML_KEY, "a key that is not a string", "quote it")),
        };
        let finding = finding.filter(|_| !marked);
        if let Some((code, message, help)) = finding {
            self.error_at(spot, code, message, help);
        }
        if let Some(Items::Map(_, key)) = self.open.last_mut().map(|open| &mut open.items) {
            *key = Some(Key {
                ambiguous: scalar.kind() != Kind::Text,
                text: scalar.text,
                spot,
                refused: marked || finding.is_some(),
            });
        }
        Ok(())
    }

    /// What is wrong with the form of a key that is a string.
    fn key_form(&self, plain: bool, raw: &str) -> Option<Finding> {
        if raw.len() > limits::KEY_BYTES {
            let message = "a key of more than 1000 bytes";
            return Some((codes::YAML_KEY, message, "shorten it"));
        }
        if raw.contains('\n') {
            let message = "a key on several lines";
            return Some((codes::YAML_KEY, message, "write it on one line"));
        }
        if !self.colon_follows(plain) {
            let help = "write a ':', a space and its value after it, on the same line";
            return Some((codes::YAML_KEY, "a key without ':'", help));
        }
        None
    }

    /// Whether a ':' follows on this line, and a space after it where nothing else ends the key.
    fn colon_follows(&self, plain: bool) -> bool {
        let rest = self.source.rest().trim_start_matches(' ');
        match rest.strip_prefix(':') {
            Some(value) => !plain || value.is_empty() || value.starts_with([' ', '\t', '\r', '\n']),
            None => false,
        }
    }

    /// Finds keys that stand twice. The later one is the finding.
    fn check_duplicates(&mut self, entries: &[Entry<'t>]) {
        let mut order: Vec<&Entry<'t>> = entries.iter().collect();
        order.sort_by(|a, b| a.key.cmp(&b.key).then(a.spot.cmp(&b.spot)));
        for pair in order.windows(2) {
            let [first, second] = pair else { continue };
            if first.key == second.key && self.problems.errors() <= limits::FINDINGS {
                let message = format!("{} stands twice here", super::shown(&first.key));
                let problem =
                    Problem::error(second.spot.of(self.file), codes::DUPLICATE_KEY, message)
                        .help("keep one of them")
                        .related(first.spot.of(self.file));
                self.problems.push(problem);
            }
        }
    }
}

/// The text as it stands in the file where that is the same; a copy of its own length else.
fn shared<'t>(text: Cow<'_, str>, raw: &'t str) -> Cow<'t, str> {
    if text == raw {
        return Cow::Borrowed(raw);
    }
    let inner = raw.get(1..raw.len().saturating_sub(1));
    match inner {
        Some(inner) if text == inner => Cow::Borrowed(inner),
        _ => Cow::Owned(String::from(text.into_owned().into_boxed_str())),
    }
}

/// Characters of the first line.
fn length(raw: &str) -> u32 {
    let first = raw.lines().next().unwrap_or_default();
    u32::try_from(first.chars().count()).unwrap_or(u32::MAX)
}

fn odd(oddity: Oddity, spot: Spot, file: &Arc<str>) -> Problem {
    let place = spot.of(file);
    match oddity {
        Oddity::Tab => {
            Problem::error(place, codes::YAML_TAB, "a tab stands between values").help("use spaces")
        }
        Oddity::Directive => {
            Problem::error(place, codes::YAML_DIRECTIVE, "directives are not read")
                .help("take the line away")
        }
        Oddity::ExplicitKey => Problem::error(place, codes::YAML_KEY, "a key that begins with '?'")
            .help("write the key, a ':' and its value on one line"),
        Oddity::DocumentEnd => Problem::error(
            place,
            codes::YAML_SYNTAX,
            "... ends a document before any has begun",
        )
        .help("take the line away"),
        Oddity::Other(character) => {
            let message = format!("'{character}' stands where YAML readers differ");
            Problem::error(place, codes::YAML_AMBIGUOUS, message).help("quote the value")
        }
    }
}
