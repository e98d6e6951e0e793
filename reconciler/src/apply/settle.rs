//! Settle: wait until no packet is judged by the old generation, then take down what the tree no
//! longer has. The old slot stays as it is: it is the rollback.

use state::plan::{Operation, Phase};
use state::target::host::interface_name;
use state::words::names::FullName;

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
    pub(super) fn settle(mut self) -> Settled {
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
            Operation::EnsureNetwork { .. } | Operation::OpenNetwork { .. } => {
                self.network(operation)?;
            }
            Operation::Swap { .. } => self.swap(operation)?,
            Operation::TrimNetwork {
                container, network, ..
            } => {
                self.host.trim_network(container, network)?;
            }
            Operation::Remove { container } => return self.remove(container),
            Operation::RemoveLeftovers => self.kernel()?.remove_leftovers()?,
            Operation::MarkSettled { slot } => {
                self.kernel()?
                    .mark_settled(*slot, self.plan.to.generation)?;
            }
            Operation::NameCommit { slot } => {
                let origin = &self.plan.origin;
                let kernel = self.kernel()?;
                kernel.name_commit(*slot, &origin.commit, &origin.tree, self.now_s)?;
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    /// Interface first, then pins and maps, then the namespace. Who still lives in it is told.
    fn remove(&self, container: &FullName) -> Result<Vec<String>, SettleError> {
        self.host
            .remove_interface(container, &interface_name(container))?;
        if let Some(kernel) = &self.kernel {
            kernel.remove(std::slice::from_ref(container))?;
        }
        self.host.remove_namespace(container)?;
        let processes = self.processes.get(container).into_iter().flatten();
        Ok(processes
            .map(|p| {
                format!(
                    "process {} ({}) lives on in {container}, without a network",
                    p.pid, p.name
                )
            })
            .collect())
    }
}
