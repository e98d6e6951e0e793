//! What a work tree holds that its commit does not: uncommitted documents, named loudly.
//!
//! Only documents below the tree's folder count, since nothing else is read. No filter, attribute
//! or hook of git's runs: a file is clean if the index says so in the way git uses it (same blob as
//! the commit, and same size, times and inode as when git last looked), or if its bytes are the
//! commit's. So a work tree that a filter rewrites at checkout is named as changed, which errs on
//! the loud side; files that git was told not to look at (`skip-worktree`, `assume-unchanged`) are
//! not.
//!
//! The commit is what is read, so nothing that stands in the work tree beside it can fail a run:
//! folders that git ignores are not gone into, and where a folder cannot be read, or holds more
//! than a tree may, that is what is told ([`Change::Unseen`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::sync::Arc;

use gix::ObjectId;
use gix::index::entry::{Flags, Stage, Stat as IndexStat};

use super::directory::{DirectoryError, Offered, OpenDirectory, Stamp};
use super::git::{CommitTree, Objects};
use super::ignored::Ignored;
use super::repository::Repository;
use super::selection::Selection;

/// How a document of the work tree differs from the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The commit has it with another content.
    Modified,
    /// The commit does not have it.
    Added,
    /// The work tree does not have it, or has no regular file there.
    Deleted,
    /// It cannot be read, a file or a folder.
    Unseen,
}

/// An uncommitted change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uncommitted {
    /// The document's path below the tree's root; "." for the root itself.
    pub path: Arc<str>,
    /// What happened to it.
    pub change: Change,
}

impl Uncommitted {
    fn unseen(path: &str) -> Self {
        Self {
            path: path.into(),
            change: Change::Unseen,
        }
    }
}

impl fmt::Display for Uncommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = match self.change {
            Change::Modified => "modified",
            Change::Added => "new",
            Change::Deleted => "deleted",
            Change::Unseen => {
                let path = match &*self.path {
                    "." => "the work tree",
                    path => path,
                };
                return write!(
                    f,
                    "{path} cannot be read whole, so changes may not all be named"
                );
            }
        };
        write!(f, "{} is {change} and not committed", self.path)
    }
}

/// Compares the documents of the work tree with those of the commit it stands on. Sorted by path.
pub(super) fn uncommitted(
    objects: &Objects,
    place: &Repository,
    read: &CommitTree,
) -> Vec<Uncommitted> {
    let Some(top) = &place.work_tree else {
        return Vec::new();
    };
    let index = Index::read(objects, place);
    let folder = top.join(&place.subfolder);
    let directory = match OpenDirectory::open(&folder) {
        Ok(directory) => directory,
        Err(_) if folder.is_dir() => return vec![Uncommitted::unseen(".")],
        // A commit may hold a folder that the work tree does not: then all of it is deleted there.
        Err(_) => {
            let gone = read.blobs.iter().map(|(path, _)| path);
            return named(gone.filter(|path| !index.trusts(path)), Change::Deleted);
        }
    };
    let mut found = Vec::new();
    for (path, blob) in &read.blobs {
        let content = read.tree.files.get(path).map(AsRef::as_ref);
        let change = compare(&directory, &index, path, *blob, content);
        found.extend(change.map(|change| Uncommitted {
            path: Arc::clone(path),
            change,
        }));
    }
    found.extend(added(&directory, &read.blobs, Ignored::new(place, top)));
    found.sort();
    found
}

fn named<'p>(paths: impl Iterator<Item = &'p Arc<str>>, change: Change) -> Vec<Uncommitted> {
    let named = paths.map(|path| Uncommitted {
        path: Arc::clone(path),
        change,
    });
    named.collect()
}

