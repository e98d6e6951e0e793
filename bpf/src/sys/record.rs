//! The commit record, mapped.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

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
