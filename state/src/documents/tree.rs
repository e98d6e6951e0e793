//! The bytes of a tree, as a source gives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ignore::Ignore;
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
    /// `ignore` of `plumbline.yaml`, once that has been read.
    pub ignore: Ignore,
}

impl Tree {
    /// The configuration of the tree, at its root.
    pub const CONFIG: &'static str = "plumbline.yaml";

    /// The content hash of its documents: blake3 over each path and content, each after its length.
    /// It stands for the commit of a tree that comes from a directory.
    pub fn content_hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("plumbline directory tree");
        for (path, content) in &self.files {
            for part in [path.as_bytes(), content] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize()
    }

    /// Moves the files that `ignore` names from what is read to what is left out.
    pub(super) fn leave_out(&mut self, ignore: Ignore) {
        let ignored: Vec<_> = self
            .files
            .keys()
            .filter(|path| &***path != Self::CONFIG && ignore.is_ignored(path))
            .cloned()
            .collect();
        for path in ignored {
            self.files.remove(&path);
            self.left_out.insert(path, LeftOut::Ignored);
        }
        self.ignore = ignore;
    }

    /// Whether `ignore` of `plumbline.yaml` names this path, whatever stands there. `false` for all
    /// until the documents have been parsed.
    pub fn is_ignored(&self, path: &str) -> bool {
        path != Self::CONFIG && self.ignore.is_ignored(path)
    }

    /// The line of a file that a place points at, for a renderer's caret.
    pub fn line(&self, place: &Place) -> Option<&str> {
        let content = std::str::from_utf8(self.files.get(&place.file)?).ok()?;
        content
            .lines()
            .nth(usize::try_from(place.line).ok()?.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_paths_and_contents_alone() {
        let hash = |files: &[(&str, &str)]| {
            let files = files.iter();
            let tree = Tree {
                files: files
                    .map(|(path, content)| (Arc::from(*path), Arc::from(content.as_bytes())))
                    .collect(),
                left_out: BTreeMap::from([(Arc::from("x"), LeftOut::NotYaml)]),
                ..Tree::default()
            };
            tree.content_hash()
        };
        let one = hash(&[("a.yaml", "xy"), ("b.yaml", "")]);
        assert_eq!(one, hash(&[("b.yaml", ""), ("a.yaml", "xy")]));
        assert_ne!(one, hash(&[("a.yaml", "x"), ("b.yaml", "y")]));
        assert_ne!(one, hash(&[("a.yamlx", "y"), ("b.yaml", "")]));
    }
}
