//! Maps: made, described, read and written.
//!
//! The kernel reads and writes as many bytes as the map's keys and values have. So each call asks
//! for the map's sizes first and refuses (`EINVAL`) slices of others; next to a call that does
//! anything, asking costs nothing.

use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libbpf_rs::libbpf_sys as raw;

use super::{check, info, name_of, options, owned};
use crate::abi::Shape;

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

fn raw_info(map: BorrowedFd<'_>) -> io::Result<raw::bpf_map_info> {
    let mut found = raw::bpf_map_info::default();
    // SAFETY: a map's descriptor: it comes from `map_create`, `map_by_id`, libbpf, or a pin whose
    // kind was checked. The struct's pointers are null.
    unsafe { info(map, &mut found)? };
    Ok(found)
}

pub(crate) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let found = raw_info(map)?;
    Ok(MapInfo {
        id: found.id,
        name: name_of(&found.name),
        kind: found.type_,
        key_size: found.key_size,
        value_size: found.value_size,
        entries: found.max_entries,
        flags: found.map_flags,
        btf_value_type: found.btf_value_type_id,
    })
}

pub(crate) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { raw::bpf_map_get_fd_by_id(id) })
}

/// Sizes of keys and values as user space has them.
struct Sizes {
    key: usize,
    value: usize,
}

impl Sizes {
    fn of(map: BorrowedFd<'_>) -> io::Result<Self> {
        let found = raw_info(map)?;
        let value = found.value_size as usize;
        let each_cpu = [
            raw::BPF_MAP_TYPE_PERCPU_ARRAY,
            raw::BPF_MAP_TYPE_PERCPU_HASH,
            raw::BPF_MAP_TYPE_LRU_PERCPU_HASH,
        ];
        let value = if each_cpu.contains(&found.type_) {
            let cpus = libbpf_rs::num_possible_cpus().map_err(io::Error::other)?;
            value.next_multiple_of(8) * cpus
        } else {
            value
        };
        let key = found.key_size as usize;
        Ok(Self { key, value })
    }

    /// Refuses slices that are not `count` keys or values.
    fn check(&self, count: usize, key: Option<usize>, value: Option<usize>) -> io::Result<()> {
        let keys = key.is_none_or(|bytes| bytes == self.key * count);
        let values = value.is_none_or(|bytes| bytes == self.value * count);
        if keys && values {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        }
    }
}

/// Whether there is an entry; its value is written to `value`: of a per-CPU map one for each
/// possible CPU, at multiples of eight bytes.
pub(crate) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    Sizes::of(map)?.check(1, Some(key.len()), Some(value.len()))?;
    // SAFETY: the slices are as long as the map's key and value.
    found(unsafe {
        raw::bpf_map_lookup_elem(
            map.as_raw_fd(),
            key.as_ptr().cast(),
            value.as_mut_ptr().cast(),
        )
    })
}

fn found(returned: c_int) -> io::Result<bool> {
    match check(returned) {
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
    Sizes::of(map)?.check(1, Some(key.len()), Some(value.len()))?;
    // SAFETY: the slices are as long as the map's key and value.
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
    Sizes::of(map)?.check(1, Some(key.len()), None)?;
    // SAFETY: the slice is as long as the map's key.
    check(unsafe { raw::bpf_map_delete_elem(map.as_raw_fd(), key.as_ptr().cast()) })?;
    Ok(())
}

/// The key after `key`, or the first; `false` after the last.
pub(crate) fn next_key(
    map: BorrowedFd<'_>,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> io::Result<bool> {
    let sizes = Sizes::of(map)?;
    sizes.check(1, key.map(<[u8]>::len), None)?;
    sizes.check(1, Some(next.len()), None)?;
    let key = key.map_or(ptr::null(), <[u8]>::as_ptr);
    // SAFETY: the slices are as long as the map's key; null asks for the first.
    found(unsafe {
        raw::bpf_map_get_next_key(map.as_raw_fd(), key.cast(), next.as_mut_ptr().cast())
    })
}

/// Where a batch of lookups goes on: at the beginning, behind a token of the kernel's, or nowhere.
#[derive(Debug)]
pub(crate) enum Place {
    Start,
    Behind(Token),
    End,
}

/// What the kernel wants back to go on: a key, or of a hash map the number of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Token(Vec<u8>);

/// Reads as many entries as `keys` and `values` have room for; says how many, and where to go on.
pub(crate) fn lookup_batch(
    map: BorrowedFd<'_>,
    from: &Place,
    keys: &mut [u8],
    values: &mut [u8],
    room: u32,
) -> io::Result<(u32, Place)> {
    let sizes = Sizes::of(map)?;
    sizes.check(room as usize, Some(keys.len()), Some(values.len()))?;
    let mut token = vec![0_u8; sizes.key.max(4)];
    let mut start = match from {
        Place::Start => None,
        Place::Behind(before) if before.0.len() == token.len() => Some(before.0.clone()),
        Place::Behind(_) => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        Place::End => return Ok((0, Place::End)),
    };
    let mut count = room;
    let options = options!(raw::bpf_map_batch_opts, elem_flags: 0);
    // SAFETY: the slices have room for `count` keys and values of the map, and the tokens for a key
    // and for the four bytes that a hash map writes.
    let read = found(unsafe {
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
    })?;
    let next = if read {
        Place::Behind(Token(token))
    } else {
        Place::End
    };
    Ok((count.min(room), next))
}

/// A batch that stopped: how many entries it had done, and why it did no more.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) done: usize,
    pub(crate) error: io::Error,
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self { done: 0, error }
    }
}

pub(crate) fn update_batch(
    map: BorrowedFd<'_>,
    keys: &[u8],
    values: &[u8],
    count: u32,
) -> Result<(), Stopped> {
    Sizes::of(map)?.check(count as usize, Some(keys.len()), Some(values.len()))?;
    let mut done = count;
    let options = options!(raw::bpf_map_batch_opts, elem_flags: 0);
    // SAFETY: the slices are `count` keys and values of the map.
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
    Sizes::of(map)?.check(count as usize, Some(keys.len()), None)?;
    let mut done = count;
    let options = options!(raw::bpf_map_batch_opts, elem_flags: 0);
    // SAFETY: the slice is `count` keys of the map.
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
