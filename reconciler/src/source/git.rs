//! A tree from the objects of one git commit.
//!
//! A revision is resolved to a commit id once; from then on only that id counts, wherever its
//! branch moves meanwhile. Nothing is checked out, and nothing of git's that runs or rewrites
//! things takes part: no hooks, filters, attributes, submodules, aliases, network. Environment
//! variables and all configuration but the repository's own are ignored, and of that only what
//! says how objects are stored matters. Replacement objects (git-replace(1)) are not followed.
//!
//! Git does not sync what it writes, and a repository may be hostile. So each object is asked for
//! its kind and size before it is read, and after that its content is hashed and compared with its
//! id (SHA-1 with collision detection, or SHA-256): what is compiled is what the commit names, or
//! nothing. A fault names the object and is the reader's to mend with `git fsck`.

use std::path::PathBuf;
use std::sync::Arc;

use gix::ObjectId;
use gix::objs::tree::EntryKind as Mode;
use gix::objs::{CommitRef, Data, Kind, TagRef, TreeRefIter};
use state::documents::tree::Tree;
use state::words::problem::Problems;

use super::known::Known;
use super::repository::Repository;
use super::selection::{
    ENTRIES_MOST, EntryKind, Folder, LimitError, Selection, Step, TREE_BYTES_MOST,
};

/// Largest commit or tag object, in bytes.
const RECORD_BYTES_MOST: u64 = 16 << 20;
/// Largest tree object: an entry for each allowed file, each with a name as long as Linux allows.
const FOLDER_BYTES_MOST: u64 = (ENTRIES_MOST as u64) * 300;
/// How many tags may point at each other before a commit comes.
const TAGS_MOST: usize = 16;

/// Why a commit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The repository cannot be opened.
    #[error(
        "cannot open the git repository {}: {}; `git -C {} fsck` may say more",
        git_dir.display(), in_words(cause), git_dir.display()
    )]
    Open {
        /// Its git directory.
        git_dir: PathBuf,
        /// What is wrong with it.
        cause: Box<gix::Error>,
    },
    /// The revision names nothing.
    #[error(
        "{rev} names no commit in {}: {}; `git -C {} log` shows those that are there",
        git_dir.display(), in_words(cause), git_dir.display()
    )]
    Revision {
        /// The revision as given.
        rev: String,
        /// The git directory.
        git_dir: PathBuf,
        /// Why.
        cause: Box<gix::Error>,
    },
    /// Nothing has that name.
    #[error("no branch, tag or commit of {} is named '{rev}'", git_dir.display())]
    Unknown {
        /// The revision as given.
        rev: String,
        /// The git directory.
        git_dir: PathBuf,
    },
    /// Its references are in a form that is not read.
    #[error("{} keeps its references as a reftable, which is not read; make files of them by \
             `git refs migrate --ref-format=files`", git_dir.display())]
    Reftable {
        /// The git directory.
        git_dir: PathBuf,
    },
    /// There is no commit yet.
    #[error("{} has no commit yet; commit the tree, or read the files with --worktree",
        git_dir.display())]
    NoCommit {
        /// The git directory.
        git_dir: PathBuf,
    },
    /// A reference is damaged, as a crash may leave it.
    #[error(
        "the reference {} is damaged ({fault}); `git -C {} fsck` names what else is, and \
         `git reflog` the commit it held",
        file.display(), git_dir.display()
    )]
    Reference {
        /// The file that holds it.
        file: PathBuf,
        /// What it holds instead of an id.
        fault: &'static str,
        /// The git directory.
        git_dir: PathBuf,
    },
    /// An object is missing, damaged or not what it should be.
    #[error("{role}: object {id} {fault}; run `git -C {} fsck`", git_dir.display())]
    Object {
        /// What it is to the commit, such as "the content of shop/web.yaml".
        role: String,
        /// Its id.
        id: ObjectId,
        /// What is wrong.
        fault: ObjectFault,
        /// The git directory.
        git_dir: PathBuf,
    },
    /// The commit has no such folder.
    #[error("commit {commit} has no folder {folder}; commit it, or name another with -C")]
    NoFolder {
        /// The commit.
        commit: ObjectId,
        /// The folder below the top of the repository.
        folder: String,
    },
    /// The tree goes beyond a limit.
    #[error("commit {commit}: {limit}")]
    Limit {
        /// The commit.
        commit: ObjectId,
        /// Which one.
        limit: LimitError,
    },
}

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectFault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It cannot be decoded.
    #[error("is damaged ({})", in_words(.0))]
    Damaged(Box<gix::Error>),
    /// A FIFO or a device stands in its place.
    #[error("is a FIFO or a device")]
    Endless,
    /// It is not of the kind that is due there.
    #[error("is a {found}, not a {expected}")]
    Kind {
        /// What is due.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
    /// It is too large for its kind.
    #[error("has {size} bytes; at most {most} are read")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        most: u64,
    },
    /// Tags point at tags, over and over.
    #[error("is a tag of a tag, {TAGS_MOST} times over")]
    Tags,
}

