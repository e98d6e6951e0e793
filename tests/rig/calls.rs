//! What a program asks of the kernel that changes something: bpf(2) and rtnetlink, counted at its
//! system calls.
//!
//! A stopped process is read through `/proc`: `syscall` has the number and the arguments of the
//! call (proc_pid_syscall(5)), `mem` what they point to, `fdinfo` what a descriptor is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use nix::libc::{
    self, O_ACCMODE, O_CREAT, O_TRUNC, SYS_bpf as BPF, SYS_openat as OPENAT,
    SYS_sendmsg as SENDMSG, SYS_sendto as SENDTO,
};

use crate::stepper::{Stepped, stepped};

/// Commands of bpf(2) that change something that lasts (linux/bpf.h), save those that write to
/// maps. Programs and maps that are made go with the run unless they are pinned or attached.
const COMMANDS: [(u64, &str); 6] = [
    (6, "pin"),
    (8, "program attach"),
    (9, "program detach"),
    (28, "link create"),
    (29, "link update"),
    (34, "link detach"),
];
const MAP_UPDATE: u64 = 2;
const MAP_DELETE: u64 = 3;
const MAP_UPDATE_BATCH: u64 = 26;
const MAP_DELETE_BATCH: u64 = 27;
/// Commands of bpf(2) that leave something: maps that are written to, programs that run, and those
/// of [`COMMANDS`].
const BPF_LASTS: [u64; 13] = [2, 3, 6, 8, 9, 10, 21, 24, 26, 27, 28, 29, 34];
/// System calls that leave nothing behind when the process is killed.
const PASSES: [i64; 55] = [
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_bind,
    libc::SYS_brk,
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockname,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_openat2,
    libc::SYS_poll,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_read,
    libc::SYS_readlink,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_sigaltstack,
    libc::SYS_socket,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_uname,
];
const PROGRAM_LOAD: u64 = 5;
/// The programs that a container has; others that are loaded ask the kernel what it can do.
const PROGRAMS: [&str; 2] = ["from_container", "to_container"];
/// Types of maps.
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const TRIE: u32 = 11;
/// As many endpoints as a slot has room for (`PL_ENDPOINTS_MOST`).
const ENDPOINTS_MOST: u32 = 8_192;
/// Offsets in `union bpf_attr`: of a program's name; of the map's descriptor for one element; of
/// count and descriptor for a batch.
const PROGRAM_NAME: u64 = 48;
const ONE_MAP: u64 = 0;
const BATCH_COUNT: u64 = 32;
const BATCH_MAP: u64 = 36;

/// How often each was asked. Writes to maps are counted by element, under what the map is: `rows`
/// of the tables in which a plan counts, `interfaces` (the table that follows from that of
/// endpoints), `marks` (all others); programs of containers that are loaded under `programs`, files
/// below `/proc/sys` that are opened to be written under `sysctls`.
pub type Calls = BTreeMap<&'static str, usize>;

/// Runs a command to its end, and counts. Its exit code, and the counts.
///
/// # Panics
/// Where it cannot be started, traced or read.
pub fn count(command: &mut Command) -> (i32, Calls) {
    let mut calls = Calls::new();
    let ended = stepped(command, |pid| {
        let process = Process(pid);
        if let Some((what, count)) = process.change() {
            *calls.entry(what).or_default() += count;
        }
        true
    });
    match ended {
        Stepped::Ended { code, .. } => (code, calls),
        Stepped::Killed => unreachable!("nobody stops it"),
    }
}

/// Runs a command and kills it once it has changed something so many times: on entry to the call
/// after the one that did. What it changes is all that may outlive it, and what `memory` gives,
/// which is asked at each call: what is stored to memory that is shared is stored by no call.
/// Whether it was killed, and what it has changed.
///
/// # Panics
/// Where it cannot be started, traced or read.
pub fn killed_after<T: PartialEq>(
    command: &mut Command,
    changes: usize,
    mut memory: impl FnMut() -> T,
) -> (Stepped, Changes) {
    let (mut seen, mut changing, mut last) = (Changes::default(), false, memory());
    let ended = stepped(command, |thread| {
        let now = memory();
        seen.count += usize::from(changing);
        if now != last {
            seen.count += 1;
            seen.stored.push(seen.count);
        }
        last = now;
        changing = Process(thread).lasts();
        seen.count < changes
    });
    (ended, seen)
}

