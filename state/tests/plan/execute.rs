//! Operations, executed on a simulated host as `apply` executes them on a real one, and refused
//! where a kernel would let them do harm.

use std::collections::BTreeSet;

use state::diff::{Delta, TableDelta};
use state::live::SlotMark;
use state::plan::{Operation, Phase};
use state::target::tables::{EndpointIndex, Tables};
use state::words::generation::{CommitRecord, Generation, Slot};
use state::words::names::FullName;
use std::collections::BTreeMap;

use super::lab::Planned;
use super::world::{BlockSet, Maps, Pinned, World};
use super::{law, programs};

impl World {
    /// Executes one operation.
    pub(super) fn execute(
        &mut self,
        phase: Phase,
        operation: &Operation,
        planned: &Planned,
    ) -> Result<(), String> {
        match operation {
            Operation::MountBpffs => self.bpffs = true,
            Operation::CreateBase => self.create_base(planned)?,
            Operation::ReplaceBlocks => {
                self.add_blocks(planned.datapath.block_code, true)?;
                self.base()?.unpinned.clear();
            }
            Operation::RestorePins => {
                law(!self.base()?.unpinned.is_empty(), "a pin is lost")?;
                self.base()?.unpinned.clear();
            }
            Operation::MakeTables { tables } => {
                let lost: Vec<_> = self.base()?.lost.iter().cloned().collect();
                law(lost == *tables, "the tables are told")?;
                self.base()?.lost.clear();
            }
            Operation::Barrier => {
                self.base()?;
                (self.left, self.replaced) = (None, false);
            }
            Operation::SetSysctl { path, from, to } => {
                law(
                    self.sysctls.get(path) == from.as_ref(),
                    "the sysctl is told",
                )?;
                self.sysctls.insert(path.clone(), to.clone());
            }
            Operation::MarkPreparing { slot, generation } => {
                self.mark_preparing(*slot, *generation)?;
            }
            Operation::WriteSlot {
                slot,
                delta,
                foreign,
            } => self.write_slot(*slot, delta, *foreign, planned)?,
            Operation::VerifySlot { slot, generation } => {
                self.verify(*slot, *generation, planned)?;
            }
            Operation::ConfirmSlot { slot } => self.confirm(*slot, planned)?,
            Operation::Store { record } => {
                law(phase == Phase::Commit, "a store is the commit")?;
                self.store(*record, planned)?;
            }
            Operation::RemoveLeftovers => self.remove_leftovers(planned)?,
            Operation::MarkSettled { slot } => self.mark_settled(*slot, planned)?,
            Operation::NameCommit { slot } => {
                let base = self.base()?;
                law(base.record.slot == *slot, "the live slot is named")?;
                law(base.live().mark == SlotMark::Settled, "it has settled")?;
                let slot = base.slot(*slot);
                slot.held.clone_from(&planned.plan.held);
                slot.commit.clone_from(&planned.plan.origin.commit);
                slot.tree.clone_from(&planned.plan.origin.tree);
            }
            _ => self.execute_container(phase, operation, planned)?,
        }
        Ok(())
    }

    fn execute_container(
        &mut self,
        phase: Phase,
        operation: &Operation,
        planned: &Planned,
    ) -> Result<(), String> {
        match operation {
            Operation::EnsureNetwork {
                container, network, ..
            } => {
                self.ensure_network(container, network);
            }
            Operation::OpenNetwork { container, network } => {
                self.open_network(container, network, planned)?;
            }
            Operation::CreateConnections {
                container,
                endpoint,
                quota,
                ..
            } => self.create_connections(container, *endpoint, *quota, planned)?,
            Operation::ResizeConnections { container, to, .. } => {
                self.resize(phase, container, *to, planned)?;
            }
            Operation::Attach {
                container,
                from,
                constants,
                build,
                ..
            } => {
                let pair = programs::pair(planned, from.as_ref(), constants, *build);
                self.attach(container, &pair, planned)?;
            }
            Operation::Swap {
                container,
                from,
                constants,
                build,
            } => {
                law(
                    phase == Phase::Prepare || (phase == Phase::Settle && from.is_none()),
                    "transition builds come in prepare",
                )?;
                let pair = programs::pair(planned, from.as_ref(), constants, *build);
                self.swap(container, &pair, planned)?;
            }
            Operation::Guard { container } => self.guard(container)?,
            Operation::Check { container } => self.check(container, planned)?,
            Operation::TrimNetwork {
                container, network, ..
            } => {
                law(
                    phase == Phase::Settle,
                    "nothing is taken away before settle",
                )?;
                law(self.left.is_none(), "no packet is judged by the old slot")?;
                self.trim_network(container, network)?;
            }
            Operation::Remove { container } => {
                law(
                    phase == Phase::Settle,
                    "nothing is taken down before settle",
                )?;
                self.remove(container)?;
            }
            other => return Err(format!("{other:?} has no container")),
        }
        Ok(())
    }

