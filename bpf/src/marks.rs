//! What the two slots are marked as, and what each was made from.

use std::os::fd::AsFd;

use state::live::{HELD_MOST, SlotMark};
use state::words::generation::{Generation, Slot};

use crate::abi::{MarkNumber, SlotRow, header, maps};
use crate::fault::{Fault, Object, Of};
use crate::kernel::Kernel;
use crate::slots::SlotError;
use crate::sys::{self, Update, bytes_of};

/// What a slot was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotInfo {
    /// How far it is.
    pub mark: SlotMark,
    /// The generation it was made for.
    pub generation: Generation,
    /// The git commit (hex), or the content hash of a directory.
    pub commit: String,
    /// The git tree (hex), or the same content hash.
    pub tree: String,
    /// When it was committed: seconds since 1970.
    pub time_s: u64,
    /// The commits that were gone back from while this one is live, the last one first: as many as
    /// there is room for ([`HELD_MOST`]).
    pub held: Vec<String>,
}

impl Kernel {
    /// What a slot was made from.
    pub fn slot_info(&self, slot: Slot) -> Result<SlotInfo, SlotError> {
        let row = self.slot_row(slot)?;
        Ok(SlotInfo {
            mark: match MarkNumber(row.mark) {
                MarkNumber::PL_READY => SlotMark::Ready,
                MarkNumber::PL_SETTLED => SlotMark::Settled,
                MarkNumber::PL_EMPTY => SlotMark::Empty,
                _ => SlotMark::Preparing,
            },
            generation: Generation(row.generation),
            commit: read_name(&row.commit),
            tree: read_name(&row.tree),
            time_s: row.time_s,
            held: read_names(&row.held),
        })
    }

    /// From here on the slot is no rollback: it is being written for this generation.
    pub fn mark_preparing(&self, slot: Slot, generation: Generation) -> Result<(), SlotError> {
        self.refuse_live(slot)?;
        let info = SlotInfo {
            mark: SlotMark::Preparing,
            generation,
            ..SlotInfo::default()
        };
        self.write_slot_row(slot, &info)
    }

    /// The slot has been read back and is right: it may be committed. The mark of `info` is set.
    pub fn mark_ready(&self, slot: Slot, info: SlotInfo) -> Result<(), SlotError> {
        self.refuse_live(slot)?;
        let mark = SlotMark::Ready;
        self.write_slot_row(slot, &SlotInfo { mark, ..info })
    }

    /// The slot has been read back and is right as it is: it keeps what it is marked as, and what
    /// it was made for, until the record says that it is live.
    pub fn hold(&self, slot: Slot, held: &[String]) -> Result<(), SlotError> {
        self.refuse_live(slot)?;
        let info = SlotInfo {
            held: held.to_owned(),
            ..self.slot_info(slot)?
        };
        self.write_slot_row(slot, &info)
    }

    /// What the slot's commit removed has been taken down. `generation`: that of the record; where
    /// it is another than the slot was made for, the slot is live since `now_s`.
    pub fn mark_settled(
        &self,
        slot: Slot,
        generation: Generation,
        now_s: u64,
    ) -> Result<(), SlotError> {
        let made = self.slot_info(slot)?;
        let info = SlotInfo {
            mark: SlotMark::Settled,
            generation,
            time_s: match made.generation == generation {
                true => made.time_s,
                false => now_s,
            },
            ..made
        };
        self.write_slot_row(slot, &info)
    }

    /// Another commit whose target is the same: one write. Mark and generation of `info` do not
    /// count.
    pub fn name_commit(&self, slot: Slot, info: SlotInfo) -> Result<(), SlotError> {
        let SlotInfo {
            mark, generation, ..
        } = self.slot_info(slot)?;
        let info = SlotInfo {
            mark,
            generation,
            ..info
        };
        self.write_slot_row(slot, &info)
    }

    fn slot_row(&self, slot: Slot) -> Result<SlotRow, Fault> {
        let mut bytes = vec![0; maps::SLOTS.value_size as usize];
        if let Some(map) = self.map(&maps::SLOTS) {
            sys::lookup(map.fd.as_fd(), &slot.index().to_ne_bytes(), &mut bytes)
                .of("read", || Object::Table(maps::SLOTS.name, slot))?;
        }
        Ok(sys::value_of(&bytes).unwrap_or_default())
    }

    fn write_slot_row(&self, slot: Slot, info: &SlotInfo) -> Result<(), SlotError> {
        let mark = match info.mark {
            SlotMark::Empty => MarkNumber::PL_EMPTY,
            SlotMark::Preparing => MarkNumber::PL_PREPARING,
            SlotMark::Ready => MarkNumber::PL_READY,
            SlotMark::Settled => MarkNumber::PL_SETTLED,
        };
        let row = SlotRow {
            generation: info.generation.0,
            time_s: info.time_s,
            mark: mark.0,
            layout: u32::try_from(header::PL_LAYOUT).unwrap_or(u32::MAX),
            commit: write_name(&info.commit)?,
            tree: write_name(&info.tree)?,
            held: write_names(&info.held)?,
        };
        let map = self.need(&maps::SLOTS)?;
        let key = slot.index().to_ne_bytes();
        sys::update(map.fd.as_fd(), &key, bytes_of(&row), Update::Any)
            .of("write", || Object::Table(maps::SLOTS.name, slot))?;
        Ok(())
    }
}

fn read_name(bytes: &[i8; 72]) -> String {
    let text = bytes
        .iter()
        .take_while(|byte| **byte != 0)
        .map(|byte| byte.cast_unsigned());
    String::from_utf8_lossy(&text.collect::<Vec<u8>>()).into_owned()
}

fn write_name(name: &str) -> Result<[i8; 72], SlotError> {
    let mut bytes = [0; 72];
    if name.len() >= bytes.len() {
        return Err(SlotError::Name(name.to_owned()));
    }
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Ok(bytes)
}

type Names = [[i8; 72]; HELD_MOST];

fn read_names(names: &Names) -> Vec<String> {
    let names = names.iter().map(read_name);
    names.filter(|name| !name.is_empty()).collect()
}

fn write_names(names: &[String]) -> Result<Names, SlotError> {
    let mut rows: Names = [[0; 72]; _];
    for (to, name) in rows.iter_mut().zip(names) {
        *to = write_name(name)?;
    }
    Ok(rows)
}
