//! The run and state directories.
//!
//! They are made with mode 0700. One that exists is used only if it is ours and nobody else can
//! write there: what is in it is shown to people and names processes, and `/run` and `/var/lib`
//! are root's, but the directory may be named by a flag.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirsError {
    /// It cannot be made or looked at.
    #[error("cannot make or use the directory {}: {cause}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It is a link, or no directory.
    #[error("{} is no directory; remove it, or name another", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// It is somebody else's.
    #[error("{} belongs to user {owner}; remove it, or name another directory", path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others can write there.
    #[error(
        "{} has mode {mode:04o}: others can write there; look what is in it, then \
         `chmod 0700 {}`",
        path.display(), path.display()
    )]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Makes a directory of our own, and those above it, unless it is there, and checks it.
pub fn make(path: &Path) -> Result<(), DirsError> {
    let failed = |cause| DirsError::Io {
        path: path.to_owned(),
        cause,
    };
    if let Some(above) = path.parent() {
        let mut builder = DirBuilder::new();
        builder
            .mode(0o755)
            .recursive(true)
            .create(above)
            .map_err(failed)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    check(path)
}

/// Checks a directory of our own, which is there.
pub fn check(path: &Path) -> Result<(), DirsError> {
    let metadata = fs::symlink_metadata(path).map_err(|cause| DirsError::Io {
        path: path.to_owned(),
        cause,
    })?;
    let path = path.to_owned();
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_dir() {
        Err(DirsError::NotADirectory { path })
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        let owner = metadata.uid();
        Err(DirsError::Owner { path, owner })
    } else if mode & 0o022 != 0 {
        Err(DirsError::Mode { path, mode })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[test]
    fn a_directory_is_made_for_us_alone_and_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        make(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        make(&path).unwrap();
    }

    #[test]
    fn what_others_own_or_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let error = make(&path).unwrap_err();
        assert!(matches!(error, DirsError::Mode { mode: 0o770, .. }));
        assert!(error.to_string().contains("chmod 0700"));
        chown(&path, Some(12345), None).unwrap();
        assert!(matches!(
            make(&path),
            Err(DirsError::Owner { owner: 12345, .. })
        ));
        symlink(dir.path(), dir.path().join("link")).unwrap();
        let link = make(&dir.path().join("link"));
        assert!(matches!(link, Err(DirsError::NotADirectory { .. })));
        fs::write(dir.path().join("file"), "").unwrap();
        let below = make(&dir.path().join("file/d"));
        assert!(matches!(below, Err(DirsError::Io { .. })));
    }
}
