//! Where a git repository is: the one that a directory belongs to, found without opening it.
//!
//! Nothing of a repository's configuration is looked at here, so nothing in it can act before its
//! owner has been checked ([`super::owner`]). `GIT_DIR` and every other `GIT_*` variable is
//! ignored: the directory alone decides.
//!
//! A `.git` on the way up wins over a bare repository: a bare one that somebody committed as files
//! into a tree is never opened as a repository (justinsteven's advisory on embedded bare
//! repositories; git calls the remedy `safe.bareRepository=explicit`).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// A `.git` file, a `commondir` and an `alternates` file hold a path or a few, no more.
const POINTER_BYTES_MOST: u64 = 64 << 10;

/// Largest `HEAD` or `config`: both are read whole before anything is known of them.
const RECORD_BYTES_MOST: u64 = 1 << 20;
/// Files of a git directory that are opened by name (gitrepository-layout(5)).
const RECORDS: [&str; 6] = [
    "HEAD",
    "config",
    "config.worktree",
    "packed-refs",
    "shallow",
    "index",
];
/// Folders of a git directory in which whatever a name leads to is opened.
const FOLDERS: [&str; 4] = ["refs", "logs", "info", "objects/pack"];
/// Deeper folders below these hold no reference that anybody could name.
const DEPTH_MOST: usize = 16;

/// Where a repository is. All paths are absolute and free of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The top of its work tree; `None` for a bare repository.
    pub work_tree: Option<PathBuf>,
    /// The `.git` file that named it, in a linked work tree.
    pub git_file: Option<PathBuf>,
    /// Its git directory: `HEAD` is here.
    pub git_dir: PathBuf,
    /// The git directory that all its work trees share: `objects` and `refs` are here.
    pub common_dir: PathBuf,
    /// The tree's folder below the top, with `/` between its parts; empty for the top itself.
    pub subfolder: String,
}

impl Repository {
    /// What tells its tree from another of the same commit: the folder below the shared git
    /// directory.
    pub(super) fn place(&self) -> PathBuf {
        self.common_dir.join(&self.subfolder)
    }
}

/// What a directory turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It belongs to a repository.
    Repository(Repository),
    /// It belongs to none. The path is absolute and free of links.
    Directory(PathBuf),
}

/// Why a repository cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The directory does not exist, and no folder above it belongs to a repository.
    #[error("{}: there is no such directory{}", path.display(),
        if path.exists() { ": it is a file" } else { "" })]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// Something on the way cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A `.git` file, `commondir` or the like points nowhere.
    #[error(
        "{} does not name a git directory; run `git worktree repair` in the main work tree, or \
         remove the file",
        file.display()
    )]
    Pointer {
        /// The file.
        file: PathBuf,
    },
    /// Parts of a git directory are there, and others are not.
    #[error(
        "{} is damaged: a git directory has HEAD, objects and refs; bring back what is missing \
         (a lost HEAD holds `ref: refs/heads/<branch>`), or remove it to read plain files",
        git_dir.display()
    )]
    Damaged {
        /// The folder.
        git_dir: PathBuf,
    },
    /// The path below the repository cannot be a path of a commit.
    #[error("{} names no folder of a tree: its path holds `..` or is not UTF-8", path.display())]
    Subfolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// Objects of the repository lie outside of it.
    #[error(
        "{} makes {} part of the repository, which lies outside of it; bring the objects in with \
         `git -C {} repack -a -d` and remove that file",
        by.display(), objects.display(), repository.display()
    )]
    Outside {
        /// The file or link that names them.
        by: PathBuf,
        /// Where they are.
        objects: PathBuf,
        /// The repository.
        repository: PathBuf,
    },
    /// Something in the git directory would be waited for or read without end.
    #[error(
        "{} is a FIFO or a device, or larger than any file of git's at this place; put the \
         repository's own file there, or clone it anew",
        file.display()
    )]
    Endless {
        /// What stands there.
        file: PathBuf,
    },
}

