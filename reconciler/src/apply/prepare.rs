//! Prepare: everything that changes no verdict yet.

use bpf::doctor;
use bpf::guard;
use bpf::kernel::Kernel;
use bpf::programs::NewConnections;
use state::plan::{Operation, Phase};
use state::target::host::Network;
use state::words::names::FullName;

use super::error::PrepareError;
use super::programs::{AHEAD, Loading};
use super::verify::Prepared;
use super::{Apply, batches};
use crate::host::{HostError, Made, mount, sysctls};

/// Executes the plan's first phase.
///
/// # Errors
///
/// The operation that failed and why. Live is unchanged.
pub(super) fn prepare(mut apply: Apply<'_>) -> Result<Prepared<'_>, PrepareError> {
    let operations = apply.operations(Phase::Prepare);
    for batch in batches(&operations) {
        apply.prepare_batch(batch)?;
    }
    Ok(Prepared { apply })
}

impl Apply<'_> {
    fn prepare_batch(&mut self, batch: &[&Operation]) -> Result<(), PrepareError> {
        if let [Operation::CreateConnections { .. }, ..] = batch {
            let wanted: Vec<NewConnections> = batch.iter().filter_map(|o| connections(o)).collect();
            return Ok(self.kernel()?.make_connections(&wanted)?);
        }
        if let [Operation::Attach { .. } | Operation::Swap { .. }, ..] = batch {
            for few in batch.chunks(AHEAD) {
                for (operation, loaded) in self.load(few)? {
                    self.unless_lost(operation, |apply, operation| {
                        apply.put_programs(operation, loaded)
                    })?;
                }
            }
            return Ok(());
        }
        batch
            .iter()
            .try_for_each(|operation| self.unless_lost(operation, Self::prepare_one))
    }

    /// The base is made where the kernel was seen to do all that is needed, so that one which
    /// cannot is told apart from one that fails.
    fn create_base(&mut self) -> Result<(), PrepareError> {
        doctor::probe()?;
        self.kernel = Some(Kernel::create(&self.dirs.pin)?);
        Ok(())
    }

    fn prepare_one(&mut self, operation: &Operation) -> Result<(), PrepareError> {
        match operation {
            Operation::MountBpffs => mount::mount(&self.dirs.pin, self.dirs.mounts)?,
            Operation::CreateBase => self.create_base()?,
            Operation::SetSysctl { path, to, .. } => match sysctls::write(path, to) {
                // Of an interface of others, which has gone meanwhile.
                Err(error) if error.is_gone() => tracing::info!("{error}"),
                written => written?,
            },
            Operation::Barrier => self.kernel()?.barrier()?,
            Operation::RestorePins => self.kernel_mut()?.restore_pins()?,
            Operation::MakeTables { .. } => self.kernel()?.make_tables()?,
            Operation::ReplaceBlocks => self.kernel_mut()?.replace_blocks()?,
            Operation::MarkPreparing { slot, generation } => {
                self.kernel()?.mark_preparing(*slot, *generation)?;
            }
            Operation::WriteSlot {
                slot,
                delta,
                foreign,
            } => {
                let delta = self.resolve(delta);
                if *foreign > 0 {
                    // What this reading finds of others, the writing removes.
                    self.kernel()?.read_slot(*slot)?;
                }
                self.kernel()?.write_delta(*slot, &delta)?;
            }
            other => self.prepare_container(other)?,
        }
        Ok(())
    }

    fn prepare_container(&mut self, operation: &Operation) -> Result<(), PrepareError> {
        match operation {
            Operation::EnsureNetwork { .. } | Operation::OpenNetwork { .. } => {
                self.network(operation)?;
            }
            Operation::ResizeConnections { .. } => self.resize(operation)?,
            Operation::Guard { container } => {
                let ifindex = self.interface(container)?;
                let target = self.target.containers.get(container);
                let theirs = target.is_some_and(|target| target.constants.theirs);
                self.kernel()?.guard(ifindex, theirs)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Attaches programs that were loaded, or swaps them in.
    fn put_programs(&mut self, operation: &Operation, loaded: Loading) -> Result<(), PrepareError> {
        let container = match operation {
            Operation::Attach { container, .. } => container,
            Operation::Swap { container, .. } => return Ok(self.swap(container, loaded)?),
            _ => return Ok(()),
        };
        let ifindex = self.interface(container)?;
        let loaded = loaded?;
        if let Some(left) = self.left(container, ifindex) {
            // Its programs go with the next line, and it is not to be stopped then.
            guard::remove(left)?;
        }
        self.kernel()?.attach_loaded(container, ifindex, &loaded)?;
        self.attached.insert(container.clone(), ifindex);
        Ok(())
    }

    /// Makes, completes or opens a container's network.
    pub(super) fn network(&mut self, operation: &Operation) -> Result<(), HostError> {
        let vanished = |network: &Network| HostError::Vanished {
            interface: network.interface.clone(),
        };
        let (container, done) = match operation {
            Operation::EnsureNetwork {
                container, network, ..
            } => {
                let done = self.ensure_network(container, network)?;
                // Made anew since, which the plan does not know: its rows name the one before. It
                // stays down, and the next run attaches and opens it.
                let known = self.interfaces.get(container);
                if known.is_some_and(|known| *known != done.ifindex) {
                    return Err(vanished(network));
                }
                // What stood on one before has gone with it.
                let on = self.attached.get(container);
                if on.is_some_and(|on| *on != done.ifindex) {
                    self.attached.remove(container);
                }
                (container, done)
            }
            Operation::OpenNetwork { container, network } => {
                let on = self.attached.get(container).copied();
                let on = on.ok_or_else(|| vanished(network))?;
                (container, self.host.open_network(container, network, on)?)
            }
            _ => return Ok(()),
        };
        self.interfaces.insert(container.clone(), done.ifindex);
        if let Some(refused) = done.refused {
            self.of_inside(container, &refused);
        }
        Ok(())
    }

    fn ensure_network(
        &mut self,
        container: &FullName,
        network: &Network,
    ) -> Result<Made, HostError> {
        if self.interfaces.contains_key(container) {
            return self.host.ensure_network(container, network);
        }
        let before = match &self.before {
            Some(before) => before,
            None => self.before.insert(self.host.before()?),
        };
        self.host.make_network(container, network, before)
    }

    /// The interface of others that a container leaves for another one: nothing live is there.
    fn left(&self, container: &FullName, ifindex: u32) -> Option<u32> {
        let theirs = &self.target.containers.get(container)?.constants.theirs;
        let before = self.attached.get(container).copied();
        before.filter(|before| *theirs && *before != ifindex)
    }

    fn interface(&self, container: &FullName) -> Result<u32, PrepareError> {
        let found = self.interfaces.get(container).copied();
        found.ok_or_else(|| PrepareError::NoInterface {
            container: container.clone(),
        })
    }
}

fn connections(operation: &Operation) -> Option<NewConnections> {
    match operation {
        Operation::CreateConnections {
            container,
            endpoint,
            quota,
            live,
        } => Some(NewConnections {
            container: container.clone(),
            endpoint: *endpoint,
            quota: *quota,
            live: *live,
        }),
        _ => None,
    }
}
