//! Settle: wait until no packet is judged by the old generation, then take down what the tree no
//! longer has. The old slot stays as it is: it is the rollback.

use std::collections::BTreeMap;

use bpf::guard;
use state::plan::{Operation, Phase};
use state::target::host::interface_name;
use state::words::names::FullName;

use super::check::Checked;
use super::error::SettleError;
use super::programs::AHEAD;
use super::{Apply, batches};

/// What a finished run leaves to say.
#[derive(Debug, Default)]
pub struct Settled {
    /// What is left behind and needs attention.
    pub left: Vec<String>,
    /// What could not be done, and why: the next run takes it up.
    pub undone: Vec<String>,
    /// How many connections of which containers had no room in a smaller quota.
    pub forgotten: BTreeMap<FullName, usize>,
}

impl Checked<'_> {
    /// Executes the plan's last phase. One failure does not keep the rest from being done.
    pub(super) fn settle(mut self) -> Settled {
        let mut settled = Settled::default();
        let operations = self.apply.operations(Phase::Settle);
        for batch in batches(&operations) {
            // Settled means all of it: what failed, the next run takes up. What a lost container
            // lacks is none of that: nothing of the old generation waits for it.
            if !settled.undone.is_empty() && matches!(batch, [Operation::MarkSettled { .. }]) {
                continue;
            }
            let before = settled.undone.len();
            for result in self.apply.settle_batch(batch) {
                match result {
                    Ok(left) => settled.left.extend(left),
                    Err(error) => settled.undone.push(error.to_string()),
                }
            }
            // Packets may be in what would be taken down.
            if settled.undone.len() > before && matches!(batch, [Operation::Barrier]) {
                break;
            }
        }
        settled.forgotten = self.apply.forgotten;
        settled.left.extend(self.apply.of_inside);
        settled.undone.extend(self.apply.lost.into_values());
        settled
    }
}

impl Apply<'_> {
    fn settle_batch(&mut self, batch: &[&Operation]) -> Vec<Result<Vec<String>, SettleError>> {
        if let [Operation::Remove { .. }, ..] = batch {
            let containers = batch.iter().filter_map(|o| o.container().cloned());
            return vec![self.remove(&containers.collect::<Vec<_>>())];
        }
        if let [Operation::Swap { .. }, ..] = batch {
            return batch
                .chunks(AHEAD)
                .flat_map(|few| self.swap_all(few))
                .collect();
        }
        let done = batch.iter().map(|operation| {
            let done = self.unless_lost(operation, Self::settle_one);
            done.map(|()| Vec::new())
        });
        done.collect()
    }

    fn swap_all(&mut self, few: &[&Operation]) -> Vec<Result<Vec<String>, SettleError>> {
        let loaded = match self.load(few) {
            Ok(loaded) => loaded,
            Err(error) => return vec![Err(error.into())],
        };
        let done = loaded.into_iter().map(|(operation, loaded)| {
            let done =
                self.unless_lost(operation, |apply, operation| match operation.container() {
                    Some(container) => Ok(apply.swap(container, loaded)?),
                    None => Ok(()),
                });
            done.map(|()| Vec::new())
        });
        done.collect()
    }

    fn settle_one(&mut self, operation: &Operation) -> Result<(), SettleError> {
        match operation {
            Operation::Barrier => self.kernel()?.barrier()?,
            Operation::EnsureNetwork { .. } | Operation::OpenNetwork { .. } => {
                self.network(operation)?;
            }
            Operation::ResizeConnections { .. } => self.resize(operation)?,
            Operation::TrimNetwork {
                container, network, ..
            } => {
                if let Some(refused) = self.host.trim_network(container, network)? {
                    self.of_inside(container, &refused);
                }
            }
            Operation::RemoveGuard { ifindex, .. } => {
                guard::remove(*ifindex)?;
            }
            Operation::RemoveLeftovers => self.kernel()?.remove_leftovers()?,
            Operation::MarkSettled { slot } => {
                self.kernel()?
                    .mark_settled(*slot, self.plan.to.generation, self.now_s)?;
            }
            Operation::NameCommit { slot } => {
                let info = self.slot_info(self.plan.to.generation);
                self.kernel()?.name_commit(*slot, info)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Interfaces first, then the namespaces, then pins and maps, all at the price of one grace
    /// period for each registry. A container is known by its pins as long as anything of it is
    /// there. Who still lives in a namespace is told.
    fn remove(&self, containers: &[FullName]) -> Result<Vec<String>, SettleError> {
        let theirs = |name: &&FullName| matches!(self.theirs.get(*name), Some(Some(_)));
        let ours = containers.iter().filter(|name| !theirs(name)).cloned();
        // What cannot be done for all is done for each.
        let gone = self.host.remove_interfaces(&ours.collect::<Vec<_>>());
        let gone = gone.unwrap_or_default();
        for container in containers.iter().filter(|name| !gone.contains(name)) {
            if let Some(Some(ifindex)) = self.theirs.get(container) {
                // What goes on without us is not to be stopped when our programs go.
                guard::remove(*ifindex)?;
                continue;
            }
            let interface = interface_name(container);
            self.host.remove_interface(container, &interface)?;
        }
        let mut left = Vec::new();
        for container in containers {
            if !self.theirs.contains_key(container) {
                self.host.remove_namespace(container)?;
            }
            for process in self.processes.get(container).into_iter().flatten() {
                left.push(format!(
                    "process {} ({}) lives on in {container}, without a network",
                    process.pid, process.name
                ));
            }
        }
        if let Some(kernel) = &self.kernel {
            kernel.remove(containers)?;
        }
        Ok(left)
    }
}
