//! Prepare: everything that changes no verdict yet.

use state::plan::{Operation, Phase};

use super::error::PrepareError;
use super::verify::Prepared;
use super::Apply;

/// Executes the plan's first phase.
///
/// # Errors
///
/// The operation that failed and why. Live is unchanged.
pub fn prepare(mut apply: Apply<'_>) -> Result<Prepared<'_>, PrepareError> {
    let operations: Vec<&Operation> = apply.plan.phase(Phase::Prepare).collect();
    for operation in operations {
        let _span = tracing::debug_span!("prepare", ?operation).entered();
        apply.prepare_one(operation)?;
    }
    Ok(Prepared { apply })
}

impl Apply<'_> {
    fn prepare_one(&mut self, operation: &Operation) -> Result<(), PrepareError> {
        match operation {
            Operation::MountBpffs => self.host.mount_bpffs()?,
            Operation::CreateBase => self.create_base()?,
            Operation::SetSysctl { path, to, .. } => self.host.set_sysctl(path, to)?,
            Operation::EnsureNetwork { container, network, .. } => {
                let ifindex = self.host.ensure_network(container, network)?;
                self.interfaces.insert(container.clone(), ifindex);
            }
            Operation::Barrier => self.kernel()?.barrier()?,
            Operation::ReplaceBlocks => self.kernel()?.replace_blocks()?,
            Operation::MarkPreparing { slot, generation } => {
                self.kernel()?.mark_preparing(*slot, *generation)?;
            }
            Operation::WriteSlot { slot, delta } => {
                let delta = self.resolve(delta);
                self.kernel()?.write_delta(*slot, &delta)?;
            }
            other => self.prepare_container(other)?,
        }
        Ok(())
    }

    fn prepare_container(&mut self, operation: &Operation) -> Result<(), PrepareError> {
        match operation {
            Operation::CreateConnections { container, endpoint, quota } => {
                self.kernel()?.create_connections(container, *endpoint, *quota)?;
            }
            Operation::ResizeConnections { container, endpoint, to, .. } => {
                self.kernel()?.resize_connections(container, *endpoint, *to)?;
            }
            Operation::Attach { container, constants, build } => {
                let ifindex = self
                    .interfaces
                    .get(container)
                    .copied()
                    .ok_or_else(|| PrepareError::NoInterface { container: container.clone() })?;
                self.kernel()?.attach(container, ifindex, constants, *build)?;
            }
            Operation::Swap { container, from, constants, build } => {
                self.kernel()?.swap(container, from.as_ref(), constants, *build)?;
            }
            _ => {}
        }
        Ok(())
    }
}
