//! The guard: a program that drops all, behind our programs on both sides of an interface, which
//! owns it: it stays whatever becomes of pins and links.
//!
//! On an interface of ours it is a filter of a clsact qdisc, which costs nothing to put. A tcx
//! program waits for a grace period of the kernel: a hundred containers took 7.5 s, and not 5. On
//! one of others it is a tcx program without a link: to make a clsact qdisc the kernel takes an
//! interface out of use for a moment (`qdisc_graft` of net/sched/sch_api.c, 6.18), and what it
//! carries is lost then.
//!
//! It is known by its program's name, which is nobody else's: nothing that is pinned need be left.
//! So it is found, and taken from what is not ours, also where all else is lost.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use libbpf_rs::{ErrorKind, TC_EGRESS, TC_INGRESS, TcHook};
use state::live::Instead;
use state::words::verdict::Direction;

use crate::attached::{self, Attached, HOOKS, Hook};
use crate::fault::{Fault, Object, Of};
use crate::object;
use crate::sys::{self, ProgramInfo};

/// The name of its program, as the kernel keeps it.
pub(crate) const NAME: &str = "plumbline_guard";

/// Handle and priority of its filter: before every other filter of the device.
const FIRST: u32 = 1;

/// Whether what is attached is the guard.
pub(crate) fn is(attached: Attached, program: &ProgramInfo) -> bool {
    attached.link == 0 && program.name == NAME
}

/// Puts it on both sides of an interface of ours, in the place of whatever stands there.
pub(crate) fn put(ifindex: u32, guard: BorrowedFd<'_>) -> Result<(), Fault> {
    object::quiet();
    for hook in HOOKS {
        let put = place(ifindex, hook, guard).and_then(|mut filter| {
            filter.create()?;
            filter.replace(true).attach()
        });
        let put = put.map(drop).map_err(io::Error::other);
        put.of("put the guard on", || Object::Side(ifindex, hook))?;
    }
    Ok(())
}

/// Puts it on both sides of an interface of others, unless it stands there.
pub(crate) fn put_beside(ifindex: u32, guard: BorrowedFd<'_>) -> Result<(), Fault> {
    for hook in HOOKS {
        if program_at(ifindex, hook)?.is_none() {
            let put = sys::attach_last(guard, ifindex, hook);
            put.of("put the guard on", || Object::Side(ifindex, hook))?;
        }
    }
    Ok(())
}

/// Takes it from an interface that is not ours and goes on without us. Whether it stood there.
pub fn remove(ifindex: u32) -> Result<bool, Fault> {
    let mut stood = false;
    for hook in HOOKS {
        while let Some(id) = program_at(ifindex, hook)? {
            let object = || Object::Id("program", id);
            let program = sys::program_by_id(id).of("open", object)?;
            let gone = sys::detach(program.as_fd(), ifindex, hook);
            gone.of("take the guard from", || Object::Side(ifindex, hook))?;
            stood = true;
        }
    }
    Ok(stood)
}

/// Whether it stands on both sides.
pub fn stands(ifindex: u32) -> Result<bool, Fault> {
    for hook in HOOKS {
        if !stands_at(ifindex, hook)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn stands_at(ifindex: u32, hook: Hook) -> Result<bool, Fault> {
    Ok(program_at(ifindex, hook)?.is_some() || filter_at(ifindex, hook)?)
}

/// The number of its program on one side, where it is a tcx program.
fn program_at(ifindex: u32, hook: Hook) -> Result<Option<u32>, Fault> {
    for attached in attached::chain(ifindex, hook)? {
        let program = attached::program(attached.program)?;
        if program.is_some_and(|program| is(attached, &program)) {
            return Ok(Some(attached.program));
        }
    }
    Ok(None)
}

/// Of the interfaces of this network namespace whose names are asked for, those on a side of which
/// it stands, with their indices.
pub fn everywhere(asked: impl Fn(&str) -> bool) -> Result<BTreeMap<String, u32>, Fault> {
    let all = sys::interfaces().of("read", || Object::Interfaces)?;
    let mut found = BTreeMap::new();
    for (ifindex, name) in all.into_iter().filter(|(_, name)| asked(name)) {
        for hook in HOOKS {
            if program_at(ifindex, hook)?.is_some() {
                found.insert(name.clone(), ifindex);
            }
        }
    }
    Ok(found)
}

/// What judges the packets of both sides of an interface where no map of ours is held by anybody.
pub fn instead(ifindex: u32) -> Result<BTreeMap<Direction, Instead>, Fault> {
    instead_of(ifindex, |_| false)
}

/// What judges the packets of both sides of an interface, by who knows a program of ours.
pub(crate) fn instead_of(
    ifindex: u32,
    ours: impl Fn(&ProgramInfo) -> bool,
) -> Result<BTreeMap<Direction, Instead>, Fault> {
    let mut found = BTreeMap::new();
    for hook in HOOKS {
        let side = attached::side_of(hook);
        found.insert(side, instead_at(ifindex, hook, &ours)?);
    }
    Ok(found)
}

fn instead_at(
    ifindex: u32,
    hook: Hook,
    ours: impl Fn(&ProgramInfo) -> bool,
) -> Result<Instead, Fault> {
    for attached in attached::chain(ifindex, hook)? {
        // One that has gone meanwhile judges nothing.
        let Some(program) = attached::program(attached.program)? else {
            continue;
        };
        return Ok(if is(attached, &program) {
            Instead::Guard
        } else if ours(&program) {
            Instead::Ours
        } else {
            Instead::Stranger {
                program: attached.program,
                name: program.name,
            }
        });
    }
    Ok(match filter_at(ifindex, hook)? {
        true => Instead::Guard,
        false => Instead::Nobody,
    })
}

/// Whether its filter stands on one side.
fn filter_at(ifindex: u32, hook: Hook) -> Result<bool, Fault> {
    object::quiet();
    let object = || Object::Side(ifindex, hook);
    // To ask, it takes any descriptor and looks at none.
    let any = std::fs::File::open("/dev/null").of("ask for a filter of", object)?;
    let id = place(ifindex, hook, any.as_fd()).and_then(|mut filter| filter.query());
    let id = match id {
        Ok(id) => id,
        // No filter, or no place for any, or one of another kind.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => 0,
        Err(error) => {
            let all = sys::interfaces().of("read", || Object::Interfaces)?;
            if all.iter().any(|(index, _)| *index == ifindex) {
                let error = io::Error::other(error);
                return Err(Fault::new("ask for a filter of", object(), error));
            }
            0
        }
    };
    if id == 0 {
        return Ok(false);
    }
    Ok(attached::program(id)?.is_some_and(|program| program.name == NAME))
}

fn place(ifindex: u32, hook: Hook, guard: BorrowedFd<'_>) -> libbpf_rs::Result<TcHook> {
    let index = i32::try_from(ifindex).map_err(io::Error::other)?;
    let mut filter = TcHook::new(guard);
    filter
        .ifindex(index)
        .handle(FIRST)
        .priority(FIRST)
        .attach_point(match hook {
            Hook::Ingress => TC_INGRESS,
            Hook::Egress => TC_EGRESS,
        });
    Ok(filter)
}
