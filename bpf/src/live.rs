//! What of ours is in the kernel, read back in the target's words.
//!
//! Nothing is changed and no file is asked: builds and constants stand in the programs, a
//! container's index in the registry, position and guard in the chains of its interface.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::Path;

use state::live::{
    Base, Broken, LinkFault, LiveContainer, LivePrograms, LiveSlot, LostPin, Stranger,
};
use state::target::constants::Constants;
use state::target::programs::BuildHash;
use state::target::tables::{Endpoint, EndpointIndex};
use state::words::generation::Slot;
use state::words::names::FullName;

use crate::abi::{CONNECTION_MAPS, ConstantsRow, Shape, header};
use crate::attached::{self, HOOKS, Hook};
use crate::blocks::read_hash;
use crate::encode;
use crate::fault::{Fault, Object, Of};
use crate::guard;
use crate::kernel::{Kernel, Map};
use crate::object::TRANSITION;
use crate::pins;
use crate::rodata::Reader;
use crate::slots::{ForeignRow, SlotError};
use crate::sys::{self, ProgramInfo};

/// Why live could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A slot could not be read.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveKernel {
    /// The global state.
    pub base: Base,
    /// Whether runs that died have left what nothing reaches.
    pub leftovers: bool,
    /// Containers of which anything is pinned. Their networks are not this crate's to read.
    pub containers: BTreeMap<FullName, LiveContainer>,
    /// Rows of each slot that nothing of ours writes, A's first.
    pub foreign: [Vec<ForeignRow>; 2],
}

/// The build of programs that are to be swapped whatever the target says: transition builds, two
/// programs of different builds, and programs that hold other connection maps than those that are
/// pinned, or reach another block table than one of the embedded code: where the blocks are to be
/// replaced, every program is to be swapped.
pub const NO_BUILD: BuildHash = BuildHash([0; 32]);

impl Kernel {
    /// Reads everything.
    pub fn live(&self) -> Result<LiveKernel, LiveError> {
        let mut foreign = [Vec::new(), Vec::new()];
        let mut slots = [LiveSlot::default(), LiveSlot::default()];
        for ((slot, live), foreign) in Slot::ALL.into_iter().zip(&mut slots).zip(&mut foreign) {
            let (info, reading) = (self.slot_info(slot)?, self.read_slot(slot)?);
            *live = LiveSlot {
                mark: info.mark,
                generation: info.generation,
                commit: info.commit,
                tree: info.tree,
                time_s: info.time_s,
                held: info.held,
                foreign: reading.foreign.len(),
                tables: reading.tables,
            };
            *foreign = reading.foreign;
        }
        let containers = self.live_containers()?;
        let base = Base {
            layout: u32::try_from(header::PL_LAYOUT).unwrap_or(u32::MAX),
            block_code: self.block_code(),
            record: self.record(),
            slots,
            unpinned: self.lost_pins()?,
            lost: self.lost_tables()?,
        };
        Ok(LiveKernel {
            leftovers: self.has_leftovers(&containers, &base.live_slot().tables.endpoints)?,
            base,
            containers,
            foreign,
        })
    }

    /// Whether a registration is no container's, or a set of blocks stands beside the one in use.
    fn has_leftovers(
        &self,
        containers: &BTreeMap<FullName, LiveContainer>,
        live: &BTreeMap<EndpointIndex, Endpoint>,
    ) -> Result<bool, LiveError> {
        let known: BTreeSet<EndpointIndex> =
            containers.values().filter_map(|c| c.endpoint).collect();
        // One that has lost its pins is registered none the less.
        let left = |index: &EndpointIndex| !known.contains(index) && !live.contains_key(index);
        let current = self.blocks.as_ref().map(|blocks| blocks.name.as_str());
        let listing = self.listing()?;
        let mut sets = listing.blocks.keys();
        Ok(self.registry()?.values().any(left) || sets.any(|set| current != Some(set.as_str())))
    }

    /// Reads what is pinned for containers.
    pub fn live_containers(&self) -> Result<BTreeMap<FullName, LiveContainer>, LiveError> {
        let registry = self.registry()?;
        let mut reader = Reader::default();
        let mut containers = BTreeMap::new();
        for name in self.listing()?.containers.into_keys() {
            let container = self.live_container(&name, &registry, &mut reader)?;
            containers.insert(name, container);
        }
        Ok(containers)
    }