/// What gix says of an error and of its causes.
pub(super) fn in_words(error: &gix::Error) -> String {
    let mut words = Vec::new();
    for cause in error.iter_errors() {
        let text = cause.to_string();
        if !words.contains(&text) {
            words.push(text);
        }
    }
    words.join(": ")
}

/// An open repository.
pub(super) struct Objects {
    repo: gix::Repository,
    place: Repository,
}

/// A tree as one commit holds it.
#[derive(Clone, Debug)]
pub(super) struct CommitTree {
    pub(super) tree: Tree,
    pub(super) problems: Problems,
    /// The tree object of the subfolder.
    pub(super) tree_id: ObjectId,
    /// When it was committed: seconds since 1970.
    pub(super) time_s: i64,
    /// The blob of each candidate that is a regular file.
    pub(super) blobs: Vec<(Arc<str>, ObjectId)>,
}

impl Objects {
    /// Opens a repository whose owner has been checked.
    pub(super) fn open(place: &Repository) -> Result<Self, GitError> {
        let options = gix::open::Options::isolated()
            .open_path_as_is(true)
            .with(gix::sec::Trust::Full)
            .config_overrides([
                "core.useReplaceRefs=false".to_owned(),
                format!("gitoxide.objects.allocLimit={TREE_BYTES_MOST}"),
            ]);
        let repo = options
            .open(&place.git_dir)
            .map_err(|cause| GitError::Open {
                git_dir: place.git_dir.clone(),
                cause: Box::new(cause),
            })?;
        let mut repo = repo.to_thread_local();
        repo.objects.ignore_replacements = true;
        Ok(Self {
            repo,
            place: place.clone(),
        })
    }

    /// The commit that a revision names, as gitrevisions(7) describes them.
    pub(super) fn resolve(&self, rev: &str) -> Result<ObjectId, GitError> {
        let git_dir = || self.place.git_dir.clone();
        if let Some(id) = self.commit_id(rev).or_else(|| self.reference(rev)) {
            return self.peel(rev, id);
        }
        match self.repo.rev_parse_single(rev) {
            Ok(id) => self.peel(rev, id.detach()),
            Err(cause) => {
                if let Some((file, fault)) = super::reference::damaged(&self.place, rev) {
                    return Err(GitError::Reference {
                        file,
                        fault,
                        git_dir: git_dir(),
                    });
                }
                if rev == "HEAD" && self.repo.head().is_ok_and(|head| head.is_unborn()) {
                    return Err(GitError::NoCommit { git_dir: git_dir() });
                }
                if self.place.common_dir.join("reftable").is_dir() {
                    return Err(GitError::Reftable { git_dir: git_dir() });
                }
                if self.is_unknown(rev) {
                    return Err(GitError::Unknown {
                        rev: rev.to_owned(),
                        git_dir: git_dir(),
                    });
                }
                Err(GitError::Revision {
                    rev: rev.to_owned(),
                    git_dir: git_dir(),
                    cause: Box::new(cause),
                })
            }
        }
    }

    /// Whether a text is a plain name, no expression and no id cut short, that no reference has.
    fn is_unknown(&self, rev: &str) -> bool {
        let plain = !rev.contains(['^', '~', '@', ':', '{', '*', '?', '[']);
        let id = rev.len() >= 4 && rev.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain && !id && !matches!(self.repo.try_find_reference(rev), Ok(Some(_)))
    }

