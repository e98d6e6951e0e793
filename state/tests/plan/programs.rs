//! Programs and networks of a simulated host.

use state::diff::ContainerDifference;
use state::plan::{Operation, Phase};
use state::target::Constants;
use state::target::host::{Network, container_mac};
use state::target::programs::BuildHash;
use state::words::generation::Slot;
use state::words::names::FullName;

use super::lab::Planned;
use super::law;
use super::world::{Container, Program, Wires, World};

/// A build: constants by slot, and its hash where it is a plain one.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    constants: [Constants; 2],
    build: Option<BuildHash>,
}

/// The build of an operation.
pub(super) fn pair(
    planned: &Planned,
    from: Option<&Constants>,
    to: &Constants,
    build: BuildHash,
) -> Pair {
    let constants = match (from, planned.plan.to.slot) {
        (None, _) => [*to, *to],
        (Some(from), Slot::A) => [*to, *from],
        (Some(from), Slot::B) => [*from, *to],
    };
    Pair {
        constants,
        build: from.is_none().then_some(build),
    }
}

impl World {
    fn at(&mut self, name: &FullName) -> &mut Container {
        self.containers.entry(name.clone()).or_default()
    }

    /// Whether packets of the live slot go through a container's programs.
    pub(super) fn is_live(&self, name: &FullName) -> bool {
        let rows = self.base.as_ref().map(|base| &base.live().tables.endpoints);
        let mac = container_mac(name);
        rows.is_some_and(|rows| rows.values().any(|row| row.mac == mac))
    }

    /// Loads a container's two programs.
    pub(super) fn load(
        &mut self,
        name: &FullName,
        pair: &Pair,
        planned: &Planned,
        ifindex: u32,
    ) -> Result<Program, String> {
        let blocks = self.base()?.current(&planned.datapath).map(|set| set.id);
        let blocks = blocks.ok_or("programs need blocks")?;
        let maps = self.at(name).maps.filter(|maps| !maps.torn);
        let maps = maps.ok_or("programs need connection maps")?;
        Ok(Program {
            constants: pair.constants,
            build: pair.build,
            blocks,
            maps: maps.id,
            ifindex,
        })
    }

    pub(super) fn attach(
        &mut self,
        name: &FullName,
        pair: &Pair,
        planned: &Planned,
    ) -> Result<(), String> {
        let wires = self.at(name).wires.as_ref();
        let ifindex = wires.and_then(|wires| wires.ifindex);
        let ifindex = ifindex.ok_or("programs need an interface")?;
        let program = self.load(name, pair, planned, ifindex)?;
        self.place(name, &program);
        let container = self.at(name);
        (container.first, container.guarded) = (true, true);
        Ok(())
    }

    pub(super) fn guard(&mut self, name: &FullName) -> Result<(), String> {
        let container = self.at(name);
        let stand = container.programs.iter().all(Option::is_some);
        law(stand, "the guard stands behind programs")?;
        container.guarded = true;
        Ok(())
    }

    pub(super) fn swap(
        &mut self,
        name: &FullName,
        pair: &Pair,
        planned: &Planned,
    ) -> Result<(), String> {
        let [Some(from), Some(to)] = &self.at(name).programs else {
            return Err("only what is attached is swapped".to_owned());
        };
        law(from.ifindex == to.ifindex, "both on one interface")?;
        let ifindex = from.ifindex;
        let program = self.load(name, pair, planned, ifindex)?;
        self.place(name, &program);
        Ok(())
    }

    /// Puts a program on both hooks. Packets may be in another one that was there.
    fn place(&mut self, name: &FullName, program: &Program) {
        let live = self.is_live(name);
        let found = &mut self.at(name).programs;
        let another = found.iter().flatten().any(|found| found != program);
        *found = [Some(program.clone()), Some(program.clone())];
        self.replaced |= live && another;
    }

    /// The same programs over maps of another size.
    pub(super) fn resize(
        &mut self,
        phase: Phase,
        name: &FullName,
        quota: u32,
        planned: &Planned,
    ) -> Result<(), String> {
        let maps = self.resize_programs(name, planned)?;
        let old = self.at(name).maps.ok_or("there are no maps")?;
        law(
            phase == Phase::Settle || quota >= old.quota,
            "no connection is cut before the store for want of room",
        )?;
        let registry = &mut self.base()?.registry;
        let place = registry.values_mut().find(|id| **id == old.id);
        *place.ok_or("the maps are not registered")? = maps;
        let maps = super::world::Maps {
            id: maps,
            quota,
            torn: false,
        };
        self.at(name).maps = Some(maps);
        Ok(())
    }

