//! Commit: one 64-bit store. Every verdict changes here and nowhere else.

use state::plan::{Operation, Phase};

use super::Apply;
use super::error::CommitError;
use super::verify::Verified;

/// The record says the new generation.
pub(super) struct Committed<'a> {
    pub(super) apply: Apply<'a>,
}

impl<'a> Verified<'a> {
    /// Executes the plan's third phase.
    ///
    /// # Errors
    ///
    /// The record is not there to be stored to. Live is unchanged.
    pub(super) fn commit(self) -> Result<Committed<'a>, CommitError> {
        let operations = self.apply.operations(Phase::Commit);
        for operation in operations {
            let Operation::Store { record } = operation else {
                continue;
            };
            self.apply.kernel()?.store(*record)?;
        }
        Ok(Committed { apply: self.apply })
    }
}
