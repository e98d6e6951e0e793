//! Operations that a run died in: a part of each is done.

use state::diff::{Delta, TableDelta};
use state::plan::{Operation, Phase};
use state::words::names::FullName;

use super::lab::Planned;
use super::world::{Maps, Wires, World};

impl World {
    /// Does a part of an operation, as far as it has parts; how large a part, `much` says.
    pub(super) fn begin(
        &mut self,
        phase: Phase,
        operation: &Operation,
        planned: &Planned,
        much: u8,
    ) -> Result<(), String> {
        self.begin_one(phase, operation, planned, much)?;
        self.forget_gone();
        Ok(())
    }

    fn begin_one(
        &mut self,
        phase: Phase,
        operation: &Operation,
        planned: &Planned,
        much: u8,
    ) -> Result<(), String> {
        match operation {
            Operation::ReplaceBlocks => self.add_blocks(planned.datapath.block_code, false)?,
            Operation::WriteSlot {
                slot,
                delta,
                foreign,
            } => self.write_slot(*slot, &part(delta, much), *foreign, planned)?,
            Operation::EnsureNetwork {
                container, network, ..
            } => {
                let mut some = network.clone();
                some.addresses.truncate(usize::from(much) % 2);
                some.resolv_conf &= much.is_multiple_of(3);
                if much.is_multiple_of(4) {
                    let container = self.containers.entry(container.clone()).or_default();
                    container.wires.get_or_insert_default();
                } else {
                    self.ensure_network(container, &some);
                }
            }
            Operation::OpenNetwork { container, network } => {
                let mut some = network.clone();
                some.addresses.truncate(usize::from(much) % 2);
                self.open_network(container, &some, planned)?;
            }
            Operation::TrimNetwork {
                container, network, ..
            } => {
                let container = self.containers.entry(container.clone()).or_default();
                if let Some(wires) = &mut container.wires {
                    wires.routes.retain(|a| network.addresses.contains(a));
                    if much.is_multiple_of(2) {
                        wires.neighbours.retain(|a| network.addresses.contains(a));
                    }
                }
            }
            Operation::RemoveLeftovers => {
                if let Some(base) = &mut self.base {
                    let pinned: Vec<u32> = self
                        .containers
                        .values()
                        .filter_map(|c| Some(c.maps?.id))
                        .collect();
                    base.registry.retain(|_, id| pinned.contains(id));
                }
            }
            _ => self.begin_container(phase, operation, planned, much)?,
        }
        Ok(())
    }

    fn begin_container(
        &mut self,
        phase: Phase,
        operation: &Operation,
        planned: &Planned,
        much: u8,
    ) -> Result<(), String> {
        match operation {
            Operation::CreateConnections {
                container, quota, ..
            } => {
                let id = self.next_id();
                let found = &mut self.containers.entry(container.clone()).or_default().maps;
                let quota = *quota;
                let torn = much.is_multiple_of(2);
                // Pinned, and not registered yet.
                found.get_or_insert(Maps { id, quota, torn });
            }
            Operation::ResizeConnections { container, .. } => {
                self.resize_programs(container, planned)?;
            }
            Operation::Attach { container, .. } | Operation::Swap { container, .. } => {
                // The second program stays what it was.
                let second = self.containers[container].programs[1].clone();
                let whole = matches!(operation, Operation::Attach { .. });
                let (first, guarded) = {
                    let found = &self.containers[container];
                    (found.first, found.guarded)
                };
                self.execute(phase, operation, planned)?;
                let found = self.containers.entry(container.clone()).or_default();
                found.programs[1] = second;
                if whole {
                    found.first = first;
                    found.guarded = guarded || much.is_multiple_of(2);
                }
            }
            Operation::Remove { container } => self.begin_remove(container, much)?,
            // One system call, or none: done or not done.
            _ => {}
        }
        Ok(())
    }

    fn begin_remove(&mut self, name: &FullName, much: u8) -> Result<(), String> {
        let mut rest = self.containers[name].clone();
        let registry = self.base.as_ref().map(|base| base.registry.clone());
        self.remove(name)?;
        if let Some(wires) = &mut rest.wires {
            *wires = Wires {
                resolv_conf: wires.resolv_conf,
                ..Wires::default()
            };
        }
        rest.programs = [None, None];
        rest.guarded = false;
        // The interface is gone; or the pins as well, their maps still registered; or these too.
        let (pinned, registered) = [(true, true), (false, true), (false, false)][much as usize % 3];
        if let (Some(base), Some(registry), true) = (&mut self.base, registry, registered) {
            base.registry = registry;
        }
        if !pinned {
            rest.maps = None;
        }
        self.containers.insert(name.clone(), rest);
        Ok(())
    }
}

/// Some of the rows.
fn part(delta: &Delta, much: u8) -> Delta {
    Delta {
        addresses: some(&delta.addresses, much),
        endpoints: some(&delta.endpoints, much / 2),
        policy: some(&delta.policy, much / 3),
        rulesets: some(&delta.rulesets, much / 5),
    }
}

fn some<K: Ord + Clone, V: Clone>(table: &TableDelta<K, V>, much: u8) -> TableDelta<K, V> {
    let put = table
        .put
        .iter()
        .take(usize::from(much) % (table.put.len() + 1));
    let delete = table
        .delete
        .iter()
        .take(usize::from(much) % (table.delete.len() + 1));
    TableDelta {
        put: put
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        delete: delete.cloned().collect(),
    }
}