    /// The first part of it: new maps, and programs over them. Gives the maps' number.
    pub(super) fn resize_programs(
        &mut self,
        name: &FullName,
        planned: &Planned,
    ) -> Result<u32, String> {
        let old = self.at(name).maps.filter(|maps| !maps.torn);
        law(old.is_some(), "maps that are resized are all there")?;
        let maps = self.next_id();
        let live = self.live(&planned.datapath);
        self.replaced |= self.is_live(name);
        if let Some(found) = live.containers.get(name).and_then(|c| c.programs) {
            for program in self.at(name).programs.iter_mut().flatten() {
                program.constants = [found.constants; 2];
                program.build = Some(found.build);
                program.maps = maps;
            }
        }
        Ok(maps)
    }

    /// What was done is read back.
    pub(super) fn check(&self, name: &FullName, planned: &Planned) -> Result<(), String> {
        let live = self.live(&planned.datapath);
        let found = live.containers.get(name);
        let mut target = planned.target.containers[name].clone();
        let transition = planned.plan.phase(Phase::Settle).any(
            |operation| matches!(operation, Operation::Swap { container, .. } if container == name),
        );
        if let (true, Some(programs)) = (transition, found.and_then(|found| found.programs)) {
            target.programs.build = programs.build;
        }
        for operation in planned.plan.phase(Phase::Settle) {
            match operation {
                Operation::ResizeConnections {
                    container, from, ..
                } if container == name => target.connections = *from,
                _ => {}
            }
        }
        match ContainerDifference::between(&target, found, false).first_in_words() {
            None => Ok(()),
            Some(fault) => Err(format!("the check of {name} fails: {fault}")),
        }
    }

    // ---- Networks ----

    pub(super) fn ensure_network(&mut self, name: &FullName, network: &Network) {
        let fresh = self.next_id();
        let container = self.at(name);
        let wires = container.wires.get_or_insert_default();
        if wires.ifindex.is_none() {
            *wires = Wires {
                ifindex: Some(fresh),
                resolv_conf: wires.resolv_conf,
                ..Wires::default()
            };
            container.programs = [None, None];
            container.guarded = false;
        }
        wires.mtu = network.mtu;
        wires.addresses.extend(&network.addresses);
        if network.resolv_conf {
            wires.resolv_conf = Some(true);
        }
    }

    pub(super) fn open_network(
        &mut self,
        name: &FullName,
        network: &Network,
        planned: &Planned,
    ) -> Result<(), String> {
        let live = self.live(&planned.datapath);
        let found = live.containers.get(name);
        let programs = found.and_then(|found| found.programs);
        let ifindex = found.and_then(|found| found.network.as_ref()?.ifindex);
        let stands = programs.is_some_and(|p| p.first && p.guarded && Some(p.ifindex) == ifindex);
        law(stands, "a network is opened once programs stand before it")?;
        let wires = self.at(name).wires.as_mut();
        let wires = wires.ok_or("what is opened is there")?;
        wires.up = true;
        wires.routes.extend(&network.addresses);
        wires.neighbours.extend(&network.addresses);
        Ok(())
    }

    pub(super) fn trim_network(&mut self, name: &FullName, is: &Network) -> Result<(), String> {
        let wires = self.at(name).wires.as_mut();
        let wires = wires.ok_or("what is trimmed is there")?;
        for set in [
            &mut wires.addresses,
            &mut wires.routes,
            &mut wires.neighbours,
        ] {
            set.retain(|address| is.addresses.contains(address));
        }
        if !is.resolv_conf {
            wires.resolv_conf = None;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &FullName) -> Result<(), String> {
        law(self.left.is_none(), "no packet is judged by the old slot")?;
        law(!self.is_live(name), "what is live is not taken down")?;
        self.containers.remove(name);
        let pinned = self.pinned_maps();
        if let Some(base) = &mut self.base {
            base.registry.retain(|_, id| pinned.contains(id));
        }
        Ok(())
    }
}
