//! Many rows at a time: a map read whole, rows written, rows deleted.
//!
//! One system call for each row costs four times as much as a batch; where a kernel has no batches
//! for a kind of map (or, before 6.15, none for a map of maps with gaps), rows go one by one.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::{self, Place, Stopped, Update};

/// Rows of one table: keys and values, each one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    key_size: usize,
    value_size: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
}

/// A row that stands in a table and that nothing of ours writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRow {
    /// Which table.
    pub table: &'static str,
    /// Its key, as the kernel has it.
    pub key: Vec<u8>,
}

/// How rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By batches, else one by one.
    Batches,
    /// One by one, as kernels do that have no batches.
    #[cfg(test)]
    OneByOne,
}

/// Entries of a first batch; a hash map wants room for its fullest bucket.
const ROOM: usize = 4096;

impl Rows {
    pub(crate) fn new(key_size: u32, value_size: u32) -> Self {
        Self {
            key_size: key_size as usize,
            value_size: value_size as usize,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        debug_assert_eq!((key.len(), value.len()), (self.key_size, self.value_size));
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len() / self.key_size.max(1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let keys = self.keys.chunks_exact(self.key_size.max(1));
        keys.zip(self.values.chunks_exact(self.value_size.max(1)))
    }

    /// Writes them, new or in place of others. Stops at the first that the map does not take.
    pub(crate) fn write(&self, map: BorrowedFd<'_>) -> Result<(), Stopped> {
        if self.len() == 0 {
            return Ok(());
        }
        let count = count(self.len()).map_err(|error| Stopped { done: 0, error })?;
        match sys::update_batch(map, &self.keys, &self.values, count) {
            Err(stopped) if lacks_batches(&stopped.error) => self.write_one_by_one(map),
            written => written,
        }
    }

    fn write_one_by_one(&self, map: BorrowedFd<'_>) -> Result<(), Stopped> {
        for (done, (key, value)) in self.iter().enumerate() {
            sys::update(map, key, value, Update::Any).map_err(|error| Stopped { done, error })?;
        }
        Ok(())
    }

    /// Reads a map whole.
    pub(crate) fn read(
        map: BorrowedFd<'_>,
        key_size: u32,
        value_size: u32,
        way: Way,
    ) -> io::Result<Self> {
        if way == Way::Batches {
            match Self::read_batches(map, key_size, value_size) {
                Err(error) if lacks_batches(&error) => {}
                read => return read,
            }
        }
        Self::read_one_by_one(map, key_size, value_size)
    }

    fn read_batches(map: BorrowedFd<'_>, key_size: u32, value_size: u32) -> io::Result<Self> {
        let mut all = Self::new(key_size, value_size);
        let mut room = ROOM;
        let mut keys = vec![0; room * all.key_size];
        let mut values = vec![0; room * all.value_size];
        let mut place = Place::Start;
        loop {
            let asked = count(room)?;
            match sys::lookup_batch(map, &place, &mut keys, &mut values, asked) {
                Ok((read, next)) => {
                    all.keys
                        .extend_from_slice(&keys[..read as usize * all.key_size]);
                    all.values
                        .extend_from_slice(&values[..read as usize * all.value_size]);
                    place = next;
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    room *= 2;
                    keys.resize(room * all.key_size, 0);
                    values.resize(room * all.value_size, 0);
                }
                Err(error) => return Err(error),
            }
            if matches!(place, Place::End) {
                return Ok(all);
            }
        }
    }

    fn read_one_by_one(map: BorrowedFd<'_>, key_size: u32, value_size: u32) -> io::Result<Self> {
        let mut all = Self::new(key_size, value_size);
        let mut key = vec![0; all.key_size];
        let mut value = vec![0; all.value_size];
        let mut before: Option<Vec<u8>> = None;
        while sys::next_key(map, before.as_deref(), &mut key)? {
            // A map of maps has keys without a value.
            if sys::lookup(map, &key, &mut value)? {
                all.push(&key, &value);
            }
            before = Some(key.clone());
        }
        Ok(all)
    }
}

/// Deletes rows, one key behind the other; those that are not there are none the less gone.
pub(crate) fn delete(map: BorrowedFd<'_>, key_size: u32, keys: &[u8]) -> io::Result<()> {
    let key_size = key_size as usize;
    let mut rest = keys;
    while !rest.is_empty() {
        match sys::delete_batch(map, rest, count(rest.len() / key_size)?) {
            Ok(()) => return Ok(()),
            Err(stopped) if stopped.error.raw_os_error() == Some(libc::ENOENT) => {
                rest = &rest[(stopped.done + 1) * key_size..];
            }
            Err(stopped) if lacks_batches(&stopped.error) => {
                return rest
                    .chunks_exact(key_size)
                    .try_for_each(|key| delete_one(map, key));
            }
            Err(stopped) => return Err(stopped.error),
        }
    }
    Ok(())
}

fn delete_one(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    match sys::delete(map, key) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        deleted => deleted,
    }
}

/// Whether a map that is full refused a row: LPM tries say ENOSPC, hashes E2BIG.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::E2BIG))
}

