//! The command line as its users meet it: stdout, stderr and exit code of each run together. None
//! needs root or a kernel; what does is in the workspace's tests/e2e.

#![expect(
    clippy::unwrap_used,
    reason = "clippy spares test functions, not what they share"
)]

mod run;
mod manual;
mod usage;
mod tree;
mod begin;
