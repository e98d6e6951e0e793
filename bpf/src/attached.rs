//! What is attached to the sides of interfaces (tcx), in the order in which it runs, and our
//! programs among it: found without a pin, by walking the interfaces of this network namespace.
//!
//! A program holds its maps, so whatever is attached leads back to the commit record and the tables
//! it reads. Only this namespace's interfaces count: another host's (or another test's) programs
//! are its own.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use state::words::verdict::Direction;

use crate::abi::{Shape, maps};
use crate::fault::{Fault, Object, Of};
use crate::pins::link_name;
use crate::sys::{self, MapInfo, ProgramInfo};

pub use crate::sys::{Attached, Hook};

/// Both sides of an interface.
pub(crate) const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];

/// What a container sends comes in by its interface.
pub(crate) fn side_of(hook: Hook) -> Direction {
    match hook {
        Hook::Ingress => Direction::Egress,
        Hook::Egress => Direction::Ingress,
    }
}

/// One of our programs on one side of an interface.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) attached: Attached,
    pub(crate) program: ProgramInfo,
}

/// All of them.
pub(crate) fn everywhere() -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for (ifindex, _) in sys::interfaces().of("read", || Object::Interfaces)? {
        for hook in HOOKS {
            found.extend(at(ifindex, hook)?);
        }
    }
    Ok(found)
}

/// Every map that an attached program of ours holds.
pub(crate) fn held_maps() -> Result<BTreeSet<u32>, Fault> {
    let found = everywhere()?.into_iter();
    Ok(found.flat_map(|found| found.program.maps).collect())
}

/// Those on one side of an interface.
pub(crate) fn at(ifindex: u32, hook: Hook) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for attached in chain(ifindex, hook)? {
        let Some(program) = program(attached.program)? else {
            continue;
        };
        if program.name == link_name(hook) {
            found.push(Found { attached, program });
        }
    }
    Ok(found)
}

/// Attaches a program before all others of a side. It stays as long as the link is held or pinned.
pub fn attach_first(program: BorrowedFd<'_>, ifindex: u32, hook: Hook) -> Result<OwnedFd, Fault> {
    let link = sys::attach_first(program, ifindex, hook);
    link.of("attach a program to", || Object::Side(ifindex, hook))
}

/// The programs of a side, in order; none where the interface has gone or can have none.
pub fn chain(ifindex: u32, hook: Hook) -> Result<Vec<Attached>, Fault> {
    match sys::chain(ifindex, hook) {
        // Gone; or a kernel without tcx, before 6.6.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENODEV | libc::ENOENT | libc::EINVAL)
            ) =>
        {
            Ok(Vec::new())
        }
        chain => chain.of("list the programs at", || Object::Side(ifindex, hook)),
    }
}

/// What the kernel says of a program; `None` where it has gone meanwhile.
pub(crate) fn program(id: u32) -> Result<Option<ProgramInfo>, Fault> {
    let object = || Object::Id("program", id);
    match sys::program_by_id(id) {
        Ok(fd) => Ok(Some(sys::program_info(fd.as_fd()).of("look at", object)?)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(source) => Err(Fault::new("open", object(), source)),
    }
}

/// A map of this shape among those that a program holds.
pub(crate) fn map_of(
    program: &ProgramInfo,
    shape: &Shape,
) -> Result<Option<(OwnedFd, MapInfo)>, Fault> {
    for &id in &program.maps {
        let object = || Object::Id("map", id);
        let map = sys::map_by_id(id).of("open", object)?;
        let info = sys::map_info(map.as_fd()).of("look at", object)?;
        if fits(&info, shape) {
            return Ok(Some((map, info)));
        }
    }
    Ok(None)
}

/// Whether a map is what its name says. The quota sets the size of one of a container's maps, and
/// the number of CPUs may raise that of two.
pub(crate) fn fits(info: &MapInfo, shape: &Shape) -> bool {
    let sized = match shape.name {
        name if name == maps::ESTABLISHED.name => true,
        name if name == maps::HALF_OPEN.name || name == maps::DATAGRAMS.name => {
            info.entries >= shape.entries
        }
        _ => info.entries == shape.entries,
    };
    info.name == shape.name
        && info.kind == shape.kind
        && (info.key_size, info.value_size) == (shape.key_size, shape.value_size)
        && info.flags == shape.flags
        && sized
}
