//! What lives beside the kernel: the lock, the run and state directories, the journal, and copies
//! of trees that no commit holds.
//!
//! None of it says what is live; the kernel does. All of it may be lost, and each reader says what
//! it could not read instead of stopping the run.

pub mod files;
pub mod dirs;
pub mod lock;
pub mod journal;
pub mod copy;
pub mod suspended;
pub mod attempt;
pub mod grace;

pub use copy::CopyError;
pub use dirs::DirsError;
pub use journal::JournalError;
pub use lock::{Lock, LockError};
