//! Pins below a bpffs.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libbpf_rs::libbpf_sys as raw;

use super::{check, owned};

fn path_of(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// What a descriptor of the bpf system call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A map.
    Map,
    /// A program.
    Program,
    /// A link.
    Link,
}

/// Pins an object; a pin is made with mode 0600.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_of(path)?;
    // SAFETY: the path lives until the call returns.
    check(unsafe { raw::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) })?;
    Ok(())
}

/// Opens a pin, of whatever kind.
pub(crate) fn open_pin(path: &Path) -> io::Result<(OwnedFd, Option<Kind>)> {
    let path = path_of(path)?;
    // SAFETY: the path lives until the call returns.
    let fd = owned(unsafe { raw::bpf_obj_get(path.as_ptr()) })?;
    let link = std::fs::read_link(format!("/proc/thread-self/fd/{}", fd.as_raw_fd()))?;
    let name = link.to_string_lossy();
    let kinds = [
        ("bpf-map", Kind::Map),
        ("bpf-prog", Kind::Program),
        ("bpf-link", Kind::Link),
        ("bpf_link", Kind::Link),
    ];
    let kind = kinds
        .into_iter()
        .find(|(part, _)| name.contains(part))
        .map(|(_, kind)| kind);
    Ok((fd, kind))
}

/// Whether a path lies on a bpffs.
pub(crate) fn is_bpffs(path: &Path) -> io::Result<bool> {
    /// `BPF_FS_MAGIC` of linux/magic.h.
    const MAGIC: i128 = 0xcafe_4a11;
    let path = path_of(path)?;
    let mut answer = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path lives until the call returns, and the kernel writes a whole struct.
    if unsafe { libc::statfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so the struct is written.
    let kind = unsafe { answer.assume_init() }.f_type;
    Ok(i128::from(kind) & 0xffff_ffff == MAGIC)
}
