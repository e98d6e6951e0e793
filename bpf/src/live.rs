//! What of ours is in the kernel, read back in the target's words.
//!
//! Nothing is changed and no file is asked: builds and constants stand in the programs, a
//! container's index in the registry, position and guard in the chains of its interface.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use state::live::{Base, LiveContainer, LivePrograms, LiveSlot};
use state::target::constants::Constants;
use state::target::programs::BuildHash;
use state::target::tables::EndpointIndex;
use state::words::generation::Slot;
use state::words::names::FullName;

use crate::abi::{ConstantsRow, header, maps};
use crate::attached::{self, HOOKS};
use crate::blocks::read_hash;
use crate::encode;
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::object::TRANSITION;
use crate::pins::PinError;
use crate::rodata::Reader;
use crate::slots::{ForeignRow, SlotError};
use crate::sys::{self, ProgramInfo};

/// Why live could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A slot could not be read.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Something else is pinned where a pin of ours belongs.
    #[error(transparent)]
    Pin(#[from] PinError),
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
        };
        Ok(LiveKernel {
            base,
            leftovers: self.has_leftovers(&containers)?,
            containers,
            foreign,
        })
    }

    /// Whether a registration is no container's, or a set of blocks stands beside the one in use.
    fn has_leftovers(
        &self,
        containers: &BTreeMap<FullName, LiveContainer>,
    ) -> Result<bool, LiveError> {
        let registered = containers.values().filter(|c| c.endpoint.is_some()).count();
        let current = self.blocks.as_ref().map(|blocks| blocks.name.as_str());
        let listing = self.listing()?;
        let mut sets = listing.blocks.keys();
        Ok(self.registry()?.len() > registered || sets.any(|set| current != Some(set.as_str())))
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
        let path = self.pins.container_map(name, maps::ESTABLISHED.name);
        if let Some(fd) = self.pins.open_map(&path)? {
            let object = || Object::ContainerMap(name.clone(), maps::ESTABLISHED.name);
            let map = Map::of(fd, object)?;
            live.endpoint = registry.get(&map.id).copied();
            live.pinned_quota = Some(map.entries);
        }
        let own = self.connection_maps(name)?;
        if let (Some(own), Some(endpoint)) = (&own, live.endpoint) {
            let registered = self.registered_at(endpoint)?;
            let all = own
                .iter()
                .zip(registered)
                .all(|(map, id)| Some(map.id) == id);
            live.connections = all.then_some(own[0].entries);
        }
        live.programs = self.live_programs(name, own.as_ref(), reader)?;
        Ok(live)
    }

    /// The programs, where both links are pinned and attached to one interface.
    pub(crate) fn live_programs(
        &self,
        name: &FullName,
        own: Option<&[Map; 4]>,
        reader: &mut Reader,
    ) -> Result<Option<LivePrograms>, LiveError> {
        let mut ifindices = Vec::new();
        let mut builds = Vec::new();
        let mut constants = None;
        let mut first = true;
        for hook in HOOKS {
            let Some(link) = self.pins.open_link(&self.pins.link(name, hook))? else {
                return Ok(None);
            };
            let object = || Object::Link(name.clone(), hook);
            let info = sys::link_info(link.as_fd()).of("look at", object)?;
            let ifindex = match info.tcx {
                Some((ifindex, on)) if on == hook && ifindex != 0 => ifindex,
                _ => return Ok(None),
            };
            let chain = attached::chain(ifindex, hook)?;
            if !chain.iter().any(|at| at.link == info.id) {
                return Ok(None);
            }
            first &= chain.first().is_some_and(|at| at.link == info.id);
            let Some(program) = attached::program(info.program)? else {
                return Ok(None);
            };
            let Some((build, of)) = self.build(&program, own, reader)? else {
                return Ok(None);
            };
            ifindices.push(ifindex);
            builds.push(build);
            constants = Some(of);
        }
        let (&[ifindex, other], Some(constants)) = (ifindices.as_slice(), constants) else {
            return Ok(None);
        };
        let same = builds.windows(2).all(|pair| pair[0] == pair[1]);
        Ok((ifindex == other).then_some(LivePrograms {
            build: if same { builds[0] } else { NO_BUILD },
            constants,
            ifindex,
            guarded: self.is_guarded(ifindex)?,
            first,
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
