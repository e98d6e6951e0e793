//! A container's own: its connection maps, its two programs, their links, and the guard behind
//! them.
//!
//! Every operation may be done again: what is there and right is kept, what is there and wrong is
//! replaced, so a run that died is completed by the next. Connection maps outlive every program. A
//! link is updated in place, so there is no moment without a program; where a link must be another
//! one (the interface is another, or somebody has put a program before ours), the new one is first
//! in the chain before the old one goes.
//!
//! Registering a map in a map of maps waits for a grace period; so several containers are
//! registered together. `all_established` is the first registry to have a container and the last to
//! lose it: what it does not have, none has.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use libbpf_rs::{TC_EGRESS, TC_INGRESS, TcHook};

use state::target::tables::EndpointIndex;
use state::words::names::FullName;

use crate::abi::{CONNECTION_MAPS, GLOBAL, REGISTRIES, Shape, maps};
use crate::attached::{self, fits};
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::object::{self, Build, ContainerPrograms, LoadError};
use crate::pins::{self, PinError};
use crate::rows::{Rows, Way};
use crate::sys::{self, Hook};

/// Connection maps to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConnections {
    /// Whose.
    pub container: FullName,
    /// Under which index they are registered.
    pub endpoint: EndpointIndex,
    /// How many established TCP connections there may be.
    pub quota: u32,
}

/// Why connection maps were not made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionsError {
    /// It has maps already, for another number of connections.
    #[error("{container} has connection maps for {is} connections, not {asked}: resize them")]
    Quota {
        /// Whose.
        container: FullName,
        /// What they are for.
        is: u32,
        /// What was asked.
        asked: u32,
    },
    /// What is pinned there is no map of ours.
    #[error("what is pinned as {map} of {container} has another shape than ours: remove it")]
    Shape {
        /// Whose.
        container: FullName,
        /// Which.
        map: &'static str,
    },
    /// Something else is pinned there.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why programs were not attached or swapped.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Its connection maps are not there.
    #[error("{0} has no connection maps, or not all of them")]
    NoConnections(FullName),
    /// There is no block table to reach.
    #[error("there are no shared blocks that programs could reach")]
    NoBlocks,
    /// Nothing is attached whose program could be swapped.
    #[error("{0} has no programs attached")]
    NotAttached(FullName),
    /// The kernel does not take the programs.
    #[error("{container}: {source}")]
    Load {
        /// Whose.
        container: FullName,
        /// Why.
        source: LoadError,
    },
    /// The guard behind the programs could not be put.
    #[error("cannot put the guard on {hook} of interface {ifindex}: {source}")]
    Guard {
        /// Which interface.
        ifindex: u32,
        /// Which side.
        hook: Hook,
        /// Why.
        source: libbpf_rs::Error,
    },
    /// Something else is pinned there.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a container's state could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Something else is pinned there.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Both sides of an interface.
pub(crate) const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];

/// Handle and priority of the guard's filter: before every other filter of the device.
const GUARD: u32 = 1;

impl Kernel {
    // ---- Connection maps ----

    /// Makes and registers connection maps. Maps that are pinned, or that an attached program of
    /// that endpoint holds, are kept with every connection in them.
    pub fn make_connections(&self, new: &[NewConnections]) -> Result<(), ConnectionsError> {
        let mut attached = None;
        let mut registrations = REGISTRIES.map(|_| Rows::new(4, 4));
        let mut opened = Vec::new();
        for wanted in new {
            let registered = self.registered_at(wanted.endpoint)?;
            self.pins.make_container(&wanted.container)?;
            for (at, shape) in CONNECTION_MAPS.into_iter().enumerate() {
                let map = match self.pinned_connections(wanted, shape)? {
                    Some(map) => map,
                    None => self.new_connections(wanted, shape, registered[at], &mut attached)?,
                };
                if registered[at] != Some(map.id) {
                    let index = u32::from(wanted.endpoint.0).to_ne_bytes();
                    registrations[at].push(&index, &map.fd.as_raw_fd().to_ne_bytes());
                }
                opened.push(map);
            }
        }
        for (rows, registry) in registrations.iter().zip(REGISTRIES) {
            let outer = self.need(registry)?;
            let written = rows
                .write(outer.fd.as_fd())
                .map_err(|stopped| stopped.error);
            written.of("register a map in", || Object::Map(registry.name))?;
        }
        Ok(())
    }

