//! Verify: the prepared slot is read back, compared and marked ready.

use bpf::marks::SlotInfo;
use bpf::slots::ForeignRow;
use state::diff::Delta;
use state::live::SlotMark;
use state::plan::{Operation, Phase};

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
            let Operation::VerifySlot { slot, generation } = operation else {
                continue;
            };
            let wanted = self.apply.tables();
            let kernel = self.apply.kernel()?;
            let reading = kernel.read_slot(*slot)?;
            let differs = Delta::between(&reading.tables, &wanted);
            if !differs.is_empty() || !reading.foreign.is_empty() {
                return Err(VerifyError::Differs {
                    slot: *slot,
                    rows: differs.len() + reading.foreign.len(),
                    first: first(&differs, &reading.foreign),
                });
            }
            let origin = &self.apply.plan.origin;
            let info = SlotInfo {
                mark: SlotMark::Ready,
                generation: *generation,
                commit: origin.commit.clone(),
                tree: origin.tree.clone(),
                time_s: self.apply.now_s,
            };
            kernel.mark_ready(*slot, info)?;
        }
        Ok(Verified { apply: self.apply })
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