    pub(super) fn base(&mut self) -> Result<&mut Pinned, String> {
        self.base
            .as_mut()
            .ok_or_else(|| "there is no base".to_owned())
    }

    fn create_base(&mut self, planned: &Planned) -> Result<(), String> {
        law(self.bpffs, "a base is made on a bpffs")?;
        law(self.base.is_none(), "a base is made once")?;
        let generation = self.begins_at();
        // Where no connection map is left, nothing that was cached is.
        self.cached = Generation(generation.0.saturating_sub(1));
        let record = CommitRecord {
            generation,
            slot: Slot::A,
        };
        self.stored = Some(record);
        self.base = Some(Pinned {
            record,
            slots: Default::default(),
            sets: Vec::new(),
            registry: BTreeMap::new(),
            unpinned: BTreeSet::new(),
            lost: BTreeSet::new(),
        });
        self.add_blocks(planned.datapath.block_code, true)
    }

    pub(super) fn add_blocks(&mut self, code: [u8; 32], whole: bool) -> Result<(), String> {
        let id = self.next_id();
        self.base()?.sets.push(BlockSet { id, code, whole });
        Ok(())
    }

    // ---- Slots ----

    fn mark_preparing(&mut self, slot: Slot, generation: Generation) -> Result<(), String> {
        law(
            self.left != Some(slot),
            "no packet reads a slot that is prepared",
        )?;
        let base = self.base()?;
        law(base.record.slot != slot, "the live slot is never prepared")?;
        let slot = base.slot(slot);
        slot.mark = SlotMark::Preparing;
        slot.generation = generation;
        slot.commit.clear();
        slot.tree.clear();
        Ok(())
    }

    pub(super) fn write_slot(
        &mut self,
        slot: Slot,
        delta: &Delta,
        foreign: usize,
        planned: &Planned,
    ) -> Result<(), String> {
        law(
            self.left != Some(slot),
            "no packet reads a slot that is written",
        )?;
        let delta = self.resolved(delta, planned)?;
        let base = self.base()?;
        law(base.record.slot != slot, "the live slot is never written")?;
        law(
            base.lost.iter().all(|lost| lost.slot != slot),
            "a slot that is written has its tables",
        )?;
        let live = base.live().tables.clone();
        let slot = base.slot(slot);
        law(
            slot.mark == SlotMark::Preparing,
            "a slot is marked before it is written",
        )?;
        law(
            slot.generation == planned.plan.to.generation,
            "for its generation",
        )?;
        law(slot.foreign == foreign, "rows of others are told")?;
        for (index, row) in &delta.endpoints.put {
            let owner = live.endpoints.get(index).map(|row| row.mac);
            law(
                owner.is_none_or(|mac| mac == row.mac),
                "an index is not given to another while the live slot has it",
            )?;
        }
        slot.foreign = 0;
        let Tables {
            addresses,
            endpoints,
            policy,
            rulesets,
        } = &mut slot.tables;
        write(addresses, &delta.addresses)?;
        write(endpoints, &delta.endpoints)?;
        write(policy, &delta.policy)?;
        write(rulesets, &delta.rulesets)
    }

