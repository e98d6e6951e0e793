//! The commit: one 64-bit store, and what stands around it.
//!
//! The generation only grows, also when a failed commit swings back: a connection that cached the
//! generation of the failed one must not be believed by a later commit of the same number. (Where
//! others have put the record beyond what any store gives, the next goes back to what was stored.)
//!
//! Neither the store nor a link update waits for packets that are under way; the barrier does.

use std::os::fd::{AsFd, AsRawFd};

use state::live::SlotMark;
use state::words::generation::{CommitRecord, Generation, Slot};

use crate::abi::maps;
use crate::fault::{Fault, Object, Of};
use crate::kernel::Kernel;
use crate::slots::SlotError;
use crate::sys::{self, Update};

/// Why the record is not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The generation would not grow.
    #[error("generation {asked} is not above {live}, which is live: the record was not written")]
    Generation {
        /// What was to be stored.
        asked: Generation,
        /// What is live.
        live: Generation,
    },
    /// The slot is not one that packets may use.
    #[error("slot {slot} is {mark:?}, not ready: the record was not written")]
    Mark {
        /// Which.
        slot: Slot,
        /// How far it is.
        mark: SlotMark,
    },
    /// The kernel refused a call before the store.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

impl Kernel {
    /// The commit: from the next packet on every verdict is the slot's.
    pub fn store(&self, record: CommitRecord) -> Result<(), StoreError> {
        let live = self.record().generation;
        if record.generation <= live && live.is_reached() {
            return Err(StoreError::Generation {
                asked: record.generation,
                live,
            });
        }
        let mark = self.slot_info(record.slot)?.mark;
        // An empty slot has no container: everything is closed, as before the first commit.
        if mark == SlotMark::Preparing {
            return Err(StoreError::Mark {
                slot: record.slot,
                mark,
            });
        }
        self.record.store(record.to_word());
        Ok(())
    }

    /// Waits until no packet is in a program that has been replaced or reads by an older record:
    /// the kernel answers an update of a map of maps only after a grace period.
    pub fn barrier(&self) -> Result<(), Fault> {
        let object = || Object::Map(maps::BARRIER.name);
        let outer = self.need(&maps::BARRIER)?;
        let inner = maps::BARRIER.inner.unwrap_or(&maps::BARRIER);
        let fresh = sys::map_create(inner, inner.entries).of("make", object)?;
        sys::update(
            outer.fd.as_fd(),
            &0_u32.to_ne_bytes(),
            &fresh.as_raw_fd().to_ne_bytes(),
            Update::Any,
        )
        .of("write", object)
    }
}
