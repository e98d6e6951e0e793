//! tcx links: made, updated, and the chains they stand in.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libbpf_rs::libbpf_sys as raw;

use super::{check, info, length, options, owned};

/// A side of an interface, as seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// What comes in by the interface: what a container sends.
    Ingress,
    /// What goes out by it: what a container receives.
    Egress,
}

impl Hook {
    fn attach_type(self) -> raw::bpf_attach_type {
        match self {
            Self::Ingress => raw::BPF_TCX_INGRESS,
            Self::Egress => raw::BPF_TCX_EGRESS,
        }
    }
}

/// What the kernel says of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub(crate) id: u32,
    pub(crate) program: u32,
    /// Of a tcx link: the interface, 0 once that is gone, and the side.
    pub(crate) tcx: Option<(u32, Hook)>,
}

pub(crate) fn link_info(fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut link = raw::bpf_link_info::default();
    // SAFETY: a link's descriptor: it comes from `link_by_id`, `attach_first`, or a pin whose kind
    // was checked. The pointers that other kinds of link have are null.
    unsafe { info(fd, &mut link)? };
    let tcx = (link.type_ == raw::BPF_LINK_TYPE_TCX).then(|| {
        // SAFETY: the kind of link says which part of the union the kernel has written.
        let tcx = unsafe { link.__bindgen_anon_1.tcx };
        let ingress = tcx.attach_type == raw::BPF_TCX_INGRESS;
        (
            tcx.ifindex,
            if ingress { Hook::Ingress } else { Hook::Egress },
        )
    });
    Ok(LinkInfo {
        id: link.id,
        program: link.prog_id,
        tcx,
    })
}

pub(crate) fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { raw::bpf_link_get_fd_by_id(id) })
}

/// Attaches a program before every other of that side (tcx, Linux 6.6).
pub(crate) fn attach_first(
    program: BorrowedFd<'_>,
    ifindex: u32,
    hook: Hook,
) -> io::Result<OwnedFd> {
    let index = c_int::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let options = options!(raw::bpf_link_create_opts, flags: raw::BPF_F_BEFORE);
    // SAFETY: the options live until the call returns.
    owned(unsafe {
        raw::bpf_link_create(
            program.as_raw_fd(),
            index,
            hook.attach_type(),
            &raw const options,
        )
    })
}

/// Takes a link off its interface at once; it may be off already.
pub(crate) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { raw::bpf_link_detach(link.as_raw_fd()) }).map(drop)
}

/// Puts another program in a link's place, at once and without a gap.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: null means no options.
    check(unsafe { raw::bpf_link_update(link.as_raw_fd(), program.as_raw_fd(), ptr::null()) })?;
    Ok(())
}

/// One program of a side of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The program's number.
    pub program: u32,
    /// The link's number; 0 where it is attached without one.
    pub link: u32,
}

/// The tcx programs of a side of an interface, in the order in which they run.
pub(crate) fn chain(ifindex: u32, hook: Hook) -> io::Result<Vec<Attached>> {
    let index = c_int::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // The kernel allows 64 programs a side (BPF_MPROG_MAX).
    let mut programs = [0_u32; 64];
    let mut links = [0_u32; 64];
    let mut options = options!(raw::bpf_prog_query_opts, query_flags: 0);
    options.prog_ids = programs.as_mut_ptr();
    options.link_ids = links.as_mut_ptr();
    options.__bindgen_anon_1.count = length(&programs)?;
    // SAFETY: both arrays have room for as many numbers as `count` says.
    check(unsafe { raw::bpf_prog_query_opts(index, hook.attach_type(), &raw mut options) })?;
    // SAFETY: both parts of the union are the same number under two names.
    let count = unsafe { options.__bindgen_anon_1.count } as usize;
    let both = programs.iter().zip(&links).take(count);
    Ok(both
        .map(|(&program, &link)| Attached { program, link })
        .collect())
}