/// Finds what `directory` belongs to. It need not exist below a repository: a commit may hold
/// folders that the work tree does not.
pub(super) fn find(directory: &Path) -> Result<Found, FindError> {
    let (existing, rest) = existing_part(directory)?;
    for folder in same_file_system(&existing)? {
        let dot_git = folder.join(".git");
        let Some((git_dir, git_file)) = git_dir_of(&dot_git)? else {
            continue;
        };
        let subfolder = subfolder(directory, &existing, &folder, &rest)?;
        let work_tree = Some(folder);
        return repository(work_tree, git_file, git_dir, subfolder).map(Found::Repository);
    }
    for folder in same_file_system(&existing)? {
        if is_git_dir(&folder) {
            let subfolder = subfolder(directory, &existing, &folder, &rest)?;
            return repository(None, None, folder, subfolder).map(Found::Repository);
        }
    }
    if rest.as_os_str().is_empty() && existing.is_dir() {
        return Ok(Found::Directory(existing));
    }
    Err(FindError::Missing {
        path: directory.to_owned(),
    })
}

/// Refuses objects that lie outside the repository: `objects` being a link, or
/// `objects/info/alternates` (gitrepository-layout(5)) naming other stores, which may name others.
pub(super) fn refuse_outside_objects(repository: &Repository) -> Result<(), FindError> {
    let outside = |by: &Path, path: &Path| FindError::Outside {
        by: by.to_owned(),
        objects: path.to_owned(),
        repository: repository.common_dir.clone(),
    };
    let objects = repository.common_dir.join("objects");
    let real = canonical(&objects)?;
    if !real.starts_with(&repository.common_dir) {
        return Err(outside(&objects, &real));
    }
    let mut stores = vec![real];
    let mut seen = 0;
    while let Some(store) = stores.get(seen).cloned() {
        seen += 1;
        let alternates = store.join("info/alternates");
        let Some(text) = read_pointer(&alternates)? else {
            continue;
        };
        for line in text.split(|byte| *byte == b'\n') {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let path = store.join(OsStr::from_bytes(line));
            // A store that is gone is outside, too: whoever makes it later would be trusted.
            match path.canonicalize() {
                Ok(real) if !real.starts_with(&repository.common_dir) => {
                    return Err(outside(&alternates, &real));
                }
                Ok(real) if stores.contains(&real) => {}
                Ok(real) => stores.push(real),
                Err(_) => return Err(outside(&alternates, &path)),
            }
        }
    }
    Ok(())
}

/// Refuses a FIFO or a device where git keeps a file: opening one could wait, and reading one last,
/// for ever. Loose objects are checked one by one as they are asked for ([`is_endless`]).
pub(super) fn refuse_endless_files(repository: &Repository) -> Result<(), FindError> {
    for dir in [&repository.git_dir, &repository.common_dir] {
        for name in RECORDS {
            let file = dir.join(name);
            let small = matches!(name, "HEAD" | "config" | "config.worktree");
            let large = |m: fs::Metadata| small && m.len() > RECORD_BYTES_MOST;
            if is_endless(&file) || fs::metadata(&file).is_ok_and(large) {
                return Err(FindError::Endless { file });
            }
        }
        for name in FOLDERS {
            refuse_endless_below(&dir.join(name), DEPTH_MOST)?;
        }
    }
    Ok(())
}

fn refuse_endless_below(folder: &Path, depth: usize) -> Result<(), FindError> {
    // What cannot be listed is for whoever opens it to tell of.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if is_endless(&path) {
            return Err(FindError::Endless { file: path });
        }
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            refuse_endless_below(&path, depth - 1)?;
        }
    }
    Ok(())
}

/// Whether a FIFO or a device stands at a path, or where a link there leads. (A socket cannot be
/// opened, and git's own fsmonitor makes one.)
pub(super) fn is_endless(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| {
        let kind = metadata.file_type();
        kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
    })
}

fn repository(
    work_tree: Option<PathBuf>,
    git_file: Option<PathBuf>,
    git_dir: PathBuf,
    subfolder: String,
) -> Result<Repository, FindError> {
    let pointer = git_dir.join("commondir");
    let common_dir = match read_pointer(&pointer)? {
        None => git_dir.clone(),
        Some(text) => pointed(&git_dir, text.trim_ascii())
            .filter(|dir| dir.is_dir())
            .ok_or(FindError::Pointer { file: pointer })?,
    };
    Ok(Repository {
        work_tree,
        git_file,
        git_dir,
        common_dir,
        subfolder,
    })
}

