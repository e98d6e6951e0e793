//! What lives beside the kernel: the lock, the run and state directories, the journal.
//!
//! None of it says what is live; the kernel does. All of it may be lost.

pub mod files;