    fn live_container(
        &self,
        name: &FullName,
        registry: &BTreeMap<u32, EndpointIndex>,
        reader: &mut Reader,
    ) -> Result<LiveContainer, LiveError> {
        let mut live = LiveContainer::default();
        let [established, rest @ ..] = self.found_maps(name, registry, &mut live.unpinned)?;
        if let Some(map) = &established {
            live.endpoint = registry.get(&map.id).copied();
            live.pinned_quota = Some(map.entries);
        }
        let own: Option<Vec<Map>> = [established].into_iter().chain(rest).collect();
        let own: Option<[Map; 4]> = own.and_then(|own| own.try_into().ok());
        if let (Some(own), Some(endpoint)) = (&own, live.endpoint) {
            let registered = self.registered_at(endpoint)?;
            let all = own
                .iter()
                .zip(registered)
                .all(|(map, id)| Some(map.id) == id);
            live.connections = all.then_some(own[0].entries);
        }
        let mut sides = Vec::new();
        for hook in HOOKS {
            match self.live_side(name, hook, own.as_ref(), reader)? {
                Ok(side) => sides.push(side),
                Err(why) => live.links.push(LinkFault {
                    side: attached::side_of(hook),
                    why,
                }),
            }
        }
        live.programs = self.programs_of(&sides)?;
        live.strangers = sides.into_iter().flat_map(|side| side.strangers).collect();
        Ok(live)
    }

    /// A container's maps: those that are pinned, and where a pin is lost, or another map is pinned
    /// in the place of one that is registered, what its programs hold.
    pub(crate) fn found_maps(
        &self,
        name: &FullName,
        registry: &BTreeMap<u32, EndpointIndex>,
        unpinned: &mut Vec<LostPin>,
    ) -> Result<[Option<Map>; 4], Fault> {
        let mut maps = [None, None, None, None];
        for (map, shape) in maps.iter_mut().zip(CONNECTION_MAPS) {
            *map = self.pinned_map(&self.pins.container_map(name, shape.name), shape)?;
        }
        if self.is_of_another(&maps, registry)? {
            maps[0] = None;
        }
        let program = self.linked_program(name, &maps)?;
        let mut registered = [None; 4];
        for (at, shape) in CONNECTION_MAPS.into_iter().enumerate() {
            let pinned = maps[at].as_ref().map(|map| map.id);
            let known = |id: u32| match at {
                0 => registry.contains_key(&id),
                _ => pinned.is_none() || registered[at] == Some(id),
            };
            let holds = |id: u32| program.as_ref().is_some_and(|p| p.maps.contains(&id));
            let held = match &program {
                Some(program) if !pinned.is_some_and(holds) => attached::map_of(program, shape)?,
                _ => None,
            };
            if let Some((fd, _)) = held.filter(|(_, info)| known(info.id)) {
                let object = || Object::ContainerMap(name.clone(), shape.name);
                let path = self.pins.container_map(name, shape.name);
                unpinned.push(pins::lost(shape.name, &path)?);
                maps[at] = Some(Map::of(fd, object)?);
            }
            if let (0, Some(map)) = (at, &maps[0])
                && let Some(endpoint) = registry.get(&map.id)
            {
                registered = self.registered_at(*endpoint)?;
            }
        }
        Ok(maps)
    }

    /// Whether the map of established connections that is pinned is another container's: it is
    /// registered with others than those that are pinned beside it.
    fn is_of_another(
        &self,
        maps: &[Option<Map>; 4],
        registry: &BTreeMap<u32, EndpointIndex>,
    ) -> Result<bool, Fault> {
        let endpoint = maps[0].as_ref().and_then(|map| registry.get(&map.id));
        let Some(endpoint) = endpoint else {
            return Ok(false);
        };
        let registered = self.registered_at(*endpoint)?;
        let beside = maps.iter().zip(registered).skip(1);
        let both = beside.filter_map(|(map, id)| Some((map.as_ref()?.id, id?)));
        let same: Vec<bool> = both.map(|(pinned, id)| pinned == id).collect();
        Ok(!same.is_empty() && !same.contains(&true))
    }

    /// A map that is pinned and is of the shape that its name says.
    fn pinned_map(&self, path: &Path, shape: &Shape) -> Result<Option<Map>, Fault> {
        let object = || Object::Path(path.to_owned());
        let Some(fd) = self.pins.open_map(path)? else {
            return Ok(None);
        };
        let info = sys::map_info(fd.as_fd()).of("look at", object)?;
        match attached::fits(&info, shape) {
            true => Map::of(fd, object).map(Some),
            false => Ok(None),
        }
    }

    /// The program under one of a container's links: its own, which holds most of what is pinned of
    /// its maps, for another container's link may be pinned there, or another's map.
    fn linked_program(
        &self,
        name: &FullName,
        pinned: &[Option<Map>; 4],
    ) -> Result<Option<ProgramInfo>, Fault> {
        let mut best: Option<(usize, ProgramInfo)> = None;
        let none = pinned.iter().all(Option::is_none);
        for hook in HOOKS {
            let Some(link) = self.pins.open_link(&self.pins.link(name, hook))? else {
                continue;
            };
            let object = || Object::Link(name.clone(), hook);
            let info = sys::link_info(link.as_fd()).of("look at", object)?;
            let Some(program) = attached::program(info.program)? else {
                continue;
            };
            let own = pinned.iter().flatten();
            let held = own.filter(|map| program.maps.contains(&map.id)).count();
            if (none || held > 0) && best.as_ref().is_none_or(|(most, _)| held > *most) {
                best = Some((held, program));
            }
        }
        Ok(best.map(|(_, program)| program))
    }