    /// Numbers of the maps registered under an index.
    pub(crate) fn registered_at(&self, endpoint: EndpointIndex) -> Result<[Option<u32>; 4], Fault> {
        let mut ids = [None; 4];
        for (id, registry) in ids.iter_mut().zip(REGISTRIES) {
            let Some(outer) = self.map(registry) else {
                continue;
            };
            let mut bytes = [0; 4];
            let key = u32::from(endpoint.0).to_ne_bytes();
            let found = sys::lookup(outer.fd.as_fd(), &key, &mut bytes);
            let found = found.of("read", || Object::Map(registry.name))?;
            *id = found.then(|| u32::from_ne_bytes(bytes));
        }
        Ok(ids)
    }

    /// Which index each registered map of established connections has.
    pub(crate) fn registry(&self) -> Result<BTreeMap<u32, EndpointIndex>, Fault> {
        let Some(outer) = self.map(REGISTRIES[0]) else {
            return Ok(BTreeMap::new());
        };
        let rows = Rows::read(outer.fd.as_fd(), 4, 4, Way::Batches)
            .of("read", || Object::Map(REGISTRIES[0].name))?;
        let entries = rows.iter().filter_map(|(index, id)| {
            let index = u16::try_from(sys::value_of::<u32>(index)?).ok()?;
            Some((sys::value_of(id)?, EndpointIndex(index)))
        });
        Ok(entries.collect())
    }

    fn pinned_connections(
        &self,
        wanted: &NewConnections,
        shape: &'static Shape,
    ) -> Result<Option<Map>, ConnectionsError> {
        let container = &wanted.container;
        let object = || Object::ContainerMap(container.clone(), shape.name);
        let path = self.pins.container_map(container, shape.name);
        let Some(fd) = self.pins.open_map(&path)? else {
            return Ok(None);
        };
        let info = sys::map_info(fd.as_fd()).of("look at", object)?;
        if !fits(&info, shape) {
            return Err(ConnectionsError::Shape {
                container: container.clone(),
                map: shape.name,
            });
        }
        if shape.name == maps::ESTABLISHED.name && info.entries != wanted.quota {
            return Err(ConnectionsError::Quota {
                container: container.clone(),
                is: info.entries,
                asked: wanted.quota,
            });
        }
        Ok(Some(Map::of(fd, object)?))
    }

    /// A map that an attached program holds and that lost its pin, or a new one; pinned.
    fn new_connections(
        &self,
        wanted: &NewConnections,
        shape: &'static Shape,
        registered: Option<u32>,
        attached: &mut Option<BTreeSet<u32>>,
    ) -> Result<Map, ConnectionsError> {
        let object = || Object::ContainerMap(wanted.container.clone(), shape.name);
        let established = shape.name == maps::ESTABLISHED.name;
        let size = if established {
            wanted.quota
        } else {
            shape.entries
        };
        let path = self.pins.container_map(&wanted.container, shape.name);
        if let Some(id) = registered {
            let held = match attached {
                Some(held) => held,
                None => attached.insert(held_by_attached()?),
            };
            if held.contains(&id) {
                let fd = sys::map_by_id(id).of("open", object)?;
                let info = sys::map_info(fd.as_fd()).of("look at", object)?;
                if fits(&info, shape) && info.entries == size {
                    pins::pin(fd.as_fd(), &path)?;
                    return Ok(Map::of(fd, object)?);
                }
            }
        }
        let fd = sys::map_create(shape, size).of("make", object)?;
        pins::pin(fd.as_fd(), &path)?;
        Ok(Map::of(fd, object)?)
    }

