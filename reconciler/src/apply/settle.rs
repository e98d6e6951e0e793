//! Settle: wait until no packet is judged by the old generation, then take down what the tree no
//! longer has. The old slot stays as it is: it is the rollback.

use state::plan::{Operation, Phase};

use super::Apply;
use super::check::Checked;
use super::error::SettleError;

/// What a finished run leaves to say.
#[derive(Debug, Default)]
pub struct Settled {
    /// What is left behind and needs attention.
    pub left: Vec<String>,
}

impl Checked<'_> {
    /// Executes the plan's last phase. One failure does not keep the rest from being done.
    pub fn settle(mut self) -> Settled {
        let mut settled = Settled::default();
        let operations: Vec<&Operation> = self.apply.plan.phase(Phase::Settle).collect();
        for operation in operations {
            // Settled means all of it: with something left, the next run takes it up.
            let marks = matches!(operation, Operation::MarkSettled { .. });
            if marks && !settled.left.is_empty() {
                continue;
            }
            match self.apply.settle_one(operation) {
                Ok(left) => settled.left.extend(left),
                Err(error) => settled.left.push(error.to_string()),
            }
        }
        settled
    }
}

impl Apply<'_> {
    fn settle_one(&mut self, operation: &Operation) -> Result<Vec<String>, SettleError> {
        match operation {
            Operation::Barrier => self.kernel()?.barrier()?,
            Operation::Swap { container, from, constants, build } => {
                self.kernel()?.swap(container, from.as_ref(), constants, *build)?;
            }
            Operation::TrimNetwork { container, network } => {
                self.host.trim_network(container, network)?;
            }
            Operation::Remove { container } => {
                let left = self.host.remove_network(container)?;
                self.kernel()?.remove(container)?;
                return Ok(left);
            }
            Operation::MarkSettled { slot } => self.kernel()?.mark_settled(*slot)?,
            Operation::NameCommit { slot } => {
                let (origin, now_s) = (self.plan.origin.clone(), self.now_s);
                self.kernel()?.name_commit(*slot, &origin, now_s)?;
            }
            _ => {}
        }
        Ok(Vec::new())
    }
}
