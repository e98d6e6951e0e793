//! Verify: the prepared slot is read back, compared and marked ready.

use bpf::slots::ForeignRow;
use state::diff::Delta;
use state::plan::{Operation, Phase};
use state::words::generation::Slot;

use super::Apply;
use super::error::VerifyError;

/// The slot that is not live has been written.
pub(super) struct Prepared<'a> {
    pub(super) apply: Apply<'a>,
}

/// It holds what the target says, and is marked ready.
pub(super) struct Verified<'a> {
    pub(super) apply: Apply<'a>,
}

impl<'a> Prepared<'a> {
    /// Executes the plan's second phase.
    ///
    /// # Errors
    ///
    /// The slot differs from the target, or cannot be read. Live is unchanged.
    pub(super) fn verify(self) -> Result<Verified<'a>, VerifyError> {
        let operations = self.apply.operations(Phase::Verify);
        for operation in operations {
            let (slot, generation) = match operation {
                Operation::VerifySlot { slot, generation } => (*slot, Some(*generation)),
                Operation::ConfirmSlot { slot } => (*slot, None),
                _ => continue,
            };
            self.read_back(slot)?;
            let kernel = self.apply.kernel()?;
            match generation {
                Some(generation) => kernel.mark_ready(slot, self.apply.slot_info(generation))?,
                None => kernel.hold(slot, &self.apply.plan.held)?,
            }
        }
        Ok(Verified { apply: self.apply })
    }

    fn read_back(&self, slot: Slot) -> Result<(), VerifyError> {
        let wanted = self.apply.tables();
        let reading = self.apply.kernel()?.read_slot(slot)?;
        let differs = Delta::between(&reading.tables, &wanted);
        if differs.is_empty() && reading.foreign.is_empty() {
            return Ok(());
        }
        Err(VerifyError::Differs {
            slot,
            rows: differs.len() + reading.foreign.len(),
            first: first(&differs, &reading.foreign),
        })
    }
}

/// One differing row, for the message.
fn first(delta: &Delta, foreign: &[ForeignRow]) -> String {
    fn key<K: Ord + std::fmt::Debug, V>(table: &state::diff::TableDelta<K, V>) -> Option<String> {
        let key = table
            .put
            .keys()
            .next()
            .or_else(|| table.delete.iter().next())?;
        Some(format!("{key:?}"))
    }
    key(&delta.addresses)
        .or_else(|| key(&delta.endpoints))
        .or_else(|| key(&delta.policy))
        .or_else(|| key(&delta.rulesets))
        .or_else(|| Some(format!("a row of others in {}", foreign.first()?.table)))
        .unwrap_or_default()
}