    /// A container's maps, if all are pinned.
    pub(crate) fn connection_maps(
        &self,
        container: &FullName,
    ) -> Result<Option<[Map; 4]>, PinError> {
        let mut maps = Vec::new();
        for shape in CONNECTION_MAPS {
            let path = self.pins.container_map(container, shape.name);
            let Some(fd) = self.pins.open_map(&path)? else {
                return Ok(None);
            };
            let object = || Object::ContainerMap(container.clone(), shape.name);
            maps.push(Map::of(fd, object)?);
        }
        Ok(maps.try_into().ok())
    }

    // ---- Programs ----

    /// Loads a container's programs and attaches them first on both sides of its interface, with
    /// the guard behind them. What is attached already is updated in place.
    pub fn attach(
        &self,
        container: &FullName,
        ifindex: u32,
        build: &Build,
    ) -> Result<(), AttachError> {
        let programs = self.load(container, build)?;
        self.guard(ifindex)?;
        self.place(
            container,
            ifindex,
            Hook::Ingress,
            programs.from_container.as_fd(),
        )?;
        self.place(
            container,
            ifindex,
            Hook::Egress,
            programs.to_container.as_fd(),
        )
    }

    /// Loads a container's programs anew and puts them in the place of those that are attached.
    pub fn swap(&self, container: &FullName, build: &Build) -> Result<(), AttachError> {
        let mut links = Vec::new();
        for hook in HOOKS {
            let link = self.pins.open_link(&self.pins.link(container, hook))?;
            links.push(link.ok_or_else(|| AttachError::NotAttached(container.clone()))?);
        }
        let programs = self.load(container, build)?;
        let programs = [programs.from_container, programs.to_container];
        for ((link, program), hook) in links.iter().zip(&programs).zip(HOOKS) {
            sys::link_update(link.as_fd(), program.as_fd())
                .of("update", || Object::Link(container.clone(), hook))?;
        }
        Ok(())
    }

    pub(crate) fn load(
        &self,
        container: &FullName,
        build: &Build,
    ) -> Result<ContainerPrograms, AttachError> {
        let own = self.connection_maps(container)?;
        let own = own.ok_or_else(|| AttachError::NoConnections(container.clone()))?;
        self.load_over(container, build, &own)
    }

    pub(crate) fn load_over(
        &self,
        container: &FullName,
        build: &Build,
        own: &[Map; 4],
    ) -> Result<ContainerPrograms, AttachError> {
        let blocks = self.blocks.as_ref().ok_or(AttachError::NoBlocks)?;
        let mut maps = self.map_fds();
        for shape in GLOBAL {
            self.need(shape)?;
        }
        maps.insert(maps::BLOCKS.name, blocks.table.fd.as_fd());
        for (shape, map) in CONNECTION_MAPS.into_iter().zip(own) {
            maps.insert(shape.name, map.fd.as_fd());
        }
        let programs = object::load_container(build, &maps, self.jiffies_per_second);
        let programs = programs.map_err(|source| AttachError::Load {
            container: container.clone(),
            source,
        })?;
        // What their instructions do not name they hold too, so that all is found through them.
        for program in [&programs.from_container, &programs.to_container] {
            for (name, map) in &maps {
                let shape = GLOBAL
                    .into_iter()
                    .chain(CONNECTION_MAPS)
                    .find(|s| s.name == *name);
                let Some(shape) = shape else {
                    continue;
                };
                sys::bind_map(program.as_fd(), *map)
                    .of("bind a program to", || Object::Map(shape.name))?;
            }
        }
        Ok(programs)
    }

