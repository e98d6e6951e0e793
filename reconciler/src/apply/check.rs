//! Check: what was done is read back, and a trial packet goes through each changed container's
//! programs. What fails here swings back by one store, for nothing has been taken down yet.

use state::plan::{Operation, Phase};
use state::words::generation::CommitRecord;
use state::words::names::FullName;

use super::Apply;
use super::commit::Committed;
use super::error::SwungBack;

/// What is live is what was asked for.
pub struct Checked<'a> {
    pub(super) apply: Apply<'a>,
}

impl<'a> Committed<'a> {
    /// Executes the plan's fourth phase.
    ///
    /// # Errors
    ///
    /// What failed. The slot that was live before the commit is live again.
    pub fn check(mut self) -> Result<Checked<'a>, SwungBack> {
        let mut failures = Vec::new();
        if let Err(failure) = self.record() {
            failures.push(failure);
        }
        let operations: Vec<&Operation> = self.apply.plan.phase(Phase::Check).collect();
        for operation in operations {
            let Operation::Check { container } = operation else { continue };
            if let Err(failure) = self.container(container) {
                failures.push(format!("{container}: {failure}"));
            }
        }
        if failures.is_empty() {
            return Ok(Checked { apply: self.apply });
        }
        let still_live = self.swing_back().err();
        Err(SwungBack { failures, still_live })
    }

    fn record(&mut self) -> Result<(), String> {
        let wanted = self.apply.plan.to;
        let kernel = self.apply.kernel().map_err(|e| e.to_string())?;
        let found = kernel.record();
        if found != wanted {
            return Err(format!("the commit record is {found:?} and not {wanted:?}"));
        }
        Ok(())
    }

    /// Links, interface and addresses, and the trial packet.
    fn container(&mut self, name: &FullName) -> Result<(), String> {
        let Some(target) = self.apply.target.containers.get(name) else { return Ok(()) };
        let faults = self.apply.host.faults(name, &target.network).map_err(|e| e.to_string())?;
        if let Some(fault) = faults.first() {
            return Err(fault.clone());
        }
        let ifindex = self.apply.interfaces.get(name).copied().ok_or("it has no interface")?;
        let kernel = self.apply.kernel().map_err(|e| e.to_string())?;
        kernel.check_links(name, ifindex).map_err(|e| e.to_string())?;
        kernel.trial(name).map_err(|e| e.to_string())
    }

    /// One store back to the old slot, under a generation of its own: entries that the failed one
    /// has judged must not pass for judged by a later one. Where this run committed nothing there is
    /// nothing to take back.
    fn swing_back(&mut self) -> Result<(), String> {
        if !self.apply.commits() {
            return Ok(());
        }
        let (slot, generation) = (self.apply.plan.from.slot, self.apply.plan.to.generation.next());
        let record = CommitRecord { generation, slot };
        let kernel = self.apply.kernel().map_err(|e| e.to_string())?;
        kernel.store(record).map_err(|e| e.to_string())
    }
}
