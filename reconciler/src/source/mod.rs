//! Where a tree comes from: one git commit, or a plain directory.
//!
//! ```text
//! directory -> what it belongs to -> is its owner trusted? -> read -> Source
//! ```
//!
//! In a git repository the tree is read from the objects of one resolved commit, never from files
//! that may be half-written; outside of one, or where the caller asks for the work tree, it is
//! read from the directory until two readings agree. Either way the rules of what is read are the
//! same ([`selection`]), and nothing is read before the owner has been checked ([`owner`]).
//!
//! A [`Source`] holds all candidate documents. Findings about single paths ([`Source::problems`])
//! are not filtered by the `ignore` globs of `plumbline.yaml`, which only the documents know:
//! a finding of a path that a glob ignores is to be dropped with it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use state::documents::tree::Tree;
use state::words::problem::Problems;

pub mod selection;
pub mod repository;
pub mod owner;
pub mod directory;
mod reference;
mod way;
pub mod git;
pub mod known;
mod ignored;
pub mod changes;

pub use changes::{Change, Uncommitted};
pub use directory::DirectoryError;
pub use git::GitError;
pub use known::Known;
pub use owner::OwnerError;
pub use repository::{FindError, Repository};

use directory::OpenDirectory;
use owner::Caller;
use repository::Found;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRequest {
    /// The tree's directory (`-C`).
    pub directory: PathBuf,
    /// The revision to read (`--rev`); `None` for `HEAD`.
    pub rev: Option<String>,
    /// Whether to read the files themselves (`--worktree`).
    pub worktree: bool,
}

/// A tree as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its candidate documents, and what was left out.
    pub tree: Tree,
    /// What is wrong with single paths of it; see the module's documentation on `ignore`.
    pub problems: Problems,
    /// What was read.
    pub id: SourceId,
    /// Documents of the work tree that the commit does not hold; only where `HEAD` was read.
    pub uncommitted: Vec<Uncommitted>,
}

/// What a tree was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceId {
    /// One commit.
    Commit {
        /// Its id, in hexadecimal digits (40 for SHA-1, 64 for SHA-256).
        commit: String,
        /// The id of the tree object of the subfolder, likewise.
        tree: String,
        /// When it was committed: seconds since 1970, as the commit claims.
        time_s: i64,
        /// Where it was read.
        repository: Repository,
    },
    /// A directory.
    Directory {
        /// The content hash, in 64 hexadecimal digits.
        hash: String,
        /// The directory, absolute and free of links.
        path: PathBuf,
    },
}

impl SourceId {
    /// The id of the commit, or the content hash of a directory: what a slot is named by.
    pub fn commit(&self) -> &str {
        match self {
            Self::Commit { commit, .. } => commit,
            Self::Directory { hash, .. } => hash,
        }
    }

    /// The id of the tree object, or the content hash of a directory.
    pub fn tree(&self) -> &str {
        match self {
            Self::Commit { tree, .. } => tree,
            Self::Directory { hash, .. } => hash,
        }
    }

    /// What was read, and where.
    pub fn named(&self) -> Named {
        let commit = self.commit().to_owned();
        let place = match self {
            Self::Commit { repository, .. } => repository.place(),
            Self::Directory { path, .. } => path.clone(),
        };
        Named { commit, place }
    }

    /// What tells one repository (or directory) from another: the path of its shared git
    /// directory, or its own.
    pub fn origin(&self) -> &Path {
        match self {
            Self::Commit { repository, .. } => &repository.common_dir,
            Self::Directory { path, .. } => path,
        }
    }
}