    /// A delta with every interface known.
    pub(super) fn resolved(&self, delta: &Delta, planned: &Planned) -> Result<Delta, String> {
        let mut delta = delta.clone();
        for (index, row) in &mut delta.endpoints.put {
            let mut containers = planned.target.containers.iter();
            let found = containers.find(|(_, c)| c.constants.endpoint == *index);
            let wires = found.and_then(|(name, _)| self.containers.get(name)?.wires.as_ref());
            let ifindex = wires.and_then(|wires| wires.ifindex);
            law(
                row.ifindex.is_none() || row.ifindex == ifindex,
                "an interface that was found is still there",
            )?;
            row.ifindex = ifindex;
        }
        Ok(delta)
    }

    fn verify(
        &mut self,
        slot: Slot,
        generation: Generation,
        planned: &Planned,
    ) -> Result<(), String> {
        let wanted = Delta::between(&Tables::default(), &planned.target.tables);
        let wanted = self.resolved(&wanted, planned)?;
        let base = self.base()?;
        law(base.record.slot != slot, "the prepared slot is verified")?;
        let slot = base.slot(slot);
        let found = Delta::between(&Tables::default(), &slot.tables);
        law(
            found == wanted && slot.foreign == 0,
            "a slot reads back as was asked",
        )?;
        law(slot.generation == generation, "of this generation")?;
        slot.mark = SlotMark::Ready;
        slot.held.clone_from(&planned.plan.held);
        slot.commit.clone_from(&planned.plan.origin.commit);
        slot.tree.clone_from(&planned.plan.origin.tree);
        Ok(())
    }

    /// T2: what becomes live as it is was live, is whole, and nobody has begun to write it.
    fn confirm(&mut self, slot: Slot, planned: &Planned) -> Result<(), String> {
        let wanted = Delta::between(&Tables::default(), &planned.target.tables);
        let wanted = self.resolved(&wanted, planned)?;
        let base = self.base()?;
        law(base.record.slot != slot, "the other slot is confirmed")?;
        let live = base.record.generation;
        let slot = base.slot(slot);
        let found = Delta::between(&Tables::default(), &slot.tables);
        law(
            found == wanted && slot.foreign == 0,
            "a slot that becomes live again reads back as was asked",
        )?;
        law(
            matches!(slot.mark, SlotMark::Ready | SlotMark::Settled) && slot.generation < live,
            "it was live",
        )?;
        law(
            slot.commit == planned.plan.origin.commit,
            "it was made from the commit",
        )?;
        slot.held.clone_from(&planned.plan.held);
        Ok(())
    }

    fn store(&mut self, record: CommitRecord, planned: &Planned) -> Result<(), String> {
        law(
            !self.replaced,
            "a barrier stands between the last swap and the store (T1)",
        )?;
        for (name, target) in &planned.target.containers {
            let found = self.containers.get(name);
            let ready = found.is_some_and(|found| {
                let constants = |program: &super::world::Program| {
                    program.constants[record.slot.index() as usize] == target.constants
                };
                let programs = found.programs.iter();
                found.first
                    && found.guarded
                    && found.wires.as_ref().is_some_and(|wires| wires.up)
                    && programs
                        .into_iter()
                        .all(|p| p.as_ref().is_some_and(constants))
            });
            law(
                ready,
                "programs are there before packets are judged by them",
            )?;
        }
        self.point(record)
    }

    /// Puts a record in the place of the one there is.
    pub(super) fn point(&mut self, record: CommitRecord) -> Result<(), String> {
        let cached = (self.begins_at() > Generation(0)).then_some(self.cached);
        law(
            Some(record.generation) > cached,
            "no connection has cached it (T13)",
        )?;
        let base = self.base()?;
        let old = base.record;
        law(
            record.generation > old.generation || !old.generation.is_reached(),
            "the generation only grows",
        )?;
        law(
            record.generation.cached() != old.generation.cached(),
            "what is cached is judged again",
        )?;
        law(
            base.slot(record.slot).mark != SlotMark::Preparing,
            "packets never use a slot that is being prepared",
        )?;
        base.record = record;
        self.stored = Some(record);
        if old.slot != record.slot {
            self.left = Some(old.slot);
        }
        self.cached = record.generation;
        Ok(())
    }

