//! What a work tree holds that its commit does not: uncommitted documents, named loudly.
//!
//! Only documents below the tree's folder count, since nothing else is read. No filter, attribute
//! or hook of git's runs: a file is clean if the index says so in the way git uses it (same blob as
//! the commit, and same size, times and inode as when git last looked), or if its bytes hash to
//! the commit's blob. So a work tree that a filter rewrites at checkout is named as changed, which
//! errs on the loud side; files that git was told not to look at (`skip-worktree`,
//! `assume-unchanged`) are not.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Arc;

use gix::ObjectId;
use gix::index::entry::{Flags, Stage, Stat as IndexStat};

use super::directory::{DirectoryError, OpenDirectory, Stamp};
use super::git::Objects;
use super::ignored::Ignored;
use super::repository::Repository;
use super::selection::{FILE_BYTES_MOST, Selection};

/// How a document of the work tree differs from the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The commit has it with another content.
    Modified,
    /// The commit does not have it.
    Added,
    /// The work tree does not have it, or has no regular file there.
    Deleted,
}

/// An uncommitted change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uncommitted {
    /// The document's path below the tree's root.
    pub path: Arc<str>,
    /// What happened to it.
    pub change: Change,
}

impl fmt::Display for Uncommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = match self.change {
            Change::Modified => "modified",
            Change::Added => "added",
            Change::Deleted => "deleted",
        };
        write!(f, "{} is {change} and not committed", self.path)
    }
}

/// Compares the documents of the work tree with the blobs of the commit it stands on. Sorted by
/// path.
pub(super) fn uncommitted(
    objects: &Objects,
    place: &Repository,
    blobs: &[(Arc<str>, ObjectId)],
) -> Result<Vec<Uncommitted>, DirectoryError> {
    let Some(top) = &place.work_tree else {
        return Ok(Vec::new());
    };
    let index = Index::read(objects, place);
    let mut ignored = Ignored::new(place, top);
    let mut committed: BTreeMap<_, _> = blobs.iter().cloned().collect();
    let mut found = Vec::new();
    let folder = top.join(&place.subfolder);
    // A commit may hold a folder that the work tree does not: then all of it is deleted there.
    if folder.is_dir() {
        let directory = OpenDirectory::open(&folder)?;
        directory.walk(&mut Selection::default(), |_, path| {
            let change = match committed.remove(&path) {
                None => (!ignored.covers(&path)).then_some(Change::Added),
                Some(blob) => compare(&directory, &index, &path, blob)?,
            };
            found.extend(change.map(|change| Uncommitted { path, change }));
            Ok(())
        })?;
    }
    let gone = committed.into_keys().filter(|path| !index.trusts(path));
    found.extend(gone.map(|path| Uncommitted {
        path,
        change: Change::Deleted,
    }));
    found.sort();
    Ok(found)
}

fn compare(
    directory: &OpenDirectory,
    index: &Index,
    path: &Arc<str>,
    blob: ObjectId,
) -> Result<Option<Change>, DirectoryError> {
    if index.trusts(path) {
        return Ok(None);
    }
    let Some((file, stat)) = directory.open_file(path)? else {
        return Ok(Some(Change::Deleted));
    };
    let stamp = Stamp::of(&stat);
    if index.is_clean(path, blob, &stamp) {
        return Ok(None);
    }
    if stamp.size > FILE_BYTES_MOST {
        return Ok(Some(Change::Modified));
    }
    let content = directory.content(path, file)?;
    let hash = gix::objs::compute_hash(blob.kind(), gix::objs::Kind::Blob, &content);
    Ok((!hash.is_ok_and(|id| id == blob)).then_some(Change::Modified))
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
