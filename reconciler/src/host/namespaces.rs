//! Network namespaces with a name below `/run/netns`, as ip-netns(8) uses them.
//!
//! A namespace is made nameless by a thread of its own, prepared and marked as ours, and only then
//! bound to its name: whoever sees the name sees a finished namespace of ours. If we die before
//! that, the kernel removes it with our last descriptor. An empty file that a dead run left below
//! `/run/netns` is used again.
//!
//! Prepared means: no automatic IPv6 addresses, no router solicitations and no duplicate address
//! detection on interfaces to come, so that nothing inside talks before policy is in force.

use std::cell::OnceCell;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::LinkNameSpaceType;

use super::mounts::Mounts;
use super::ownership::NotOurs;
use super::threads;

/// Where named network namespaces are.
pub const DIRECTORY: &str = "/run/netns";
/// `NSFS_MAGIC` of linux/magic.h.
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// What interfaces of a new namespace start with: `/proc/sys/net/ipv6/conf/default/`.
const QUIET: [(&str, &str); 7] = [
    // No link-local address by itself (IN6_ADDR_GEN_MODE_NONE).
    ("addr_gen_mode", "1"),
    ("accept_ra", "0"),
    ("autoconf", "0"),
    ("router_solicitations", "0"),
    ("accept_dad", "0"),
    ("dad_transmits", "0"),
    // Addresses stay when somebody brings the interface down and up again.
    ("keep_addr_on_down", "1"),
];

/// IPv6 on an interface is not switched off.
const IPV6_ON: (&str, &str) = ("disable_ipv6", "0");

/// Why a namespace cannot be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// Its place is taken.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// `/run/netns` cannot be prepared.
    #[error("cannot prepare {DIRECTORY} for network namespaces: {0}")]
    Directory(io::Error),
    /// The kernel gave no namespace.
    #[error("cannot make network namespace {name}: {cause}")]
    Create {
        /// Its name.
        name: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It cannot be bound to its name.
    #[error("cannot bind network namespace {name} to {}: {cause}", path.display())]
    Bind {
        /// Its name.
        name: String,
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It cannot be opened.
    #[error("cannot open network namespace {name}: {cause}")]
    Open {
        /// Its name.
        name: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Somebody else's is not there any more.
    #[error("{0}; run again")]
    Theirs(String),
    /// An interface of ours inside cannot be kept quiet, or have IPv6.
    #[error("cannot set the IPv6 sysctls of our interface in network namespace {name}: {cause}")]
    Quiet {
        /// Its name or path.
        name: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It cannot be removed.
    #[error("cannot remove network namespace {name}: {cause}")]
    Remove {
        /// Its name.
        name: String,
        /// What the kernel said.
        cause: io::Error,
    },
}

thread_local! {
    /// Where a thread belongs that goes into other namespaces, and comes back.
    static HOME: OnceCell<OwnedFd> = const { OnceCell::new() };
}

/// Does something with each of many, on threads that go into namespaces themselves: what
/// [`inside`] does there needs no thread more.
pub(super) fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let first = || {
        // A thread that cannot tell its own namespace takes another one for each that it enters.
        if let Ok(own) = own() {
            HOME.with(|home| drop(home.set(own)));
        }
    };
    threads::each_after(first, items, work)
}

/// Runs something in another network namespace, on a thread of its own.
pub(super) fn inside<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    HOME.with(|home| match home.get() {
        Some(home) => {
            enter(namespace)?;
            let done = work();
            enter(home.as_fd())?;
            Ok(done)
        }
        None => on_a_thread(|| {
            enter(namespace)?;
            Ok(work())
        }),
    })
}

fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    let kind = Some(LinkNameSpaceType::Network);
    Ok(rustix::thread::move_into_link_name_space(namespace, kind)?)
}

/// A new network namespace without a name, prepared as the module describes.
pub(super) fn create(name: &str) -> Result<OwnedFd, NamespaceError> {
    let made = on_a_thread(|| {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
        prepare()?;
        File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
    });
    made.map_err(|cause| NamespaceError::Create {
        name: name.to_owned(),
        cause,
    })
}

/// The namespace of a name; `None` where there is none. What else stands there is an error.
pub(super) fn open(name: &str, mounts: Mounts) -> Result<Option<OwnedFd>, NamespaceError> {
    let failed = |cause| NamespaceError::Open {
        name: name.to_owned(),
        cause,
    };
    let path = path(name);
    // A FIFO there would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(mounts.reach(&path), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        // A link that leads nowhere, a socket.
        Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => {
            return Err(NotOurs::NamespaceFile { path }.into());
        }
        Err(e) => return Err(failed(e.into())),
    };
    if is_namespace(&file).map_err(failed)? {
        return Ok(Some(file.into()));
    }
    let metadata = file.metadata().map_err(failed)?;
    if is_left(&metadata) {
        return Ok(None);
    }
    Err(NotOurs::NamespaceFile { path }.into())
}

/// The namespace that somebody else's path leads to, or why there is none, in words.
pub(super) fn open_theirs(path: &str, mounts: Mounts) -> Result<OwnedFd, String> {
    // Whatever else stands there must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(mounts.reach(Path::new(path)), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // Of a process that has gone meanwhile /proc says ESRCH.
        Err(Errno::NOENT | Errno::SRCH) => return Err(format!("there is no {path}")),
        Err(error) => return Err(format!("{path} cannot be opened: {error}")),
    };
    match is_namespace(&file) {
        Ok(true) => Ok(file.into()),
        Ok(false) => Err(no_network(path)),
        Err(error) => Err(format!("{path} cannot be looked at: {error}")),
    }
}

