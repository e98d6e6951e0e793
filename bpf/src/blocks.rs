//! The shared blocks: loaded once, pinned as a set, reached through a block table.
//!
//! A table that a program can reach is never changed. Other code comes as a new set with a table of
//! its own, and a container's programs reach it once they are swapped. The kernel empties a table
//! when its last user reference goes, so a table stays pinned as long as a program can reach it
//! ([`Kernel::remove_leftovers`]).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use state::live::LostPin;

use crate::abi::{Block, GLOBAL, header, maps};
use crate::attached;
use crate::fault::{Fault, Object, Of};
use crate::guard;
use crate::kernel::{BlockSet, CreateError, Kernel, Map, OpenError, not_there};
use crate::object::{self, BlockPrograms};
use crate::pins::{self, Pins};
use crate::rodata::Reader;
use crate::sys::{self, ProgramInfo, Update};

/// The block table's places.
const TABLE: [(u32, &str); 3] = [
    (Block::PL_BLOCK_JUDGE_OUT.0, "judge_out"),
    (Block::PL_BLOCK_JUDGE_IN.0, "judge_in"),
    (Block::PL_BLOCK_NEIGHBOUR.0, "neighbour"),
];

/// The program that starts the timer.
pub(crate) const SWEEP: &str = "sweep_start";

/// The program that stands behind links.
const GUARD: &str = "guard";

/// Every program of a set.
const BLOCKS: [&str; 5] = [TABLE[0].1, TABLE[1].1, TABLE[2].1, GUARD, SWEEP];

/// How often the timer is asked to start. The kernel takes memory for a timer without waiting for
/// it (`__bpf_async_init` in kernel/bpf/helpers.c), so there may be none just then.
const ATTEMPTS: usize = 100;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(1);

/// Runs `sweep_start`.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel tells nobody when it has memory again"
)]
pub(crate) fn start_sweep(program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attempts = 1;
    loop {
        let answer = sys::test_run(program, &[0; 64], 0, 0)?.answer;
        let errno = i32::try_from(answer).unwrap_or(i32::MAX);
        match io::Error::from_raw_os_error(errno) {
            _ if errno == 0 => return Ok(()),
            error if error.kind() == io::ErrorKind::OutOfMemory && attempts < ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(BETWEEN_ATTEMPTS);
            }
            error => return Err(error),
        }
    }
}

/// A hash as metadata has it.
pub(crate) fn read_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

impl Kernel {
    /// Loads the embedded blocks into a new, pinned block table. Nothing is done where the table in
    /// use is whole and of this code. Programs reach the new table once they are swapped.
    pub fn replace_blocks(&mut self) -> Result<(), CreateError> {
        if !self.is_whole() {
            let base = self.pins.base().to_owned();
            *self = Self::create(&base)?;
        }
        if self
            .blocks
            .as_ref()
            .is_some_and(|blocks| blocks.code == header::BLOCK_CODE)
        {
            return Ok(());
        }
        let loaded = object::load_blocks(&self.map_fds(), self.jiffies_per_second)?;
        self.start_blocks(&loaded)?;
        self.blocks = self.find_blocks()?;
        Ok(())
    }

    /// Maps, and programs of the set of blocks in use, whose pins are gone.
    pub(crate) fn lost_pins(&self) -> Result<Vec<LostPin>, Fault> {
        let mut lost = Vec::new();
        for name in self.unpinned() {
            lost.push(pins::lost(name, &self.pins.map(name))?);
        }
        if let Some(blocks) = &self.blocks {
            for name in BLOCKS {
                let path = self.pins.block(&blocks.name, name);
                if self.open_block(&path, name)?.is_none() {
                    lost.push(pins::lost(name, &path)?);
                }
            }
        }
        Ok(lost)
    }

    /// A program of a set, if it is pinned under its own name.
    fn open_block(&self, path: &Path, name: &str) -> Result<Option<OwnedFd>, Fault> {
        let Some(program) = self.pins.open_program(path)? else {
            return Ok(None);
        };
        let info = sys::program_info(program.as_fd());
        let info = info.of("look at", || Object::Path(path.to_owned()))?;
        let expected = if name == GUARD { guard::NAME } else { name };
        Ok((info.name == expected).then_some(program))
    }

    /// Pins anew what is there and has lost its pin: maps, and blocks, which are loaded once more
    /// for that, for nothing else may hold them. The timer goes with the pin of its map.
    pub fn restore_pins(&mut self) -> Result<(), CreateError> {
        self.pin_maps()?;
        let lost = self.lost_pins()?;
        if let Some(blocks) = self.blocks.as_ref().filter(|_| !lost.is_empty()) {
            let loaded = object::load_blocks(&self.map_fds(), self.jiffies_per_second)?;
            for (program, fd) in &loaded.programs {
                if lost.iter().any(|pin| pin.name == *program) {
                    pins::pin(fd.as_fd(), &self.pins.block(&blocks.name, program))?;
                }
            }
        }
        self.restart_sweep()
    }

