//! Containers whose pair goes away under the hands of a run: whoever is root inside deletes its
//! end, and with it the host's. What is to be done on that interface then fails or is left, and is
//! told; nothing reaches the container any more, and the rest of the commit goes on.

use std::fmt::Display;

use state::plan::Operation;
use state::target::host::Attach;
use state::words::names::FullName;

use super::error::{PrepareError, SettleError};
use super::{Apply, of_container};
use crate::host::HostError;

/// An error of a stage.
pub(super) trait Failed: Display {
    /// What failed on the host, if that is what it was.
    fn on_host(&self) -> Option<&HostError>;

    /// Whether it says itself that what was worked on is gone.
    fn is_gone(&self) -> bool {
        self.on_host().is_some_and(HostError::is_gone)
    }
}

impl Failed for HostError {
    fn on_host(&self) -> Option<&HostError> {
        Some(self)
    }
}

impl Failed for PrepareError {
    fn on_host(&self) -> Option<&HostError> {
        match self {
            Self::Host(error) => Some(error),
            _ => None,
        }
    }
}

impl Failed for SettleError {
    fn on_host(&self) -> Option<&HostError> {
        match self {
            Self::Host(error) => Some(error),
            _ => None,
        }
    }
}

/// What a check found, in words.
impl Failed for String {
    fn on_host(&self) -> Option<&HostError> {
        None
    }
}

impl Apply<'_> {
    /// Does an operation, unless its container is lost by now, or is found to be so as it fails.
    pub(super) fn unless_lost<E: Failed>(
        &mut self,
        operation: &Operation,
        done: impl FnOnce(&mut Self, &Operation) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(container) = operation.container() else {
            return done(self, operation);
        };
        if self.lost.contains_key(container) {
            return Ok(());
        }
        done(self, operation).or_else(|error| self.lose(container, error))
    }

    /// Takes it for lost, where that is why something failed.
    pub(super) fn lose<E: Failed>(&mut self, container: &FullName, error: E) -> Result<(), E> {
        let targets = self.target.containers.get(container);
        let ours = targets.is_some_and(|target| {
            // Of one that is somebody else's the plan is made anew without its container.
            !matches!(target.network.attach, Attach::Interface { .. })
        });
        let gone = self.went_away(container) || (error.is_gone() && !self.stands(container));
        if !ours || !gone {
            return Err(error);
        }
        let what = match error.is_gone() {
            true => error.to_string(),
            false => format!("its interface went away: {error}"),
        };
        let what = of_container(container, &what);
        self.lost.entry(container.clone()).or_insert(what);
        Ok(())
    }

    /// Whether the interface that was found or made, or the one that its programs stand on, is
    /// there no more. The host gives no index twice that nobody asks for, and who deletes an end
    /// inside gets none on the host. Where another one was made since, what was attached to the
    /// first is attached to nothing.
    fn went_away(&self, container: &FullName) -> bool {
        let known = [self.attached.get(container), self.interfaces.get(container)];
        // What cannot be looked at is not said to have gone.
        let gone = |index: &u32| matches!(self.host.has(*index), Ok(false));
        known.into_iter().flatten().any(gone)
    }

    /// Whether its programs may stand on an interface still. What a namespace says is no proof that
    /// they do not: whoever is root there may move its end on, and what passes the host's is judged
    /// by programs that are to be swapped.
    fn stands(&self, container: &FullName) -> bool {
        let on = self.attached.get(container);
        on.is_some_and(|index| !matches!(self.host.has(*index), Ok(false)))
    }
}
