//! A tree from a plain directory, or from a work tree.
//!
//! Files of a directory may be half-written, replaced or hostile while they are read, so:
//!
//! - Every path is opened below the directory's own descriptor, one folder after the other and none
//!   by a link: no link and no `..` leads out of it, whoever changes folders meanwhile.
//!   (`openat2(2)` does it in one call, which sandboxes refuse whose filters cannot look at its
//!   arguments.)
//! - Files are opened `O_NONBLOCK`, so a FIFO blocks nothing, and only what `fstat(2)` calls a
//!   regular file is read, to one byte beyond the limit at most.
//! - The whole directory is read again until two readings in a row agree.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use state::documents::tree::Tree;
use state::words::problem::Problems;

use super::selection::{EntryKind, FILE_BYTES_MOST, Folder, LimitError, Selection, Step};

/// How often a directory is read before it is called restless.
const READINGS_MOST: u32 = 8;
/// Pause after two readings that differ, times the number of readings so far.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The directory itself cannot be opened.
    #[error("cannot open the directory {}: {cause}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        cause: Errno,
    },
    /// Something below it cannot be opened or read.
    #[error("cannot read {} below {}: {cause}", entry.display(), path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// The path below it.
        entry: PathBuf,
        /// What the kernel said.
        cause: std::io::Error,
    },
    /// The tree goes beyond a limit.
    #[error("{}: {limit}", path.display())]
    Limit {
        /// The directory.
        path: PathBuf,
        /// Which one.
        limit: LimitError,
    },
    /// It changes faster than it can be read.
    #[error(
        "{} changed during each of {READINGS_MOST} readings; wait until nothing writes to it, \
         or put it under git",
        path.display()
    )]
    Restless {
        /// The directory.
        path: PathBuf,
    },
}

/// A directory that is open: everything is read below its descriptor.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a walk comes upon, by its path below the directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Offered<'p> {
    Folder(&'p str),
    File(&'p Arc<str>),
}

/// A tree read from a directory, and the content hash that stands for its commit.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) tree: Tree,
    pub(super) problems: Problems,
    pub(super) hash: blake3::Hash,
}

/// Reads a directory until two readings agree, in content and in the times of its files.
pub(super) fn read(directory: &OpenDirectory) -> Result<Reading, DirectoryError> {
    read_with(directory, || {})
}

