//! The tree of the live commit, read again: for a comparison in words, and for the names, files and
//! lines of rules. From the repository's objects, or for a directory from its copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use state::desired::{describe, describe_peers};
use state::live::Base;
use state::plan::rows;
use state::reach::{Change, changes};
use state::words::hash::short;
use state::words::names::FullName;
use thiserror::Error;

use crate::live::Dirs;
use crate::pipeline::{self, Planned, Request, Understood, understood};
use crate::report::words::Words;
use crate::run::copy::{self, CopyError};
use crate::run::dirs::{self, DirsError};
use crate::source::{Source, SourceError, SourceId};

/// Why the live tree cannot be read again.
#[derive(Debug, Error)]
pub enum AppliedError {
    /// Its commit is gone, or its repository is another one.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its copy cannot be read.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// It is neither a commit there nor a directory of which there is a copy.
    #[error("{cause}, and {} holds no copy of a directory of that content; \
             applying it again writes one", state.display())]
    Lost {
        /// What the repository says.
        cause: Box<SourceError>,
        /// The state directory.
        state: std::path::PathBuf,
    },
    /// What was applied is not what the directory that is named leads to in its commit.
    #[error("{} is another folder of commit {commit} than the one that was applied: \
             name that one by -C", folder.display())]
    Folder {
        /// Which.
        commit: String,
        /// The directory.
        folder: std::path::PathBuf,
    },
    /// It is valid no more for this version.
    #[error("commit {commit} is not valid for this version")]
    Invalid {
        /// Which.
        commit: String,
    },
}

/// Why the state directory could not be written.
#[derive(Debug, Error)]
pub enum KeepError {
    /// It cannot be used.
    #[error(transparent)]
    Folder(#[from] DirsError),
    /// The copy cannot be written.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] crate::run::journal::JournalError),
}

/// The tree of a commit that was applied: as it was planned, or read and understood again. `tree`:
/// the id of its tree object, or of a directory the content hash again; empty where nobody knows.
pub fn understand(
    request: &Request,
    commit: &str,
    tree: &str,
) -> Result<Arc<Understood>, AppliedError> {
    let found = match request.memory.tree(request, commit) {
        Some(found) => found,
        None => read_again(request, commit)?,
    };
    if !tree.is_empty() && found.source.id.tree() != tree {
        return Err(AppliedError::Folder {
            commit: short(commit).to_owned(),
            folder: request.source.directory.clone(),
        });
    }
    match found.is_valid() {
        true => Ok(found),
        false => Err(AppliedError::Invalid {
            commit: commit.to_owned(),
        }),
    }
}

fn read_again(request: &Request, commit: &str) -> Result<Arc<Understood>, AppliedError> {
    let source = match copy::read(&request.dirs.state, commit)? {
        Some(tree) => Source {
            tree,
            problems: state::words::problem::Problems::default(),
            id: SourceId::Directory {
                hash: commit.to_owned(),
                path: request.source.directory.clone(),
            },
            uncommitted: Vec::new(),
        },
        None => match request
            .memory
            .read_commit(&request.source.directory, commit)
        {
            Err(cause @ (SourceError::NoSuchCommit { .. } | SourceError::NoRepository { .. })) => {
                let (cause, state) = (Box::new(cause), request.dirs.state.clone());
                return Err(AppliedError::Lost { cause, state });
            }
            read => read?,
        },
    };
    Ok(Arc::new(understood(source, request)))
}

/// The policy before and after, in words.
pub struct Compared {
    /// Before.
    pub old: Words,
    /// After.
    pub new: Words,
    /// Why both are in rule ids, where they are.
    pub note: Option<String>,
    /// Which flows become allowed or denied, where something is live and its tree can be read.
    pub flows: Option<Vec<Change>>,
}

/// Live against planned, in words; in rule ids where the live tree can no longer be read. Peers are
/// no news where nothing is live yet.
pub fn words(request: &Request, planned: &Planned) -> Compared {
    let new = || owned(&planned.tree);
    let Some(base) = planned
        .live
        .base
        .as_ref()
        .filter(|base| !base.live_slot().commit.is_empty())
    else {
        let new = new();
        let old = Words {
            peers: new.peers.clone(),
            ..Words::default()
        };
        return Compared {
            old,
            new,
            note: None,
            flows: None,
        };
    };
    let live = base.live_slot();
    match understand(request, &live.commit, &live.tree) {
        Ok(old) => Compared {
            old: owned(&old),
            new: new(),
            note: None,
            flows: flows(request, &old, planned),
        },
        Err(error) => by_rows(base, planned, &error),
    }
}

/// `None` where the live tree does not compile any more: it was compiled when it was applied, so
/// this version's limits are others.
fn flows(request: &Request, old: &Understood, planned: &Planned) -> Option<Vec<Change>> {
    if planned.plan.live.as_ref() == Some(&planned.plan.origin) {
        // The same tree: a run with nothing to do need not compile it twice more.
        return Some(Vec::new());
    }
    let view = |tree| pipeline::reach(tree, &request.memory).ok();
    let (old, new) = (view(old)?, view(&planned.tree)?);
    Some(changes(Some(&*old), &new))
}

fn owned(tree: &Understood) -> Words {
    let owned = |described: BTreeMap<&FullName, Vec<String>>| {
        let described = described.into_iter();
        described
            .map(|(name, lines)| (name.clone(), lines))
            .collect()
    };
    Words {
        policies: owned(describe(&tree.desired)),
        peers: owned(describe_peers(&tree.desired)),
    }
}

fn by_rows(base: &Base, planned: &Planned, error: &AppliedError) -> Compared {
    let before = planned.live.containers.iter();
    let before = before.filter_map(|(name, c)| Some((name.clone(), c.endpoint?)));
    let after = planned.target.containers.iter();
    let after = after.map(|(name, c)| (name.clone(), c.constants.endpoint));
    let words = |policies| Words {
        policies,
        ..Words::default()
    };
    Compared {
        old: words(rows::in_words(&base.live_slot().tables, before)),
        new: words(rows::in_words(&planned.target.tables, after)),
        note: Some(format!(
            "the live tree cannot be read ({error}): rules are shown by their ids"
        )),
        flows: None,
    }
}

/// Keeps a copy of an applied directory, and those of what was live before, for whoever goes back;
/// of a git commit, the repository is the copy.
pub fn keep(dirs: &Dirs, planned: &Planned) -> Result<(), KeepError> {
    dirs::make(&dirs.state)?;
    let source = &planned.tree.source;
    if let SourceId::Directory { .. } = &source.id {
        copy::write(&dirs.state, &source.tree)?;
    }
    let slots = planned.live.base.iter().flat_map(|base| &base.slots);
    let mut kept: Vec<&str> = slots.map(|slot| slot.commit.as_str()).collect();
    kept.push(source.id.commit());
    copy::keep(&dirs.state, &kept)?;
    Ok(())
}

/// The same where nothing else is to be done: a copy that was lost or damaged is written anew.
pub fn keep_again(dirs: &Dirs, planned: &Planned) -> Result<(), KeepError> {
    match &planned.tree.source.id {
        SourceId::Directory { hash, .. }
            if !matches!(copy::read(&dirs.state, hash), Ok(Some(_))) =>
        {
            keep(dirs, planned)
        }
        _ => Ok(()),
    }
}
