//! `reconcile drift`: what live differs in from what its commit put there.
//!
//! What a run is about to change is no drift, so what was found is believed once the host was read
//! twice with the same result while nobody held the lock.

use std::time::Instant;

use state::drift::needs_attention;

use super::arguments::Global;
use super::{dirs, failure, request_if_any};
use crate::drift::{self, Found};
use crate::pipeline::Failure;
use crate::report::drift::{self as report, Drift};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::json;
use crate::report::out::Out;
use crate::run::lock::{self, LockError};

/// How often the host is read at most: a connection may come or go each time.
const READINGS: usize = 4;

/// Runs it.
pub(crate) fn run(global: &Global, out: Out) -> Exit {
    let found = match find(global, out) {
        Ok((found, None)) => found,
        Ok((_, Some(busy))) => return failure::lock(&busy, out),
        Err(exit) => return exit,
    };
    let told = Drift::of(&found.reading.live, &found.findings, found.unread);
    let told = match out.json {
        false => out.data(&report::text(&told, out.data)),
        true => json::tell(&told, out),
    };
    match told {
        Exit::Done if needs_attention(&found.findings) => Exit::Attention,
        exit => exit,
    }
}

/// What differs, and who holds the lock where it was held for as long as may be waited: then
/// nothing that was found is known to be drift.
///
/// # Errors
///
/// It could not be read, which has been told.
pub(super) fn find(global: &Global, out: Out) -> Result<(Found, Option<LockError>), Exit> {
    let request = request_if_any(global).map_err(|message| {
        out.error(&escape(&message));
        Exit::Usage
    })?;
    let (dirs, begun) = (dirs(global), Instant::now());
    let read = || {
        let found = drift::find(request.as_ref(), &dirs);
        found.map_err(|failure: Failure| failure::tell(&failure, out))
    };
    let mut found = read()?;
    for _ in 1..READINGS {
        if !needs_attention(&found.findings) {
            break;
        }
        let free = || {
            let left = global.lock_timeout.saturating_sub(begun.elapsed());
            lock::wait_until_free(&dirs.pin, &dirs.run, left)
        };
        if let Err(busy) = free() {
            return Ok((found, Some(busy)));
        }
        let before = std::mem::replace(&mut found, read()?);
        if let Err(busy) = free() {
            return Ok((found, Some(busy)));
        }
        if before.findings == found.findings {
            break;
        }
    }
    Ok((found, None))
}