/// Words for what is none, as a namespace of another kind.
pub(super) fn no_network(path: &str) -> String {
    format!("{path} is no network namespace")
}

/// Keeps an interface of ours in somebody else's namespace from talking by itself: there what
/// interfaces begin with is not ours to set.
pub(super) fn quiet(namespace: BorrowedFd<'_>, interface: &str) -> io::Result<()> {
    let settings: Vec<_> = QUIET.into_iter().chain([IPV6_ON]).collect();
    set(namespace, interface, &settings)
}

/// Switches IPv6 on again on an interface.
pub(super) fn switch_on(namespace: BorrowedFd<'_>, interface: &str) -> io::Result<()> {
    set(namespace, interface, &[IPV6_ON])
}

/// Sets IPv6 sysctls of an interface in a namespace that are not as they should be.
fn set(namespace: BorrowedFd<'_>, interface: &str, settings: &[(&str, &str)]) -> io::Result<()> {
    inside(namespace, || {
        let folder = Path::new("/proc/sys/net/ipv6/conf").join(interface);
        if !folder.exists() {
            return Ok(());
        }
        for (key, value) in settings {
            let file = folder.join(key);
            if fs::read_to_string(&file)?.trim_end() != *value {
                fs::write(file, value)?;
            }
        }
        Ok(())
    })?
}

/// The network namespace of the calling thread.
pub(super) fn own() -> io::Result<OwnedFd> {
    File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// Binds a namespace to its name, where [`open`] has found none.
pub(super) fn bind(
    name: &str,
    namespace: BorrowedFd<'_>,
    mounts: Mounts,
) -> Result<(), NamespaceError> {
    let prepared = mounts.within(prepare_directory);
    prepared.map_err(NamespaceError::Directory)?;
    let path = path(name);
    let source = format!("/proc/thread-self/fd/{}", namespace.as_raw_fd());
    // Mode 000 as ip-netns(8) gives it: only a mount gives the file a meaning.
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let bound = mounts.within(|| {
        rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(rustix::mount::mount_bind(source.as_str(), &path)?)
    });
    bound.map_err(|cause| NamespaceError::Bind {
        name: name.to_owned(),
        path,
        cause,
    })
}

/// Takes the name away. The namespace itself lives as long as a process is in it.
pub(super) fn remove(name: &str, mounts: Mounts) -> Result<(), NamespaceError> {
    let path = path(name);
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    let unmounted = mounts.within(|| match rustix::mount::unmount(&path, flags) {
        Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        unmounted => Ok(unmounted?),
    });
    match unmounted {
        Ok(()) => remove_file(name, &mounts.reach(&path)),
        Err(cause) => Err(NamespaceError::Remove {
            name: name.to_owned(),
            cause,
        }),
    }
}

/// Removes the empty file that a run leaves which dies between the two steps of [`remove`].
pub(super) fn remove_empty(name: &str, mounts: Mounts) -> Result<(), NamespaceError> {
    let path = mounts.reach(&path(name));
    match fs::symlink_metadata(&path) {
        Ok(found) if is_left(&found) => remove_file(name, &path),
        _ => Ok(()),
    }
}

fn remove_file(name: &str, path: &Path) -> Result<(), NamespaceError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(NamespaceError::Remove {
            name: name.to_owned(),
            cause,
        }),
        _ => Ok(()),
    }
}

/// Whether a file below `/run/netns` is what a run that died leaves: nothing is mounted on it.
fn is_left(found: &fs::Metadata) -> bool {
    found.is_file() && found.len() == 0 && found.uid() == 0
}

/// All names below `/run/netns`, namespaces or not.
pub(super) fn names(mounts: Mounts) -> Result<Vec<String>, NamespaceError> {
    let entries = match fs::read_dir(mounts.reach(Path::new(DIRECTORY))) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(NamespaceError::Directory(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(NamespaceError::Directory)?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Device and inode that tell a namespace from every other (namespaces(7)).
pub(super) fn id(namespace: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(namespace)?;
    Ok((stat.st_dev, stat.st_ino))
}

pub(super) fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn is_namespace(file: &File) -> io::Result<bool> {
    let stat = rustix::fs::fstatfs(file.as_fd())?;
    Ok(u64::try_from(stat.f_type).is_ok_and(|magic| magic == NSFS_MAGIC))
}

/// Runs something on a thread of its own, whose namespaces nobody else shares afterwards.
pub(super) fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Prepares the network namespace of this thread, which has no interface but `lo` yet.
fn prepare() -> io::Result<()> {
    let folder = Path::new("/proc/sys/net/ipv6/conf");
    if !folder.exists() {
        return Ok(());
    }
    for (key, value) in QUIET {
        fs::write(folder.join("default").join(key), value)?;
    }
    // A host may have IPv6 off for interfaces to come; what a container has is in the tree.
    for interface in ["all", "default"] {
        fs::write(folder.join(interface).join(IPV6_ON.0), IPV6_ON.1)?;
    }
    Ok(())
}

/// Makes `/run/netns` a shared mount of its own, as ip-netns(8) does, so that a name that is given
/// or taken away here is so in every mount namespace. The lock is ip-netns(8)'s, too.
fn prepare_directory() -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(DIRECTORY) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let lock = File::open(DIRECTORY)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match rustix::mount::mount_change(DIRECTORY, shared) {
        // Not a mount point yet.
        Err(Errno::INVAL) => {
            rustix::mount::mount_bind_recursive(DIRECTORY, DIRECTORY)?;
            Ok(rustix::mount::mount_change(DIRECTORY, shared)?)
        }
        result => Ok(result?),
    }
}
