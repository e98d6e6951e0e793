//! The only `unsafe` of the project: system calls that libbpf-rs does not wrap, or wraps without
//! the error number that a message must name.
//!
//! Each function is one call and knows nothing of what the object is for. Errors are the kernel's;
//! who calls says what object it was ([`crate::fault`]).
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use libbpf_rs::libbpf_sys as raw;

use crate::abi::{
    AddressRow, BlocksRodata, ConnectionRow, ConstantsRow, ContainerRodata, Counters, EndpointRow,
    FlowKey, PacketContext, PolicyRowKey, PortRowKey, PrefixV4, PrefixV6, Shape, SlotRow, SweepRow,
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
        options.sz = mem::size_of::<$kind>() as raw::size_t;
        $(options.$field = $value;)+
        options
    }};
}

fn path_of(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

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

// ---- Maps ----

/// Makes a map of a shape, with room for `entries`.
pub(crate) fn map_create(shape: &Shape, entries: u32) -> io::Result<OwnedFd> {
    let name = CString::new(shape.name)?;
    let options = options!(raw::bpf_map_create_opts, map_flags: shape.flags);
    // SAFETY: name and options live until the call returns.
    owned(unsafe {
        raw::bpf_map_create(
            shape.kind,
            name.as_ptr(),
            shape.key_size,
            shape.value_size,
            entries,
            &raw const options,
        )
    })
}

/// What the kernel says of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapInfo {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) entries: u32,
    pub(crate) flags: u32,
    pub(crate) btf_value_type: u32,
}

fn info<T: Default>(fd: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let mut size = u32::try_from(mem::size_of::<T>()).unwrap_or(u32::MAX);
    // SAFETY: the kernel writes at most `size` bytes, which is what `info` has; it is one of the
    // `bpf_*_info` structs, for which any bytes are a value.
    check(unsafe {
        raw::bpf_obj_get_info_by_fd(fd.as_raw_fd(), ptr::from_mut(info).cast(), &raw mut size)
    })?;
    Ok(())
}

pub(crate) fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut map = raw::bpf_map_info::default();
    info(fd, &mut map)?;
    Ok(MapInfo {
        id: map.id,
        name: name_of(&map.name),
        kind: map.type_,
        key_size: map.key_size,
        value_size: map.value_size,
        entries: map.max_entries,
        flags: map.map_flags,
        btf_value_type: map.btf_value_type_id,
    })
}

pub(crate) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { raw::bpf_map_get_fd_by_id(id) })
}

/// Whether there is an entry; its value is written to `value`, which is as long as the kernel
/// writes (a value, or one for each possible CPU).
pub(crate) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    // SAFETY: who calls passes a key and a value of the map's sizes.
    let found = check(unsafe {
        raw::bpf_map_lookup_elem(
            map.as_raw_fd(),
            key.as_ptr().cast(),
            value.as_mut_ptr().cast(),
        )
    });
    match found {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Which entries an update may touch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Update {
    Any = 0,
    New = 1,
    Existing = 2,
}

pub(crate) fn update(
    map: BorrowedFd<'_>,
    key: &[u8],
    value: &[u8],
    which: Update,
) -> io::Result<()> {
    // SAFETY: who calls passes a key and a value of the map's sizes.
    check(unsafe {
        raw::bpf_map_update_elem(
            map.as_raw_fd(),
            key.as_ptr().cast(),
            value.as_ptr().cast(),
            which as u64,
        )
    })?;
    Ok(())
}

pub(crate) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    // SAFETY: who calls passes a key of the map's size.
    check(unsafe { raw::bpf_map_delete_elem(map.as_raw_fd(), key.as_ptr().cast()) })?;
    Ok(())
}