    fn mark_settled(&mut self, slot: Slot, planned: &Planned) -> Result<(), String> {
        law(
            self.left.is_none(),
            "a barrier stands between store and settled",
        )?;
        let names: BTreeSet<&FullName> = self.containers.keys().collect();
        let wanted: BTreeSet<&FullName> = planned.target.containers.keys().collect();
        law(
            names == wanted,
            "what the tree has not is gone before it has settled",
        )?;
        let stored = self.stored.ok_or("something was stored")?;
        let base = self.base()?;
        law(base.record.slot == slot, "the live slot settles")?;
        law(
            slot == stored.slot
                && base.record.generation >= stored.generation
                && base.record.generation.is_reached(),
            "nothing settles by a record that was taken back: entries of it are of other tables",
        )?;
        let generation = base.record.generation;
        let slot = base.slot(slot);
        slot.mark = SlotMark::Settled;
        slot.generation = generation;
        Ok(())
    }

    // ---- Connection maps ----

    fn create_connections(
        &mut self,
        name: &FullName,
        endpoint: EndpointIndex,
        quota: u32,
        planned: &Planned,
    ) -> Result<(), String> {
        self.is_free_for(name, endpoint, planned)?;
        let found = self.containers.get(name).and_then(|c| c.maps);
        let id = match found {
            Some(maps) => {
                law(maps.quota == quota, "maps of another quota are resized")?;
                maps.id
            }
            None => self.next_id(),
        };
        self.base()?.registry.insert(endpoint, id);
        let torn = false;
        self.containers.entry(name.clone()).or_default().maps = Some(Maps { id, quota, torn });
        Ok(())
    }

    /// An index belongs to one container until the generation that removes it has settled.
    fn is_free_for(
        &mut self,
        name: &FullName,
        endpoint: EndpointIndex,
        planned: &Planned,
    ) -> Result<(), String> {
        let mac = state::target::host::container_mac(name);
        let unsettled = planned.live.base.as_ref().filter(|base| !base.is_settled());
        let left = unsettled.map(|base| base.record.slot.other());
        let own = self.containers.get(name).and_then(|c| c.maps);
        let others = self.pinned_maps();
        let base = self.base()?;
        let registered = base.registry.get(&endpoint);
        law(
            registered.is_none_or(|id| own.is_some_and(|m| m.id == *id) || !others.contains(id)),
            "an index is not given to another while its maps are registered",
        )?;
        let slots = left.into_iter().chain([base.record.slot]);
        let mut rows = slots.filter_map(|slot| {
            base.slots[slot.index() as usize]
                .tables
                .endpoints
                .get(&endpoint)
        });
        law(
            rows.all(|row| row.mac == mac),
            "an index is not given to another until the commit that removed it has settled",
        )
    }

    fn remove_leftovers(&mut self, planned: &Planned) -> Result<(), String> {
        law(
            !self.replaced,
            "no packet is in a program that reaches old blocks",
        )?;
        let pinned = self.pinned_maps();
        let programs = self
            .containers
            .values()
            .flat_map(|c| c.programs.iter().flatten());
        let reached: BTreeSet<u32> = programs.map(|program| program.blocks).collect();
        let base = self.base()?;
        base.registry.retain(|_, id| pinned.contains(id));
        let current = base.current(&planned.datapath).map(|set| set.id);
        base.sets
            .retain(|set| Some(set.id) == current || reached.contains(&set.id));
        Ok(())
    }
}

/// Writes a table's part of a delta, and nothing that is there already.
fn write<K: Ord + Clone, V: Clone + PartialEq>(
    table: &mut BTreeMap<K, V>,
    delta: &TableDelta<K, V>,
) -> Result<(), String> {
    for (key, value) in &delta.put {
        law(
            table.get(key) != Some(value),
            "only rows that differ are written",
        )?;
        table.insert(key.clone(), value.clone());
    }
    for key in &delta.delete {
        law(
            table.remove(key).is_some(),
            "only rows that are there are deleted",
        )?;
    }
    Ok(())
}
