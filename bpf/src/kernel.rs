//! The handle: the maps that a host has once, the commit record and the shared blocks, found or
//! made.
//!
//! They are found by their pins. A map whose pin is lost is found through the programs that are
//! still attached and hold it, so while one of ours is attached a second commit record is never
//! made. A record that is made anew starts above every generation that anything stored.
//!
//! [`Kernel::open`] changes nothing. [`Kernel::create`] completes whatever is missing, in an order
//! that leaves every crash to the next run: maps first, the blocks, and the commit record's pin
//! last, for where that is, everything is.
//!
//! Nothing here locks: who calls holds the lock on the base directory.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use state::words::generation::{CommitRecord, Generation, Slot};

use crate::abi::{ConnectionRow, GLOBAL, Shape, SlotRow, TABLES, header, maps};
use crate::attached::{self, fits};
use crate::fault::{Fault, Object, Of};
use crate::object::{self, BlockPrograms, LoadError};
use crate::pins::{self, BaseError, Listing, Pins};
use crate::rows::{ForeignRow, Rows, Way};
use crate::sys::{self, Record, Update};

/// Why what is pinned cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The base directory is not ours alone.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A map of another shape is pinned under one of our names.
    #[error(
        "the map pinned as {name} has another shape than ours: another version's or somebody \
         else's. Where it is another version's, run that version's `reconcile detach` first; else \
         remove the pin, and the next run makes the map anew"
    )]
    Shape {
        /// The map.
        name: &'static str,
    },
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why it could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// What is there already cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The kernel does not take the blocks.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The timer that reclaims did not start.
    #[error("the timer that reclaims expired connections does not start: {0}")]
    Sweep(io::Error),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A map of ours, open.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) fd: OwnedFd,
    pub(crate) id: u32,
    pub(crate) entries: u32,
}

impl Map {
    pub(crate) fn of(fd: OwnedFd, object: impl Fn() -> Object) -> Result<Self, Fault> {
        let info = sys::map_info(fd.as_fd()).of("look at", object)?;
        Ok(Self {
            fd,
            id: info.id,
            entries: info.entries,
        })
    }
}

/// A set of shared blocks, pinned.
#[derive(Debug)]
pub(crate) struct BlockSet {
    pub(crate) name: String,
    pub(crate) code: [u8; 32],
    pub(crate) table: Map,
    pub(crate) guard: OwnedFd,
}

/// What is there without a commit record: a first run died, or the record was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The generation at which a new record would begin; 0 where nothing is stored.
    pub begins_at: Generation,
    /// Whether maps or blocks are pinned.
    pub pinned: bool,
}

/// What of ours is in the kernel.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) pins: Pins,
    maps: BTreeMap<&'static str, Map>,
    /// Found through attached programs, not pinned.
    unpinned: Vec<&'static str>,
    pub(crate) record: Record,
    pub(crate) blocks: Option<BlockSet>,
    pub(crate) jiffies_per_second: u32,
    /// The clock that expiries are counted in, once it was asked.
    pub(crate) jiffies: OnceLock<sys::Jiffies>,
    /// What the last reading of each slot found that no row of ours is; `None` before the first.
    foreign: Mutex<[Option<Vec<ForeignRow>>; 2]>,
}

impl Kernel {
    /// Finds what is there and changes nothing. `None` where there is no commit record.
    pub fn open(base: &Path) -> Result<Option<Self>, OpenError> {
        object::quiet();
        let pins = Pins::below(base);
        let gathered = gather(&pins)?;
        if !gathered.maps.contains_key(maps::COMMIT.name) {
            return Ok(None);
        }
        let mut kernel = Self::over(pins, gathered)?;
        kernel.blocks = kernel.find_blocks()?;
        Ok(Some(kernel))
    }

    /// What is there where there is no commit record.
    pub fn remains(base: &Path) -> Result<Remains, OpenError> {
        let pins = Pins::below(base);
        let gathered = gather(&pins)?;
        Ok(Remains {
            begins_at: begins_at(&pins, &gathered)?,
            pinned: !gathered.maps.is_empty() || !pins.listing()?.blocks.is_empty(),
        })
    }

    /// Finds what is there, and makes or pins what is missing.
    pub fn create(base: &Path) -> Result<Self, CreateError> {
        object::quiet();
        let pins = Pins::below(base);
        pins.make_base().map_err(OpenError::from)?;
        let mut gathered = gather(&pins)?;
        let made = if gathered.maps.len() < GLOBAL.len() {
            Some(make_missing(&pins, &mut gathered)?)
        } else {
            None
        };
        let mut kernel = Self::over(pins, gathered)?;
        kernel.make_tables()?;
        if let Some(made) = made {
            kernel.start_blocks(&made)?;
        }
        kernel.pin_maps()?;
        kernel.blocks = kernel.find_blocks()?;
        kernel.restart_sweep()?;
        kernel.replace_blocks()?;
        Ok(kernel)
    }