/// What a revision stands for, and where: a link may lead to another folder of the same commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The id of the commit, or the content hash of a directory.
    pub commit: String,
    /// The directory it is read from: of a repository, the folder below its shared git directory.
    pub place: PathBuf,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.commit, self.place.display())
    }
}

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such directory, or its repository is not where it says.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Its owner is not trusted.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The commit cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A revision was asked for where there is no repository, or of the work tree.
    #[error("{rev} is a revision, and {} is read as a plain directory; leave out --rev{}",
        path.display(), if *worktree { " or --worktree" } else { "" })]
    RevisionOfDirectory {
        /// The revision.
        rev: String,
        /// The directory.
        path: PathBuf,
        /// Whether the work tree was asked for.
        worktree: bool,
    },
    /// The work tree was asked for where there is none.
    #[error("{} is a bare repository and has no work tree: leave out --worktree",
        git_dir.display())]
    NoWorkTree {
        /// The git directory.
        git_dir: PathBuf,
    },
    /// The commit of an earlier apply is not in the repository any more.
    #[error("{commit} is no commit id of {}", git_dir.display())]
    NoSuchCommit {
        /// The id as given.
        commit: String,
        /// The git directory.
        git_dir: PathBuf,
    },
    /// A commit was asked for where there is no repository.
    #[error("{} belongs to no git repository, so commit {commit} cannot be read from it",
        path.display())]
    NoRepository {
        /// The id as given.
        commit: String,
        /// The directory.
        path: PathBuf,
    },
}

impl SourceError {
    /// Whether the tree was refused for who can write it or where its objects are, and not for
    /// what it holds.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Owner(_) | Self::Find(FindError::Outside { .. }))
    }

    /// The line to paste into a shell, where one would do.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Owner(error) => error.remedy(),
            _ => None,
        }
    }
}

/// Reads a tree. Of a commit, what is `known` is not read again.
pub fn read(request: &SourceRequest, known: &mut Known) -> Result<Source, SourceError> {
    read_as(&Caller::of_process(), request, known)
}

/// What is named now: the commit that a revision stands for, or a directory's content hash. The
/// objects of a commit are not read.
///
/// # Errors
///
/// As [`read`].
pub fn current(request: &SourceRequest) -> Result<Named, SourceError> {
    match repository::find(&request.directory)? {
        Found::Repository(place) if !request.worktree => {
            let objects = open(&Caller::of_process(), &place)?;
            let commit = objects.resolve(request.rev.as_deref().unwrap_or("HEAD"))?;
            Ok(Named {
                commit: commit.to_string(),
                place: place.place(),
            })
        }
        _ => Ok(read(request, &mut Known::default())?.id.named()),
    }
}

/// The directories in which something changes when what is named does, and whether those below each
/// count. Of a repository: where `HEAD` and packed references (gitrepository-layout(5)) are
/// replaced, and all folders of single references. Reflogs follow these.
pub fn places(request: &SourceRequest) -> Vec<(PathBuf, bool)> {
    match repository::find(&request.directory) {
        Ok(Found::Repository(place)) if !request.worktree => {
            let common = place.common_dir;
            let mut places = vec![
                (place.git_dir, false),
                (common.join("refs"), true),
                (common, false),
            ];
            // A linked work tree that is made anew has another git directory.
            places.extend(
                place
                    .git_file
                    .and_then(|file| Some((file.parent()?.to_owned(), false))),
            );
            places
        }
        _ => vec![(request.directory.clone(), true)],
    }
}

/// The entries of directories that lead to these places: links, and names that others may be given.
pub fn way(request: &SourceRequest) -> Vec<(PathBuf, OsString)> {
    let mut way = way::entries(&request.directory);
    if let Ok(Found::Repository(place)) = repository::find(&request.directory) {
        way.extend(way::entry(&place.git_dir));
        way.extend(way::entry(&place.common_dir));
    }
    way
}

fn read_as(
    caller: &Caller,
    request: &SourceRequest,
    known: &mut Known,
) -> Result<Source, SourceError> {
    let found = repository::find(&request.directory)?;
    let plain = |path: &Path| match &request.rev {
        None => read_directory(caller, path),
        Some(rev) => Err(SourceError::RevisionOfDirectory {
            rev: rev.clone(),
            path: path.to_owned(),
            worktree: request.worktree,
        }),
    };
    match found {
        Found::Directory(path) => plain(&path),
        Found::Repository(place) if request.worktree => match place.work_tree {
            Some(_) => plain(&request.directory),
            None => Err(SourceError::NoWorkTree {
                git_dir: place.git_dir,
            }),
        },
        Found::Repository(place) => {
            let objects = open(caller, &place)?;
            let commit = objects.resolve(request.rev.as_deref().unwrap_or("HEAD"))?;
            read_objects(&objects, &place, commit, known)
        }
    }
}

