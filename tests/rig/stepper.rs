//! A program that is stopped at its system calls, one after the other, and killed at one of them.
//!
//! What lies between two calls, such as a store to memory that is shared with the kernel, has its
//! two stops as well: the call before it and the one after.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// It ended before that call.
    Ended {
        /// With this code.
        code: i32,
        /// How many calls its threads had made.
        calls: usize,
    },
    /// It was killed on entry to the call, which was not made.
    Killed,
}

/// Runs a command and kills it on entry to the `at`-th of the system calls of all its threads, from
/// 0.
///
/// # Panics
/// Where it cannot be started or traced.
pub fn killed_at(command: &mut Command, at: usize) -> Stepped {
    let mut left = at;
    stepped(command, |_| {
        left = left.wrapping_sub(1);
        left != usize::MAX
    })
}

/// Runs a command and asks at each system call of each of its threads, on entry, whether it may go
/// on; if not, it is killed there. What is asked gets the thread's id.
///
/// # Panics
/// Where it cannot be started or traced.
pub fn stepped(command: &mut Command, mut goes_on: impl FnMut(i32) -> bool) -> Stepped {
    let quiet = command.stdin(Stdio::null());
    let quiet = quiet.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn().expect("it starts");
    let leader = Pid::from_raw(child.id().cast_signed());
    let options =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACECLONE;
    ptrace::seize(leader, options).expect("root may trace its child");
    ptrace::interrupt(leader).expect("it is traced");
    let (mut calls, mut killed) = (0, false);
    // Threads that are in a call: their next stop is on return from it.
    let mut inside = BTreeSet::new();
    loop {
        // Threads as well, but none that another thread of ours has started.
        let stop = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD));
        let stop = stop.expect("it is our child");
        let thread = stop.pid().expect("somebody has stopped");
        match stop {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) if thread == leader => {
                // It has been waited for already, which is no news to who asks for its code.
                drop(child.wait());
                return match stop {
                    WaitStatus::Exited(_, code) if !killed => Stepped::Ended { code, calls },
                    _ if killed => Stepped::Killed,
                    other => panic!("{other:?}"),
                };
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => continue,
            WaitStatus::PtraceSyscall(_) if inside.remove(&thread) => {}
            WaitStatus::PtraceSyscall(_) if !killed => {
                if goes_on(thread.as_raw()) {
                    calls += 1;
                    inside.insert(thread);
                } else {
                    child.kill().expect("it is there");
                    killed = true;
                }
            }
            _ => {}
        }
        // One that has been killed is no more to be told.
        let told = ptrace::syscall(thread, None);
        assert!(
            told.is_ok() || killed || told == Err(Errno::ESRCH),
            "{told:?}"
        );
    }
}
