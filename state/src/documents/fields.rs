//! Reading a mapping field by field.
//!
//! Documents are never deserialised through types that drop what they do not know: each parser
//! takes the fields it knows from a [`Fields`], and whatever is left is an unknown field. Every
//! reader here makes a finding where it cannot read, and returns `None` so that reading goes on
//! elsewhere. `null` is the same as an absent field, everywhere.

use std::sync::Arc;

use super::codes;
use super::limits;
use super::suggest::fields_hint;
use super::yaml::{Budget, Entry, Kind, Node, Spot, Value, shown};
use crate::words::place::Place;
use crate::words::problem::{Problem, Problems};

/// What the parsers of one file write to.
pub(super) struct Context<'a> {
    /// The file.
    pub(super) file: Arc<str>,
    /// Findings.
    pub(super) problems: &'a mut Problems,
    /// What is accepted and acted on by nobody.
    pub(super) accepted: &'a mut Vec<(String, Place)>,
    /// What is left of the limits.
    pub(super) budget: &'a mut Budget,
}

impl Context<'_> {
    /// A place in this file.
    pub(super) fn place(&self, spot: Spot) -> Place {
        spot.of(&self.file)
    }

    /// Makes a finding.
    pub(super) fn error(&mut self, spot: Spot, code: &'static str, message: impl Into<String>) {
        let place = self.place(spot);
        self.problems.push(Problem::error(place, code, message));
    }

    /// Makes a finding that says what to do.
    pub(super) fn error_with(
        &mut self,
        spot: Spot,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let place = self.place(spot);
        self.problems
            .push(Problem::error(place, code, message).help(help));
    }

    /// Whether there is room for one more label.
    pub(super) fn has_room(&mut self) -> bool {
        self.budget.label(&self.file, self.problems)
    }

    /// Notes something that an API server wrote.
    pub(super) fn accept(&mut self, field: impl Into<String>, spot: Spot) {
        let place = self.place(spot);
        self.accepted.push((field.into(), place));
    }

    fn wrong_type(&mut self, node: &Node<'_>, what: &str, wanted: &str, help: Option<String>) {
        let message = format!("{what} must be {wanted}, not {}", described(node));
        let problem = Problem::error(self.place(node.spot), codes::WRONG_TYPE, message);
        self.problems.push(Problem { help, ..problem });
    }

    /// Reads text. A plain form that some readers take for something else is not text.
    pub(super) fn text<'n>(&mut self, node: &'n Node<'_>, what: &str) -> Option<&'n str> {
        let Value::Scalar(scalar) = &node.value else {
            if node.value != Value::Refused {
                self.wrong_type(node, what, "a string", None);
            }
            return None;
        };
        match scalar.kind() {
            Kind::Text => return Some(&scalar.text),
            Kind::Ambiguous(otherwise) => {
                let text = shown(&scalar.text);
                let message = format!("some YAML readers take {text} for {otherwise}");
                let help = format!("quote it if it is text: {text}");
                self.error_with(node.spot, codes::YAML_AMBIGUOUS, message, help);
            }
            Kind::Null => self.wrong_type(node, what, "a string", None),
            _ => {
                let help = format!("quote it if it is text: {}", shown(&scalar.text));
                self.wrong_type(node, what, "a string", Some(help));
            }
        }
        None
    }

    /// Reads an integer.
    pub(super) fn integer(&mut self, node: &Node<'_>, what: &str) -> Option<i64> {
        match &node.value {
            Value::Refused => return None,
            Value::Scalar(scalar) if scalar.kind() == Kind::Integer => {
                // Beyond 63 bits it is beyond every limit as well.
                return Some(scalar.text.parse().unwrap_or(i64::MAX));
            }
            _ => {}
        }
        self.wrong_type(node, what, "a whole number", self.unquoted(node));
        None
    }

    /// The hint for a number in quotes, or in another base.
    fn unquoted(&self, node: &Node<'_>) -> Option<String> {
        let Value::Scalar(scalar) = &node.value else {
            return None;
        };
        let decimal = !scalar.text.is_empty() && scalar.text.bytes().all(|b| b.is_ascii_digit());
        match scalar.kind() {
            Kind::Text if decimal => Some("write it without quotes".to_owned()),
            Kind::Number | Kind::Ambiguous(_) => Some("write it in decimal digits".to_owned()),
            _ => None,
        }
    }

    /// Reads a boolean.
    pub(super) fn boolean(&mut self, node: &Node<'_>, what: &str) -> Option<bool> {
        match &node.value {
            Value::Refused => return None,
            Value::Scalar(scalar) => {
                if let Kind::Bool(boolean) = scalar.kind() {
                    return Some(boolean);
                }
            }
            _ => {}
        }
        let help = "write true or false".to_owned();
        self.wrong_type(node, what, "a boolean", Some(help));
        None
    }

    /// Reads a list, without the items that are nothing: each of these is a finding.
    pub(super) fn list<'n, 't>(
        &mut self,
        node: &'n Node<'t>,
        what: &str,
    ) -> Option<Vec<&'n Node<'t>>> {
        let items = match &node.value {
            Value::List(items) => items,
            Value::Refused => return None,
            _ => {
                let help = "write each item on a line of its own after '- '".to_owned();
                self.wrong_type(node, what, "a list", Some(help));
                return None;
            }
        };
        for item in items.iter().filter(|item| item.is_null()) {
            let message = format!("an item of {what} is empty");
            let help = match what {
                "ingress" | "egress" => "take it away, or write {} if everything is to be allowed",
                _ => "take it away",
            };
            self.error_with(item.spot, codes::EMPTY_ITEM, message, help);
        }
        Some(items.iter().filter(|item| !item.is_null()).collect())
    }

    /// Reads a mapping with keys of any name.
    pub(super) fn map<'n, 't>(
        &mut self,
        node: &'n Node<'t>,
        what: &str,
    ) -> Option<&'n [Entry<'t>]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Refused => None,
            _ => {
                self.wrong_type(node, what, "a mapping", None);
                None
            }
        }
    }

    /// Checks that something which nobody reads has the shape that Kubernetes gives it.
    pub(super) fn shape(&mut self, node: &Node<'_>, what: &str, shape: Shape) {
        let fits = match (&node.value, shape) {
            (Value::Refused, _) => true,
            (Value::Scalar(_), Shape::Scalar) => true,
            (Value::List(_), Shape::List) => true,
            (Value::Map(_), Shape::Map) => true,
            _ => node.is_null(),
        };
        if !fits {
            let wanted = match shape {
                Shape::Scalar => "one value",
                Shape::List => "a list",
                Shape::Map => "a mapping",
            };
            self.wrong_type(node, what, wanted, None);
        }
    }
}