/// The key after `key`, or the first; `false` after the last.
pub(crate) fn next_key(
    map: BorrowedFd<'_>,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> io::Result<bool> {
    let key = key.map_or(ptr::null(), <[u8]>::as_ptr);
    // SAFETY: who calls passes keys of the map's size; null asks for the first.
    let found = check(unsafe {
        raw::bpf_map_get_next_key(map.as_raw_fd(), key.cast(), next.as_mut_ptr().cast())
    });
    match found {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a batch of lookups goes on: at the beginning, behind a token of the kernel's, or nowhere.
#[derive(Debug)]
pub(crate) enum Place {
    Start,
    Behind(Vec<u8>),
    End,
}

/// Reads as many entries as `keys` and `values` have room for; says how many, and where to go on.
pub(crate) fn lookup_batch(
    map: BorrowedFd<'_>,
    from: &Place,
    token_size: usize,
    keys: &mut [u8],
    values: &mut [u8],
    room: u32,
) -> io::Result<(u32, Place)> {
    let mut start = match from {
        Place::Start => None,
        Place::Behind(token) => Some(token.clone()),
        Place::End => return Ok((0, Place::End)),
    };
    let mut token = vec![0_u8; token_size];
    let mut count = room;
    let options = options!(raw::bpf_map_batch_opts, elem_flags: 0);
    // SAFETY: `keys` and `values` have room for `count` entries of the map's sizes, as who calls
    // promises; tokens are as long as a key, and at least the four bytes a hash map writes.
    let returned = check(unsafe {
        raw::bpf_map_lookup_batch(
            map.as_raw_fd(),
            start
                .as_mut()
                .map_or(ptr::null_mut(), Vec::as_mut_ptr)
                .cast(),
            token.as_mut_ptr().cast(),
            keys.as_mut_ptr().cast(),
            values.as_mut_ptr().cast(),
            &raw mut count,
            &raw const options,
        )
    });
    match returned {
        Ok(_) => Ok((count, Place::Behind(token))),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok((count, Place::End)),
        Err(error) => Err(error),
    }
}

/// A batch that stopped: how many entries it had done, and why it did no more.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) done: usize,
    pub(crate) error: io::Error,
}

pub(crate) fn update_batch(
    map: BorrowedFd<'_>,
    keys: &[u8],
    values: &[u8],
    count: u32,
) -> Result<(), Stopped> {
    let mut done = count;
    let options = options!(raw::bpf_map_batch_opts, elem_flags: 0);
    // SAFETY: `keys` and `values` hold `count` entries of the map's sizes, as who calls promises.
    let returned = check(unsafe {
        raw::bpf_map_update_batch(
            map.as_raw_fd(),
            keys.as_ptr().cast(),
            values.as_ptr().cast(),
            &raw mut done,
            &raw const options,
        )
    });
    stopped(returned, done, count)
}

pub(crate) fn delete_batch(map: BorrowedFd<'_>, keys: &[u8], count: u32) -> Result<(), Stopped> {
    let mut done = count;
    let options = options!(raw::bpf_map_batch_opts, elem_flags: 0);
    // SAFETY: `keys` holds `count` keys of the map's size, as who calls promises.
    let returned = check(unsafe {
        raw::bpf_map_delete_batch(
            map.as_raw_fd(),
            keys.as_ptr().cast(),
            &raw mut done,
            &raw const options,
        )
    });
    stopped(returned, done, count)
}

/// Where the kernel refuses the batch as such it leaves the count as it was: nothing was done.
fn stopped(returned: io::Result<c_int>, done: u32, count: u32) -> Result<(), Stopped> {
    match returned {
        Ok(_) => Ok(()),
        Err(error) => Err(Stopped {
            done: if done < count { done as usize } else { 0 },
            error,
        }),
    }
}

// ---- Programs and links ----

/// What the kernel says of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgramInfo {
    /// The kernel's number.
    pub(crate) id: u32,
    /// The function's name, 15 characters at most.
    pub(crate) name: String,
    /// The kernel's hash of the instructions, without the maps they name.
    pub(crate) tag: [u8; 8],
    /// Instructions that the verifier looked at.
    pub(crate) verified: u32,
    /// Instructions after the verifier.
    pub(crate) instructions: u32,
    /// Bytes of machine code.
    pub(crate) machine_code: u32,
    /// Maps it uses or is bound to.
    pub(crate) maps: Vec<u32>,
    /// Number of its types.
    pub(crate) btf: u32,
}

pub(crate) fn program_info(fd: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    let mut maps = vec![0_u32; 64];
    loop {
        let mut program = raw::bpf_prog_info {
            nr_map_ids: length(&maps)?,
            map_ids: maps.as_mut_ptr() as u64,
            ..Default::default()
        };
        // The kernel writes at most `nr_map_ids` numbers to where `map_ids` points.
        info(fd, &mut program)?;
        let count = program.nr_map_ids as usize;
        if count > maps.len() {
            maps.resize(count, 0);
            continue;
        }
        maps.truncate(count);
        return Ok(ProgramInfo {
            id: program.id,
            name: name_of(&program.name),
            tag: program.tag,
            verified: program.verified_insns,
            instructions: program.xlated_prog_len / 8,
            machine_code: program.jited_prog_len,
            maps,
            btf: program.btf_id,
        });
    }
}

