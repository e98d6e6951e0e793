//! Where something stands in a source.

use std::fmt;
use std::sync::Arc;

/// A place in a file of a tree. Lines and columns count from 1, columns in characters.
///
/// Places order by file, then line, then column, so sorting findings sorts them as a reader meets
/// them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path below the tree's root, with `/` between its parts. Empty for the tree as a whole.
    pub file: Arc<str>,
    /// Line, from 1; 0 where the finding is about the whole file.
    pub line: u32,
    /// Column in characters, from 1; 0 where the finding is about the whole file.
    pub column: u32,
    /// Length in characters of what is meant; 0 where only the point is known.
    pub length: u32,
}

impl Place {
    /// The place of a whole file.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            length: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}", self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
