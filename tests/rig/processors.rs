//! The processors that a test may use, and threads that stay on one of them.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Those that the calling thread may use, by number.
pub fn allowed() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("whoever runs knows where it may");
    let is_allowed = |cpu: &usize| allowed.is_set(*cpu).expect("a number of the set");
    (0..CpuSet::count()).filter(is_allowed).collect()
}

/// Keeps the calling thread, and what it starts from now on, on a processor.
pub fn stay_on(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu).expect("a number of the set");
    sched_setaffinity(Pid::from_raw(0), &only).expect("a processor that it may use");
}
