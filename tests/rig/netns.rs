//! One network namespace, held by a file descriptor: it lives as long as somebody holds it, and no
//! name of it is ever left on the machine.
//!
//! A thread can be in one namespace only, so whatever is to happen inside happens on a thread of
//! its own ([`Netns::run`] waits for it, [`Netns::spawn`] hands out its handle). Such a thread is,
//! in everything else, where the caller is: same mounts, same host name.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use crate::program::{Program, Run};
use crate::wait;

/// A network namespace. Clones are the same one.
#[derive(Clone)]
pub struct Netns {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    file: File,
}

/// An Ethernet interface, as `ip` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index in its namespace.
    pub index: u32,
    /// Its MAC.
    pub mac: [u8; 6],
}

impl Netns {
    /// A new one, loopback up. The name is for messages only.
    ///
    /// # Panics
    /// Where the kernel refuses, for instance because the caller is not root.
    pub fn new(name: &str) -> Self {
        let made = on_thread(name, || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.unwrap_or_else(|e| panic!("{name}: no network namespace: {e}"));
        let made = Self::hold(name, file);
        made.ip("link set lo up");
        made
    }

    /// The calling thread's own.
    pub fn current(name: &str) -> Self {
        let file = File::open("/proc/thread-self/ns/net");
        Self::hold(name, file.expect("a thread has a network namespace"))
    }

    /// The one behind a path, for instance `/run/netns/NAME`.
    ///
    /// # Errors
    /// Where there is no namespace. Of another kind it is found to be when it is entered.
    pub fn open(name: &str, path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // A name of which no namespace has been made yet is an empty file.
        if fstatfs(&file)?.filesystem_type() != NSFS_MAGIC {
            return Err(io::Error::other("it is no namespace"));
        }
        Ok(Self::hold(name, file))
    }

    fn hold(name: &str, file: File) -> Self {
        let name = name.to_owned();
        Self {
            inner: Arc::new(Inner { name, file }),
        }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What tells it from every other namespace of the machine that lives now.
    pub fn inode(&self) -> u64 {
        self.inner
            .file
            .metadata()
            .expect("an open file has metadata")
            .ino()
    }

    /// A path that leads to it as long as it is held, for `ip link set … netns PATH`.
    pub fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.inner.file.as_raw_fd()
        )
    }

    /// Moves the calling thread into it, for the rest of its life.
    ///
    /// # Panics
    /// Where what is held is no network namespace.
    pub fn enter(&self) {
        setns(&self.inner.file, CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|e| panic!("{}: cannot be entered: {e}", self.name()));
    }