/// The documents of the work tree that the commit does not have, as far as it can be read.
fn added(
    directory: &OpenDirectory,
    blobs: &[(Arc<str>, ObjectId)],
    mut ignored: Ignored,
) -> Vec<Uncommitted> {
    let committed: BTreeSet<&str> = blobs.iter().map(|(path, _)| path.as_ref()).collect();
    let mut found = Vec::new();
    let walked = directory.walk(&mut Selection::default(), |_, entry| {
        Ok(match entry {
            Offered::Folder(path) => !ignored.covers(path, true),
            Offered::File(path) => {
                let new = !committed.contains(&**path) && !ignored.covers(path, false);
                found.extend(new.then(|| Arc::clone(path)));
                true
            }
        })
    });
    let mut found = named(found.iter(), Change::Added);
    if let Err(error) = walked {
        found.push(match error {
            DirectoryError::Read { entry, .. } if !entry.as_os_str().is_empty() => {
                Uncommitted::unseen(&entry.to_string_lossy())
            }
            _ => Uncommitted::unseen("."),
        });
    }
    found
}

/// Compares a document with its content in the commit; `None` where that was too large to be read.
fn compare(
    directory: &OpenDirectory,
    index: &Index,
    path: &Arc<str>,
    blob: ObjectId,
    committed: Option<&[u8]>,
) -> Option<Change> {
    if index.trusts(path) {
        return None;
    }
    let (file, stat) = match directory.open_file(path) {
        Ok(Some(open)) => open,
        Ok(None) => return Some(Change::Deleted),
        Err(_) => return Some(Change::Unseen),
    };
    let stamp = Stamp::of(&stat);
    if index.is_clean(path, blob, &stamp) {
        return None;
    }
    // Of another size it is another, and need not be read.
    let Some(committed) = committed.filter(|bytes| bytes.len() as u64 == stamp.size) else {
        return Some(Change::Modified);
    };
    match directory.content(path, file) {
        Ok(content) => (content != committed).then_some(Change::Modified),
        Err(_) => Some(Change::Unseen),
    }
}

/// What the index says about the documents below the tree's folder.
#[derive(Default)]
struct Index {
    entries: BTreeMap<Arc<str>, Noted>,
    /// When the index was written, in seconds and nanoseconds: an entry that is not older may
    /// have changed since within the clock's grain (git's "racy" entries).
    written: (i64, u64),
}

/// One entry of the index.
struct Noted {
    id: ObjectId,
    stat: IndexStat,
    trusted: bool,
}

impl Index {
    /// Reads it; empty where there is none, so that every file is hashed.
    fn read(objects: &Objects, place: &Repository) -> Self {
        let (Some(file), Ok(metadata)) =
            (objects.index(), fs::metadata(place.git_dir.join("index")))
        else {
            return Self::default();
        };
        use std::os::unix::fs::MetadataExt;
        let below = match place.subfolder.as_str() {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let entries = file
            .entries()
            .iter()
            .filter(|entry| entry.stage() == Stage::Unconflicted)
            .filter_map(|entry| {
                let path = std::str::from_utf8(entry.path(&file)).ok()?;
                let noted = Noted {
                    id: entry.id,
                    stat: entry.stat,
                    trusted: entry
                        .flags
                        .intersects(Flags::SKIP_WORKTREE | Flags::ASSUME_VALID),
                };
                Some((Arc::from(path.strip_prefix(&below)?), noted))
            })
            .collect();
        Self {
            entries,
            written: (
                metadata.mtime(),
                u64::try_from(metadata.mtime_nsec()).unwrap_or(0),
            ),
        }
    }

    /// Whether git was told not to look at the file.
    fn trusts(&self, path: &Arc<str>) -> bool {
        self.entries.get(path).is_some_and(|noted| noted.trusted)
    }

    fn is_clean(&self, path: &Arc<str>, blob: ObjectId, stamp: &Stamp) -> bool {
        self.entries.get(path).is_some_and(|noted| {
            noted.id == blob
                && same_time(noted.stat.mtime, stamp.modified)
                && same_time(noted.stat.ctime, stamp.changed)
                && u64::from(noted.stat.size) == stamp.size
                && u64::from(noted.stat.ino) == stamp.inode & u64::from(u32::MAX)
                && stamp.modified < self.written
        })
    }
}

/// Whether the index noted this time. Git may have been built without nanoseconds: it writes 0.
fn same_time(noted: gix::index::entry::stat::Time, (seconds, nanoseconds): (i64, u64)) -> bool {
    i64::from(noted.secs) == seconds && (noted.nsecs == 0 || u64::from(noted.nsecs) == nanoseconds)
}
