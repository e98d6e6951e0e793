//! One run at a time: `flock(2)` on the base directory.
//!
//! The lock is on the bpffs because that is what concurrent runs share, whatever mount or process
//! namespaces they live in and whatever run directory each was given. The kernel takes it back
//! when its holder dies, so there is nothing to clean up and nothing to wait for.
//!
//! Who holds it is written to the run directory, to be shown to who finds it taken. That is a
//! courtesy: the file may be lost or old, and a holder it names is believed only while a process
//! of that pid runs that was started at that time.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use state::words::time::utc;

use super::{dirs, files};

/// The file in the run directory that names the holder.
const HOLDER: &str = "holder.json";
/// How often the directory may be replaced while its lock is taken.
const TRIES: usize = 8;
/// How often who finds it taken by nobody that is noted tries again, and how long it waits before.
const LOOKS: usize = 20;
const LOOK: Duration = Duration::from_millis(1);
/// How long who waits for the lock sleeps before it tries again.
const PAUSE: Duration = Duration::from_millis(50);

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Its pid, as it saw it itself.
    pub pid: u32,
    /// When it took the lock: seconds since 1970.
    pub since_s: u64,
    /// When its process started, in clock ticks since boot (`/proc/<pid>/stat`, field 22).
    started_ticks: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " (pid {}, since {})", self.pid, utc(self.since_s))
    }
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error(
        "another run holds the lock on {}{}{}; run again when it is done, or wait with \
         --lock-timeout",
        directory.display(),
        holder.as_ref().map(ToString::to_string).unwrap_or_default(),
        waited_for(*waited),
    )]
    Busy {
        /// What is locked.
        directory: PathBuf,
        /// Who has it, where that is known.
        holder: Option<Holder>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The directory cannot be opened or locked.
    #[error("cannot lock {}: {cause}", directory.display())]
    Io {
        /// What was to be locked.
        directory: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The directory is not there: who held the lock took everything away.
    #[error("{} is gone: what this host held has been taken away; run again", directory.display())]
    Gone {
        /// What was to be locked.
        directory: PathBuf,
    },
    /// The directory was replaced each time its lock was taken.
    #[error("{} is removed and made again all the time; run again", directory.display())]
    Replaced {
        /// What was to be locked.
        directory: PathBuf,
    },
}

impl LockError {
    /// Whether somebody else has the lock: nothing is wrong, and a later run will get it.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Who has it, if that is known.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Busy { holder, .. } => holder.as_ref(),
            _ => None,
        }
    }
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    _descriptor: OwnedFd,
    holder: Option<PathBuf>,
}

impl Lock {
    /// The same as [`Self::take`], and waits so long for whoever has it.
    pub fn take_within(
        directory: &Path,
        run_directory: &Path,
        limit: Duration,
    ) -> Result<Self, LockError> {
        let begun = Instant::now();
        loop {
            match Self::take(directory, run_directory) {
                Err(LockError::Busy { .. }) if begun.elapsed() < limit => {
                    pause(limit.saturating_sub(begun.elapsed()));
                }
                Err(LockError::Busy {
                    directory, holder, ..
                }) => {
                    return Err(LockError::Busy {
                        directory,
                        holder,
                        waited: limit,
                    });
                }
                taken => return taken,
            }
        }
    }

    /// Takes the lock on a directory that exists, or says who has it. It waits no longer than
    /// whoever only looks whether it is free ([`wait_until_free`]) has it, which is a moment.
    ///
    /// The holder is noted in `run_directory`; where that cannot be done, the lock is held all the
    /// same.
    pub fn take(directory: &Path, run_directory: &Path) -> Result<Self, LockError> {
        let failed = |cause: io::Error| LockError::Io {
            directory: directory.to_owned(),
            cause,
        };
        let note = run_directory.join(HOLDER);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let file = match rustix::fs::open(directory, flags, Mode::empty()) {
                Ok(opened) => File::from(opened),
                Err(Errno::NOENT) => {
                    let directory = directory.to_owned();
                    return Err(LockError::Gone { directory });
                }
                Err(error) => return Err(failed(error.into())),
            };
            if let Err(holder) = lock_now(&file, &note).map_err(failed)? {
                return Err(LockError::Busy {
                    directory: directory.to_owned(),
                    holder,
                    waited: Duration::ZERO,
                });
            }
            // A holder that took everything away removed the directory that we have locked now.
            if is_at(&file, directory).map_err(failed)? {
                // Through a link, or where others can write, the note would be anybody's.
                let own = dirs::check(run_directory).is_ok();
                let holder = (own && write_holder(&note)).then_some(note);
                let _descriptor = file.into();
                return Ok(Self {
                    _descriptor,
                    holder,
                });
            }
        }
        Err(LockError::Replaced {
            directory: directory.to_owned(),
        })
    }
}

/// Takes the lock on an open directory, or gives who has it. Who only looks has it for a moment,
/// and is not noted.
fn lock_now(file: &File, note: &Path) -> io::Result<Result<(), Option<Holder>>> {
    let mut looks = LOOKS;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Ok(())),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        let holder = read_holder(note);
        if holder.is_some() || looks == 0 {
            return Ok(Err(holder));
        }
        looks -= 1;
        pause(LOOK);
    }
}

