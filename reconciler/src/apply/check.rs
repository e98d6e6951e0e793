//! Check: what was done is read back, and a trial packet goes through each changed container's
//! programs. What fails here swings back by one store, for nothing has been taken down yet.

use bpf::trial::Outcome;
use state::diff::ContainerDifference;
use state::live::{Live, LiveContainer};
use state::plan::{Operation, Phase};
use state::words::generation::CommitRecord;
use state::words::names::FullName;

use super::Apply;
use super::commit::Committed;
use super::error::SwungBack;
use crate::live;

/// What is live is what was asked for.
pub(super) struct Checked<'a> {
    pub(super) apply: Apply<'a>,
}

impl<'a> Committed<'a> {
    /// Executes the plan's fourth phase.
    ///
    /// # Errors
    ///
    /// What failed. The slot that was live before the commit is live again.
    pub(super) fn check(mut self) -> Result<Checked<'a>, SwungBack> {
        let mut failures = Vec::new();
        if let Err(failure) = self.record() {
            failures.push(failure);
        }
        let operations = self.apply.operations(Phase::Check);
        // Addresses that were another container's until the store.
        for operation in &operations {
            let done = self.apply.unless_lost(operation, Apply::network);
            failures.extend(done.err().map(|error| error.to_string()));
        }
        if !operations.is_empty() {
            match live::read(self.apply.dirs, &self.apply.target.attachments()) {
                Err(error) => failures.push(error.to_string()),
                Ok(reading) => {
                    for (name, result) in self.containers(&reading.live, &operations) {
                        match result {
                            Ok(None) => {}
                            Ok(Some(inside)) => self.apply.of_inside(name, &inside),
                            Err(failure) => {
                                let failure = self.apply.lose(name, failure).err();
                                failures.extend(failure.map(|why| format!("{name}: {why}")));
                            }
                        }
                    }
                }
            }
        }
        if failures.is_empty() {
            return Ok(Checked { apply: self.apply });
        }
        let still_live = self.swing_back().err();
        Err(SwungBack {
            failures,
            still_live,
        })
    }

    fn containers<'o>(
        &self,
        live: &Live,
        operations: &[&'o Operation],
    ) -> Vec<(&'o FullName, Result<Option<String>, String>)> {
        let containers = operations.iter().filter_map(|operation| match operation {
            // Of one that is lost there is nothing to check, and that is told.
            Operation::Check { container } => {
                (!self.apply.lost.contains_key(container)).then_some(container)
            }
            _ => None,
        });
        let checks = containers.map(|name| (name, self.container(live, name)));
        checks.collect()
    }

    fn record(&self) -> Result<(), String> {
        let wanted = self.apply.plan.to;
        let found = self.apply.kernel().map_err(|e| e.to_string())?.record();
        if found != wanted {
            return Err(format!("the commit record is {found:?} and not {wanted:?}"));
        }
        Ok(())
    }

    /// What was read back of a container, and the trial packet. What was undone inside is told and
    /// no failure: whoever is root there is not to have a commit taken back that is good.
    fn container(&self, live: &Live, name: &FullName) -> Result<Option<String>, String> {
        let Some(target) = self.apply.target.containers.get(name) else {
            return Ok(None);
        };
        let mut found = live.containers.get(name).cloned();
        if let Some(found) = &mut found {
            self.as_seen_outside(name, found);
        }
        let found = found.as_ref();
        let mut target = target.clone();
        // A transition build is there until settle.
        let transition = self.apply.plan.phase(Phase::Settle).any(
            |operation| matches!(operation, Operation::Swap { container, .. } if container == name),
        );
        if let (true, Some(programs)) = (transition, found.and_then(|f| f.programs)) {
            target.programs.build = programs.build;
        }
        // So is a quota that becomes smaller.
        for operation in self.apply.plan.phase(Phase::Settle) {
            match operation {
                Operation::ResizeConnections {
                    container, from, ..
                } if container == name => target.connections = *from,
                _ => {}
            }
        }
        let mut difference = ContainerDifference::between(&target, found, false);
        let inside = difference.network.take_inside();
        let inside = inside.in_words().into_iter().next();
        if let Some(fault) = difference.first_in_words() {
            return Err(fault);
        }
        let kernel = self.apply.kernel().map_err(|e| e.to_string())?;
        let outcomes = kernel.trial(name).map_err(|e| e.to_string())?;
        for (outcome, which) in outcomes.iter().zip(["sends", "receives"]) {
            if *outcome != Outcome::Judged {
                return Err(format!(
                    "the trial of what it {which} ended otherwise: {outcome:?}"
                ));
            }
        }
        Ok(inside)
    }

    /// A pair whose other end is not in its namespace any more is none to be read, and is one still
    /// for the programs that stand on the host's end.
    fn as_seen_outside(&self, name: &FullName, found: &mut LiveContainer) {
        let Some(network) = &mut found.network else {
            return;
        };
        if network.ifindex.is_none() && network.faults.iter().any(|fault| fault.inside) {
            let on = self.apply.attached.get(name).copied();
            network.ifindex = on.filter(|index| matches!(self.apply.host.has(*index), Ok(true)));
        }
    }

    /// One store back to the old slot, under a generation of its own: entries that the failed one
    /// has judged must not pass for judged by a later one. Where this run committed nothing, there
    /// is nothing to take back.
    fn swing_back(&self) -> Result<(), String> {
        if !self.apply.commits() {
            return Ok(());
        }
        let (slot, generation) = (
            self.apply.plan.from.slot,
            self.apply.plan.to.generation.next(),
        );
        let record = CommitRecord { generation, slot };
        let kernel = self.apply.kernel().map_err(|e| e.to_string())?;
        kernel.store(record).map_err(|e| e.to_string())
    }
}
