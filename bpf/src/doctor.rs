//! Whether this kernel can do it: tried, not guessed from its version.
//!
//! Everything is tried on objects that nobody else sees: maps and programs without a pin, and a
//! link on the loopback interface of a network namespace that ends with the thread that made it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use state::target::constants::Constants;
use state::target::programs::BuildHash;
use state::target::tables::EndpointIndex;
use state::words::address::Mac;

use crate::blocks::{SWEEP, start_sweep};
use crate::guard::{self, GuardError};
use crate::object::{self, BlockPrograms, Build, LoadError};
use crate::sys::{self, Hook};

/// Something that the kernel must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// The bpf system call, for this caller.
    Bpf,
    /// Types of programs and maps (BTF), and every helper that our programs call.
    Programs,
    /// Timers that reclaim expired connections.
    Timers,
    /// tcx links.
    Tcx,
    /// Filters behind them, for the guard.
    Filters,
}

impl Feature {
    /// All of them. Each takes those before it.
    pub const ALL: [Self; 5] = [
        Self::Bpf,
        Self::Programs,
        Self::Timers,
        Self::Tcx,
        Self::Filters,
    ];
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bpf => "the bpf system call",
            Self::Programs => "our programs",
            Self::Timers => "timers in maps",
            Self::Tcx => "tcx links",
            Self::Filters => "eBPF filters",
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
    /// The guard is not taken.
    #[error(
        "{0}: a kernel with CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS, or their modules \
         cls_bpf and sch_ingress, takes it"
    )]
    Filters(GuardError),
    /// Trying ended early.
    #[error("a trial ended early")]
    Early,
}

impl Lack {
    /// What is lacking.
    pub fn feature(&self) -> Feature {
        match self {
            Self::Bpf(_) => Feature::Bpf,
            Self::Programs(_) => Feature::Programs,
            Self::Timers(_) => Feature::Timers,
            Self::Tcx { .. } | Self::Namespace(_) | Self::Early => Feature::Tcx,
            Self::Filters(_) => Feature::Filters,
        }
    }
}

/// Tries each, in the order of [`Feature::ALL`], until one is lacking.
///
/// # Errors
///
/// What is lacking.
pub fn probe() -> Result<(), Lack> {
    object::quiet();
    sys::jiffies()
        .and_then(|clock| clock.now())
        .map_err(Lack::Bpf)?;
    let jiffies_per_second = sys::jiffies_per_second().map_err(Lack::Bpf)?;
    let blocks = object::load_blocks(&BTreeMap::new(), jiffies_per_second);
    let blocks = blocks.map_err(Lack::Programs)?;
    load_aside(&blocks, jiffies_per_second).map_err(Lack::Programs)?;
    let sweep = blocks.programs.get(SWEEP);
    let sweep = sweep.ok_or_else(|| Lack::Timers(io::ErrorKind::NotFound.into()))?;
    start_sweep(sweep.as_fd()).map_err(Lack::Timers)?;
    attach_aside(&blocks)
}

/// Loads programs of a container that nobody has.
fn load_aside(blocks: &BlockPrograms, jiffies_per_second: u32) -> Result<(), LoadError> {
    let nobody = Constants {
        endpoint: EndpointIndex(0),
        v4: None,
        v6: None,
        mac: Mac([2; 6]),
        gateway_mac: Mac([2; 6]),
        theirs: false,
        passes: false,
        tap: false,
    };
    let mut over: BTreeMap<&str, _> = BTreeMap::new();
    for (name, map) in &blocks.made {
        over.insert(name, map.as_fd());
    }
    let build = Build::Plain(nobody, BuildHash([0; 32]));
    object::load_container(&build, &over, jiffies_per_second).map(drop)
}

/// Attaches programs to the loopback interface of a new network namespace.
fn attach_aside(blocks: &BlockPrograms) -> Result<(), Lack> {
    /// The index of `lo` in every network namespace (net/core/dev.c).
    const LOOPBACK: u32 = 1;
    let guard = blocks.programs.get("guard");
    let tried = std::thread::scope(|scope| {
        let aside = scope.spawn(|| {
            sys::leave_network().map_err(Lack::Namespace)?;
            let guard = guard.ok_or_else(|| tcx(io::ErrorKind::NotFound.into()))?;
            let link = sys::attach_first(guard.as_fd(), LOOPBACK, Hook::Ingress);
            let _link = link.map_err(tcx)?;
            guard::put(LOOPBACK, guard.as_fd()).map_err(Lack::Filters)
        });
        aside.join()
    });
    tried.unwrap_or(Err(Lack::Early))
}

fn tcx(source: io::Error) -> Lack {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Lack::Tcx {
        source,
        release: release.trim().to_owned(),
    }
}
