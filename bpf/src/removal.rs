//! Taking down: containers, what runs that died have left, and everything.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use state::words::names::FullName;

use crate::abi::{CONNECTION_MAPS, REGISTRIES, maps};
use crate::attached::{self, HOOKS};
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::pins::{self, BaseError, Pins};
use crate::sys;

/// Why a container's state could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The base directory is not ours alone.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Kernel {
    /// Removes all of these containers: links, pins, registrations, and with them the maps. Their
    /// interfaces have been removed by then; where one has not, the guard closes it.
    pub fn remove(&self, containers: &[FullName]) -> Result<(), RemoveError> {
        remove_pins(&self.pins, containers)?;
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

    /// Removes everything of ours below a base directory, and that. What is not ours stays, and is
    /// told; `None` where there is no base directory.
    ///
    /// Nothing need be whole: what a run that died has made or left is removed as well. The commit
    /// record goes last, for where that is, everything is.
    pub fn destroy(base: &Path) -> Result<Option<BTreeSet<PathBuf>>, RemoveError> {
        let pins = Pins::below(base);
        if !pins.check_base()? {
            return Ok(None);
        }
        let listing = pins.listing()?;
        let containers: Vec<FullName> = listing.containers.into_keys().collect();
        remove_pins(&pins, &containers)?;
        for (set, of_set) in &listing.blocks {
            for pin in of_set {
                pins::remove(&pins.block(set, pin))?;
            }
            pins::remove_directory(&pins.block_set(set))?;
        }
        let mut maps: Vec<String> = listing.maps.into_iter().collect();
        maps.sort_by_key(|map| *map == maps::COMMIT.name);
        for map in maps {
            pins::remove(&pins.map(&map))?;
        }
        let unknown = pins.listing()?.unknown;
        if unknown.is_empty() {
            pins.remove_base()?;
        }
        Ok(Some(unknown))
    }
}

/// Removes what is pinned for containers: links first, so that what they stopped is the guard's.
fn remove_pins(pins: &Pins, containers: &[FullName]) -> Result<(), RemoveError> {
    for container in containers {
        for hook in HOOKS {
            // The kernel takes a link that is nobody's any more off its interface some time later:
            // where that stays, a run that follows would still find it.
            if let Some(link) = pins.open_link(&pins.link(container, hook)).ok().flatten() {
                sys::link_detach(link.as_fd())
                    .of("detach", || Object::Link(container.clone(), hook))?;
            }
            pins::remove(&pins.link(container, hook))?;
            pins::remove(&Pins::next(&pins.link(container, hook)))?;
        }
    }
    for container in containers {
        for shape in CONNECTION_MAPS {
            let path = pins.container_map(container, shape.name);
            pins::remove(&Pins::next(&path))?;
            pins::remove(&path)?;
        }
        pins.remove_container(container)?;
    }
    Ok(())
}
