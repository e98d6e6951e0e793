//! A host: namespaces for its mounts, its network and its name, so that `reconcile` finds in it
//! what it finds on a machine, and leaves nothing on the one that runs the tests.
//!
//! - `/run` is a tmpfs of its own, with `/run/netns` and `/run/plumbline` in it when somebody makes
//!   them; `/run/lab` is the folder that all hosts of a lab share.
//! - `/etc` and `/var/lib` are the machine's below an overlay in memory: written to as usual, kept
//!   nowhere. (A folder to mount on may be missing there, and may not be made.)
//! - `/sys` is a sysfs of the host's network namespace, with a bpffs of its own on `/sys/fs/bpf`.
//!
//! Everything hangs on the mount and network namespace, and these on file descriptors of the test
//! process: when it ends, however it ends, the kernel takes all of it apart, pinned programs and
//! named network namespaces with it. Nothing needs to be cleaned up, so nothing can be forgotten.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;

use crate::netns::{Netns, on_thread};
use crate::program::{Program, Run};

/// The folder that all hosts of a lab share.
pub const SHARED: &str = "/run/lab";

/// A host. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    mounts: File,
    uts: File,
    net: Netns,
    last: Mutex<Option<Run>>,
}

impl Host {
    /// A new host in the mounts of the calling thread, which [`share`] has prepared.
    pub(crate) fn new(name: &str) -> Self {
        let made = on_thread(name, || {
            let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
            unshare(flags | CloneFlags::CLONE_NEWUTS)?;
            sethostname(name)?;
            mount_all(&Path::new(SHARED).join("hosts").join(name))?;
            let own = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}"));
            io::Result::Ok((own("mnt")?, own("uts")?, Netns::current(name)))
        });
        let (mounts, uts, net) = made.unwrap_or_else(|e| panic!("host {name}: {e}"));
        let name = name.to_owned();
        let last = Mutex::default();
        let host = Self {
            inner: Arc::new(Inner {
                name,
                mounts,
                uts,
                net,
                last,
            }),
        };
        host.settle_network();
        host
    }

    /// What a fresh network namespace takes over from the machine, as a fresh kernel has it: IPv4's
    /// switches are copied from the machine's.
    fn settle_network(&self) {
        let net = self.net();
        net.ip("link set lo up");
        net.sysctl("ipv4/ip_forward", "0");
        for which in ["all", "default"] {
            net.sysctl(&format!("ipv4/conf/{which}/rp_filter"), "0");
        }
    }

    /// Its name, which is also its host name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its own network namespace, where the host-side interfaces are.
    pub fn net(&self) -> &Netns {
        &self.inner.net
    }

    /// Moves the calling thread into it, for the rest of its life.
    pub(crate) fn enter(&self) {
        let inner = &self.inner;
        // A thread shares its root and working folder with those of its process, and the kernel
        // lets only who has both for himself change mounts.
        unshare(CloneFlags::CLONE_FS)
            .and_then(|()| setns(&inner.mounts, CloneFlags::CLONE_NEWNS))
            .and_then(|()| setns(&inner.uts, CloneFlags::CLONE_NEWUTS))
            .unwrap_or_else(|e| panic!("host {}: cannot be entered: {e}", inner.name));
        inner.net.enter();
    }

    /// Runs something on the host and waits for it: there `/sys/fs/bpf`, `/run/netns` and the
    /// network are the host's. A panic inside goes on in the caller.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        on_thread(self.name(), || {
            self.enter();
            inside()
        })
    }

    /// Runs a program on the host. Its end is kept for [`crate::world`].
    pub fn program(&self, program: &Program) -> Run {
        let run = self.run(|| program.run());
        *self.inner.last.lock().expect("nobody panics with it") = Some(run.clone());
        run
    }

    /// The last program that was run on it.
    pub fn last_run(&self) -> Option<Run> {
        self.inner
            .last
            .lock()
            .expect("nobody panics with it")
            .clone()
    }

    /// The network namespace of this name below `/run/netns`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn netns(&self, name: &str) -> io::Result<Netns> {
        self.run(|| Netns::open(name, &Path::new("/run/netns").join(name)))
    }

    /// The network namespace of a managed container, by `namespace/name`.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn container(&self, full_name: &str) -> Netns {
        let found = self.netns(&full_name.replace('/', "."));
        found.unwrap_or_else(|e| panic!("{full_name}: not on host {}: {e}", self.name()))
    }

    /// Names of the network namespaces below `/run/netns`, in order.
    pub fn netns_names(&self) -> Vec<String> {
        let mut names = self.run(|| names_in(Path::new("/run/netns")));
        names.sort();
        names
    }

    /// Takes the bpffs away, as on a machine whose init mounts none.
    ///
    /// # Panics
    /// Where none is mounted, or it is in use.
    pub fn unmount_bpffs(&self) {
        let done = self.run(|| umount("/sys/fs/bpf"));
        done.unwrap_or_else(|e| panic!("host {}: umount /sys/fs/bpf: {e}", self.name()));
    }
}

/// Names in a folder; none where there is no folder.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Gives the calling thread mounts of its own, with the shared folder of a lab in them.
pub(crate) fn share() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(NONE, "/", NONE, private, NONE)?;
    mount_new("tmpfs", Path::new("/run"), "mode=0755")?;
    fs::create_dir_all(Path::new(SHARED).join("home"))
}

const NONE: Option<&str> = None;

/// Mounts what makes the calling thread's mounts a host's. `own` is its folder in the shared one.
fn mount_all(own: &Path) -> io::Result<()> {
    overlay(Path::new("/etc"), &own.join("etc"))?;
    overlay(Path::new("/var/lib"), &own.join("lib"))?;
    forget_the_machine()?;
    mount_new("sysfs", Path::new("/sys"), "")?;
    mount_new("bpf", Path::new("/sys/fs/bpf"), "mode=0700")?;

    let run = own.join("run");
    fs::create_dir_all(&run)?;
    mount_new("tmpfs", &run, "mode=0755")?;
    let shared = run.join("lab");
    fs::create_dir(&shared)?;
    mount(Some(SHARED), &shared, NONE, MsFlags::MS_BIND, NONE)?;
    mount(Some(&run), "/run", NONE, MsFlags::MS_MOVE, NONE)?;
    Ok(())
}

/// What the machine may have of Plumbline's, and where it finds its names: not the host's.
fn forget_the_machine() -> io::Result<()> {
    for gone in ["/etc/netns", "/etc/plumbline", "/var/lib/plumbline"] {
        match fs::remove_dir_all(gone) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    // It may be a link to a file below the machine's /run.
    match fs::remove_file("/etc/resolv.conf") {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => fs::write("/etc/resolv.conf", "nameserver 192.0.2.53\n"),
    }
}

fn mount_new(kind: &str, target: &Path, data: &str) -> io::Result<()> {
    mount(Some(kind), target, Some(kind), MsFlags::empty(), Some(data))
        .map_err(|e| io::Error::other(format!("mount {kind} on {}: {e}", target.display())))
}

/// Lays a folder in memory over one of the machine's.
fn overlay(below: &Path, memory: &Path) -> io::Result<()> {
    let layers: [PathBuf; 2] = [memory.join("upper"), memory.join("work")];
    for layer in &layers {
        fs::create_dir_all(layer)?;
    }
    let [upper, work] = layers.map(|layer| layer.display().to_string());
    let data = format!(
        "lowerdir={},upperdir={upper},workdir={work}",
        below.display()
    );
    mount_new("overlay", below, &data)
}
