//! Whether this kernel can do it: tried, not guessed from its version.
//!
//! Everything is tried on objects that nobody else sees: maps and programs without a pin, and a
//! link on the loopback interface of a network namespace that ends with the thread that made it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use crate::blocks::{SWEEP, start_sweep};
use crate::object::{self, BlockPrograms, LoadError};
use crate::sys::{self, Hook};

/// Something that the kernel must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// The bpf system call, for this caller.
    Bpf,
    /// Types of programs and maps (BTF), and every helper that the shared blocks call.
    Programs,
    /// Timers that reclaim expired connections.
    Timers,
    /// tcx links.
    Tcx,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bpf => "the bpf system call",
            Self::Programs => "the shared programs",
            Self::Timers => "timers in maps",
            Self::Tcx => "tcx links",
        })
    }
}

/// What this kernel lacks, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Lack {
    /// The caller may not.
    #[error(
        "the kernel refuses the bpf system call ({0}): run as root; in a container of an engine, \
         give it CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN"
    )]
    Bpf(io::Error),
    /// The programs are not taken.
    #[error(
        "{0}\nA kernel from 6.6 with CONFIG_BPF_SYSCALL, CONFIG_BPF_JIT and \
             CONFIG_DEBUG_INFO_BTF takes them"
    )]
    Programs(LoadError),
    /// The timer does not start.
    #[error("a timer in a map does not start ({0}): a kernel from 6.6 has them")]
    Timers(io::Error),
    /// There are no tcx links.
    #[error(
        "this kernel has no tcx links ({source}); it is {release}, and they came with 6.6: install \
         a newer kernel (Debian 12: linux-image-amd64 from bookworm-backports)"
    )]
    Tcx {
        /// The kernel's answer.
        source: io::Error,
        /// Its release, as it names itself.
        release: String,
    },
    /// No network namespace could be made to try in.
    #[error("no network namespace can be made to try tcx links in: {0}")]
    Namespace(io::Error),
}

impl Lack {
    /// What is lacking.
    pub fn feature(&self) -> Feature {
        match self {
            Self::Bpf(_) => Feature::Bpf,
            Self::Programs(_) => Feature::Programs,
            Self::Timers(_) => Feature::Timers,
            Self::Tcx { .. } | Self::Namespace(_) => Feature::Tcx,
        }
    }
}

/// Tries everything, in order; the first lack ends it. What it found, if it found all.
pub fn probe() -> Result<Vec<Feature>, Lack> {
    object::quiet();
    sys::jiffies()
        .and_then(|clock| clock.now())
        .map_err(Lack::Bpf)?;
    let jiffies_per_second = sys::jiffies_per_second().map_err(Lack::Bpf)?;
    let blocks = object::load_blocks(&BTreeMap::new(), jiffies_per_second);
    let blocks = blocks.map_err(Lack::Programs)?;
    let sweep = blocks.programs.get(SWEEP);
    let sweep = sweep.ok_or_else(|| Lack::Timers(io::ErrorKind::NotFound.into()))?;
    start_sweep(sweep.as_fd()).map_err(Lack::Timers)?;
    attach_aside(&blocks)?;
    Ok(vec![
        Feature::Bpf,
        Feature::Programs,
        Feature::Timers,
        Feature::Tcx,
    ])
}

/// Attaches a program to the loopback interface of a new network namespace.
fn attach_aside(blocks: &BlockPrograms) -> Result<(), Lack> {
    /// The index of `lo` in every network namespace (net/core/dev.c).
    const LOOPBACK: u32 = 1;
    let guard = blocks.programs.get("guard");
    let tried = std::thread::scope(|scope| {
        let aside = scope.spawn(|| {
            sys::leave_network().map_err(Lack::Namespace)?;
            let guard = guard.ok_or_else(|| tcx(io::ErrorKind::NotFound.into()))?;
            sys::attach_first(guard.as_fd(), LOOPBACK, Hook::Ingress).map_err(tcx)
        });
        aside.join()
    });
    match tried {
        Ok(tried) => tried.map(drop),
        Err(_) => Err(tcx(io::Error::other("the trial ended early"))),
    }
}

fn tcx(source: io::Error) -> Lack {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Lack::Tcx {
        source,
        release: release.trim().to_owned(),
    }
}
