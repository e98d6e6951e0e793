//! A container's connection maps: made with its quota, pinned, registered for the shared blocks.
//!
//! They outlive every program: a map that is pinned, that an attached program still holds, or that
//! is registered for a container of the live slot, is kept with every connection in it.
//!
//! Registering a map in a map of maps waits for a grace period; so several containers are
//! registered together. `all_established` is the first registry to have a container and the last to
//! lose it: what it does not have, none has.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd};

use state::target::tables::EndpointIndex;
use state::words::names::FullName;

use crate::abi::{CONNECTION_MAPS, REGISTRIES, Shape, maps};
use crate::attached::{self, fits};
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::pins;
use crate::rows::{Rows, Way};
use crate::sys;

/// Connection maps to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConnections {
    /// Whose.
    pub container: FullName,
    /// Under which index they are registered.
    pub endpoint: EndpointIndex,
    /// How many established TCP connections there may be.
    pub quota: u32,
    /// Whether the live slot has the container at that index: what is registered there is its own
    /// then, though nothing else is left that says so.
    pub live: bool,
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
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl NewConnections {
    fn of_quota(&self, map: Map) -> Result<Map, ConnectionsError> {
        match map.entries == self.quota {
            true => Ok(map),
            false => Err(ConnectionsError::Quota {
                container: self.container.clone(),
                is: map.entries,
                asked: self.quota,
            }),
        }
    }
}

impl Kernel {
    /// Makes and registers connection maps. Maps that are pinned, or that an attached program of
    /// that endpoint holds, are kept with every connection in them.
    pub fn make_connections(&self, new: &[NewConnections]) -> Result<(), ConnectionsError> {
        let mut attached = None;
        let registry = self.registry()?;
        let mut registrations = REGISTRIES.map(|_| Rows::new(4, 4));
        let mut opened = Vec::new();
        for wanted in new {
            let registered = self.registered_at(wanted.endpoint)?;
            self.pins.make_container(&wanted.container)?;
            let mut lost = Vec::new();
            let found = self.found_maps(&wanted.container, &registry, &mut lost)?;
            for (at, (shape, found)) in CONNECTION_MAPS.into_iter().zip(found).enumerate() {
                let map = match found {
                    Some(map) if shape.name == maps::ESTABLISHED.name => wanted.of_quota(map)?,
                    Some(map) => map,
                    None => self.new_connections(wanted, shape, registered[at], &mut attached)?,
                };
                if lost.iter().any(|pin| pin.name == shape.name) {
                    let path = self.pins.container_map(&wanted.container, shape.name);
                    pins::pin(map.fd.as_fd(), &path)?;
                }
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

    /// A map that lost its pin and that an attached program holds, or that is registered for the
    /// live container; or a new one. Pinned.
    fn new_connections(
        &self,
        wanted: &NewConnections,
        shape: &'static Shape,
        registered: Option<u32>,
        attached: &mut Option<BTreeSet<u32>>,
    ) -> Result<Map, ConnectionsError> {
        let object = || Object::ContainerMap(wanted.container.clone(), shape.name);
        let size = match shape.name {
            name if name == maps::ESTABLISHED.name => wanted.quota,
            name if name == maps::COUNTERS.name => shape.entries,
            _ => room(shape)?,
        };
        let path = self.pins.container_map(&wanted.container, shape.name);
        if let Some(id) = registered {
            let own = wanted.live || {
                let held = match attached {
                    Some(held) => held,
                    None => attached.insert(attached::held_maps()?),
                };
                held.contains(&id)
            };
            if own {
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
    pub(crate) fn connection_maps(&self, container: &FullName) -> Result<Option<[Map; 4]>, Fault> {
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
}

/// Room of a map that evicts what was used least. Before 6.16 each CPU keeps up to 128 free
/// elements for itself (`LOCAL_FREE_TARGET` in kernel/bpf/bpf_lru_list.c), so a map with fewer than
/// twice that for each CPU evicts entries while it has room.
fn room(shape: &Shape) -> Result<u32, Fault> {
    let (major, minor) = sys::release().of("read", || Object::Host("release"))?;
    if (major, minor) >= (6, 16) {
        return Ok(shape.entries);
    }
    let cpus = libbpf_rs::num_possible_cpus().map_err(std::io::Error::other);
    let cpus = cpus.of("count", || Object::Host("CPUs"))?;
    let least = u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(256);
    Ok(shape.entries.max(least))
}
