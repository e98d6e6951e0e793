//! The loader on the real kernel: each test in namespaces and on a bpffs of its own, side by side.

mod rig;
mod base;