    fn over(pins: Pins, gathered: Gathered) -> Result<Self, Fault> {
        let commit = gathered
            .maps
            .get(maps::COMMIT.name)
            .map(|map| map.fd.as_fd());
        let commit = commit.ok_or_else(|| not_there(maps::COMMIT.name))?;
        Ok(Self {
            record: Record::map(commit).of("map", || Object::Map(maps::COMMIT.name))?,
            pins,
            maps: gathered.maps,
            unpinned: gathered.unpinned,
            blocks: None,
            jiffies_per_second: sys::jiffies_per_second().of("read", || Object::Host("jiffies"))?,
            jiffies: OnceLock::new(),
            foreign: Mutex::default(),
        })
    }

    /// What the last readings of both slots found that no row of ours is.
    pub(crate) fn foreign(&self) -> MutexGuard<'_, [Option<Vec<ForeignRow>>; 2]> {
        // Whoever broke off has left what was found, or nothing.
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every map is there and pinned.
    pub(crate) fn is_whole(&self) -> bool {
        self.unpinned.is_empty() && self.maps.len() == GLOBAL.len()
    }

    /// The commit record.
    pub fn record(&self) -> CommitRecord {
        CommitRecord::from_word(self.record.load())
    }

    /// Hash of the shared blocks' code; zeroes where there is no whole set of them, or a map that
    /// they share is gone.
    pub fn block_code(&self) -> [u8; 32] {
        match &self.blocks {
            Some(blocks) if self.maps.len() == GLOBAL.len() => blocks.code,
            _ => [0; 32],
        }
    }

    /// Maps that were found through attached programs, because their pins are gone.
    pub fn unpinned(&self) -> &[&'static str] {
        &self.unpinned
    }

    /// What exists below the base directory, known or not.
    pub fn listing(&self) -> Result<Listing, Fault> {
        self.pins.listing()
    }

    pub(crate) fn map(&self, shape: &Shape) -> Option<&Map> {
        self.maps.get(shape.name)
    }

    /// A map without which nothing can be written.
    pub(crate) fn need(&self, shape: &Shape) -> Result<&Map, Fault> {
        self.map(shape).ok_or_else(|| not_there(name_of(shape)))
    }

    /// The maps that a host has once, for a load.
    pub(crate) fn map_fds(&self) -> BTreeMap<&str, BorrowedFd<'_>> {
        self.maps
            .iter()
            .map(|(name, map)| (*name, map.fd.as_fd()))
            .collect()
    }

    /// Whether a map is one of those that a host has once.
    pub(crate) fn is_global(&self, id: u32) -> bool {
        self.maps.values().any(|map| map.id == id)
    }

    /// Pins every map that is not pinned, the commit record last.
    pub(crate) fn pin_maps(&mut self) -> Result<(), Fault> {
        self.unpinned.sort_by_key(|name| *name == maps::COMMIT.name);
        while let Some(name) = self.unpinned.first() {
            if let Some(map) = self.maps.get(name) {
                pins::pin(map.fd.as_fd(), &self.pins.map(name))?;
            }
            self.unpinned.remove(0);
        }
        Ok(())
    }

    /// Gives every slot its tables, and the barrier its map, where they are missing. To packets a
    /// table without rows is what one that is missing was, so the live slot gets its own, too.
    pub fn make_tables(&self) -> Result<(), Fault> {
        for shape in TABLES.into_iter().chain([&maps::BARRIER]) {
            let (outer, Some(inner)) = (self.need(shape)?, shape.inner) else {
                continue;
            };
            let mut rows = Rows::new(4, 4);
            let mut made = Vec::new();
            for index in 0..shape.entries {
                let mut id = [0; 4];
                let object = || Object::Map(name_of(shape));
                if sys::lookup(outer.fd.as_fd(), &index.to_ne_bytes(), &mut id)
                    .of("read", object)?
                {
                    continue;
                }
                let map = sys::map_create(inner, inner.entries).of("make", object)?;
                rows.push(&index.to_ne_bytes(), &map.as_raw_fd().to_ne_bytes());
                made.push(map);
            }
            rows.write(outer.fd.as_fd())
                .map_err(|stopped| stopped.error)
                .of("fill", || Object::Map(name_of(shape)))?;
        }
        Ok(())
    }
}

pub(crate) fn not_there(name: &'static str) -> Fault {
    let gone = std::io::Error::from_raw_os_error(libc::ENOENT);
    Fault::new("find", Object::Map(name), gone)
}

fn name_of(shape: &Shape) -> &'static str {
    GLOBAL
        .iter()
        .find(|known| known.name == shape.name)
        .map_or("", |known| known.name)
}

