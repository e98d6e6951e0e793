//! Names, validated once: RFC 1123 labels and subdomains, as Kubernetes uses them.

use std::fmt;
use std::sync::Arc;

/// What the alias of an interface of ours begins with; the container's name follows.
pub const ALIAS_MARK: &str = "plumbline:";

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It has more than the given number of characters.
    TooLong(usize),
    /// It holds a character that may not stand there (the byte offset is given).
    Character(usize),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong(most) => write!(f, "is longer than {most} characters"),
            Self::Character(at) => write!(
                f,
                "has a character at offset {at} that may not stand there (lower-case letters, \
                 digits and '-' may; it begins and ends with a letter or digit)"
            ),
        }
    }
}

impl std::error::Error for NameError {}

/// Checks one RFC 1123 label: 1 to 63 of `[a-z0-9-]`, beginning and ending with a letter or digit.
fn check_label(text: &str) -> Result<(), NameError> {
    if text.len() > 63 {
        return Err(NameError::TooLong(63));
    }
    check_characters(text, 0)
}

/// The same for a label of any length, which begins at `offset` of the name.
fn check_characters(text: &str, offset: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let last = text.len() - 1;
    for (at, byte) in text.bytes().enumerate() {
        let inner = at != 0 && at != last;
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {}
            b'-' if inner => {}
            _ => return Err(NameError::Character(offset + at)),
        }
    }
    Ok(())
}

/// A namespace's name: an RFC 1123 label, so it never holds a dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceName(Arc<str>);

impl NamespaceName {
    /// The namespace of documents that name none.
    pub const DEFAULT: &'static str = "default";

    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_label(text)?;
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object's name: an RFC 1123 subdomain of at most 253 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Arc<str>);

impl ObjectName {
    /// Checks and takes a name. Each dot-separated part is a label, as Kubernetes checks it
    /// (`IsDNS1123Subdomain`, which allows parts longer than 63).
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > 253 {
            return Err(NameError::TooLong(253));
        }
        let mut offset = 0;
        for part in text.split('.') {
            match check_characters(part, offset) {
                Err(NameError::Empty) if !text.is_empty() => {
                    return Err(NameError::Character(offset));
                }
                checked => checked?,
            }
            offset += part.len() + 1;
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A container's or a policy's full name. Orders by namespace, then name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The name within it.
    pub name: ObjectName,
}

impl FullName {
    /// `<namespace>.<name>`: the name of its network namespace and of its directory of pins. A
    /// namespace has no dot, so this names one container only.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    /// Reads `<namespace>.<name>` back.
    pub fn from_dotted(text: &str) -> Result<Self, NameError> {
        Self::split(text, '.')
    }

    /// Reads `<namespace>/<name>`.
    pub fn from_slashed(text: &str) -> Result<Self, NameError> {
        Self::split(text, '/')
    }

    fn split(text: &str, separator: char) -> Result<Self, NameError> {
        let (namespace, name) = text
            .split_once(separator)
            .ok_or(NameError::Character(text.len()))?;
        Ok(Self {
            namespace: NamespaceName::new(namespace)?,
            name: ObjectName::new(name)?,
        })
    }
}

/// A host's name, as `spec.host` and `--host` give it: an RFC 1123 subdomain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(ObjectName);

impl HostName {
    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        ObjectName::new(text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    )*};
}

shown_as_text!(NamespaceName, ObjectName, HostName);

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_one_label() {
        assert!(NamespaceName::new("shop").is_ok());
        assert_eq!(NamespaceName::new(""), Err(NameError::Empty));
        assert_eq!(NamespaceName::new("a.b"), Err(NameError::Character(1)));
        assert_eq!(NamespaceName::new("-a"), Err(NameError::Character(0)));
        assert_eq!(
            NamespaceName::new(&"a".repeat(64)),
            Err(NameError::TooLong(63))
        );
    }

    #[test]
    fn a_dotted_name_splits_at_the_first_dot() {
        let name = FullName::from_dotted("shop.web.v1").unwrap();
        assert_eq!(
            (name.namespace.as_str(), name.name.as_str()),
            ("shop", "web.v1")
        );
        assert_eq!(name.dotted(), "shop.web.v1");
        assert_eq!(name.to_string(), "shop/web.v1");
    }

    #[test]
    fn an_object_name_has_no_empty_part() {
        assert_eq!(ObjectName::new("a..b"), Err(NameError::Character(2)));
        assert_eq!(ObjectName::new(""), Err(NameError::Empty));
        assert!(ObjectName::new("a.b-c.d0").is_ok());
    }

    #[test]
    fn a_long_part_is_checked_as_well() {
        let long = "a".repeat(100);
        assert!(ObjectName::new(&long).is_ok());
        assert_eq!(
            ObjectName::new(&format!("{long}/../x")),
            Err(NameError::Character(100))
        );
        assert_eq!(
            ObjectName::new(&"a".repeat(254)),
            Err(NameError::TooLong(253))
        );
    }
}