fn lacks_batches(error: &io::Error) -> bool {
    /// `ENOTSUPP` of linux/errno.h, which user space should never see and does.
    const ENOTSUPP: i32 = 524;
    let answers = [libc::EINVAL, libc::EOPNOTSUPP, libc::EINTR, ENOTSUPP];
    error
        .raw_os_error()
        .is_some_and(|errno| answers.contains(&errno))
}

fn count(items: usize) -> io::Result<u32> {
    u32::try_from(items).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};

    use super::*;
    use crate::abi::{Shape, maps};

    fn rows(inner: &Shape, count: u32) -> Rows {
        let mut rows = Rows::new(inner.key_size, inner.value_size);
        for number in 0..count {
            let mut key = vec![0; inner.key_size as usize];
            key[..4].copy_from_slice(&number.to_ne_bytes());
            if inner.kind == maps::ADDRESSES_V4.inner.unwrap().kind {
                key[..4].copy_from_slice(&32_u32.to_ne_bytes());
                key[4..8].copy_from_slice(&number.to_ne_bytes());
            }
            rows.push(&key, &vec![7; inner.value_size as usize]);
        }
        rows
    }

    fn sorted(rows: &Rows) -> Vec<(&[u8], &[u8])> {
        let mut all: Vec<_> = rows.iter().collect();
        all.sort_unstable();
        all
    }

    /// Needs root, as every test of this crate that asks the kernel.
    #[test]
    fn both_ways_read_the_same() {
        for shape in [
            &maps::POLICY,
            &maps::ADDRESSES_V4,
            &maps::ADDRESSES_V6,
            &maps::RULESETS,
        ] {
            let inner = shape.inner.unwrap();
            for count in [0, 1, 9000] {
                let map = sys::map_create(inner, 16_384).unwrap();
                let written = rows(inner, count);
                written.write(map.as_fd()).unwrap();
                let read =
                    |way| Rows::read(map.as_fd(), inner.key_size, inner.value_size, way).unwrap();
                let (batches, single) = (read(Way::Batches), read(Way::OneByOne));
                assert_eq!(sorted(&batches), sorted(&written), "{} {count}", shape.name);
                assert_eq!(sorted(&batches), sorted(&single), "{} {count}", shape.name);
            }
        }
    }

    #[test]
    fn a_map_of_maps_with_gaps_is_read_as_what_it_holds() {
        let program = crate::object::load_blocks(&std::collections::BTreeMap::new(), 250).unwrap();
        let registry = &program.made[maps::ALL_COUNTERS.name];
        let inner = sys::map_create(maps::ALL_COUNTERS.inner.unwrap(), 1).unwrap();
        let mut places = Rows::new(4, 4);
        for place in [3_u32, 4, 5000, 8191] {
            places.push(&place.to_ne_bytes(), &inner.as_raw_fd().to_ne_bytes());
        }
        places.write(registry.as_fd()).unwrap();
        let id = sys::map_info(inner.as_fd()).unwrap().id.to_ne_bytes();
        for way in [Way::Batches, Way::OneByOne] {
            let read = Rows::read(registry.as_fd(), 4, 4, way).unwrap();
            let keys: Vec<u32> = read
                .iter()
                .map(|(key, _)| sys::value_of(key).unwrap())
                .collect();
            assert_eq!(keys, [3, 4, 5000, 8191]);
            assert!(read.iter().all(|(_, value)| value == id));
        }
    }

    #[test]
    fn a_write_stops_where_the_map_is_full() {
        let inner = maps::POLICY.inner.unwrap();
        let map = sys::map_create(inner, 1000).unwrap();
        let stopped = rows(inner, 1200).write(map.as_fd()).unwrap_err();
        assert!(is_full(&stopped.error), "{:?}", stopped.error);
        assert_eq!(stopped.done, 1000);
        let lpm = maps::RULESETS.inner.unwrap();
        let map = sys::map_create(lpm, 1000).unwrap();
        let stopped = rows(lpm, 1200).write(map.as_fd()).unwrap_err();
        assert!(is_full(&stopped.error), "{:?}", stopped.error);
    }

    #[test]
    fn deleting_what_is_not_there_is_no_error() {
        let inner = maps::POLICY.inner.unwrap();
        let map = sys::map_create(inner, 1000).unwrap();
        rows(inner, 500).write(map.as_fd()).unwrap();
        let mut keys = Vec::new();
        for (key, _) in rows(inner, 1000).iter() {
            keys.extend_from_slice(key);
        }
        // Every other one that is there, between those that are not.
        let (there, gone) = keys.split_at(500 * inner.key_size as usize);
        let mixed: Vec<u8> = gone
            .chunks_exact(inner.key_size as usize)
            .zip(there.chunks_exact(inner.key_size as usize))
            .flat_map(|(a, b)| [a, b].concat())
            .collect();
        delete(map.as_fd(), inner.key_size, &mixed).unwrap();
        let left = Rows::read(map.as_fd(), inner.key_size, inner.value_size, Way::Batches);
        assert_eq!(left.unwrap().len(), 0);
    }
}