fn read_with(
    directory: &OpenDirectory,
    mut between: impl FnMut(),
) -> Result<Reading, DirectoryError> {
    let mut last = directory.read_once()?;
    for reading in 1..READINGS_MOST {
        between();
        let next = directory.read_once()?;
        if next.stamps == last.stamps && next.tree == last.tree && next.problems == last.problems {
            let hash = next.tree.content_hash();
            return Ok(Reading {
                tree: next.tree,
                problems: next.problems,
                hash,
            });
        }
        last = next;
        pause(PAUSE * reading);
    }
    Err(DirectoryError::Restless {
        path: directory.path.clone(),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a directory gives no sign when it rests"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// One reading, with the times that show whether a file was replaced by an equal one.
struct OneReading {
    tree: Tree,
    problems: Problems,
    stamps: Vec<(Arc<str>, Stamp)>,
}

/// Inode, size and the times of change and modification, as `fstat(2)` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: (i64, u64),
    pub(super) changed: (i64, u64),
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl OpenDirectory {
    /// Opens a directory. Links on the way to it are followed: the caller named that path.
    pub(super) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty());
        Ok(Self {
            fd: fd.map_err(|cause| DirectoryError::Open {
                path: path.to_owned(),
                cause,
            })?,
            path: path.to_owned(),
        })
    }

    /// Owner and the like of the directory that is open, whatever its path leads to by now.
    pub(super) fn stat(&self) -> Result<Stat, DirectoryError> {
        rustix::fs::fstat(&self.fd).map_err(|e| self.failed(b"", e.into()))
    }

    /// Offers every entry below the directory to `selection`, and each folder and candidate that it
    /// chose to `visit`, which says of a folder whether to go into it.
    pub(super) fn walk(
        &self,
        selection: &mut Selection,
        mut visit: impl FnMut(&mut Selection, Offered<'_>) -> Result<bool, DirectoryError>,
    ) -> Result<(), DirectoryError> {
        let mut folders = vec![Folder::default()];
        while let Some(folder) = folders.pop() {
            for (name, kind) in self.list(&folder)? {
                let step = selection.entry(&folder, &name, kind);
                match step.map_err(|limit| self.limit(limit))? {
                    Step::Descend(below) => {
                        if visit(selection, Offered::Folder(below.shown()))? {
                            folders.push(below);
                        }
                    }
                    Step::Read(path) => {
                        visit(selection, Offered::File(&path))?;
                    }
                    Step::Pass => {}
                }
            }
        }
        Ok(())
    }

    /// Opens a file below the directory; `None` where it is gone or is no regular file.
    pub(super) fn open_file(&self, path: &str) -> Result<Option<(File, Stat)>, DirectoryError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match self.open_below(path.as_bytes(), flags) {
            Ok(fd) => fd,
            // Gone, became a link, or a socket or device that nobody serves.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO) => {
                return Ok(None);
            }
            Err(e) => return Err(self.failed(path.as_bytes(), e.into())),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|e| self.failed(path.as_bytes(), e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        Ok(Some((File::from(fd), stat)))
    }

    /// The content of an open file, to one byte beyond the limit at most.
    pub(super) fn content(&self, path: &str, file: File) -> Result<Vec<u8>, DirectoryError> {
        let mut content = Vec::new();
        file.take(FILE_BYTES_MOST + 1)
            .read_to_end(&mut content)
            .map_err(|e| self.failed(path.as_bytes(), e))?;
        Ok(content)
    }

    fn read_once(&self) -> Result<OneReading, DirectoryError> {
        let mut selection = Selection::default();
        let mut stamps = Vec::new();
        self.walk(&mut selection, |selection, entry| {
            let Offered::File(path) = entry else {
                return Ok(true);
            };
            // What is gone by now makes this reading differ from the next.
            let Some((file, stat)) = self.open_file(path)? else {
                return Ok(true);
            };
            stamps.push((Arc::clone(path), Stamp::of(&stat)));
            let content = self.content(path, file)?;
            let admitted = selection.admit(path, content.len() as u64);
            if admitted.map_err(|limit| self.limit(limit))? {
                selection.add(Arc::clone(path), content.into());
            }
            Ok(true)
        })?;
        stamps.sort_by(|a, b| a.0.cmp(&b.0));
        let (tree, problems) = selection.finish();
        Ok(OneReading {
            tree,
            problems,
            stamps,
        })
    }

    /// The entries of a folder, sorted by name; none where the folder is gone.
    fn list(&self, folder: &Folder) -> Result<Vec<(Vec<u8>, EntryKind)>, DirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match self.open_below(&folder.raw, flags) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
            Err(e) => return Err(self.failed(&folder.raw, e.into())),
        };
        let failed = |e: Errno| self.failed(&folder.raw, e.into());
        let mut entries = Vec::new();
        for entry in Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            if entries.len() > super::selection::ENTRIES_MOST {
                return Err(self.limit(LimitError::Entries));
            }
            if let Some(kind) = kind_of(fd.as_fd(), &name, entry.file_type()).map_err(failed)? {
                entries.push((name, kind));
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let (folders, last) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&path[..0], path),
        };
        let mut folder = None::<OwnedFd>;
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for name in folders.split(|byte| *byte == b'/') {
            folder = Some(self.open_one(folder.as_ref(), name, step)?);
        }
        self.open_one(folder.as_ref(), last, flags | OFlags::NOFOLLOW)
    }

    /// Opens what has this name in a folder, and never leads elsewhere.
    fn open_one(
        &self,
        folder: Option<&OwnedFd>,
        name: &[u8],
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let name = match name {
            b".." => return Err(Errno::XDEV),
            b"" => b".",
            name => name,
        };
        let folder = folder.map_or(self.fd.as_fd(), AsFd::as_fd);
        rustix::fs::openat(folder, name, flags, Mode::empty())
    }

    fn failed(&self, entry: &[u8], cause: std::io::Error) -> DirectoryError {
        use std::os::unix::ffi::OsStrExt;
        DirectoryError::Read {
            path: self.path.clone(),
            entry: PathBuf::from(std::ffi::OsStr::from_bytes(entry)),
            cause,
        }
    }

    fn limit(&self, limit: LimitError) -> DirectoryError {
        DirectoryError::Limit {
            path: self.path.clone(),
            limit,
        }
    }
}

