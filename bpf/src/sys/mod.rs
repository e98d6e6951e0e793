//! The only `unsafe` of the program: system calls that libbpf-rs does not wrap, or wraps without
//! the error number that a message must name.
//!
//! Each function is one call and knows nothing of what the object is for. Errors are the kernel's;
//! who calls says what object it was ([`crate::fault`]).
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libbpf_rs::libbpf_sys as raw;

mod maps;
mod programs;
mod links;
mod pins;
mod record;
mod host;

pub(crate) use host::{Jiffies, interfaces, jiffies, jiffies_per_second, leave_network, release};
pub use links::{Attached, Hook};
pub(crate) use links::{attach_first, chain, link_by_id, link_detach, link_info, link_update};
pub(crate) use maps::{
    MapInfo, Place, Stopped, Update, delete, delete_batch, lookup, lookup_batch, map_by_id,
    map_create, map_info, next_key, update, update_batch,
};
pub(crate) use pins::{Kind, is_bpffs, open_pin, pin};
pub(crate) use programs::{
    ProgramInfo, bind_map, btf_bytes, program_by_id, program_info, test_run,
};
pub(crate) use record::Record;

use crate::abi::{
    AddressRow, BlocksRodata, ConnectionRow, ConstantsRow, ContainerRodata, Counters, EndpointRow,
    FlowKey, PolicyRowKey, PortRowKey, PrefixV4, PrefixV6, SlotRow, SweepRow,
};

/// Types that are plain bytes: a key, a value, the constants.
///
/// # Safety
///
/// The type is `repr(C)`, has no padding, and every pattern of bits is a value of it.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: an array has no padding that its elements have not.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {$(
        // SAFETY: an integer, or a C struct of integers and arrays of them that `plumbline.h` lays
        // out without padding; tests/abi.rs adds up the sizes of the fields.
        unsafe impl Plain for $name {}
    )*};
}

plain!(
    u32,
    u64,
    AddressRow,
    BlocksRodata,
    ConnectionRow,
    ConstantsRow,
    ContainerRodata,
    Counters,
    EndpointRow,
    FlowKey,
    PolicyRowKey,
    PortRowKey,
    PrefixV4,
    PrefixV6,
    SlotRow,
    SweepRow,
);

/// The bytes of a value.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `Plain` promises that all of its bytes are initialised; the slice borrows the value.
    unsafe { std::slice::from_raw_parts(ptr::from_ref(value).cast(), mem::size_of::<T>()) }
}

/// The value that bytes are, if they are as many as it has.
pub(crate) fn value_of<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != mem::size_of::<T>() {
        return None;
    }
    // SAFETY: as many bytes as the type has, and `Plain` promises that any of them are a value.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// libbpf's calls return the error number, negated.
fn check(returned: c_int) -> io::Result<c_int> {
    if returned < 0 {
        Err(io::Error::from_raw_os_error(-returned))
    } else {
        Ok(returned)
    }
}

fn owned(returned: c_int) -> io::Result<OwnedFd> {
    let fd = check(returned)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A libbpf option struct, zeroed, that says its own size.
macro_rules! options {
    ($kind:ty, $($field:ident: $value:expr),+ $(,)?) => {{
        let mut options = <$kind>::default();
        options.sz = std::mem::size_of::<$kind>() as raw::size_t;
        $(options.$field = $value;)+
        options
    }};
}
use options;

fn name_of(name: &[std::ffi::c_char]) -> String {
    let bytes = name
        .iter()
        .take_while(|c| **c != 0)
        .map(|c| c.to_ne_bytes()[0]);
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

fn length<T>(items: &[T]) -> io::Result<u32> {
    u32::try_from(items.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))
}

/// What the kernel says of an object.
///
/// # Safety
///
/// `T` is the `bpf_*_info` struct of the object's kind, and every pointer in it is null or has the
/// room that the count beside it says.
unsafe fn info<T>(fd: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let mut size = u32::try_from(mem::size_of::<T>()).unwrap_or(u32::MAX);
    // SAFETY: the kernel writes at most `size` bytes, which is what `info` has, and for a struct of
    // numbers any bytes are a value; as to the pointers in it, who calls promises.
    check(unsafe {
        raw::bpf_obj_get_info_by_fd(fd.as_raw_fd(), ptr::from_mut(info).cast(), &raw mut size)
    })?;
    Ok(())
}
