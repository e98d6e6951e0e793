//! Label sets, and the selectors that choose by them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::names::ObjectName;

/// A set of labels: key to value. Keys and values were checked where they entered (a key is an
/// optional DNS prefix and `/`, then up to 63 characters; a value has up to 63).
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The label every namespace has: its own name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One requirement of a selector, as in `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Arc<str>,
    /// What is required of it.
    pub operator: Operator,
}

/// What a requirement asks of a label. As Kubernetes defines it, a label that is absent satisfies
/// `NotIn`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// Present, with one of these values (at least one).
    In(BTreeSet<Arc<str>>),
    /// Absent, or with none of these values (at least one).
    NotIn(BTreeSet<Arc<str>>),
    /// Present, with any value.
    Exists,
    /// Absent.
    DoesNotExist,
}

/// A label selector: all requirements hold. The empty selector selects everything; `matchLabels`
/// is `In` with one value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// The requirements, sorted and without duplicates.
    pub requirements: BTreeSet<Requirement>,
}

impl Selector {
    /// Whether it selects something that carries `labels`.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.contains(v)),
            Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// Why a label's key or value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelError {
    /// The key, or its part after the `/`, is empty.
    EmptyName,
    /// It has more than 63 characters (of a key, the part after the `/`).
    TooLong,
    /// A character may not stand there (the byte offset is given).
    Character(usize),
    /// The key has more than one `/`.
    Slashes,
    /// The part of a key before the `/` is no DNS subdomain of at most 253 characters.
    Prefix,
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => f.write_str("has no name"),
            Self::TooLong => f.write_str("is longer than 63 characters"),
            Self::Character(at) => write!(
                f,
                "has a character at offset {at} that may not stand there (letters, digits, '-', \
                 '_' and '.' may; it begins and ends with a letter or digit)"
            ),
            Self::Slashes => f.write_str("has more than one '/'"),
            Self::Prefix => {
                f.write_str("has a prefix before the '/' that is no DNS name in lower case")
            }
        }
    }
}

impl std::error::Error for LabelError {}

/// Checks a label's key as Kubernetes does (`IsQualifiedName`): an optional DNS subdomain and `/`,
/// then 1 to 63 of `[A-Za-z0-9._-]`, beginning and ending with a letter or digit.
pub fn check_key(key: &str) -> Result<(), LabelError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.contains('/') {
        return Err(LabelError::Slashes);
    }
    if prefix.is_some_and(|prefix| ObjectName::new(prefix).is_err()) {
        return Err(LabelError::Prefix);
    }
    if name.is_empty() {
        return Err(LabelError::EmptyName);
    }
    check_characters(name, key.len() - name.len())
}

/// Checks a label's value as Kubernetes does (`IsValidLabelValue`): empty, or like a key's name.
pub fn check_value(value: &str) -> Result<(), LabelError> {
    check_characters(value, 0)
}

fn check_characters(text: &str, offset: usize) -> Result<(), LabelError> {
    if text.len() > 63 {
        return Err(LabelError::TooLong);
    }
    for (at, byte) in text.bytes().enumerate() {
        let inner = at != 0 && at + 1 != text.len();
        match byte {
            _ if byte.is_ascii_alphanumeric() => {}
            b'-' | b'_' | b'.' if inner => {}
            _ => return Err(LabelError::Character(offset + at)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_qualified_names() {
        for key in ["app", "a.b/c", "A_1", "kubernetes.io/metadata.name"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        for (key, error) in [
            ("", LabelError::EmptyName),
            ("a/", LabelError::EmptyName),
            ("/a", LabelError::Prefix),
            ("A/a", LabelError::Prefix),
            ("a/b/c", LabelError::Slashes),
            ("a b", LabelError::Character(1)),
            ("x/-b", LabelError::Character(2)),
            ("a\0", LabelError::Character(1)),
            ("é", LabelError::Character(0)),
        ] {
            assert_eq!(check_key(key), Err(error), "{key:?}");
        }
        assert_eq!(check_key(&"a".repeat(64)), Err(LabelError::TooLong));
        assert_eq!(
            check_key(&format!("{}/a", "a".repeat(254))),
            Err(LabelError::Prefix)
        );
    }

    #[test]
    fn values_may_be_empty() {
        for value in ["", "a", "1", "a.b_c-d", &"a".repeat(63)] {
            assert_eq!(check_value(value), Ok(()), "{value}");
        }
        assert_eq!(check_value("a=b"), Err(LabelError::Character(1)));
        assert_eq!(check_value("a."), Err(LabelError::Character(1)));
        assert_eq!(check_value(&"a".repeat(64)), Err(LabelError::TooLong));
    }
}
