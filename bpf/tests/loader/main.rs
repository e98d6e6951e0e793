//! The loader on the real kernel: each test in namespaces and on a bpffs of its own, side by side.

#![allow(clippy::unwrap_used, clippy::expect_used)]

// A part of the build script: how C is compiled.
#[allow(dead_code)]
#[path = "../../build/clang.rs"]
mod clang;
mod rig;
mod base;
mod slots;
mod programs;
mod recovery;
mod traffic;
mod complexity;