    /// Of several sets the one of the embedded code, else the newest.
    pub(crate) fn find_blocks(&self) -> Result<Option<BlockSet>, OpenError> {
        let mut reader = Reader::default();
        let mut best: Option<BlockSet> = None;
        for name in self.pins.listing()?.blocks.keys() {
            let Some(set) = self.open_blocks(name, &mut reader)? else {
                continue;
            };
            let rank = |set: &BlockSet| (set.code == header::BLOCK_CODE, set.table.id);
            if best.as_ref().is_none_or(|best| rank(&set) > rank(best)) {
                best = Some(set);
            }
        }
        Ok(best)
    }

    /// A pinned set, if it is whole and works on the maps we have.
    fn open_blocks(&self, name: &str, reader: &mut Reader) -> Result<Option<BlockSet>, OpenError> {
        let path = self.pins.block_table(name);
        let object = || Object::Path(path.clone());
        let table = self.pins.open_map(&path)?;
        let guard = self.open_block(&self.pins.block(name, GUARD), GUARD)?;
        let (Some(table), Some(guard)) = (table, guard) else {
            return Ok(None);
        };
        let table = Map::of(table, object)?;
        let mut code = None;
        for (index, _) in TABLE {
            let mut id = [0; 4];
            if !sys::lookup(table.fd.as_fd(), &index.to_ne_bytes(), &mut id).of("read", object)? {
                return Ok(None);
            }
            let Some(program) = attached::program(u32::from_ne_bytes(id))? else {
                return Ok(None);
            };
            if self.works_on_others(&program)? {
                return Ok(None);
            }
            let constants = reader.read(&program, |id| self.is_global(id))?;
            code = constants.and_then(|c| read_hash(c.text("bpf_metadata_build")?));
        }
        let name = name.to_owned();
        Ok(code.map(|code| BlockSet {
            name,
            code,
            table,
            guard,
        }))
    }

    /// Whether a program holds a map of one of our names that is not the one we have.
    fn works_on_others(&self, program: &ProgramInfo) -> Result<bool, Fault> {
        for &id in program.maps.iter().filter(|id| !self.is_global(**id)) {
            let object = || Object::Id("map", id);
            let map = sys::map_by_id(id).of("open", object)?;
            let info = sys::map_info(map.as_fd()).of("look at", object)?;
            if GLOBAL.iter().any(|shape| shape.name == info.name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Pins loaded blocks as a new set and lets them take the timer over.
    pub(crate) fn start_blocks(&self, loaded: &BlockPrograms) -> Result<(), CreateError> {
        self.pin_blocks(loaded)?;
        let sweep = loaded.programs.get(SWEEP).ok_or_else(|| not_there(SWEEP))?;
        start_sweep(sweep.as_fd()).map_err(CreateError::Sweep)
    }

    /// Starts the timer once more: the kernel ends it with the last user reference of its map.
    pub(crate) fn restart_sweep(&self) -> Result<(), CreateError> {
        let Some(blocks) = &self.blocks else {
            return Ok(());
        };
        let path = self.pins.block(&blocks.name, SWEEP);
        let sweep = self.open_block(&path, SWEEP)?;
        let started = sweep.map_or(Ok(()), |sweep| start_sweep(sweep.as_fd()));
        started.map_err(CreateError::Sweep)
    }

    /// Fills the table of loaded blocks and pins it, the table last.
    fn pin_blocks(&self, loaded: &BlockPrograms) -> Result<(), Fault> {
        for (index, program) in TABLE {
            let program = loaded
                .programs
                .get(program)
                .ok_or_else(|| not_there("blocks"))?;
            let number = program.as_raw_fd().to_ne_bytes();
            sys::update(
                loaded.table.as_fd(),
                &index.to_ne_bytes(),
                &number,
                Update::Any,
            )
            .of("fill", || Object::Map(maps::BLOCKS.name))?;
        }
        let name = Pins::new_block_set(&header::BLOCK_CODE, &self.pins.listing()?);
        self.pins.make_block_set(&name)?;
        for (program, fd) in &loaded.programs {
            pins::pin(fd.as_fd(), &self.pins.block(&name, program))?;
        }
        pins::pin(loaded.table.as_fd(), &self.pins.block_table(&name))
    }
}
