//! Kernel to live: what is pinned and attached, and what is on the host around it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bpf::guard;
use bpf::kernel::{Kernel, OpenError};
use state::live::{Guarded, Instead, Live};
use state::target::Located;
use state::words::generation::Generation;
use state::words::verdict::Direction;
use thiserror::Error;

use crate::host::attachments::Wanted;
use crate::host::mounts::Mounts;
use crate::host::{Host, HostError, MountError, mount};

/// Where things are pinned and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Maps, programs and links: a directory of a bpffs.
    pub pin: PathBuf,
    /// What lives until reboot.
    pub run: PathBuf,
    /// The journal, and copies of applied directories.
    pub state: PathBuf,
    /// Whose mounts count, of names of namespaces and of the bpffs.
    pub mounts: Mounts,
}

/// Why live cannot be read.
#[derive(Debug, Error)]
pub enum LiveError {
    /// Whoever asks is not root, and would be told that nothing is there.
    #[error("the kernel's maps and programs can be read and written by root alone: use sudo")]
    NotRoot,
    /// The base directory is not ours alone.
    #[error(transparent)]
    Base(#[from] MountError),
    /// What is pinned cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Maps, programs or links cannot be read.
    #[error(transparent)]
    Kernel(#[from] bpf::live::LiveError),
    /// Interfaces, addresses or routes cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl LiveError {
    /// Whether it is a refusal: nothing is broken, something is not ours.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Base(_))
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the kernel holds.
    pub live: Live,
    /// Where the containers are.
    pub located: Located,
}

/// Whether the caller can see and change what is live.
pub fn may() -> Result<(), LiveError> {
    let root = rustix::process::geteuid().is_root();
    root.then_some(()).ok_or(LiveError::NotRoot)
}

/// Opens what is pinned, or held by programs that are still attached though another bpffs is there
/// now. `None` where there is nothing of ours.
pub fn open(dirs: &Dirs) -> Result<Option<Kernel>, LiveError> {
    mount::check_base(&dirs.pin)?;
    Ok(Kernel::open(&dirs.pin)?)
}

/// Whether a commit is live.
///
/// # Errors
///
/// As [`open`].
pub fn is_live(dirs: &Dirs) -> Result<bool, LiveError> {
    let kernel = open(dirs)?;
    Ok(kernel.is_some_and(|kernel| kernel.record().generation != Generation(0)))
}

/// The live commit; empty where there is none. Nothing else is read.
///
/// # Errors
///
/// As [`open`], or its slot cannot be read.
pub fn commit(dirs: &Dirs) -> Result<String, LiveError> {
    may()?;
    let kernel = open(dirs)?;
    let Some(kernel) = kernel.filter(|kernel| kernel.record().generation != Generation(0)) else {
        return Ok(String::new());
    };
    let info = kernel.slot_info(kernel.record().slot);
    Ok(info.map_err(bpf::live::LiveError::from)?.commit)
}

/// Reads for a tree that is known only since the host was read: once more, where containers of it
/// are attached to something of others.
pub(crate) fn read_again(
    dirs: &Dirs,
    found: Reading,
    wanted: &Wanted,
) -> Result<Reading, LiveError> {
    match wanted.is_empty() {
        true => Ok(found),
        false => read(dirs, wanted),
    }
}

/// Reads everything. Changes nothing. `wanted`: what of others containers are to be attached to;
/// who has no tree finds what they are attached to.
pub fn read(dirs: &Dirs, wanted: &Wanted) -> Result<Reading, LiveError> {
    may()?;
    let mut live = Live {
        bpffs: mount::is_mounted(&dirs.pin)?,
        ..Live::default()
    };
    let kernel = open(dirs)?;
    if let Some(kernel) = &kernel {
        let found = kernel.live()?;
        live.base = Some(found.base);
        live.leftovers = found.leftovers;
        live.containers = found.containers;
    } else if live.bpffs {
        let remains = Kernel::remains(&dirs.pin)?;
        live.begins_at = remains.begins_at;
        live.leftovers = remains.pinned;
    }
    let host = Host::open()?
        .by_mounts_of(dirs.mounts)
        .read_for(wanted, &live.attached())?;
    live.host = host.host;
    for (name, network) in host.networks {
        live.containers.entry(name).or_default().network = Some(network);
    }
    stands(&mut live, kernel.as_ref())?;
    let located = live.located(host.uplinks, host.attachments);
    Ok(Reading { live, located })
}

/// What stands on interfaces where no programs of their containers are known to be, and where
/// guards of ours are.
fn stands(live: &mut Live, kernel: Option<&Kernel>) -> Result<(), bpf::live::LiveError> {
    let instead = |ifindex| -> Result<BTreeMap<Direction, Instead>, bpf::live::LiveError> {
        Ok(match kernel {
            Some(kernel) => kernel.instead(ifindex)?,
            None => guard::instead(ifindex)?,
        })
    };
    let foreign = |name: &str| live.host.foreign_interfaces.contains_key(name);
    for (name, ifindex) in guard::everywhere(foreign)? {
        let instead = instead(ifindex)?;
        live.host.guards.insert(name, Guarded { ifindex, instead });
    }
    let on = live.containers.iter().filter_map(|(name, container)| {
        let ifindex = live.interface(name)?;
        let stand = container.programs.is_some_and(|p| p.ifindex == ifindex);
        (!stand).then(|| (name.clone(), ifindex))
    });
    for (name, ifindex) in on.collect::<Vec<_>>() {
        if let Some(container) = live.containers.get_mut(&name) {
            container.instead = instead(ifindex)?;
        }
    }
    Ok(())
}
