//! A kernel that refuses one system call, for all that a body starts: seccomp(2), as a sandbox does
//! it.
#![allow(
    unsafe_code,
    reason = "a filter is given to the kernel by prctl(2) alone"
)]

use std::io;
use std::thread;

use nix::libc::{
    self, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, PR_SET_SECCOMP,
    SECCOMP_MODE_FILTER, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, c_int, c_long, sock_filter,
    sock_fprog,
};

/// Offsets in `struct seccomp_data` (linux/seccomp.h): the call's number, and the low half of its
/// first argument.
const NUMBER: u32 = 0;
const FIRST: u32 = 16;

/// A call that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// Its number.
    pub call: c_long,
    /// Refused only where this is its first argument.
    pub first: Option<u32>,
    /// The error that it ends with.
    pub errno: c_int,
}

impl Refused {
    /// Runs the body on a thread for which, and for whatever it starts, the call is refused.
    ///
    /// # Panics
    /// Where the body does, or the kernel takes no filter.
    pub fn to<T: Send>(self, body: impl FnOnce() -> T + Send) -> T {
        let ended = thread::scope(|scope| {
            let filtered = scope.spawn(|| {
                self.filter().expect("the kernel takes a filter");
                body()
            });
            filtered.join()
        });
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Filters what the calling thread asks of the kernel from now on.
    fn filter(self) -> io::Result<()> {
        let load = |offset| step(BPF_LD | BPF_W | BPF_ABS, offset, 0);
        // Where it is another, the last step is the next.
        let number = u32::try_from(self.call).expect("numbers of calls are small");
        let refuse = SECCOMP_RET_ERRNO | self.errno.cast_unsigned();
        let mut steps = vec![load(NUMBER)];
        match self.first {
            None => steps.push(step(BPF_JMP | BPF_JEQ | BPF_K, number, 1)),
            Some(first) => steps.extend([
                step(BPF_JMP | BPF_JEQ | BPF_K, number, 3),
                load(FIRST),
                step(BPF_JMP | BPF_JEQ | BPF_K, first, 1),
            ]),
        }
        steps.push(step(BPF_RET | BPF_K, refuse, 0));
        steps.push(step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0));
        let program = sock_fprog {
            len: u16::try_from(steps.len()).expect("few steps"),
            filter: steps.as_mut_ptr(),
        };
        // SAFETY: the program and its steps live until the call ends, and the kernel copies them.
        let taken = unsafe {
            libc::prctl(
                PR_SET_SECCOMP,
                SECCOMP_MODE_FILTER,
                &raw const program,
                0,
                0,
            )
        };
        match taken {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A step of a filter; a jump that does not hold goes so many steps further.
fn step(code: u32, value: u32, otherwise: u8) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).expect("codes of steps are small"),
        jt: 0,
        jf: otherwise,
        k: value,
    }
}
