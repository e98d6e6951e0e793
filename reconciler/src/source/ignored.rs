//! Which untracked files git was told to ignore: `.gitignore` on their way and `info/exclude`.
//!
//! This only keeps build products out of the warning about uncommitted documents. It changes
//! nothing of what is read: what is in the commit counts, ignored or not (gitignore(5)).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use gix::bstr::BStr;
use gix::glob::pattern::Case;
use gix_ignore::Search;
use gix_ignore::search::Ignore;

use super::repository::Repository;

/// A longer `.gitignore` is not read.
const BYTES_MOST: u64 = 1 << 20;

/// The patterns of a repository, read as far as they are asked for.
pub(super) struct Ignored {
    top: PathBuf,
    /// Path of the tree's folder below the top, ending in `/` where it is not the top.
    below: String,
    search: Search,
    read: BTreeSet<String>,
}

impl Ignored {
    /// The patterns of `info/exclude`; the others are read when asked for.
    pub(super) fn new(place: &Repository, top: &Path) -> Self {
        let exclude = place.common_dir.join("info/exclude");
        let mut ignored = Self {
            top: top.to_owned(),
            below: match place.subfolder.as_str() {
                "" => String::new(),
                folder => format!("{folder}/"),
            },
            search: Search::default(),
            read: BTreeSet::new(),
        };
        ignored.add(&exclude, None);
        ignored
    }

    /// Whether git ignores an untracked file or folder of the tree. What lies below an ignored
    /// folder is ignored, whatever its own folder says.
    pub(super) fn covers(&mut self, path: &str, is_folder: bool) -> bool {
        let whole = format!("{}{path}", self.below);
        let mut folder = "";
        loop {
            self.read_folder(folder);
            let rest_from = if folder.is_empty() {
                0
            } else {
                folder.len() + 1
            };
            let slash = whole[rest_from..].find('/').map(|at| rest_from + at);
            let part = &whole[..slash.unwrap_or(whole.len())];
            let matched = self.search.pattern_matching_relative_path(
                BStr::new(part),
                Some(slash.is_some() || is_folder),
                Case::Sensitive,
            );
            if matched.is_some_and(|m| !m.pattern.is_negative()) {
                return true;
            }
            if slash.is_none() {
                return false;
            }
            folder = part;
        }
    }

    /// Reads the `.gitignore` of a folder once. Folders come before those in them, so that the
    /// patterns of the deeper one count more.
    fn read_folder(&mut self, folder: &str) {
        if self.read.insert(folder.to_owned()) {
            let root = self.top.clone();
            self.add(&root.join(folder).join(".gitignore"), Some(&root));
        }
    }

    fn add(&mut self, file: &Path, root: Option<&Path>) {
        let Ok(mut open) = open_regular(file) else {
            return;
        };
        let mut content = Vec::new();
        let read = open.by_ref().take(BYTES_MOST + 1).read_to_end(&mut content);
        if read.is_ok_and(|bytes| bytes as u64 <= BYTES_MOST) {
            // The only error is a `root` that does not hold `file`; it does.
            let added = self
                .search
                .add_patterns_buffer(&content, file, root, Ignore::default());
            debug_assert!(added.is_ok(), "{added:?}");
        }
    }
}

/// Opens a regular file and nothing else: as git, no link is followed for `.gitignore`.
fn open_regular(file: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(file, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::ErrorKind::InvalidInput.into())
    }
}