/// The part of a path that exists, without links, and the rest that does not.
fn existing_part(directory: &Path) -> Result<(PathBuf, PathBuf), FindError> {
    let absolute = std::path::absolute(directory).map_err(|cause| FindError::Read {
        path: directory.to_owned(),
        cause,
    })?;
    for part in absolute.ancestors() {
        match part.canonicalize() {
            Ok(existing) => {
                let rest = absolute.strip_prefix(part).unwrap_or(Path::new(""));
                return Ok((existing, rest.to_owned()));
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(cause) => {
                return Err(FindError::Read {
                    path: part.to_owned(),
                    cause,
                });
            }
        }
    }
    Err(FindError::Missing {
        path: directory.to_owned(),
    })
}

/// A folder and those above it on one file system, as git does not look across mounts either.
fn same_file_system(folder: &Path) -> Result<Vec<PathBuf>, FindError> {
    let device = |path: &Path| {
        fs::metadata(path)
            .map(|m| m.dev())
            .map_err(|cause| FindError::Read {
                path: path.to_owned(),
                cause,
            })
    };
    let first = device(folder)?;
    let mut folders = Vec::new();
    for above in folder.ancestors() {
        if device(above)? != first {
            break;
        }
        folders.push(above.to_owned());
    }
    Ok(folders)
}

/// The git directory that `.git` is or names, and the `.git` file where it is one; `None` where
/// there is no repository.
fn git_dir_of(dot_git: &Path) -> Result<Option<(PathBuf, Option<PathBuf>)>, FindError> {
    let Ok(metadata) = fs::metadata(dot_git) else {
        return Ok(None);
    };
    if metadata.is_dir() {
        let git_dir = canonical(dot_git)?;
        if !is_git_dir(&git_dir) && has_parts(&git_dir) {
            return Err(FindError::Damaged { git_dir });
        }
        return Ok(is_git_dir(&git_dir).then_some((git_dir, None)));
    }
    let broken = || FindError::Pointer {
        file: dot_git.to_owned(),
    };
    let text = read_pointer(dot_git)?.ok_or_else(broken)?;
    let target = text.strip_prefix(b"gitdir:").ok_or_else(broken)?;
    let base = dot_git.parent().unwrap_or(Path::new("/"));
    let git_dir = pointed(base, target.trim_ascii())
        .filter(|dir| is_git_dir(dir))
        .ok_or_else(broken)?;
    Ok(Some((git_dir, Some(dot_git.to_owned()))))
}

/// Whether a folder is a git directory: `HEAD`, and `objects` and `refs` in it or in the one that
/// its `commondir` names.
pub fn is_git_dir(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_dir();
    fs::symlink_metadata(folder.join("HEAD")).is_ok()
        && ((has("objects") && has("refs")) || folder.join("commondir").is_file())
}

/// Whether a folder that is no git directory was one: git itself looks further up, but files that
/// are not committed must not go live because a `HEAD` was lost.
fn has_parts(folder: &Path) -> bool {
    let has = |name: &&str| fs::symlink_metadata(folder.join(name)).is_ok();
    ["HEAD", "objects", "refs", "packed-refs"].iter().any(has)
}

/// The tree's folder below the top of the repository.
fn subfolder(given: &Path, existing: &Path, top: &Path, rest: &Path) -> Result<String, FindError> {
    let refused = || FindError::Subfolder {
        path: given.to_owned(),
    };
    let below = existing.strip_prefix(top).map_err(|_| refused())?;
    let mut parts = Vec::new();
    for component in below.components().chain(rest.components()) {
        match component {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(refused)?),
            Component::CurDir => {}
            _ => return Err(refused()),
        }
    }
    Ok(parts.join("/"))
}

/// The content of a small file that holds paths; `None` where there is none.
fn read_pointer(file: &Path) -> Result<Option<Vec<u8>>, FindError> {
    let failed = |cause| FindError::Read {
        path: file.to_owned(),
        cause,
    };
    match fs::metadata(file) {
        Ok(m) if m.is_file() && m.len() <= POINTER_BYTES_MOST => {}
        Ok(_) => {
            return Err(FindError::Pointer {
                file: file.to_owned(),
            });
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    }
    fs::read(file).map(Some).map_err(failed)
}

fn pointed(base: &Path, target: &[u8]) -> Option<PathBuf> {
    base.join(OsStr::from_bytes(target)).canonicalize().ok()
}

fn canonical(path: &Path) -> Result<PathBuf, FindError> {
    path.canonicalize().map_err(|cause| FindError::Read {
        path: path.to_owned(),
        cause,
    })
}
