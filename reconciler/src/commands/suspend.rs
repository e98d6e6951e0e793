//! `reconcile suspend` and `reconcile resume`: whether anything is applied.

use state::words::hash::short;
use state::words::time::utc;

use super::arguments::{Global, SuspendArguments};
use super::{dirs, failure, now_s};
use crate::live::{self, Dirs};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::run::lock::wait_until_free;
use crate::run::suspended::{self, Suspended, SuspendedError};

/// Suspends. A run that is under way is waited for, for as long as the caller waits for locks.
pub(crate) fn suspend(global: &Global, arguments: &SuspendArguments, out: Out) -> Exit {
    let dirs = dirs(global);
    let done = live::commit(&dirs).map_err(|error| failure::live(&error, out));
    let mut commit = match done {
        Ok(commit) => commit,
        Err(exit) => return exit,
    };
    if let (true, Ok(Some(before))) = (commit.is_empty(), suspended::read(&dirs.state)) {
        // Since a reboot nothing was live: what was before it still is to come back.
        commit = before.commit;
    }
    let suspended = Suspended {
        since_s: now_s(),
        reason: arguments.reason.clone(),
        by: caller(),
        commit,
    };
    // First the note, which whoever takes the lock reads, then the wait for who has it.
    if let Err(error) = suspended::write(&dirs.state, &suspended) {
        return failed(&error, out);
    }
    let waited = wait_until_free(&dirs.pin, &dirs.run, global.lock_timeout);
    note_again(&dirs);
    match waited {
        Ok(()) => match read(&dirs, out) {
            Ok(now) => out.say(&said(&now.unwrap_or(suspended))),
            Err(exit) => exit,
        },
        Err(error) => {
            let holder = error.holder().map(ToString::to_string).unwrap_or_default();
            out.error(&format!(
                "suspended, but one run is under way still{holder}; it ends by itself, and no \
                 other begins"
            ));
            Exit::Refused
        }
    }
}

/// Notes what is live now, where the note was written while a run was under way: after a reboot
/// that is what comes back.
pub(super) fn note_again(dirs: &Dirs) {
    if !matches!(suspended::read(&dirs.state), Ok(Some(_))) {
        return;
    }
    let commit = live::commit(dirs).unwrap_or_default();
    if !commit.is_empty() {
        // The former one says that it is suspended as well.
        let _ = suspended::note(&dirs.state, &commit);
    }
}

/// Resumes.
pub(crate) fn resume(global: &Global, out: Out) -> Exit {
    if let Err(error) = live::may() {
        return failure::live(&error, out);
    }
    match suspended::remove(&global.state_dir) {
        Ok(true) => out.say("applying goes on with the next run\n"),
        Ok(false) => out.say("nothing was suspended\n"),
        Err(error) => failed(&error, out),
    }
}

/// What keeps a run from applying, in a line.
pub(crate) fn refusal(suspended: &Suspended) -> String {
    format!(
        "applying is suspended since {} by {}: {}; `reconcile resume` ends that",
        utc(suspended.since_s),
        suspended.by,
        suspended.reason
    )
}

/// What suspends applying, if anything does.
pub(crate) fn read(dirs: &Dirs, out: Out) -> Result<Option<Suspended>, Exit> {
    suspended::read(&dirs.state).map_err(|error| failed(&error, out))
}

/// What keeps a run from applying. Where nothing is live, a reboot has taken it away, and what was
/// live may come back: that keeps nobody.
pub(crate) fn standing(dirs: &Dirs, out: Out) -> Result<Option<Suspended>, Exit> {
    let Some(suspended) = read(dirs, out)? else {
        return Ok(None);
    };
    let lives = live::is_live(dirs).map_err(|error| failure::live(&error, out))?;
    Ok((lives || suspended.commit.is_empty()).then_some(suspended))
}

/// Tells why it is not known whether anything is suspended.
fn failed(error: &SuspendedError, out: Out) -> Exit {
    out.error(&escape(&error.to_string()));
    Exit::Failed
}

fn said(suspended: &Suspended) -> String {
    match short(&suspended.commit) {
        "" => "suspended: nothing is live, and nothing will be\n".to_owned(),
        commit => format!("suspended: {commit} stays live as it is\n"),
    }
}

/// Who asks: the user behind sudo, else whoever we are.
fn caller() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    named("SUDO_USER")
        .or_else(|| named("LOGNAME"))
        .or_else(|| named("USER"))
        .unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()))
}