/// What an entry is; `None` where it has gone since its folder was listed.
fn kind_of(
    folder: rustix::fd::BorrowedFd<'_>,
    name: &[u8],
    listed: FileType,
) -> Result<Option<EntryKind>, Errno> {
    let file_type = match listed {
        // Some file systems do not tell the type in a listing.
        FileType::Unknown => match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e),
        },
        known => known,
    };
    Ok(Some(match file_type {
        FileType::Directory => EntryKind::Folder,
        FileType::RegularFile => EntryKind::File,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Special,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn directory(path: &Path) -> OpenDirectory {
        OpenDirectory::open(path).unwrap()
    }

    #[test]
    fn files_folders_and_what_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("shop/.hidden")).unwrap();
        for (path, content) in [
            ("b.yml", "b"),
            ("shop/a.yaml", "a"),
            ("shop/.hidden/x.yaml", "x"),
            ("README.md", "r"),
        ] {
            fs::write(dir.path().join(path), content).unwrap();
        }
        let reading = read(&directory(dir.path())).unwrap();
        let paths: Vec<_> = reading.tree.files.keys().map(AsRef::as_ref).collect();
        assert_eq!(paths, ["b.yml", "shop/a.yaml"]);
        let left: Vec<_> = reading.tree.left_out.keys().map(AsRef::as_ref).collect();
        assert_eq!(left, ["README.md", "shop/.hidden"]);
        assert!(reading.problems.is_empty());
    }

    #[test]
    fn fifos_links_and_sockets_are_refused_and_block_nothing() {
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo.yaml"),
            FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        symlink("/etc/passwd", dir.path().join("link.yaml")).unwrap();
        symlink("/etc", dir.path().join("folder")).unwrap();
        let socket = dir.path().join("socket.yaml");
        let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        let reading = read(&directory(dir.path())).unwrap();
        assert!(reading.tree.files.is_empty());
        let problems = reading.problems.sorted();
        let files: Vec<_> = problems.iter().map(|p| p.place.file.as_ref()).collect();
        assert_eq!(files, ["fifo.yaml", "link.yaml", "socket.yaml"]);
        assert_eq!(reading.tree.left_out.len(), 1);
    }

    #[test]
    fn a_file_that_becomes_a_link_or_a_fifo_after_it_was_listed_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let open = directory(dir.path());
        symlink("/etc/passwd", dir.path().join("a.yaml")).unwrap();
        assert!(open.open_file("a.yaml").unwrap().is_none());
        assert!(open.open_file("../etc/passwd").unwrap().is_none());
        let fifo = dir.path().join("b.yaml");
        rustix::fs::mknodat(rustix::fs::CWD, fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(open.open_file("b.yaml").unwrap().is_none());
        symlink("/etc", dir.path().join("etc")).unwrap();
        assert!(open.open_file("etc/passwd").unwrap().is_none());
    }

    #[test]
    fn a_directory_that_changes_is_read_until_two_readings_agree() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        fs::write(&file, "0").unwrap();
        let mut changes = 0;
        let reading = read_with(&directory(dir.path()), || {
            if changes < 3 {
                changes += 1;
                fs::write(&file, changes.to_string()).unwrap();
            }
        })
        .unwrap();
        assert_eq!(reading.tree.files["a.yaml"].as_ref(), b"3");
    }

    #[test]
    fn a_directory_that_never_rests_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        fs::write(&file, "0").unwrap();
        let mut changes = 0;
        let result = read_with(&directory(dir.path()), || {
            changes += 1;
            fs::write(&file, changes.to_string()).unwrap();
        });
        assert!(matches!(result, Err(DirectoryError::Restless { .. })));
        assert_eq!(changes, READINGS_MOST - 1);
    }

    #[test]
    fn a_file_beyond_the_limit_is_a_problem_and_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let big = fs::File::create(dir.path().join("big.yaml")).unwrap();
        big.set_len(1 << 40).unwrap();
        let reading = read(&directory(dir.path())).unwrap();
        assert!(reading.tree.files.is_empty());
        assert_eq!(reading.problems.sorted()[0].code, "file-too-large");
    }
}
