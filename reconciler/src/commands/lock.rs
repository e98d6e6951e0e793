//! The lock that a run takes: on the base directory, for that is what concurrent runs share.

use std::time::{Duration, Instant};

use super::failure;
use crate::live::Dirs;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::run::lock::{Lock, LockError};

/// How often the directory may be taken away while its lock is waited for.
const TRIES: usize = 8;

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
) -> Result<Lock, Exit> {
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        make()?;
        let left = wait.saturating_sub(begun.elapsed());
        match Lock::take_within(&dirs.pin, &dirs.run, left) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Gone { .. }) if tries < TRIES => {}
            Err(mut error) => {
                if let LockError::Busy { waited, .. } = &mut error {
                    *waited = wait;
                }
                return Err(failure::lock(&error, out));
            }
        }
    }
}
