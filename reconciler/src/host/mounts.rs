//! Whose mounts count: those of the calling process, or of another.
//!
//! A service that a manager shows another file system than its own (`ProtectSystem=` and the like
//! of systemd.exec(5)) has a mount namespace of its own: nobody else sees what it mounts there, and
//! it sees little of what others mount. So it is told of a process whose mounts are the host's, as
//! those of process 1 are. What is mounted there is reached by `/proc/PID/root` (proc(5)); to mount
//! or unmount, one has to be in its mount namespace (setns(2)).

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::namespaces::on_a_thread;

/// Whose mounts count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mounts(Option<u32>);

impl Mounts {
    /// Those of a process by its id; of the calling one for `None`.
    pub fn of(process: Option<u32>) -> Self {
        Self(process)
    }

    /// A path as the calling process reaches it.
    pub fn reach(self, path: &Path) -> PathBuf {
        match (self.0, path.strip_prefix("/")) {
            (Some(process), Ok(below)) => Path::new(&format!("/proc/{process}/root")).join(below),
            _ => path.to_owned(),
        }
    }

    /// Mounts or unmounts something there, by its own path.
    ///
    /// # Errors
    ///
    /// As the work, or the mount namespace cannot be entered.
    pub fn within<T: Send>(self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let Some(process) = self.0 else {
            return work();
        };
        on_a_thread(|| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let namespace =
                rustix::fs::open(format!("/proc/{process}/ns/mnt"), flags, Mode::empty())?;
            // Who shares its root and working directory with others may not leave (setns(2)).
            unshare(CloneFlags::CLONE_FS)?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
            work()
        })
    }
}
