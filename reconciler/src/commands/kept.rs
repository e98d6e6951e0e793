//! What a run keeps: in the state directory the journal and the copy of an applied directory, in
//! the run directory how it ended.

use std::path::Path;

use state::plan::Kind;

use super::now_s;
use super::runs::Carried;
use crate::applied;
use crate::live::Dirs;
use crate::pipeline::{Errand, Planned, Request};
use crate::report::exit::Exit;
use crate::run::attempt::{self, Attempt};
use crate::run::dirs;
use crate::run::journal::{self, Entry};

/// The journal, and the copy of a directory. A run that only mended made nothing live, and one that
/// had nothing to do keeps again what was lost.
pub(super) fn keep(
    request: &Request,
    planned: &Planned,
    now_s: u64,
) -> Result<(), applied::KeepError> {
    let plan = &planned.plan;
    if plan.is_empty() {
        note_unnoted(request, planned);
        return applied::keep_again(&request.dirs, planned);
    }
    applied::keep(&request.dirs, planned)?;
    note_unnoted(request, planned);
    if plan.kind == Kind::Mend {
        return Ok(());
    }
    let again = planned.errand == Errand::Again;
    let entry = Entry {
        time_s: now_s,
        generation: plan.to.generation.0,
        commit: plan.origin.commit.clone(),
        tree: plan.origin.tree.clone(),
        containers: planned.target.containers.len(),
        steps: plan.steps.len(),
        // What stays held is still what was rolled back from: the next boot must know.
        kind: match plan.back.is_some() || (again && !plan.held.is_empty()) {
            true => journal::Kind::Rollback,
            false => journal::Kind::Apply,
        },
    };
    journal::append(&request.dirs.state, &entry)?;
    Ok(())
}

/// What is live does not depend on it: history and the diff in words do.
pub(super) fn unkept(error: &applied::KeepError) -> String {
    format!("the state directory could not be written: {error}")
}

/// How a run ended, and whether that is `told` to who hears nothing but news.
pub(super) fn ended(carried: &Carried, told: bool) -> Attempt {
    Attempt {
        time_s: now_s(),
        commit: carried.about.commit.clone(),
        exit: carried.exit as u8,
        reasons: carried.reasons.clone(),
        told,
    }
}

/// Notes how a run ended. What has been told once has been told, whoever finds the same after it.
pub(super) fn note(dirs: &Dirs, mut attempt: Attempt) {
    let last = attempt::last(&dirs.run);
    attempt.told |= last.is_some_and(|last| last.told && last.ended_as(&attempt));
    if let Err(error) = attempt::note(&dirs.run, &attempt) {
        tracing::info!("how the run ended was not noted: {error}");
    }
}

/// Notes that a run stepped aside, which was told.
pub(super) fn note_aside(run: &Path) {
    if let Err(error) = attempt::note_aside(run) {
        tracing::info!("that the run stepped aside was not noted: {error}");
    }
}

/// Whether the last run failed, and whoever asks was told so: who hears nothing but `news` of that
/// alone.
pub(super) fn last_failed(dirs: &Dirs, news: bool) -> bool {
    let fine = [Exit::Done, Exit::Pending, Exit::Attention].map(|exit| exit as u8);
    let failed = |last: &Attempt| !fine.contains(&last.exit);
    attempt::last(&dirs.run).is_some_and(|last| failed(&last) && (last.told || !news))
}

/// The commit that is live, where the journal does not end with it: its run was killed, or the
/// journal is lost. Where it cannot be noted, nothing is lost but history.
fn note_unnoted(request: &Request, planned: &Planned) {
    let state = &request.dirs.state;
    let Some(base) = &planned.live.base else {
        return;
    };
    let (slot, generation) = (base.live_slot(), base.record.generation.0);
    if slot.commit.is_empty() {
        return;
    }
    // A name that nobody has noted, and that this run writes over, may be anybody's.
    let known =
        |last: &Entry| last.commit == slot.commit || planned.plan.origin.commit != slot.commit;
    let noted = journal::last(state);
    if noted.is_some_and(|last| last.generation == generation && known(&last)) {
        return;
    }
    let entry = Entry {
        time_s: slot.time_s,
        generation,
        commit: slot.commit.clone(),
        tree: slot.tree.clone(),
        containers: slot.tables.endpoints.len(),
        steps: 0,
        kind: match base.held().is_empty() {
            true => journal::Kind::Apply,
            false => journal::Kind::Rollback,
        },
    };
    let made = dirs::make(state).map_err(applied::KeepError::from);
    if let Err(error) = made.and_then(|()| Ok(journal::append(state, &entry)?)) {
        tracing::info!("the journal was not completed: {error}");
    }
}
