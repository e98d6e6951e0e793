//! What the kernel says of clocks and interfaces.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};

use libbpf_rs::libbpf_sys as raw;

use super::{owned, test_run};

/// Jiffies in a second: the coarse clock's step is one of them.
pub(crate) fn jiffies_per_second() -> io::Result<u32> {
    let mut step = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel writes a whole struct.
    if unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, step.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so the struct is written.
    let step_ns = unsafe { step.assume_init() }.tv_nsec.max(1);
    u32::try_from((1_000_000_000 + step_ns / 2) / step_ns)
        .map_err(|_| io::Error::from_raw_os_error(libc::ERANGE))
}

/// The clock that expiries are counted in, the low half of `jiffies64`: a program of two
/// instructions returns it, for no file of the kernel's does.
#[derive(Debug)]
pub(crate) struct Jiffies(OwnedFd);

impl Jiffies {
    /// What the clock says.
    pub(crate) fn now(&self) -> io::Result<u32> {
        Ok(test_run(self.0.as_fd(), &[0; 64], 0, 0)?.answer)
    }
}

/// Loads that program.
pub(crate) fn jiffies() -> io::Result<Jiffies> {
    let call = raw::bpf_insn {
        code: 0x85,
        imm: raw::BPF_FUNC_jiffies64.cast_signed(),
        ..Default::default()
    };
    let exit = raw::bpf_insn {
        code: 0x95,
        ..Default::default()
    };
    let program = [call, exit];
    // SAFETY: instructions, names and licence live until the call returns; null means no options.
    let program = owned(unsafe {
        raw::bpf_prog_load(
            raw::BPF_PROG_TYPE_SCHED_CLS,
            c"jiffies".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            2,
            ptr::null_mut(),
        )
    })?;
    Ok(Jiffies(program))
}

/// The kernel's release: major and minor.
pub(crate) fn release() -> io::Result<(u32, u32)> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(io::Error::other(format!("{release:?} is no release"))),
    }
}

/// The interfaces of this thread's network namespace.
pub(crate) fn interfaces() -> io::Result<Vec<(u32, String)>> {
    // SAFETY: no arguments; the list is freed below.
    let list = unsafe { libc::if_nameindex() };
    let first = NonNull::new(list).ok_or_else(io::Error::last_os_error)?;
    let mut interfaces = Vec::new();
    let mut at = first.as_ptr();
    // SAFETY: the list ends with an entry of index 0, and each before it has a name.
    unsafe {
        while (*at).if_index != 0 {
            let name = CStr::from_ptr((*at).if_name).to_string_lossy().into_owned();
            interfaces.push(((*at).if_index, name));
            at = at.add(1);
        }
        libc::if_freenameindex(first.as_ptr());
    }
    Ok(interfaces)
}

/// Gives this thread a network namespace of its own, which ends with it.
pub(crate) fn leave_network() -> io::Result<()> {
    // SAFETY: no pointers; it changes this thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
