//! Live against what its commit put there: the tree of the live commit is read again and compiled
//! for what was found on the host.

use std::collections::BTreeMap;

use bpf::object::datapath;
use state::drift::{Finding, drift};
use state::live::Live;
use state::target::compile;
use state::words::generation::CommitRecord;

use crate::applied;
use crate::live::{self, Dirs, Reading};
use crate::pipeline::{Failure, Request, Understood, entries};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The host, as it was read.
    pub reading: Reading,
    /// What differs.
    pub findings: Vec<Finding>,
    /// Why there was no target to compare with, if there was none.
    pub unread: Option<String>,
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
        unread: Some("runs commit faster than the host is read".to_owned()),
        ..found
    })
}

/// And the record as it was at first.
fn read(request: Option<&Request>, dirs: &Dirs) -> Result<(Found, Option<CommitRecord>), Failure> {
    let mut reading = live::read(dirs, &BTreeMap::new())?;
    let begun = reading.live.base.as_ref().map(|base| base.record);
    let tree = tree(request, &reading.live);
    if let Ok(Some(tree)) = &tree {
        reading = live::read_again(dirs, reading, &tree.desired.attachments())?;
    }
    let entries = entries(dirs, &reading.live)?;
    let target = tree.and_then(|tree| match tree {
        None => Ok(None),
        Some(tree) => compile(&tree.desired, &reading.located, &datapath())
            .map(Some)
            .map_err(|error| error.to_string()),
    });
    let (target, unread) = match target {
        Ok(target) => (target, None),
        Err(why) => (None, Some(why)),
    };
    let found = Found {
        findings: drift(target.as_ref(), &reading.live, &entries, &datapath()),
        reading,
        unread,
    };
    Ok((found, begun))
}

/// The tree of the live commit; `None` before the first. Why it cannot be read.
fn tree(request: Option<&Request>, live: &Live) -> Result<Option<Understood>, String> {
    let Some(base) = &live.base else {
        return Ok(None);
    };
    let commit = &base.live_slot().commit;
    if commit.is_empty() {
        return Ok(None);
    }
    let request = request.ok_or("no tree was named")?;
    let tree = applied::understand(request, commit).map_err(|error| error.to_string())?;
    if tree.origin().tree != base.live_slot().tree {
        return Err("live is another folder of its commit".to_owned());
    }
    Ok(Some(tree))
}
