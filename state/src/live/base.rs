//! The commit record and the two slots, as they were found.

use std::fmt;

use crate::target::tables::Tables;
use crate::words::generation::{CommitRecord, Generation, Slot};

/// The global state below the base directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Version of the layouts of its maps.
    pub layout: u32,
    /// Hash of the shared blocks that its block table holds.
    pub block_code: [u8; 32],
    /// The commit record.
    pub record: CommitRecord,
    /// The two slots, A first.
    pub slots: [LiveSlot; 2],
    /// Maps and blocks that have lost their pins and are still there.
    pub unpinned: Vec<LostPin>,
    /// Tables that a slot has lost whole.
    pub lost: Vec<LostTable>,
}

/// A pin that is not there, of something that is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostPin {
    /// Its name.
    pub name: String,
    /// Something else stands in its place.
    pub taken: bool,
}

/// A table that a slot has no map of any more. To packets it is one without rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostTable {
    /// Whose.
    pub slot: Slot,
    /// Which.
    pub table: String,
}

impl fmt::Display for LostTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of slot {}", self.table, self.slot)
    }
}

impl Base {
    /// One of the two slots.
    pub fn slot(&self, slot: Slot) -> &LiveSlot {
        &self.slots[slot.index() as usize & 1]
    }

    /// The slot that packets use.
    pub fn live_slot(&self) -> &LiveSlot {
        self.slot(self.record.slot)
    }

    /// The slot that packets do not use, or not any more once a barrier has passed.
    pub fn other_slot(&self) -> &LiveSlot {
        self.slot(self.record.slot.other())
    }

    /// The commits that were gone back from and are held: no run makes one of them live unless it
    /// is told to.
    pub fn held(&self) -> &[String] {
        &self.live_slot().held
    }

    /// Whether the last store has settled. After one that swung back the live slot still says so,
    /// but of its own, earlier generation.
    pub fn is_settled(&self) -> bool {
        let slot = self.live_slot();
        let first = self.record.generation == Generation(0);
        first || (slot.mark == SlotMark::Settled && slot.generation == self.record.generation)
    }

    /// Whether the record was taken back by others: a generation that was stored is not below it,
    /// so connections may have cached its number under other tables. (A store that swings back is
    /// above all of them.) Or it was put where no store gets, and is not counted on from there.
    pub fn is_rewound(&self) -> bool {
        let other = self.other_slot();
        let is = self.record.generation;
        // A run that was to mend it has died, or one that left out what connections have cached:
        // that, too, was stored once.
        let skips = other.generation > is.next() && other.generation.is_reached();
        let stored = match other.mark {
            SlotMark::Settled => other.generation >= is && other.generation.is_reached(),
            SlotMark::Ready => other.generation == is || skips,
            SlotMark::Preparing => skips,
            SlotMark::Empty => false,
        };
        stored || self.live_slot().generation > is || self.is_beyond()
    }

    /// Whether the record is where no store gets: others have put it there.
    pub fn is_beyond(&self) -> bool {
        let is = self.record.generation;
        let confirmed = self.live_slot().generation == is;
        !is.is_reached() || !(confirmed || is.is_believed())
    }

    /// The highest generation that anything of it names and a store can have given.
    pub fn highest(&self) -> Generation {
        let slots = self.slots.iter().map(|slot| slot.generation);
        let record = (!self.is_beyond()).then_some(self.record.generation);
        let reached = slots
            .chain(record)
            .filter(|generation| generation.is_reached());
        reached.max().unwrap_or_default()
    }

    /// The generation of the next commit: above every one that was stored.
    pub fn next_generation(&self) -> Generation {
        if !self.is_rewound() {
            return self.record.generation.next();
        }
        // A store that swung back has taken the number after the highest.
        let next = self.highest().next().next();
        match next.cached() == self.record.generation.cached() {
            true => next.next(),
            false => next,
        }
    }
}

/// How far a slot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotMark {
    /// Never written.
    #[default]
    Empty,
    /// Being written, or left so by a run that died.
    Preparing,
    /// Written and read back.
    Ready,
    /// Written, read back, committed, and what the commit removed has been taken down.
    Settled,
}

/// How many commits are held at most.
pub const HELD_MOST: usize = 8;

/// One slot as read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSlot {
    /// How far it is.
    pub mark: SlotMark,
    /// The generation it was made for, and once it has settled the one that it is live as.
    pub generation: Generation,
    /// The git commit (hex), or the content hash of a directory.
    pub commit: String,
    /// The git tree (hex), or the same content hash.
    pub tree: String,
    /// When it was committed: seconds since 1970.
    pub time_s: u64,
    /// The commits that were gone back from while this one is live, the last one first.
    pub held: Vec<String>,
    /// Its rows.
    pub tables: Tables,
    /// How many rows stand beside them that nothing of ours writes.
    pub foreign: usize,
}
