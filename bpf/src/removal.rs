//! Taking down: containers, what runs that died have left, and everything.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::PathBuf;

use state::words::names::FullName;

use crate::abi::{CONNECTION_MAPS, REGISTRIES, maps};
use crate::attached::{self, HOOKS};
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::pins::{self, PinError};
use crate::sys;

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

impl Kernel {
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
        let mut reached = attached::held_maps()?;
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