struct Gathered {
    maps: BTreeMap<&'static str, Map>,
    unpinned: Vec<&'static str>,
}

/// By pins, else through attached programs. A map of another shape may be another version's, and is
/// refused where nothing that is attached says that it is not.
fn gather(pins: &Pins) -> Result<Gathered, OpenError> {
    let mut maps = BTreeMap::new();
    let mut unfit = Vec::new();
    if pins.check_base()? {
        for shape in GLOBAL {
            let Some(fd) = pins.open_map(&pins.map(shape.name))? else {
                continue;
            };
            let info = sys::map_info(fd.as_fd()).of("look at", || Object::Map(shape.name))?;
            if !fits(&info, shape) {
                unfit.push(shape.name);
                continue;
            }
            maps.insert(shape.name, Map::of(fd, || Object::Map(shape.name))?);
        }
    }
    let mut unpinned = Vec::new();
    if maps.len() < GLOBAL.len() {
        for found in attached::everywhere()? {
            for shape in GLOBAL {
                if maps.contains_key(shape.name) {
                    continue;
                }
                if let Some((fd, _)) = attached::map_of(&found.program, shape)? {
                    maps.insert(shape.name, Map::of(fd, || Object::Map(shape.name))?);
                    unpinned.push(shape.name);
                }
            }
        }
    }
    match unfit.into_iter().find(|name| !maps.contains_key(name)) {
        Some(name) => Err(OpenError::Shape { name }),
        None => Ok(Gathered { maps, unpinned }),
    }
}

/// Makes the maps that are nowhere, by loading blocks over those that are.
fn make_missing(pins: &Pins, gathered: &mut Gathered) -> Result<BlockPrograms, CreateError> {
    let clock = || Object::Host("jiffies");
    let jiffies_per_second = sys::jiffies_per_second().of("read", clock)?;
    let fds = gathered
        .maps
        .iter()
        .map(|(name, map)| (*name, map.fd.as_fd()))
        .collect();
    let mut loaded = object::load_blocks(&fds, jiffies_per_second)?;
    for shape in GLOBAL {
        if let Some(fd) = loaded.made.remove(shape.name) {
            gathered
                .maps
                .insert(shape.name, Map::of(fd, || Object::Map(shape.name))?);
            gathered.unpinned.push(shape.name);
            if shape.name == maps::COMMIT.name {
                begin_record(pins, gathered)?;
            }
        }
    }
    Ok(loaded)
}

/// Above every generation that a slot or a connection has stored.
fn begins_at(pins: &Pins, gathered: &Gathered) -> Result<Generation, OpenError> {
    let mut highest = 0;
    if let Some(slots) = gathered.maps.get(maps::SLOTS.name) {
        for index in 0..maps::SLOTS.entries {
            let mut bytes = vec![0; maps::SLOTS.value_size as usize];
            sys::lookup(slots.fd.as_fd(), &index.to_ne_bytes(), &mut bytes)
                .of("read", || Object::Map(maps::SLOTS.name))?;
            let row: Option<SlotRow> = sys::value_of(&bytes);
            let named = Generation(row.map_or(0, |row| row.generation));
            highest = highest.max(if named.is_reached() { named.0 } else { 0 });
        }
    }
    for container in pins.listing()?.containers.keys() {
        for shape in [&maps::ESTABLISHED, &maps::HALF_OPEN, &maps::DATAGRAMS] {
            let path = pins.container_map(container, shape.name);
            if let Some(map) = pins.open_map(&path)? {
                highest = highest.max(highest_cached(map.as_fd(), shape)?);
            }
        }
    }
    Ok(Generation(if highest == 0 { 0 } else { highest + 1 }))
}

fn begin_record(pins: &Pins, gathered: &Gathered) -> Result<(), CreateError> {
    let generation = begins_at(pins, gathered)?;
    let word = CommitRecord {
        generation,
        slot: Slot::A,
    }
    .to_word();
    if let Some(commit) = gathered.maps.get(maps::COMMIT.name) {
        sys::update(
            commit.fd.as_fd(),
            &0_u32.to_ne_bytes(),
            &word.to_ne_bytes(),
            Update::Any,
        )
        .of("write", || Object::Map(maps::COMMIT.name))?;
    }
    Ok(())
}

/// The highest generation that a connection of this map caches.
fn highest_cached(map: BorrowedFd<'_>, shape: &'static Shape) -> Result<u64, Fault> {
    let rows = Rows::read(map, shape.key_size, shape.value_size, Way::Batches)
        .of("read", || Object::Map(shape.name))?;
    let cached = rows
        .iter()
        .filter_map(|(_, value)| sys::value_of::<ConnectionRow>(value));
    Ok(cached
        .map(|row| row.word & header::PL_WORD_GENERATION)
        .max()
        .unwrap_or(0))
}