    /// Whether an object is there.
    pub(super) fn has(&self, id: ObjectId) -> bool {
        self.repo.has_object(id)
    }

    /// The commit of a full id in hexadecimal digits, if the text is one.
    pub(super) fn commit_id(&self, hex: &str) -> Option<ObjectId> {
        let id = ObjectId::from_hex(hex.as_bytes()).ok()?;
        (id.kind() == self.repo.object_hash()).then_some(id)
    }

    /// Reads the tree of a commit below the repository's subfolder.
    pub(super) fn read(&self, commit: ObjectId, known: &mut Known) -> Result<CommitTree, GitError> {
        let role = || "the commit".to_owned();
        let data = self.load(commit, Kind::Commit, RECORD_BYTES_MOST, role)?;
        let damaged = |e| self.fault(role(), commit, ObjectFault::Damaged(Box::new(e)));
        let record = CommitRef::from_bytes(&data, commit.kind()).map_err(damaged)?;
        let time = record.committer().and_then(|who| who.time());
        let time_s = time.map_err(damaged)?.seconds;
        let tree_id = self.subfolder(commit, record.tree())?;
        self.walk(commit, tree_id, time_s, known)
    }

    /// Whether the repository's `HEAD` is this commit.
    pub(super) fn is_head(&self, commit: ObjectId) -> bool {
        self.resolve("HEAD").is_ok_and(|head| head == commit)
    }

    /// The index of the work tree; `None` where there is none that can be read.
    pub(super) fn index(&self) -> Option<gix::index::File> {
        const BYTES_MOST: u64 = 256 << 20;
        let metadata = std::fs::metadata(self.repo.index_path()).ok()?;
        let readable = metadata.is_file() && metadata.len() <= BYTES_MOST;
        readable.then(|| self.repo.open_index().ok()).flatten()
    }

    /// What a reference of this name holds, whether or not that object is there: so a missing one
    /// is named as such, and not as a name that nobody knows.
    fn reference(&self, name: &str) -> Option<ObjectId> {
        let mut reference = self.repo.try_find_reference(name).ok()??;
        for _ in 0..TAGS_MOST {
            match reference.target().try_id() {
                Some(id) => return Some(id.to_owned()),
                None => reference = reference.follow()?.ok()?,
            }
        }
        None
    }

    /// Follows tags to a commit.
    fn peel(&self, rev: &str, mut id: ObjectId) -> Result<ObjectId, GitError> {
        let role = || format!("revision {rev}");
        for _ in 0..TAGS_MOST {
            let (kind, _) = self.header(id, role)?;
            if kind != Kind::Tag {
                self.load(id, Kind::Commit, RECORD_BYTES_MOST, role)?;
                return Ok(id);
            }
            let data = self.load(id, Kind::Tag, RECORD_BYTES_MOST, role)?;
            let tag = TagRef::from_bytes(&data, id.kind());
            id = tag
                .map_err(|e| self.fault(role(), id, ObjectFault::Damaged(Box::new(e))))?
                .target();
        }
        Err(self.fault(role(), id, ObjectFault::Tags))
    }

    /// The tree object of the subfolder.
    fn subfolder(&self, commit: ObjectId, top: ObjectId) -> Result<ObjectId, GitError> {
        let mut id = top;
        for part in self.place.subfolder.split('/').filter(|p| !p.is_empty()) {
            let found = self
                .entries(id, || format!("a folder above {part}"))?
                .into_iter()
                .find(|entry| entry.name == part.as_bytes());
            id = match found {
                Some(entry) if entry.kind == EntryKind::Folder => entry.id,
                _ => {
                    return Err(GitError::NoFolder {
                        commit,
                        folder: self.place.subfolder.clone(),
                    });
                }
            };
        }
        Ok(id)
    }

