//! The bpffs, and the base directory on it.
//!
//! What is pinned decides what is enforced, and the modes of pins and of the directories above
//! them are all that protects it: a fresh bpffs root is mode 1777, where anybody could make our
//! directory first, and no sysctl guards pins. So a base directory that is not root's, not mode
//! 0700 or not on a bpffs is refused, never repaired.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;

use super::mounts::Mounts;

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// Why the bpffs or the base directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The base directory has no directory above it.
    #[error("{} cannot be a base directory: write its whole path, below a bpffs", base.display())]
    NoParent {
        /// As given.
        base: PathBuf,
    },
    /// A bpffs there would hide what is in the directory.
    #[error(
        "{} is no bpffs and not empty, so none is mounted over it; name a directory of a bpffs \
         with --pin-dir",
        at.display()
    )]
    InUse {
        /// Where.
        at: PathBuf,
    },
    /// The mount point cannot be made.
    #[error("cannot make the mount point {}: {cause}", at.display())]
    MountPoint {
        /// Where.
        at: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A bpffs cannot be mounted.
    #[error("cannot mount a bpffs at {}: {cause}", at.display())]
    Mount {
        /// Where.
        at: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The directory cannot be looked at or made.
    #[error("cannot use {}: {cause}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It is not root's.
    #[error(
        "{} belongs to user {owner}, not to root: somebody else made it; look what is pinned \
         there, remove it and run again",
        path.display()
    )]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may go into it.
    #[error(
        "{} has mode {mode:04o}, not 0700: others could have put pins there; look what is pinned \
         there, then `chmod 0700 {}`",
        path.display(), path.display()
    )]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no directory, or a link.
    #[error("{} is no directory; remove it and run again", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// It is not on a bpffs.
    #[error("{} is not on a bpffs; name a directory on one with --pin-dir", path.display())]
    NotBpffs {
        /// Which.
        path: PathBuf,
    },
}

/// Whether a bpffs is mounted where the base directory belongs. Where it is not, nothing is there
/// that it would hide.
pub fn is_mounted(base: &Path) -> Result<bool, MountError> {
    let at = parent(base)?;
    let failed = |cause| MountError::Io {
        path: at.to_owned(),
        cause,
    };
    match rustix::fs::statfs(at) {
        Ok(stat) if is_bpffs(&stat) => Ok(true),
        Ok(_) => match fs::read_dir(at).map_err(failed)?.next() {
            None => Ok(false),
            Some(_) => Err(MountError::InUse { at: at.to_owned() }),
        },
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(failed(e.into())),
    }
}

/// Mounts a bpffs, mode 0700, where the base directory belongs, unless there is one.
pub fn mount(base: &Path, mounts: Mounts) -> Result<(), MountError> {
    if is_mounted(base)? {
        return Ok(());
    }
    let at = parent(base)?;
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(at)
        .map_err(|cause| MountError::MountPoint {
            at: at.to_owned(),
            cause,
        })?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
    let mounted = mounts.within(|| {
        Ok(rustix::mount::mount(
            "bpf",
            at,
            "bpf",
            flags,
            Some(c"mode=0700"),
        )?)
    });
    mounted.map_err(|cause| MountError::Mount {
        at: at.to_owned(),
        cause,
    })
}

/// Checks the base directory; `false` where there is none yet.
pub fn check_base(base: &Path) -> Result<bool, MountError> {
    let path = || base.to_owned();
    let failed = |cause| MountError::Io {
        path: path(),
        cause,
    };
    let metadata = match fs::symlink_metadata(base) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(failed(e)),
    };
    if !metadata.is_dir() {
        return Err(MountError::NotADirectory { path: path() });
    }
    // What is looked at from here on is what was opened, whatever stands at the path by then.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = rustix::fs::open(base, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let metadata = fs::File::from(open.try_clone().map_err(failed)?)
        .metadata()
        .map_err(failed)?;
    let stat = rustix::fs::fstatfs(&open).map_err(|e| failed(e.into()))?;
    if !is_bpffs(&stat) {
        return Err(MountError::NotBpffs { path: path() });
    }
    if metadata.uid() != 0 {
        return Err(MountError::Owner {
            path: path(),
            owner: metadata.uid(),
        });
    }
    match metadata.mode() & 0o7777 {
        0o700 => Ok(true),
        mode => Err(MountError::Mode { path: path(), mode }),
    }
}

/// Makes the base directory, mode 0700, unless it is there, and checks it.
pub fn make_base(base: &Path) -> Result<(), MountError> {
    match DirBuilder::new().mode(0o700).create(base) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(MountError::Io {
                path: base.to_owned(),
                cause: e,
            });
        }
        _ => {}
    }
    match check_base(base)? {
        true => Ok(()),
        false => Err(MountError::Io {
            path: base.to_owned(),
            cause: io::ErrorKind::NotFound.into(),
        }),
    }
}

fn parent(base: &Path) -> Result<&Path, MountError> {
    base.parent()
        .filter(|at| at.is_absolute())
        .ok_or_else(|| MountError::NoParent {
            base: base.to_owned(),
        })
}

fn is_bpffs(stat: &rustix::fs::StatFs) -> bool {
    u64::try_from(stat.f_type).is_ok_and(|magic| magic == BPF_FS_MAGIC)
}
