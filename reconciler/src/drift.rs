//! Live against what its commit put there: the tree of the live commit is read again and compiled
//! for what was found on the host.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::object::datapath;
use state::drift::{Finding, drift, misnamed};
use state::live::{Live, SlotMark};
use state::target::compile;
use state::words::generation::{CommitRecord, Generation};

use crate::applied;
use crate::live::{self, Dirs, Reading};
use crate::pipeline::{Failure, Request, Understood, entries};
use crate::report::drift::Unread;
use crate::run::journal::{self, Entry};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The host, as it was read.
    pub reading: Reading,
    /// What differs.
    pub findings: Vec<Finding>,
    /// Why there was no target to compare with, if there was none.
    pub unread: Option<Unread>,
}

/// How often a host is read that a run changes meanwhile.
const READINGS: usize = 3;

/// Reads the host, and finds what differs. Without a request there is no tree to look into.
///
/// # Errors
///
/// The host cannot be read.
pub fn find(request: Option<&Request>, dirs: &Dirs) -> Result<Found, Failure> {
    for _ in 0..READINGS {
        let (found, begun) = read(request, dirs)?;
        // All that was read in between is of one commit.
        if begun == live::open(dirs)?.map(|kernel| kernel.record()) {
            return Ok(found);
        }
    }
    let (found, _) = read(request, dirs)?;
    Ok(Found {
        findings: Vec::new(),
        unread: Some(Unread::host("runs commit faster than the host is read")),
        ..found
    })
}

/// And the record as it was at first.
fn read(request: Option<&Request>, dirs: &Dirs) -> Result<(Found, Option<CommitRecord>), Failure> {
    let mut reading = live::read(dirs, &BTreeMap::new())?;
    let begun = reading.live.base.as_ref().map(|base| base.record);
    let noted = named_otherwise(dirs, &reading.live);
    let tree = tree(request, &reading.live, noted.as_ref());
    if let Ok(Some(tree)) = &tree {
        reading = live::read_again(dirs, reading, &tree.desired.attachments())?;
    }
    let (entries, _) = entries(dirs, &reading.live)?;
    let target = tree.and_then(|tree| match tree {
        None => Ok(None),
        Some(tree) => compile(&tree.desired, &reading.located, &datapath())
            .map(Some)
            .map_err(|error| error.to_string()),
    });
    let (target, unread) = match target {
        Ok(target) => (target, None),
        Err(why) => (None, Some(Unread::tree(why))),
    };
    let mut findings = drift(target.as_ref(), &reading.live, &entries, &datapath());
    let misnamed_as = |noted: &Entry| Some(misnamed(reading.live.base.as_ref()?, &noted.commit));
    findings.extend(noted.as_ref().and_then(misnamed_as));
    let found = Found {
        findings,
        reading,
        unread,
    };
    Ok((found, begun))
}

/// The journal's last line, where it has another name for the live generation than the live slot
/// bears. A run that died may have noted nothing of that, and then nobody can tell.
fn named_otherwise(dirs: &Dirs, live: &Live) -> Option<Entry> {
    let base = live.base.as_ref()?;
    let noted = journal::last(&dirs.state)?;
    let slot = base.live_slot();
    let same = (&noted.commit, &noted.tree) == (&slot.commit, &slot.tree);
    let of_it = noted.generation == base.record.generation.0 && slot.mark == SlotMark::Settled;
    (of_it && !same).then_some(noted)
}

/// The tree of the live commit, by the name that the journal has where that is another; `None`
/// before the first. Why it cannot be read.
fn tree(
    request: Option<&Request>,
    live: &Live,
    noted: Option<&Entry>,
) -> Result<Option<Arc<Understood>>, String> {
    let Some(base) = &live.base else {
        let lost = "nothing is left that says which commit was live".to_owned();
        return live.containers.is_empty().then_some(None).ok_or(lost);
    };
    let slot = base.live_slot();
    let (commit, id) = match noted {
        Some(noted) => (&noted.commit, &noted.tree),
        None => (&slot.commit, &slot.tree),
    };
    match (commit.is_empty(), base.record.generation) {
        (true, Generation(0)) => return Ok(None),
        (true, _) => return Err("the live slot names no commit".to_owned()),
        (false, _) => {}
    }
    let request = request.ok_or("no tree was named: -C names one")?;
    let tree = applied::understand(request, commit, id);
    Ok(Some(tree.map_err(|error| error.to_string())?))
}