    /// The programs, where both links are pinned and attached to one interface.
    pub(crate) fn live_programs(
        &self,
        name: &FullName,
        own: Option<&[Map; 4]>,
        reader: &mut Reader,
    ) -> Result<Option<LivePrograms>, LiveError> {
        let mut sides = Vec::new();
        for hook in HOOKS {
            sides.extend(self.live_side(name, hook, own, reader)?);
        }
        self.programs_of(&sides)
    }

    fn programs_of(&self, sides: &[Side]) -> Result<Option<LivePrograms>, LiveError> {
        let [one, other] = sides else {
            return Ok(None);
        };
        Ok((one.ifindex == other.ifindex).then_some(LivePrograms {
            build: if one.build == other.build {
                one.build
            } else {
                NO_BUILD
            },
            constants: other.constants,
            ifindex: one.ifindex,
            guarded: guard::stands(one.ifindex)?,
            first: one.first && other.first,
        }))
    }

    /// What stands under a container's link on one side, or why no program of ours does.
    fn live_side(
        &self,
        name: &FullName,
        hook: Hook,
        own: Option<&[Map; 4]>,
        reader: &mut Reader,
    ) -> Result<Result<Side, Broken>, LiveError> {
        let Some(link) = self.pins.open_link(&self.pins.link(name, hook))? else {
            let lost = pins::lost("", &self.pins.link(name, hook))?;
            return Ok(Err(match lost.taken {
                true => Broken::Replaced,
                false => Broken::Unpinned,
            }));
        };
        let object = || Object::Link(name.clone(), hook);
        let info = sys::link_info(link.as_fd()).of("look at", object)?;
        let ifindex = match info.tcx {
            Some((0, on)) if on == hook => return Ok(Err(Broken::Detached)),
            Some((ifindex, on)) if on == hook => ifindex,
            _ => return Ok(Err(Broken::Replaced)),
        };
        let chain = attached::chain(ifindex, hook)?;
        let Some(at) = chain.iter().position(|at| at.link == info.id) else {
            return Ok(Err(Broken::Detached));
        };
        let program = attached::program(info.program)?;
        let build = program.map(|program| self.build(&program, own, reader));
        let Some((build, constants)) = build.transpose()?.flatten() else {
            return Ok(Err(Broken::Program));
        };
        let mut strangers = Vec::new();
        for (place, other) in chain.iter().enumerate().filter(|(place, _)| *place != at) {
            if let Some(found) = attached::program(other.program)? {
                strangers.push(Stranger {
                    side: attached::side_of(hook),
                    before: place < at,
                    program: other.program,
                    name: found.name,
                });
            }
        }
        Ok(Ok(Side {
            ifindex,
            build,
            constants,
            first: at == 0,
            strangers,
        }))
    }

    /// A program's build, and its constants in the live slot.
    fn build(
        &self,
        program: &ProgramInfo,
        own: Option<&[Map; 4]>,
        reader: &mut Reader,
    ) -> Result<Option<(BuildHash, Constants)>, Fault> {
        let table = self.blocks.as_ref().map_or(0, |blocks| blocks.table.id);
        let other_code = self
            .blocks
            .as_ref()
            .is_none_or(|b| b.code != header::BLOCK_CODE);
        let own: Vec<u32> = own.into_iter().flatten().map(|map| map.id).collect();
        let known = |id| id == table || self.is_global(id) || own.contains(&id);
        let Some(read) = reader.read(program, known)? else {
            return Ok(None);
        };
        let text = read.text("bpf_metadata_build").unwrap_or_default();
        let slot = if text == TRANSITION {
            self.record().slot.index() as usize
        } else {
            0
        };
        let rows: Option<[ConstantsRow; 2]> = read.variable("pl_self");
        let Some(constants) = rows.and_then(|rows| encode::read_constants(&rows[slot & 1])) else {
            return Ok(None);
        };
        let holds = |id: &u32| program.maps.contains(id);
        let current = !other_code && holds(&table) && !own.is_empty() && own.iter().all(holds);
        let build = read_hash(text)
            .filter(|_| current)
            .map_or(NO_BUILD, BuildHash);
        Ok(Some((build, constants)))
    }
}

/// One of a container's programs, attached.
struct Side {
    ifindex: u32,
    build: BuildHash,
    constants: Constants,
    first: bool,
    strangers: Vec<Stranger>,
}
