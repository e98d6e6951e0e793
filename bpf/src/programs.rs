//! A container's two programs, their links, and the guard behind them.
//!
//! Every operation may be done again: what is there and right is kept, what is there and wrong is
//! replaced, so a run that died is completed by the next. A link is updated in place, so there is
//! no moment without a program; where a link must be another one (the interface is another, or
//! somebody has put a program before ours), the new one is first in the chain before the old one
//! goes.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use libbpf_rs::{ErrorKind, TC_EGRESS, TC_INGRESS, TcHook};

use state::live::Instead;
use state::words::names::FullName;
use state::words::verdict::Direction;

use crate::abi::{CONNECTION_MAPS, ConstantsRow, GLOBAL, maps};
use crate::attached::{self, HOOKS};
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::object::{self, Build, ContainerPrograms, LoadError};
use crate::pins::{self, PinError};
use crate::rodata::Reader;
use crate::sys::{self, Hook};

pub use crate::connections::{ConnectionsError, NewConnections};
pub use crate::removal::RemoveError;

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
    /// What stands in them could not be read back from the kernel, now or later.
    #[error(
        "{0}: the kernel holds the constants of its programs without their types, as where memory \
         is short; run again"
    )]
    Unreadable(FullName),
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
    /// A filter of others is there.
    #[error(
        "a filter of others stands on {hook} of interface {ifindex} where the guard is to stand \
         (priority 1, handle 1): remove it, or move it"
    )]
    Filter {
        /// Which interface.
        ifindex: u32,
        /// Which side.
        hook: Hook,
    },
    /// Something else is pinned there.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Handle and priority of the guard's filter: before every other filter of the device.
const GUARD: u32 = 1;

impl Kernel {
    /// Loads a container's programs and attaches them first on both sides of its interface, with
    /// the guard behind them. What is attached already is updated in place.
    pub fn attach(
        &self,
        container: &FullName,
        ifindex: u32,
        build: &Build,
    ) -> Result<(), AttachError> {
        let programs = self.load(container, build)?;
        if build.is_theirs() {
            self.leave_others(ifindex)?;
        }
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
        )?;
        // Behind them: on an interface that carries traffic it would stop all until they are there.
        match build.is_theirs() {
            true => self.guard_theirs(ifindex),
            false => self.guard(ifindex),
        }
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
        let shared = |id| id == blocks.table.id || self.is_global(id);
        let known = |id| shared(id) || own.iter().any(|map| map.id == id);
        for program in [&programs.from_container, &programs.to_container] {
            let program = sys::program_info(program.as_fd());
            let program = program.of("look at", || Object::Program("of a container"))?;
            let read = Reader::default().read(&program, known)?;
            let constants = read.and_then(|read| read.variable::<[ConstantsRow; 2]>("pl_self"));
            if constants.is_none() {
                return Err(AttachError::Unreadable(container.clone()));
            }
        }
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
        let lost = match lost.map(|found| sys::link_by_id(found.attached.link)) {
            // It is going: the kernel takes a link down some time after its last reference.
            Some(Err(error)) if error.raw_os_error() == Some(libc::ENOENT) => None,
            lost => lost.transpose().of("open", object)?,
        };
        let link = match lost {
            Some(link) => {
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

    /// The same, where others may have put a filter: what is no eBPF program cannot be asked for,
    /// and is found in the way.
    fn guard_theirs(&self, ifindex: u32) -> Result<(), AttachError> {
        let blocks = self.blocks.as_ref().ok_or(AttachError::NoBlocks)?;
        for hook in HOOKS {
            let ours = self.filter(ifindex, hook)?.is_some();
            let put = guard_hook(ifindex, hook, blocks.guard.as_fd()).and_then(|mut filter| {
                filter.create()?;
                filter.replace(ours).attach()
            });
            put.map_err(|source| match source.kind() {
                ErrorKind::AlreadyExists => AttachError::Filter { ifindex, hook },
                _ => AttachError::Guard {
                    ifindex,
                    hook,
                    source,
                },
            })?;
        }
        Ok(())
    }

    /// A filter of others that stands where the guard is to stand is not replaced.
    fn leave_others(&self, ifindex: u32) -> Result<(), AttachError> {
        for hook in HOOKS {
            if self.filter(ifindex, hook)?.is_some_and(|(_, ours)| !ours) {
                return Err(AttachError::Filter { ifindex, hook });
            }
        }
        Ok(())
    }

    /// Takes the guard from an interface that is not ours and goes on without us.
    pub fn unguard(&self, ifindex: u32) -> Result<(), AttachError> {
        let Some(blocks) = &self.blocks else {
            return Ok(());
        };
        for hook in HOOKS {
            if !self.filter(ifindex, hook)?.is_some_and(|(_, ours)| ours) {
                continue;
            }
            let gone = guard_hook(ifindex, hook, blocks.guard.as_fd()).and_then(|mut f| f.detach());
            gone.map_err(|source| AttachError::Guard {
                ifindex,
                hook,
                source,
            })?;
        }
        Ok(())
    }

    /// The program of the filter where the guard is to stand, and whether it is the guard.
    fn filter(&self, ifindex: u32, hook: Hook) -> Result<Option<(u32, bool)>, Fault> {
        let Some(blocks) = &self.blocks else {
            return Ok(None);
        };
        let guard = sys::program_info(blocks.guard.as_fd());
        let guard = guard.of("look at", || Object::Program("guard"))?;
        let id = guard_hook(ifindex, hook, blocks.guard.as_fd()).and_then(|mut f| f.query());
        // No filter, no qdisc and no interface are all answered by an error.
        let Some(id) = id.ok().filter(|id| *id != 0) else {
            return Ok(None);
        };
        let found = attached::program(id)?;
        Ok(found.map(|found| (id, found.tag == guard.tag)))
    }

    /// Whether the guard stands on both sides.
    pub(crate) fn is_guarded(&self, ifindex: u32) -> Result<bool, Fault> {
        for hook in HOOKS {
            if !self.is_guarded_at(ifindex, hook)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_guarded_at(&self, ifindex: u32, hook: Hook) -> Result<bool, Fault> {
        Ok(self.filter(ifindex, hook)?.is_some_and(|(_, ours)| ours))
    }

    /// What judges the packets of both sides of an interface.
    pub fn instead(&self, ifindex: u32) -> Result<BTreeMap<Direction, Instead>, Fault> {
        let mut found = BTreeMap::new();
        for hook in HOOKS {
            found.insert(attached::side_of(hook), self.instead_at(ifindex, hook)?);
        }
        Ok(found)
    }

    fn instead_at(&self, ifindex: u32, hook: Hook) -> Result<Instead, Fault> {
        for at in attached::chain(ifindex, hook)? {
            // One that has gone meanwhile judges nothing.
            let Some(program) = attached::program(at.program)? else {
                continue;
            };
            let ours = program.maps.iter().any(|id| self.is_global(*id));
            return Ok(match ours {
                true => Instead::Ours,
                false => Instead::Stranger {
                    program: at.program,
                    name: program.name,
                },
            });
        }
        Ok(match self.is_guarded_at(ifindex, hook)? {
            true => Instead::Guard,
            false => Instead::Nobody,
        })
    }
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
