//! A container's two programs, their links, and the guard behind them.
//!
//! Every operation may be done again: what is there and right is kept, what is there and wrong is
//! replaced, so a run that died is completed by the next. A link is updated in place, so there is
//! no moment without a program; where a link must be another one (the interface is another, or
//! somebody has put a program before ours), the new one is first in the chain before the old one
//! goes.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use state::live::Instead;
use state::target::constants::Constants;
use state::words::names::FullName;
use state::words::verdict::Direction;

use crate::abi::{CONNECTION_MAPS, ConstantsRow, GLOBAL, maps};
use crate::attached::{self, HOOKS};
use crate::fault::{Fault, Object, Of};
use crate::guard::{self, GuardError};
use crate::kernel::{Kernel, Map};
use crate::object::{self, Build, ContainerPrograms, LoadError};
use crate::pins;
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
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A container's programs, loaded for it and not attached yet: they go where nobody attaches them.
#[derive(Debug)]
pub struct Loaded {
    programs: ContainerPrograms,
    theirs: bool,
}

impl Kernel {
    /// Loads a container's programs, which is what takes longest of all. Several threads may.
    pub fn load(&self, container: &FullName, build: &Build) -> Result<Loaded, AttachError> {
        let own = self.connection_maps(container)?;
        let own = own.ok_or_else(|| AttachError::NoConnections(container.clone()))?;
        Ok(Loaded {
            programs: self.load_over(container, build, &own)?,
            theirs: build.is_theirs(),
        })
    }

    /// Loads a container's programs and attaches them.
    pub fn attach(
        &self,
        container: &FullName,
        ifindex: u32,
        build: &Build,
    ) -> Result<(), AttachError> {
        self.attach_loaded(container, ifindex, &self.load(container, build)?)
    }

    /// Attaches a container's programs first on both sides of its interface, with the guard behind
    /// them. What is attached already is updated in place.
    pub fn attach_loaded(
        &self,
        container: &FullName,
        ifindex: u32,
        loaded: &Loaded,
    ) -> Result<(), AttachError> {
        let programs = &loaded.programs;
        if loaded.theirs {
            guard::leave_others(ifindex)?;
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
        self.guard(ifindex, loaded.theirs)
    }

    /// Loads a container's programs anew and puts them in the place of those that are attached.
    pub fn swap(&self, container: &FullName, build: &Build) -> Result<(), AttachError> {
        // Where there is nothing to be swapped, nothing need be loaded.
        self.links_of(container)?;
        self.swap_loaded(container, &self.load(container, build)?)
    }

    fn links_of(&self, container: &FullName) -> Result<[OwnedFd; 2], AttachError> {
        let link = |hook| {
            let link = self.pins.open_link(&self.pins.link(container, hook))?;
            link.ok_or_else(|| AttachError::NotAttached(container.clone()))
        };
        Ok([link(Hook::Ingress)?, link(Hook::Egress)?])
    }

    /// Puts a container's programs in the place of those that are attached.
    pub fn swap_loaded(&self, container: &FullName, loaded: &Loaded) -> Result<(), AttachError> {
        let links = self.links_of(container)?;
        let ContainerPrograms {
            from_container,
            to_container,
        } = &loaded.programs;
        for ((link, program), hook) in links.iter().zip([from_container, to_container]).zip(HOOKS) {
            sys::link_update(link.as_fd(), program.as_fd())
                .of("update", || Object::Link(container.clone(), hook))?;
        }
        Ok(())
    }

    /// Lets all pass that a container's programs judge, on an interface of others that goes on
    /// without them: they are about to go. What it sends passes first, and who began is noted, so
    /// that no answer is taken for a beginning by the program that still judges.
    pub fn let_pass(&self, container: &FullName, own: Constants) -> Result<(), AttachError> {
        self.swap(container, &Build::Transition([own.passing(); 2]))
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

    /// Puts the guard on both sides of an interface. Our programs run before it and never hand on,
    /// so only what our links no longer stop comes to it. On an interface of others it stands
    /// beside whatever is there.
    pub fn guard(&self, ifindex: u32, theirs: bool) -> Result<(), AttachError> {
        let blocks = self.blocks.as_ref().ok_or(AttachError::NoBlocks)?;
        let put = match theirs {
            true => guard::put_beside,
            false => guard::put,
        };
        Ok(put(ifindex, blocks.guard.as_fd())?)
    }

    /// What judges the packets of both sides of an interface.
    pub fn instead(&self, ifindex: u32) -> Result<BTreeMap<Direction, Instead>, Fault> {
        guard::instead_of(ifindex, |program| {
            program.maps.iter().any(|id| self.is_global(*id))
        })
    }
}
