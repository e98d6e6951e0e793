//! The lock that a run takes: on the base directory, for that is what concurrent runs share.

use std::time::{Duration, Instant};

use super::failure;
use crate::live::Dirs;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::run::grace;
use crate::run::lock::{Lock, LockError};

/// How often the directory may be taken away while its lock is waited for.
const TRIES: usize = 8;

/// Why the lock was not taken, which has been told.
pub(crate) struct NotTaken {
    /// How that ends.
    pub(crate) exit: Exit,
    /// Whether another run has it.
    pub(crate) is_busy: bool,
}

/// Takes the lock on a directory that `make` makes where it is not there, and waits so long for
/// whoever has it. Who had it may have taken the directory away: then it is made again.
///
/// # Errors
///
/// Why it was not taken, which has been told, or what `make` ends with.
pub(crate) fn take(
    dirs: &Dirs,
    wait: Duration,
    out: Out,
    mut make: impl FnMut() -> Result<(), Exit>,
) -> Result<Lock, NotTaken> {
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        make().map_err(|exit| NotTaken {
            exit,
            is_busy: false,
        })?;
        let left = wait.saturating_sub(begun.elapsed());
        match Lock::take_within(&dirs.pin, &dirs.run, left) {
            Ok(lock) => {
                // Nobody else has switched them.
                grace::put_back(&dirs.run);
                return Ok(lock);
            }
            Err(LockError::Gone { .. }) if tries < TRIES => {}
            Err(mut error) => {
                if let LockError::Busy { waited, .. } = &mut error {
                    *waited = wait;
                }
                let is_busy = error.is_busy();
                let exit = failure::lock(&error, out);
                return Err(NotTaken { exit, is_busy });
            }
        }
    }
}
