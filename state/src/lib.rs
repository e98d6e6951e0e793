//! What Plumbline thinks, and nothing it does.
//!
//! ```text
//! source -> documents -> desired -> target --\
//!                                             diff -> plan, drift
//! kernel --------------------------> live --/
//! ```
//!
//! Everything here is pure: the same input gives the same output, with no clock, no system call and
//! no global. `reconciler` reads sources and the kernel and executes plans; `bpf` turns the typed
//! entries of a [`target::Target`] into kernel bytes and back. The modules stand in the order in
//! which the data flows; each imports only what stands above it.

#![forbid(unsafe_code)]

pub mod words;
pub mod documents;
pub mod desired;
pub mod target;
pub mod reach;
pub mod live;
pub mod diff;
pub mod plan;
pub mod drift;