/// What a run has changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// How often it has changed something.
    pub count: usize,
    /// Which of these, from 1, were stores to memory.
    pub stored: Vec<usize>,
}

/// A thread that has stopped on entry to a system call.
struct Process(i32);

impl Process {
    fn change(&self) -> Option<(&'static str, usize)> {
        let (number, arguments) = self.call();
        match number {
            BPF => self.bpf(arguments[0], arguments[1]),
            SENDTO => self.netlink(arguments[1]),
            OPENAT => self.sysctl(arguments[1], arguments[2]),
            SENDMSG => panic!("a message of another kind than is read here"),
            _ => None,
        }
    }

    /// Whether the call may leave anything that outlives the process. Whatever is not known to
    /// leave nothing does.
    fn lasts(&self) -> bool {
        let (number, arguments) = self.call();
        match number {
            BPF => BPF_LASTS.contains(&arguments[0]),
            SENDTO => self.netlink(arguments[1]).is_some(),
            OPENAT => arguments[2] & (O_CREAT | O_TRUNC) as u64 != 0,
            other => !PASSES.contains(&other),
        }
    }

    fn call(&self) -> (i64, Vec<u64>) {
        let text = fs::read_to_string(format!("/proc/{}/syscall", self.0)).expect("it has stopped");
        let mut words = text.split_whitespace();
        let number = words.next().and_then(|word| word.parse().ok());
        let arguments = words.filter_map(hexadecimal).collect();
        (number.expect("it is in a call"), arguments)
    }

    fn bpf(&self, command: u64, attributes: u64) -> Option<(&'static str, usize)> {
        let written = match command {
            PROGRAM_LOAD => {
                let name = self.text(attributes + PROGRAM_NAME);
                return PROGRAMS.contains(&&name[..]).then_some(("programs", 1));
            }
            MAP_UPDATE | MAP_DELETE => (ONE_MAP, 1),
            MAP_UPDATE_BATCH | MAP_DELETE_BATCH => (BATCH_MAP, self.word(attributes + BATCH_COUNT)),
            other => {
                let found = COMMANDS.iter().find(|(number, _)| *number == other)?;
                return Some((found.1, 1));
            }
        };
        let map = self.word(attributes + written.0);
        let kind = self.map(map)?;
        let count = usize::try_from(written.1).expect("a count");
        Some((kind, count))
    }

    /// What is written to a map, by its shape.
    fn map(&self, descriptor: u32) -> Option<&'static str> {
        let info = format!("/proc/{}/fdinfo/{descriptor}", self.0);
        let info = fs::read_to_string(info).ok()?;
        let number = |name: &str| {
            let found = info.lines().find_map(|line| line.strip_prefix(name))?;
            found.trim().parse().ok()
        };
        let shape = [
            number("map_type:")?,
            number("key_size:")?,
            number("value_size:")?,
        ];
        Some(match (shape, number("max_entries:")?) {
            ([HASH, 4, 4], _) => "interfaces",
            ([HASH | TRIE, ..], _) | ([ARRAY, ..], ENDPOINTS_MOST) => "rows",
            _ => "marks",
        })
    }

    /// Of rtnetlink(7) every fourth type asks (RTM_GETLINK is 18); of other families (netfilter,
    /// from 256) all that are sent here do.
    fn netlink(&self, buffer: u64) -> Option<(&'static str, usize)> {
        let kind = self.word(buffer + 4) & 0xffff;
        let asks = kind >= 256 || kind % 4 == 2;
        (!asks).then_some(("netlink", 1))
    }

    fn sysctl(&self, path: u64, flags: u64) -> Option<(&'static str, usize)> {
        let writes = flags & O_ACCMODE as u64 != 0;
        (writes && self.text(path).starts_with("/proc/sys/")).then_some(("sysctls", 1))
    }

    fn word(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.memory()
            .read_exact_at(&mut bytes, at)
            .expect("it points there");
        u32::from_ne_bytes(bytes)
    }

    /// The first bytes of a text that ends with a zero.
    fn text(&self, at: u64) -> String {
        let mut bytes = [0; 16];
        self.memory()
            .read_exact_at(&mut bytes, at)
            .expect("it points there");
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    fn memory(&self) -> File {
        File::open(format!("/proc/{}/mem", self.0)).expect("it is our child")
    }
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}