    /// Runs something inside and waits for it. A panic inside goes on in the caller.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        on_thread(self.name(), || {
            self.enter();
            inside()
        })
    }

    /// Starts something inside and goes on.
    ///
    /// # Panics
    /// Where no thread can be had.
    pub fn spawn<T: Send + 'static>(
        &self,
        inside: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let own = self.clone();
        let starting = thread::Builder::new().name(self.name().to_owned());
        let started = starting.spawn(move || {
            own.enter();
            inside()
        });
        started.expect("a thread can be started")
    }

    /// Runs a program inside.
    pub fn program(&self, program: &Program) -> Run {
        self.run(|| program.run())
    }

    /// Runs `ip` with these arguments (words, parted by blanks) inside; gives what it printed.
    ///
    /// # Panics
    /// Where `ip` fails.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        let program = Program::new("ip").args(arguments.split_whitespace());
        self.program(&program).ended(0).stdout
    }

    /// Runs many lines of `ip` as one batch inside.
    ///
    /// # Panics
    /// Where one of them fails.
    #[track_caller]
    pub fn ip_batch(&self, lines: &str) {
        let program = Program::new("ip").args(["-batch", "-"]).input(lines);
        self.program(&program).succeed();
    }

    /// Runs `ip -json` inside and reads what it printed.
    ///
    /// # Panics
    /// Where `ip` fails.
    #[track_caller]
    pub fn ip_json(&self, arguments: &str) -> serde_json::Value {
        let program = Program::new("ip")
            .args(["-json"])
            .args(arguments.split_whitespace());
        let run = self.program(&program).ended(0);
        match run.stdout.trim() {
            "" => serde_json::Value::Array(Vec::new()),
            text => serde_json::from_str(text).expect("ip -json prints JSON"),
        }
    }

    /// Its Ethernet interfaces, by name.
    pub fn interfaces(&self) -> Vec<Interface> {
        let shown = self.ip_json("link show");
        let shown = shown.as_array().expect("ip -json prints a list").iter();
        let ethernet = shown.filter(|link| link["link_type"] == "ether");
        let mut interfaces: Vec<Interface> = ethernet.map(Interface::read).collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        interfaces
    }

    /// The interface of this name.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn interface(&self, name: &str) -> Interface {
        let found = self.interfaces().into_iter().find(|i| i.name == name);
        found.unwrap_or_else(|| panic!("{}: no interface {name}", self.name()))
    }

    /// Waits until an interface carries: the kernel tells its own stack a while after both ends are
    /// up.
    ///
    /// # Panics
    /// Where it does not come up.
    #[track_caller]
    pub fn wait_up(&self, interface: &str) {
        wait::holds(&format!("{interface} in {} to be up", self.name()), || {
            let shown = self.ip_json(&format!("address show dev {interface}"));
            let addresses = shown[0]["addr_info"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let is_tentative = addresses.iter().any(|address| address["tentative"] == true);
            // A tap has no state of its own: it is up where a program holds it.
            let is_tap = shown[0]["operstate"] == "UNKNOWN" && is_held(self, interface);
            (shown[0]["operstate"] == "UP" || is_tap) && !is_tentative
        });
    }

    /// Sets a sysctl of the namespace, by its path below `/proc/sys/net`.
    ///
    /// # Panics
    /// Where the kernel refuses it.
    #[track_caller]
    pub fn sysctl(&self, path: &str, value: &str) {
        let full = Path::new("/proc/sys/net").join(path);
        let written = self.run(|| std::fs::write(&full, value));
        written.unwrap_or_else(|e| panic!("{}: {path} = {value}: {e}", self.name()));
    }
}

/// Whether it is a tap that a program holds.
fn is_held(net: &Netns, interface: &str) -> bool {
    let shown = net.ip_json(&format!("-details link show dev {interface}"));
    let flags = shown[0]["flags"].as_array().cloned().unwrap_or_default();
    shown[0]["linkinfo"]["info_kind"] == "tun" && flags.iter().any(|flag| flag == "LOWER_UP")
}

impl fmt::Debug for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netns({})", self.name())
    }
}

impl Interface {
    fn read(link: &serde_json::Value) -> Self {
        let index = link["ifindex"].as_u64().expect("an interface has an index");
        let mac = link["address"]
            .as_str()
            .expect("an Ethernet interface has a MAC");
        Self {
            name: link["ifname"]
                .as_str()
                .expect("an interface has a name")
                .to_owned(),
            index: u32::try_from(index).expect("an index fits 32 bits"),
            mac: mac_of(mac),
        }
    }
}

/// A MAC as `ip` prints it.
///
/// # Panics
/// Where it is none.
pub fn mac_of(text: &str) -> [u8; 6] {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Result<Vec<u8>, _> = bytes.collect();
    let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    bytes.unwrap_or_else(|| panic!("{text:?} is no MAC"))
}

/// Runs something on a thread of its own, so that what it does to its namespaces stays there.
pub(crate) fn on_thread<T: Send>(name: &str, inside: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let starting = thread::Builder::new().name(name.to_owned());
        let started = starting
            .spawn_scoped(scope, inside)
            .expect("a thread can be started");
        started.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