pub(crate) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { raw::bpf_prog_get_fd_by_id(id) })
}

/// Makes a program hold a map that its instructions do not name (`BPF_PROG_BIND_MAP`).
pub(crate) fn bind_map(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: null means no options.
    let bound =
        check(unsafe { raw::bpf_prog_bind_map(program.as_raw_fd(), map.as_raw_fd(), ptr::null()) });
    match bound {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        _ => Ok(()),
    }
}

/// The types of a program or map, as the kernel holds them.
pub(crate) fn btf_bytes(id: u32) -> io::Result<Vec<u8>> {
    // SAFETY: no pointers.
    let fd = owned(unsafe { raw::bpf_btf_get_fd_by_id(id) })?;
    let mut btf = raw::bpf_btf_info::default();
    info(fd.as_fd(), &mut btf)?;
    let mut bytes = vec![0_u8; btf.btf_size as usize];
    let mut btf = raw::bpf_btf_info {
        btf: bytes.as_mut_ptr() as u64,
        btf_size: length(&bytes)?,
        ..Default::default()
    };
    // The kernel writes at most `btf_size` bytes to where `btf` points.
    info(fd.as_fd(), &mut btf)?;
    Ok(bytes)
}

/// Runs a program on a packet; its return value. The context is `__sk_buff` as the kernel takes it.
pub(crate) fn test_run(
    program: BorrowedFd<'_>,
    packet: &[u8],
    ingress_ifindex: u32,
) -> io::Result<u32> {
    let context = PacketContext {
        ingress_ifindex,
        ..Default::default()
    };
    let mut options = options!(raw::bpf_test_run_opts, repeat: 1);
    options.data_in = packet.as_ptr().cast();
    options.data_size_in = length(packet)?;
    if ingress_ifindex != 0 {
        options.ctx_in = (&raw const context).cast();
        options.ctx_size_in = u32::try_from(mem::size_of_val(&context)).unwrap_or(u32::MAX);
    }
    // SAFETY: packet and context live until the call returns, with the sizes given; nothing is
    // asked back.
    check(unsafe { raw::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) })?;
    Ok(options.retval)
}

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
    info(fd, &mut link)?;
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

// ---- Pins ----

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
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
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
    const MAGIC: i64 = 0xcafe_4a11;
    let path = path_of(path)?;
    let mut answer = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path lives until the call returns, and the kernel writes a whole struct.
    if unsafe { libc::statfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so the struct is written.
    Ok(i64::from(unsafe { answer.assume_init() }.f_type) & 0xffff_ffff == MAGIC)
}

// ---- The commit record ----

/// The commit record, mapped: one aligned 64-bit word that every packet reads at entry.
#[derive(Debug)]
pub(crate) struct Record {
    page: NonNull<c_void>,
}

// SAFETY: the mapping belongs to this value alone and is only touched by atomic loads and stores.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    const SIZE: usize = 4096;

    /// Maps it from the map that holds it.
    pub(crate) fn map(commit: BorrowedFd<'_>) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of an array with BPF_F_MMAPABLE, at an address the kernel chooses.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                Self::SIZE,
                access,
                libc::MAP_SHARED,
                commit.as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = NonNull::new(page).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { page })
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped as long as `self` lives, aligned, and begins with the word;
        // the kernel and we access it by whole 64-bit loads and stores only.
        unsafe { AtomicU64::from_ptr(self.page.as_ptr().cast()) }
    }

    pub(crate) fn load(&self) -> u64 {
        self.word().load(Ordering::Acquire)
    }

    /// Everything written before is seen by who reads the new word.
    pub(crate) fn store(&self, word: u64) {
        self.word().store(word, Ordering::Release);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this size, and nothing borrows it any more.
        unsafe { libc::munmap(self.page.as_ptr(), Self::SIZE) };
    }
}

// ---- Clocks and interfaces ----

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

/// The low half of `jiffies64`, which expiries are counted in: a program of two instructions
/// returns it, for no file of the kernel's does.
pub(crate) fn jiffies() -> io::Result<u32> {
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
    test_run(program.as_fd(), &[0; 64], 0)
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