/// Waits until nobody holds the lock on a directory, and does not take it: it is shared for the
/// moment that it takes to see that it is free. One that is not there, or that cannot be opened, is
/// held by nobody.
///
/// # Errors
///
/// Who holds it still.
pub fn wait_until_free(
    directory: &Path,
    run_directory: &Path,
    limit: Duration,
) -> Result<(), LockError> {
    let begun = Instant::now();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let Ok(file) = rustix::fs::open(directory, flags, Mode::empty()) else {
            return Ok(());
        };
        let seen = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
        if seen != Err(Errno::WOULDBLOCK) {
            return Ok(());
        }
        if begun.elapsed() >= limit {
            return Err(LockError::Busy {
                directory: directory.to_owned(),
                holder: read_holder(&run_directory.join(HOLDER)),
                waited: limit,
            });
        }
        pause(limit.saturating_sub(begun.elapsed()));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(note) = &self.holder {
            // A note that stays behind is not believed: its process has ended.
            let _ = fs::remove_file(note);
        }
    }
}

/// `flock(2)` waits without a limit or not at all.
#[expect(clippy::disallowed_methods, reason = "the lock is polled here")]
fn pause(most: Duration) {
    thread::sleep(PAUSE.min(most));
}

fn waited_for(waited: Duration) -> String {
    match waited {
        Duration::ZERO => String::new(),
        waited => format!(", after {waited:?}"),
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn write_holder(note: &Path) -> bool {
    let pid = std::process::id();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let holder = Holder {
        pid,
        since_s: since.map_or(0, |since| since.as_secs()),
        started_ticks: started_ticks(pid).unwrap_or(0),
    };
    let text = serde_json::to_vec(&holder).unwrap_or_default();
    files::replace(note, &text, 0o600).is_ok()
}

fn read_holder(note: &Path) -> Option<Holder> {
    let holder: Holder = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    (started_ticks(holder.pid)? == holder.started_ticks).then_some(holder)
}

/// When a process started. The name in front may hold spaces and parentheses, so what follows the
/// last one is counted (proc_pid_stat(5)).
fn started_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(directory: &Path, run: &Path) -> Option<Holder> {
        match Lock::take(directory, run) {
            Err(LockError::Busy { holder, .. }) => holder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_second_run_leaves_at_once_and_says_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path(), dir.path()).unwrap();
        let holder = busy(dir.path(), dir.path()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(holder.since_s > 1_700_000_000);
        let error = Lock::take(dir.path(), dir.path()).unwrap_err();
        let named = format!("(pid {}, since 2", std::process::id());
        assert!(error.to_string().contains(&named), "{error}");
        drop(lock);
        assert!(!dir.path().join(HOLDER).exists());
        Lock::take(dir.path(), dir.path()).unwrap();
    }

    #[test]
    fn who_waits_gets_it_when_it_is_free_and_leaves_when_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let lock = Lock::take(path, path).unwrap();
        let short = Duration::from_millis(120);
        let begun = Instant::now();
        let error = Lock::take_within(path, path, short).unwrap_err();
        assert!(error.is_busy() && begun.elapsed() >= short, "{error}");
        assert!(error.to_string().contains("after 120ms"), "{error}");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::take_within(path, path, Duration::from_secs(60)));
            drop(Lock::take_within(path, path, short).unwrap_err());
            assert!(!waiting.is_finished());
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_note_that_is_lost_old_or_damaged_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let _lock = Lock::take(dir.path(), &run).unwrap();
        assert_eq!(busy(dir.path(), &run), None, "no run directory");
        fs::create_dir(&run).unwrap();
        let old = Holder {
            pid: std::process::id(),
            since_s: 1,
            started_ticks: 1,
        };
        fs::write(run.join(HOLDER), serde_json::to_vec(&old).unwrap()).unwrap();
        assert_eq!(busy(dir.path(), &run), None, "another process of that pid");
        fs::write(run.join(HOLDER), "{\"pid\":").unwrap();
        assert_eq!(busy(dir.path(), &run), None);
    }

    #[test]
    fn a_missing_directory_and_a_link_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        let take = |name| Lock::take(&dir.path().join(name), dir.path());
        let missing = take("missing");
        assert!(
            matches!(missing, Err(LockError::Gone { .. })),
            "{missing:?}"
        );
        let link = take("link");
        assert!(matches!(link, Err(LockError::Io { .. })), "{link:?}");
    }

    #[test]
    fn of_many_runs_at_once_one_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let held = std::sync::Mutex::new(());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut taken = 0;
                    while taken < 50 {
                        if let Ok(_lock) = Lock::take(dir.path(), dir.path()) {
                            let _alone = held.try_lock().unwrap();
                            taken += 1;
                        } else {
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn who_only_looks_keeps_nobody_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    let _ = wait_until_free(path, path, Duration::ZERO);
                }
            });
            let taken: Vec<_> = (0..50).map(|_| Lock::take(path, path).map(drop)).collect();
            done.store(true, std::sync::atomic::Ordering::Release);
            assert!(taken.iter().all(Result::is_ok), "{taken:?}");
        });
    }

    #[test]
    fn nothing_is_noted_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let _lock = Lock::take(dir.path(), &link).unwrap();
        assert!(!real.join(HOLDER).exists());
    }
}
