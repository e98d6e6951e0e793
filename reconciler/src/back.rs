//! Which commit to go back to, and the plan that does: `reconcile rollback`.
//!
//! The kernel knows the commit that the other slot holds, and is asked first; the journal is asked
//! for what the kernel does not know. The tree is read again from the repository's objects, or from
//! the copy of an applied directory, and is then planned like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use state::live::{Base, LiveSlot};
use state::plan::Origin;
use state::plan::back::previous;
use state::plan::guards::Allowed;
use state::words::generation::Generation;
use state::words::hash::short;
use thiserror::Error;

use crate::applied::{self, AppliedError};
use crate::live::{self, Reading};
use crate::pipeline::{self, Errand, Failure, Planned, Request, Understood};
use crate::run::journal::{self, Entry, JournalError};

/// Why there is nothing to go back to.
#[derive(Debug, Error)]
pub enum BackError {
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] Failure),
    /// The journal is needed and cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The commit's tree cannot be read again.
    #[error("the tree of {commit} cannot be read again: {cause}")]
    Lost {
        /// The commit.
        commit: String,
        /// Why not.
        cause: Box<AppliedError>,
    },
    /// Nothing is live.
    #[error("nothing is live on this host")]
    NothingLive,
    /// It is live already.
    #[error("{commit} is live already")]
    IsLive {
        /// What was asked for.
        commit: String,
    },
    /// Going back twice would be going forward.
    #[error(
        "{held} was rolled back from already; `reconcile history` shows what was live before, and \
         `reconcile rollback GEN` goes there"
    )]
    Already {
        /// The commit that is held.
        held: String,
    },
    /// No other commit is known.
    #[error(
        "no commit that was live before is known: the other slot holds none, and the journal names \
         none; --rev makes any commit live"
    )]
    NoneBefore,
    /// The generation is not known.
    #[error(
        "generation {0} is neither in the other slot nor in the journal; `reconcile history` shows \
         those that are, and --rev makes any commit live"
    )]
    Unknown(Generation),
}

/// The plan that goes back: to the commit that was live before, or to the one of a generation.
/// `understood`: who hears of its tree, whatever becomes of the plan.
pub fn make_plan(
    request: &Request,
    generation: Option<Generation>,
    allowed: Allowed,
    understood: impl FnOnce(&Arc<Understood>),
) -> Result<Planned, BackError> {
    let found = live::read(&request.dirs, &BTreeMap::new()).map_err(Failure::from)?;
    let base = live_base(&found)?;
    let origin = match generation {
        None => before(request, base)?,
        Some(generation) => of(request, base, generation)?,
    };
    if origin.commit == base.live_slot().commit {
        return Err(BackError::IsLive {
            commit: short(&origin.commit).to_owned(),
        });
    }
    let tree = tree_of(request, &origin)?;
    understood(&tree);
    plan_to(request, tree, found, Errand::GoBack, allowed)
}

/// The plan that mends what is live, whatever is asked for by now.
pub fn make_plan_live(request: &Request, allowed: Allowed) -> Result<Planned, BackError> {
    let found = live::read(&request.dirs, &BTreeMap::new()).map_err(Failure::from)?;
    let origin = origin(live_base(&found)?.live_slot());
    plan_again(request, &origin, found, allowed)
}

/// The plan that makes a commit live again where nothing is, as after a reboot.
pub fn make_plan_again(
    request: &Request,
    origin: &Origin,
    allowed: Allowed,
) -> Result<Planned, BackError> {
    let found = live::read(&request.dirs, &BTreeMap::new()).map_err(Failure::from)?;
    plan_again(request, origin, found, allowed)
}

fn plan_again(
    request: &Request,
    origin: &Origin,
    found: Reading,
    allowed: Allowed,
) -> Result<Planned, BackError> {
    let tree = tree_of(request, origin)?;
    plan_to(request, tree, found, Errand::Again, allowed)
}

/// What is live on the host that was read.
fn live_base(found: &Reading) -> Result<&Base, BackError> {
    let base = found.live.base.as_ref();
    let base = base.filter(|base| base.record.generation != Generation(0));
    base.ok_or(BackError::NothingLive)
}

fn tree_of(
    request: &Request,
    Origin { commit, tree }: &Origin,
) -> Result<Arc<Understood>, BackError> {
    applied::understand(request, commit, tree).map_err(|cause| BackError::Lost {
        commit: short(commit).to_owned(),
        cause: Box::new(cause),
    })
}

fn plan_to(
    request: &Request,
    tree: Arc<Understood>,
    found: Reading,
    errand: Errand,
    allowed: Allowed,
) -> Result<Planned, BackError> {
    let wanted = tree.desired.attachments();
    let read = live::read_again(&request.dirs, found, &wanted).map_err(Failure::from)?;
    Ok(pipeline::plan_for(request, tree, read, errand, allowed)?)
}

/// What a slot was made from.
fn origin(slot: &LiveSlot) -> Origin {
    Origin {
        commit: slot.commit.clone(),
        tree: slot.tree.clone(),
    }
}

/// What was live when applying was suspended; which folder of its commit, if the journal knows.
pub(crate) fn suspended(request: &Request, commit: String) -> Origin {
    let last = journal::last(&request.dirs.state).map(noted);
    let last = last.filter(|last| last.commit == commit);
    let tree = last.map(|last| last.tree).unwrap_or_default();
    Origin { commit, tree }
}

/// What an entry of the journal was made from.
pub(crate) fn noted(entry: Entry) -> Origin {
    Origin {
        commit: entry.commit,
        tree: entry.tree,
    }
}

/// The commit that was live before the one that is.
fn before(request: &Request, base: &Base) -> Result<Origin, BackError> {
    let origin = match previous(base) {
        Some(slot) => origin(slot),
        None => {
            let entries = journal::read(&request.dirs.state)?.entries.into_iter();
            let mut others = entries.rev().map(noted);
            let live = &base.live_slot().commit;
            let other = others.find(|origin| origin.commit != *live);
            other.ok_or(BackError::NoneBefore)?
        }
    };
    if base.held().contains(&origin.commit) {
        let held = short(&origin.commit).to_owned();
        return Err(BackError::Already { held });
    }
    Ok(origin)
}

/// The commit of a generation: of the latest of that number, for a reboot begins to count anew.
fn of(request: &Request, base: &Base, generation: Generation) -> Result<Origin, BackError> {
    if generation == base.record.generation {
        return Ok(origin(base.live_slot()));
    }
    if let Some(slot) = previous(base).filter(|slot| slot.generation == generation) {
        return Ok(origin(slot));
    }
    let entries = journal::read(&request.dirs.state)?.entries.into_iter();
    let mut known = entries
        .rev()
        .filter(|entry| entry.generation == generation.0);
    let entry = known.next().ok_or(BackError::Unknown(generation))?;
    Ok(noted(entry))
}
