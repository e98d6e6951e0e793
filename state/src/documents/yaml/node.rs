//! What a YAML document says, as one tree in which every value has its place.

use std::borrow::Cow;
use std::sync::Arc;

use crate::words::place::Place;

/// A place within a file that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters, on that line; 0 where only the point is known.
    pub length: u32,
}

impl Spot {
    /// The place of it in a file.
    pub fn of(self, file: &Arc<str>) -> Place {
        Place {
            file: Arc::clone(file),
            line: self.line,
            column: self.column,
            length: self.length,
        }
    }
}

/// A value and its place. A list or mapping stands where its first item or bracket does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'t> {
    /// Where it stands.
    pub spot: Spot,
    /// What it is.
    pub value: Value<'t>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'t> {
    /// One value; its type is that of [`Scalar::kind`](super::Scalar::kind).
    Scalar(Scalar<'t>),
    /// `[…]`, or items after dashes.
    List(Vec<Node<'t>>),
    /// `{…}`, or keys with values, in their order.
    Map(Vec<Entry<'t>>),
    /// A finding about it has been made already, so nobody makes a second one.
    Refused,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'t> {
    /// The key.
    pub key: Cow<'t, str>,
    /// Whether the key is a boolean for some readers: `y`, `on`, not quoted.
    pub ambiguous: bool,
    /// Where the key stands.
    pub spot: Spot,
    /// The value.
    pub value: Node<'t>,
}

/// The text of a scalar, and whether quotes or a block say that it is text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar<'t> {
    /// The text, with quotes, escapes and folding undone.
    pub text: Cow<'t, str>,
    /// Plain: neither quoted nor in a block, so that its form tells its type.
    pub plain: bool,
}

impl Node<'_> {
    /// Whether it is `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind() == super::Kind::Null,
            _ => false,
        }
    }
}
