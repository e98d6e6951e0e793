//! Copies of applied trees that no git commit holds, in the state directory.
//!
//! A rule's file and line are resolved when they are shown, and a plan says in words what changes
//! from the applied tree: for a directory or `--worktree` both need that tree as it was. A copy is
//! one file, named by the tree's content hash and checked against it when it is read.
//!
//! ```text
//! file:  "plumbline tree 1\n", then for each document:
//!        path length (8 bytes, little endian), path, content length (8 bytes), content
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use state::documents::tree::Tree;

use super::{dirs, files};

/// Folder of the copies in the state directory.
pub const FOLDER: &str = "trees";
const FIRST_LINE: &[u8] = b"plumbline tree 1\n";

/// Why a copy cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The folder of the copies cannot be used.
    #[error(transparent)]
    Folder(#[from] dirs::DirsError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] files::WriteError),
    /// It cannot be read.
    #[error("cannot read the copy of tree {hash} at {}: {cause}", path.display())]
    Read {
        /// The tree's content hash.
        hash: String,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It is damaged.
    #[error(
        "the copy of tree {hash} at {} is damaged; the next apply of a directory writes it anew",
        path.display()
    )]
    Damaged {
        /// The tree's content hash.
        hash: String,
        /// The file.
        path: PathBuf,
    },
    /// An old copy cannot be removed.
    #[error("cannot remove the old copy {}: {cause}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
}

/// Writes a copy of a tree and gives its content hash.
pub fn write(state_directory: &Path, tree: &Tree) -> Result<String, CopyError> {
    let hash = tree.content_hash().to_hex().to_string();
    let folder = state_directory.join(FOLDER);
    dirs::make(&folder)?;
    files::replace_by(&folder.join(&hash), 0o600, |writer| {
        writer.write_all(FIRST_LINE)?;
        for (path, content) in &tree.files {
            for part in [path.as_bytes(), content] {
                writer.write_all(&(part.len() as u64).to_le_bytes())?;
                writer.write_all(part)?;
            }
        }
        Ok(())
    })?;
    Ok(hash)
}

/// Reads the copy of a tree; `None` where there is none.
pub fn read(state_directory: &Path, hash: &str) -> Result<Option<Tree>, CopyError> {
    if !is_hash(hash) {
        return Ok(None);
    }
    let path = state_directory.join(FOLDER).join(hash);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            let hash = hash.to_owned();
            return Err(CopyError::Read { hash, path, cause });
        }
    };
    match parse(&bytes).filter(|tree| tree.content_hash().to_hex().as_str() == hash) {
        Some(tree) => Ok(Some(tree)),
        None => Err(CopyError::Damaged {
            hash: hash.to_owned(),
            path,
        }),
    }
}

/// Removes all copies but these, and what a run that died left beside them.
pub fn keep(state_directory: &Path, hashes: &[&str]) -> Result<(), CopyError> {
    let folder = state_directory.join(FOLDER);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| CopyError::Remove { path, cause }
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(&folder)(e)),
    };
    for entry in entries {
        let entry = entry.map_err(failed(&folder))?;
        let name = entry.file_name();
        if !hashes.iter().any(|hash| name == **hash) {
            fs::remove_file(entry.path()).map_err(failed(&entry.path()))?;
        }
    }
    Ok(())
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn parse(bytes: &[u8]) -> Option<Tree> {
    let mut rest = bytes.strip_prefix(FIRST_LINE)?;
    let mut tree = Tree::default();
    while !rest.is_empty() {
        let path = std::str::from_utf8(part(&mut rest)?).ok()?;
        let content = part(&mut rest)?;
        tree.files.insert(Arc::from(path), Arc::from(content));
    }
    Some(tree)
}

/// The next part of a copy, after its length.
fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree {
            files: files
                .iter()
                .map(|(path, content)| (Arc::from(*path), Arc::from(content.as_bytes())))
                .collect(),
            ..Tree::default()
        }
    }

    #[test]
    fn a_copy_is_the_tree_again() {
        let dir = tempfile::tempdir().unwrap();
        for tree in [tree(&[]), tree(&[("a.yaml", "a"), ("sub/b.yml", "")])] {
            let hash = write(dir.path(), &tree).unwrap();
            assert_eq!(write(dir.path(), &tree).unwrap(), hash);
            assert_eq!(read(dir.path(), &hash).unwrap(), Some(tree));
        }
        assert_eq!(read(dir.path(), &"0".repeat(64)).unwrap(), None);
        assert_eq!(read(dir.path(), "../../etc/passwd").unwrap(), None);
    }

    #[test]
    fn a_damaged_copy_is_never_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let hash = write(dir.path(), &tree(&[("a.yaml", "aaaa"), ("b.yaml", "b")])).unwrap();
        let path = dir.path().join(FOLDER).join(&hash);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 0x11;
            for damaged in [&wrong[..], &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                let result = read(dir.path(), &hash);
                assert!(matches!(result, Err(CopyError::Damaged { .. })), "{at}");
            }
        }
    }

    #[test]
    fn only_the_copies_that_are_named_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path(), &[]).unwrap();
        let old = write(dir.path(), &tree(&[("a.yaml", "old")])).unwrap();
        let new = write(dir.path(), &tree(&[("a.yaml", "new")])).unwrap();
        fs::write(dir.path().join(FOLDER).join(".left.new"), "").unwrap();
        keep(dir.path(), &[&new]).unwrap();
        assert_eq!(read(dir.path(), &old).unwrap(), None);
        assert!(read(dir.path(), &new).unwrap().is_some());
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 1);
    }
}