    fn walk(
        &self,
        commit: ObjectId,
        top: ObjectId,
        time_s: i64,
        known: &mut Known,
    ) -> Result<CommitTree, GitError> {
        let limit = |limit| GitError::Limit { commit, limit };
        known.begin();
        let mut selection = Selection::default();
        let mut blobs = Vec::new();
        let mut folders = vec![(Folder::default(), top)];
        while let Some((folder, id)) = folders.pop() {
            for entry in known.entries(self, id, &folder)?.iter() {
                match selection
                    .entry(&folder, &entry.name, entry.kind)
                    .map_err(limit)?
                {
                    Step::Descend(below) => folders.push((below, entry.id)),
                    Step::Read(path) => {
                        blobs.push((Arc::clone(&path), entry.id));
                        let size = known.size(self, entry.id, &path)?;
                        if selection.admit(&path, size).map_err(limit)? {
                            let content = known.content(self, entry.id, &path)?;
                            selection.add(path, content);
                        }
                    }
                    Step::Pass => {}
                }
            }
        }
        known.end();
        let (tree, problems) = selection.finish();
        Ok(CommitTree {
            tree,
            problems,
            tree_id: top,
            time_s,
            blobs,
        })
    }

    /// The entries of a tree object.
    pub(super) fn entries(
        &self,
        id: ObjectId,
        role: impl Fn() -> String,
    ) -> Result<Vec<Entry>, GitError> {
        let data = self.load(id, Kind::Tree, FOLDER_BYTES_MOST, &role)?;
        TreeRefIter::from_bytes(&data, id.kind())
            .take(ENTRIES_MOST + 1)
            .map(|entry| {
                let entry =
                    entry.map_err(|e| self.fault(role(), id, ObjectFault::Damaged(Box::new(e))))?;
                Ok(Entry {
                    name: entry.filename.to_vec(),
                    kind: match entry.mode.kind() {
                        Mode::Tree => EntryKind::Folder,
                        Mode::Blob | Mode::BlobExecutable => EntryKind::File,
                        Mode::Link => EntryKind::Symlink,
                        Mode::Commit => EntryKind::Submodule,
                    },
                    id: entry.oid.to_owned(),
                })
            })
            .collect()
    }

    /// Kind and size of an object, without reading its body.
    pub(super) fn header(
        &self,
        id: ObjectId,
        role: impl Fn() -> String,
    ) -> Result<(Kind, u64), GitError> {
        if self.is_endless(id) {
            return Err(self.fault(role(), id, ObjectFault::Endless));
        }
        match self.repo.try_find_header(id) {
            Ok(Some(header)) => Ok((header.kind(), header.size())),
            Ok(None) => Err(self.fault(role(), id, ObjectFault::Missing)),
            Err(e) => Err(self.fault(role(), id, ObjectFault::Damaged(Box::new(e)))),
        }
    }

    /// Whether a FIFO or a device stands where the object would lie loose.
    fn is_endless(&self, id: ObjectId) -> bool {
        let hex = id.to_string();
        let (fan, rest) = hex.split_at(2);
        let objects = self.place.common_dir.join("objects");
        super::repository::is_endless(&objects.join(fan).join(rest))
    }

    /// An object's content, checked for kind, size and hash.
    pub(super) fn load(
        &self,
        id: ObjectId,
        expected: Kind,
        most: u64,
        role: impl Fn() -> String,
    ) -> Result<Vec<u8>, GitError> {
        let (found, size) = self.header(id, &role)?;
        if found != expected {
            return Err(self.fault(role(), id, ObjectFault::Kind { expected, found }));
        }
        if size > most {
            return Err(self.fault(role(), id, ObjectFault::TooLarge { size, most }));
        }
        let damaged = |e| self.fault(role(), id, ObjectFault::Damaged(Box::new(e)));
        let object = self.repo.find_object(id).map_err(damaged)?.detach();
        Data::new(&object.data, object.kind, id.kind())
            .verify_checksum(&id)
            .map_err(damaged)?;
        Ok(object.data)
    }

    fn fault(&self, role: String, id: ObjectId, fault: ObjectFault) -> GitError {
        GitError::Object {
            role,
            id,
            fault,
            git_dir: self.place.git_dir.clone(),
        }
    }
}

/// One entry of a tree object.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) id: ObjectId,
}