    /// Puts a program on one side of an interface, before all others, under a pinned link.
    fn place(
        &self,
        container: &FullName,
        ifindex: u32,
        hook: Hook,
        program: BorrowedFd<'_>,
    ) -> Result<(), AttachError> {
        let object = || Object::Link(container.clone(), hook);
        let path = self.pins.link(container, hook);
        let chain = attached::chain(ifindex, hook)?;
        let first = chain.first().map_or(0, |first| first.link);
        let pinned = match self.pins.open_link(&path)? {
            Some(link) => {
                let info = sys::link_info(link.as_fd()).of("look at", object)?;
                (info.id == first && info.tcx == Some((ifindex, hook))).then_some(link)
            }
            None => None,
        };
        if let Some(link) = pinned {
            sys::link_update(link.as_fd(), program).of("update", object)?;
            return Ok(());
        }
        // A link of ours whose pin is lost: somebody else still holds it.
        let lost = attached::at(ifindex, hook)?.into_iter().find(|found| {
            found.attached.link == first && found.program.maps.iter().any(|id| self.is_global(*id))
        });
        let link = match lost {
            Some(found) => {
                let link = sys::link_by_id(found.attached.link).of("open", object)?;
                sys::link_update(link.as_fd(), program).of("update", object)?;
                link
            }
            None => attached::attach_first(program, ifindex, hook)?,
        };
        pins::replace(link.as_fd(), &path)?;
        Ok(())
    }

    /// Puts the guard on both sides of an interface: a filter that the device owns and that drops
    /// all. Our programs run before it and never hand on, so only what our links no longer stop
    /// comes to it.
    pub fn guard(&self, ifindex: u32) -> Result<(), AttachError> {
        let blocks = self.blocks.as_ref().ok_or(AttachError::NoBlocks)?;
        for hook in HOOKS {
            let put = guard_hook(ifindex, hook, blocks.guard.as_fd()).and_then(|mut filter| {
                filter.create()?;
                filter.replace(true).attach()
            });
            put.map_err(|source| AttachError::Guard {
                ifindex,
                hook,
                source,
            })?;
        }
        Ok(())
    }

    /// Whether the guard stands on both sides.
    pub(crate) fn is_guarded(&self, ifindex: u32) -> Result<bool, Fault> {
        let Some(blocks) = &self.blocks else {
            return Ok(false);
        };
        let guard = sys::program_info(blocks.guard.as_fd());
        let guard = guard.of("look at", || Object::Program("guard"))?;
        for hook in HOOKS {
            let id = guard_hook(ifindex, hook, blocks.guard.as_fd()).and_then(|mut f| f.query());
            // No filter, no qdisc and no interface are all answered by an error.
            let Some(found) = attached::program(id.unwrap_or(0))? else {
                return Ok(false);
            };
            if found.tag != guard.tag {
                return Ok(false);
            }
        }
        Ok(true)
    }

    // ---- Taking down ----

    /// Removes all of these containers: links, pins, registrations, and with them the maps. Their
    /// interfaces have been removed by then; where one has not, the guard closes it.
    pub fn remove(&self, containers: &[FullName]) -> Result<(), RemoveError> {
        for container in containers {
            for hook in HOOKS {
                pins::remove(&self.pins.link(container, hook))?;
                pins::remove(&pins::Pins::next(&self.pins.link(container, hook)))?;
            }
        }
        for container in containers {
            for shape in CONNECTION_MAPS {
                let path = self.pins.container_map(container, shape.name);
                pins::remove(&pins::Pins::next(&path))?;
                pins::remove(&path)?;
            }
            self.pins.remove_container(container)?;
        }
        self.unregister_gone()?;
        Ok(())
    }

