//! The bytes of a tree, as a source gives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::words::place::Place;

/// Why a file of the source is not read as documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// Its name, or a folder's on its way, begins with a dot.
    DotName,
    /// Its name ends neither in `.yaml` nor in `.yml`.
    NotYaml,
    /// A glob of `ignore` in `plumbline.yaml` matches it.
    Ignored,
    /// A symbolic link or a submodule at a path where no document would be read.
    NotAFile,
}

/// The files of a tree, sorted by path. Paths are relative to the tree's root, with `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Candidate documents: path to content. `ignore` globs have not been applied yet.
    pub files: BTreeMap<Arc<str>, Arc<[u8]>>,
    /// What was left out, and why.
    pub left_out: BTreeMap<Arc<str>, LeftOut>,
}

impl Tree {
    /// The configuration of the tree, at its root.
    pub const CONFIG: &'static str = "plumbline.yaml";

    /// The line of a file that a place points at, for a renderer's caret.
    pub fn line(&self, place: &Place) -> Option<&str> {
        let content = std::str::from_utf8(self.files.get(&place.file)?).ok()?;
        content
            .lines()
            .nth(usize::try_from(place.line).ok()?.checked_sub(1)?)
    }
}