/// Reads the tree of one commit again, given by its full id: for a comparison in words with a
/// commit that was applied earlier. Uncommitted changes are not looked for.
pub fn read_commit(
    directory: &Path,
    commit: &str,
    known: &mut Known,
) -> Result<Source, SourceError> {
    let place = match repository::find(directory)? {
        Found::Repository(place) => place,
        Found::Directory(path) => {
            return Err(SourceError::NoRepository {
                commit: commit.to_owned(),
                path,
            });
        }
    };
    let objects = open(&Caller::of_process(), &place)?;
    let id = objects
        .commit_id(commit)
        .filter(|id| objects.has(*id))
        .ok_or_else(|| SourceError::NoSuchCommit {
            commit: commit.to_owned(),
            git_dir: place.git_dir.clone(),
        })?;
    let read = objects.read(id, known)?;
    Ok(committed(read, id, &place, Vec::new()))
}

/// Whether the owner of a directory, or of the repository it belongs to, is trusted: the same
/// check that [`read`] makes first.
pub fn check_owner(directory: &Path) -> Result<(), SourceError> {
    let caller = Caller::of_process();
    match repository::find(directory)? {
        Found::Directory(path) => owner::check(&caller, &path, &[&path])?,
        Found::Repository(place) => trust(&caller, &place)?,
    }
    Ok(())
}

fn open(caller: &Caller, place: &Repository) -> Result<git::Objects, SourceError> {
    trust(caller, place)?;
    repository::refuse_outside_objects(place)?;
    repository::refuse_endless_files(place)?;
    Ok(git::Objects::open(place)?)
}

fn trust(caller: &Caller, place: &Repository) -> Result<(), OwnerError> {
    let tree = place.work_tree.as_ref().unwrap_or(&place.git_dir);
    let mut parts: Vec<&Path> = vec![&place.git_dir, &place.common_dir];
    parts.extend(place.work_tree.as_deref());
    parts.extend(place.git_file.as_deref());
    owner::check(caller, tree, &parts)
}

fn read_objects(
    objects: &git::Objects,
    place: &Repository,
    commit: gix::ObjectId,
    known: &mut Known,
) -> Result<Source, SourceError> {
    let read = objects.read(commit, known)?;
    let uncommitted = if objects.is_head(commit) {
        changes::uncommitted(objects, place, &read)
    } else {
        Vec::new()
    };
    Ok(committed(read, commit, place, uncommitted))
}

fn committed(
    read: git::CommitTree,
    commit: gix::ObjectId,
    place: &Repository,
    uncommitted: Vec<Uncommitted>,
) -> Source {
    Source {
        tree: read.tree,
        problems: read.problems,
        id: SourceId::Commit {
            commit: commit.to_string(),
            tree: read.tree_id.to_string(),
            time_s: read.time_s,
            repository: place.clone(),
        },
        uncommitted,
    }
}

fn read_directory(caller: &Caller, path: &Path) -> Result<Source, SourceError> {
    let open = OpenDirectory::open(path)?;
    let real = path.canonicalize().map_err(|cause| FindError::Read {
        path: path.to_owned(),
        cause,
    })?;
    // The owner of what is open, so that nobody can put another directory there in between.
    owner::check_owner(caller, &real, &real, open.stat()?.st_uid)?;
    let reading = directory::read(&open)?;
    Ok(Source {
        tree: reading.tree,
        problems: reading.problems,
        id: SourceId::Directory {
            hash: reading.hash.to_hex().to_string(),
            path: real,
        },
        uncommitted: Vec::new(),
    })
}