    /// Empties every place of the registries whose map is no container's.
    fn unregister_gone(&self) -> Result<(), RemoveError> {
        let mut known = BTreeSet::new();
        for container in self.pins.listing()?.containers.keys() {
            let path = self.pins.container_map(container, maps::ESTABLISHED.name);
            if let Some(fd) = self.pins.open_map(&path)? {
                let object = || Object::ContainerMap(container.clone(), maps::ESTABLISHED.name);
                known.insert(Map::of(fd, object)?.id);
            }
        }
        let registry = self.registry()?;
        let gone = registry.into_iter().filter(|(id, _)| !known.contains(id));
        for (_, endpoint) in gone {
            let registered = self.registered_at(endpoint)?;
            for (registry, id) in REGISTRIES.into_iter().zip(registered).rev() {
                if id.is_some() {
                    let outer = self.need(registry)?;
                    sys::delete(outer.fd.as_fd(), &u32::from(endpoint.0).to_ne_bytes())
                        .of("empty a place of", || Object::Map(registry.name))?;
                }
            }
        }
        Ok(())
    }

    /// Removes what runs that died have left and nothing reaches: registrations of containers that
    /// are gone, and sets of blocks that no program can reach.
    pub fn remove_leftovers(&self) -> Result<(), RemoveError> {
        self.unregister_gone()?;
        let listing = self.pins.listing()?;
        let current = self.blocks.as_ref().map(|blocks| blocks.name.as_str());
        let reached = self.reached_maps(&listing)?;
        for (set, pins) in &listing.blocks {
            if current == Some(set.as_str()) {
                continue;
            }
            let table = self.pins.open_map(&self.pins.block_table(set))?;
            let id = match table {
                Some(fd) => Map::of(fd, || Object::Path(self.pins.block_table(set)))?.id,
                None => 0,
            };
            if !reached.contains(&id) {
                for pin in pins {
                    pins::remove(&self.pins.block(set, pin))?;
                }
                pins::remove_directory(&self.pins.block_set(set))?;
            }
        }
        Ok(())
    }

    /// Every map that an attached program of a container holds.
    fn reached_maps(&self, listing: &pins::Listing) -> Result<BTreeSet<u32>, RemoveError> {
        let mut reached = held_by_attached()?;
        for container in listing.containers.keys() {
            for hook in HOOKS {
                let Some(link) = self.pins.open_link(&self.pins.link(container, hook))? else {
                    continue;
                };
                let object = || Object::Link(container.clone(), hook);
                let info = sys::link_info(link.as_fd()).of("look at", object)?;
                if let Some(program) = attached::program(info.program)? {
                    reached.extend(program.maps);
                }
            }
        }
        Ok(reached)
    }

    /// Removes everything of ours below the base directory, and that. What is not ours stays, and
    /// is told.
    pub fn destroy(self) -> Result<BTreeSet<PathBuf>, RemoveError> {
        let listing = self.pins.listing()?;
        let containers: Vec<FullName> = listing.containers.into_keys().collect();
        self.remove(&containers)?;
        for (set, pins) in &listing.blocks {
            for pin in pins {
                pins::remove(&self.pins.block(set, pin))?;
            }
            pins::remove_directory(&self.pins.block_set(set))?;
        }
        for map in listing.maps {
            pins::remove(&self.pins.map(&map))?;
        }
        let unknown = self.pins.listing()?.unknown;
        if unknown.is_empty() {
            self.pins.remove_base()?;
        }
        Ok(unknown)
    }
}

/// Every map that an attached program of ours holds.
fn held_by_attached() -> Result<BTreeSet<u32>, Fault> {
    let found = attached::everywhere()?.into_iter();
    Ok(found.flat_map(|found| found.program.maps).collect())
}

fn guard_hook(ifindex: u32, hook: Hook, guard: BorrowedFd<'_>) -> libbpf_rs::Result<TcHook> {
    let index = i32::try_from(ifindex).map_err(std::io::Error::other)?;
    let mut filter = TcHook::new(guard);
    filter
        .ifindex(index)
        .handle(GUARD)
        .priority(GUARD)
        .attach_point(match hook {
            Hook::Ingress => TC_INGRESS,
            Hook::Egress => TC_EGRESS,
        });
    Ok(filter)
}