/// The shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One value.
    Scalar,
    /// A list.
    List,
    /// A mapping.
    Map,
}

fn described(node: &Node<'_>) -> &'static str {
    match &node.value {
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Refused => "this",
        Value::Scalar(scalar) => match scalar.kind() {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Integer => "a number",
            Kind::Number | Kind::TooLarge => "another kind of number",
            Kind::Ambiguous(_) | Kind::Text => "a string",
        },
    }
}

/// A mapping whose fields are known.
pub(super) struct Fields<'n, 't> {
    what: &'static str,
    spot: Spot,
    entries: &'n [Entry<'t>],
    known: Vec<&'static str>,
}

impl<'n, 't> Fields<'n, 't> {
    /// The fields of `node`, which is called `what`. `None` as well where so much was found already
    /// that reading stops anyway.
    pub(super) fn of(
        node: &'n Node<'t>,
        what: &'static str,
        context: &mut Context<'_>,
    ) -> Option<Self> {
        if context.problems.errors() > limits::FINDINGS {
            return None;
        }
        let entries = context.map(node, what)?;
        Some(Self {
            what,
            spot: node.spot,
            entries,
            known: Vec::new(),
        })
    }

    /// Where the mapping stands.
    pub(super) fn spot(&self) -> Spot {
        self.spot
    }

    /// A field and its key, even where it is `null`.
    pub(super) fn entry(&mut self, name: &'static str) -> Option<&'n Entry<'t>> {
        self.known.push(name);
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// A field; `None` where it is absent or `null`.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'n Node<'t>> {
        self.entry(name)
            .map(|entry| &entry.value)
            .filter(|node| !node.is_null())
    }

    /// A field that must be there.
    pub(super) fn required(
        &mut self,
        name: &'static str,
        context: &mut Context<'_>,
    ) -> Option<&'n Node<'t>> {
        let node = self.take(name);
        if node.is_none() {
            let message = format!("{} has no {name}", self.what);
            context.error(self.spot, codes::MISSING_FIELD, message);
        }
        node
    }

    /// A field that a later version serves.
    pub(super) fn later(&mut self, name: &'static str, context: &mut Context<'_>) {
        if let Some(entry) = self.entry(name).filter(|entry| !entry.value.is_null()) {
            let message = format!("{name} of {} is not served by this version", self.what);
            context.error(entry.spot, codes::NOT_SERVED, message);
        }
    }

    /// Every field that was not asked for is unknown. Whether there was none. A hint takes longer
    /// to find than the rest of a document to read: there is one for each finding that is kept.
    pub(super) fn finish(self, context: &mut Context<'_>) -> bool {
        let mut known = true;
        for entry in self.entries {
            if self.known.contains(&&*entry.key) {
                continue;
            }
            known = false;
            if context.problems.errors() > limits::FINDINGS {
                break;
            }
            let message = format!("{} has no field {}", self.what, shown(&entry.key));
            let place = context.place(entry.spot);
            let problem = Problem::error(place, codes::UNKNOWN_FIELD, message);
            let is_kept = context.problems.errors() < Problems::MOST;
            context.problems.push(Problem {
                help: is_kept.then(|| fields_hint(&entry.key, &self.known)),
                ..problem
            });
        }
        known
    }
}
