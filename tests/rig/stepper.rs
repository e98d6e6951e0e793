//! A program that is stopped at its system calls, one after the other, and killed at one of them.
//!
//! What lies between two calls, such as a store to memory that is shared with the kernel, has its
//! two stops as well: the call before it and the one after.

use std::process::{Command, Stdio};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// It ended before that call.
    Ended {
        /// With this code.
        code: i32,
        /// How many calls its main thread had made.
        calls: usize,
    },
    /// It was killed on entry to the call, which was not made.
    Killed,
}

/// Runs a command and kills it on entry to the `at`-th system call of its main thread, from 0.
/// Calls of other threads are made and not counted.
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

/// Runs a command and asks at each system call of its main thread, on entry, whether it may go on;
/// if not, it is killed there. What is asked gets its pid.
///
/// # Panics
/// Where it cannot be started or traced.
pub fn stepped(command: &mut Command, mut goes_on: impl FnMut(i32) -> bool) -> Stepped {
    let quiet = command.stdin(Stdio::null());
    let quiet = quiet.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn().expect("it starts");
    let pid = Pid::from_raw(child.id().cast_signed());
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("root may trace its child");
    ptrace::interrupt(pid).expect("it is traced");
    // The next stop at a call is on entry to it, and the one after it on return.
    let (mut calls, mut entry) = (0, true);
    loop {
        match waitpid(pid, None).expect("it is our child") {
            WaitStatus::Exited(_, code) => {
                child.wait().ok();
                return Stepped::Ended { code, calls };
            }
            WaitStatus::PtraceSyscall(_) => {
                if entry && !goes_on(pid.as_raw()) {
                    break;
                }
                calls += usize::from(entry);
                entry = !entry;
            }
            WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) => {}
            other => panic!("{other:?}"),
        }
        ptrace::syscall(pid, None).expect("it has stopped");
    }
    child.kill().expect("it is there");
    child.wait().expect("it is our child");
    Stepped::Killed
}
