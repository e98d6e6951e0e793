//! The guard: a filter that the device owns and that drops all, behind our programs on both sides
//! of an interface.
//!
//! It is known by its program's name and by what the program does: nothing that is pinned need be
//! left. So it is found, and taken from what is not ours, also where all else is lost. A program of
//! that name that does anything else is somebody else's.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use libbpf_rs::{ErrorKind, TC_EGRESS, TC_INGRESS, TcHook};

use state::live::Instead;
use state::words::verdict::Direction;

use crate::attached::{self, HOOKS, Hook};
use crate::fault::{Fault, Object, Of};
use crate::object;
use crate::sys::{self, ProgramInfo};

/// The name of its program, as the kernel keeps it.
pub(crate) const NAME: &str = "plumbline_guard";

/// What the kernel calls its instructions, `r0 = 2; exit`: the first 8 bytes of their SHA-256,
/// before Linux 6.18 of their SHA-1. A compiler writes the 2 with 32 bits or with 64, so these are
/// two times two. Were it ever to do anything else, they are to stay: it outlives its binary.
const TAGS: [[u8; 8]; 4] = [
    0xd4f8_542f_2b42_fac5_u64.to_be_bytes(),
    0x614b_434c_d832_4ecc_u64.to_be_bytes(),
    0x3fed_6667_85a5_7e53_u64.to_be_bytes(),
    0x3b18_5187_f185_5c4c_u64.to_be_bytes(),
];

/// Whether a program is the guard.
fn is_guard(program: &ProgramInfo) -> bool {
    program.name == NAME && TAGS.contains(&program.tag)
}

/// Handle and priority of its filter: before every other filter of the device.
const FIRST: u32 = 1;

/// Why the guard is not put, or not taken away.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The kernel does not take it, or keeps it.
    #[error("cannot {call} the guard on {hook} of interface {ifindex}: {source}")]
    Hook {
        /// What was to be done with it, as a verb.
        call: &'static str,
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
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Puts it on both sides of an interface of ours, in the place of whatever stands there.
pub(crate) fn put(ifindex: u32, guard: BorrowedFd<'_>) -> Result<(), GuardError> {
    HOOKS
        .into_iter()
        .try_for_each(|hook| put_at(ifindex, hook, guard, true))
}

/// The same, where others may have put a filter: what is no eBPF program cannot be asked for, and
/// is found in the way.
pub(crate) fn put_beside(ifindex: u32, guard: BorrowedFd<'_>) -> Result<(), GuardError> {
    HOOKS.into_iter().try_for_each(|hook| {
        let ours = filter(ifindex, hook)?.is_some_and(|filter| filter.ours);
        put_at(ifindex, hook, guard, ours)
    })
}

fn put_at(
    ifindex: u32,
    hook: Hook,
    guard: BorrowedFd<'_>,
    replace: bool,
) -> Result<(), GuardError> {
    object::quiet();
    let put = place(ifindex, hook, guard).and_then(|mut filter| {
        filter.create()?;
        filter.replace(replace).attach()
    });
    put.map(drop).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists if !replace => GuardError::Filter { ifindex, hook },
        _ => GuardError::Hook {
            call: "put",
            ifindex,
            hook,
            source,
        },
    })
}

/// A filter of others that stands where it is to stand is not replaced.
pub(crate) fn leave_others(ifindex: u32) -> Result<(), GuardError> {
    for hook in HOOKS {
        if filter(ifindex, hook)?.is_some_and(|filter| !filter.ours) {
            return Err(GuardError::Filter { ifindex, hook });
        }
    }
    Ok(())
}

/// Takes it from an interface that is not ours and goes on without us. Whether it stood there.
pub fn remove(ifindex: u32) -> Result<bool, GuardError> {
    let mut stood = false;
    for hook in HOOKS {
        let Some(Filter { ours: true, id }) = filter(ifindex, hook)? else {
            continue;
        };
        let object = || Object::Id("program", id);
        let program = sys::program_by_id(id).of("open", object)?;
        let gone = place(ifindex, hook, program.as_fd()).and_then(|mut filter| filter.detach());
        gone.map_err(|source| GuardError::Hook {
            call: "remove",
            ifindex,
            hook,
            source,
        })?;
        stood = true;
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
    Ok(filter(ifindex, hook)?.is_some_and(|filter| filter.ours))
}

/// Of the interfaces of this network namespace whose names are asked for, those on a side of which
/// it stands, with their indices.
pub fn everywhere(asked: impl Fn(&str) -> bool) -> Result<BTreeMap<String, u32>, Fault> {
    let all = sys::interfaces().of("read", || Object::Interfaces)?;
    let mut found = BTreeMap::new();
    for (ifindex, name) in all.into_iter().filter(|(_, name)| asked(name)) {
        for hook in HOOKS {
            if stands_at(ifindex, hook)? {
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
    for at in attached::chain(ifindex, hook)? {
        // One that has gone meanwhile judges nothing.
        let Some(program) = attached::program(at.program)? else {
            continue;
        };
        return Ok(match ours(&program) {
            true => Instead::Ours,
            false => Instead::Stranger {
                program: at.program,
                name: program.name,
            },
        });
    }
    Ok(match stands_at(ifindex, hook)? {
        true => Instead::Guard,
        false => Instead::Nobody,
    })
}

/// The eBPF filter where the guard is to stand.
struct Filter {
    /// Its program's number.
    id: u32,
    /// Whether it is the guard.
    ours: bool,
}

fn filter(ifindex: u32, hook: Hook) -> Result<Option<Filter>, Fault> {
    object::quiet();
    let object = || Object::Side(ifindex, hook);
    // To ask, it takes any descriptor and looks at none.
    let any = std::fs::File::open("/dev/null").of("ask for a filter of", object)?;
    let id = place(ifindex, hook, any.as_fd()).and_then(|mut filter| filter.query());
    let id = match id {
        Ok(id) => id,
        // No filter, or no place for any, or one of another kind, or a block that others share.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            0
        }
        Err(error) => {
            let all = sys::interfaces().of("read", || Object::Interfaces)?;
            if all.iter().any(|(index, _)| *index == ifindex) {
                let error = std::io::Error::other(error);
                return Err(Fault::new("ask for a filter of", object(), error));
            }
            0
        }
    };
    if id == 0 {
        return Ok(None);
    }
    let program = attached::program(id)?;
    Ok(program.map(|program| Filter {
        id,
        ours: is_guard(&program),
    }))
}

fn place(ifindex: u32, hook: Hook, guard: BorrowedFd<'_>) -> libbpf_rs::Result<TcHook> {
    let index = i32::try_from(ifindex).map_err(std::io::Error::other)?;
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
