//! The main job, to watch: a commit becomes policy on real traffic, an edit becomes a diff, and
//! what is still allowed does not notice.
//!
//! Everything happens in network and mount namespaces of the demo's own, on the tree of
//! `examples/shop`: the machine's network, its `/run`, `/etc` and `/sys/fs/bpf` are not touched,
//! and all of it goes with the process.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that shows"
)]
#![allow(
    clippy::expect_used,
    reason = "what the demo cannot show is its failure"
)]

mod show;

use std::process::ExitCode;

use rig::lab::Lab;
use rig::machine;

fn main() -> ExitCode {
    if let Some(lack) = machine::lack("demo") {
        eprintln!("demo: {lack}");
        return ExitCode::FAILURE;
    }
    Lab::run_or("demo", show::failed, show::show);
    ExitCode::SUCCESS
}
