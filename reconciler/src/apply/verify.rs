//! Verify: the prepared slot is read back, compared and marked ready.

use state::diff::Delta;
use state::plan::{Operation, Phase};

use super::error::VerifyError;
use super::Apply;

/// The slot that is not live has been written.
pub struct Prepared<'a> {
    pub(super) apply: Apply<'a>,
}

/// It holds what the target says, and is marked ready.
pub struct Verified<'a> {
    pub(super) apply: Apply<'a>,
}

impl<'a> Prepared<'a> {
    /// Executes the plan's second phase.
    ///
    /// # Errors
    ///
    /// The slot differs from the target, or cannot be read. Live is unchanged.
    pub fn verify(mut self) -> Result<Verified<'a>, VerifyError> {
        let operations: Vec<&Operation> = self.apply.plan.phase(Phase::Verify).collect();
        for operation in operations {
            let Operation::VerifySlot { slot, generation } = operation else { continue };
            let wanted = self.apply.tables();
            let now_s = self.apply.now_s;
            let origin = &self.apply.plan.origin;
            let kernel = self.apply.kernel.as_mut().ok_or(bpf::KernelError::NotOpen)?;
            let differs = Delta::between(&kernel.read_slot(*slot)?, &wanted);
            if !differs.is_empty() {
                let (rows, first) = (differs.len(), first(&differs));
                return Err(VerifyError::Differs { slot: *slot, rows, first });
            }
            kernel.mark_ready(*slot, *generation, origin, now_s)?;
        }
        Ok(Verified { apply: self.apply })
    }
}

/// One differing row, for the message.
fn first(delta: &Delta) -> String {
    fn key<K: Ord + std::fmt::Debug, V>(table: &state::diff::TableDelta<K, V>) -> Option<String> {
        let key = table.put.keys().next().or_else(|| table.delete.iter().next())?;
        Some(format!("{key:?}"))
    }
    key(&delta.addresses)
        .or_else(|| key(&delta.endpoints))
        .or_else(|| key(&delta.policy))
        .or_else(|| key(&delta.rulesets))
        .unwrap_or_default()
}
