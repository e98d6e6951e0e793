//! A lab: one or more [`Host`]s, the segment that joins them, and the tree that they share. All
//! traffic stays inside.
//!
//! ```text
//!   10.44.0.0/16          192.0.2.0/24, 2001:db8::/64
//!   fd44::/16     alpha ───────────┬──────────┬─────── outside
//!   containers    .1 ::1           │          │        .100 ::100
//!                                 beta      (more hosts, each with ranges of its own)
//! ```
//!
//! [`Lab::run`] runs a test's body on a thread of its own, on the host `alpha`; so labs stand side
//! by side in one process (`cargo test`) as well as in many (nextest), and a body may use the
//! kernel directly: its `/sys/fs/bpf` is alpha's. A panic in the body prints [`crate::world`]
//! first.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::sched::{CloneFlags, setns, unshare};

use crate::host::{Host, SHARED, share};
use crate::netns::{Netns, on_thread};
use crate::program::{Program, Run};
use crate::repository::{Repository, with_identity};
use crate::world;

/// Hosts, the segment between them, and a tree.
#[derive(Debug)]
pub struct Lab {
    /// Mounts before any host's: what a host begins with.
    mounts: File,
    repository: Repository,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hosts: Vec<Host>,
    segment: Option<Segment>,
}

/// The segment: a bridge in a namespace of its own, and who is on it.
#[derive(Debug)]
struct Segment {
    bridge: Netns,
    nodes: Vec<Node>,
}

/// Who is on the segment.
#[derive(Clone, Debug)]
struct Node {
    net: Netns,
    /// Its IPv4 and its IPv6 address there.
    addresses: [String; 2],
    /// What it routes, in each family.
    ranges: Vec<String>,
}

/// The number of `outside` on the segment; hosts count from 1.
const OUTSIDE: u8 = 100;

impl Lab {
    /// Makes a lab with the host `alpha`, runs the body there, and takes everything away.
    ///
    /// # Panics
    /// Where the body does, after printing the world to standard error; where the kernel refuses
    /// the namespaces, for instance because the caller is not root.
    pub fn run<T: Send>(name: &str, body: impl FnOnce(&Self) -> T + Send) -> T {
        Self::run_or(name, world::print, body)
    }

    /// The same, with something else to do where the body panics, before the panic goes on.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_or<T: Send>(
        name: &str,
        failed: fn(&Self),
        body: impl FnOnce(&Self) -> T + Send,
    ) -> T {
        on_thread(name, || {
            let lab = Self::new().unwrap_or_else(|e| panic!("lab {name}: {e}"));
            lab.alpha().enter();
            // Nothing of the lab is looked at again but to show it.
            let ended = catch_unwind(AssertUnwindSafe(|| body(&lab)));
            ended.unwrap_or_else(|panic| {
                // Where it cannot be shown either, the first failure is still the one to tell.
                catch_unwind(AssertUnwindSafe(|| failed(&lab))).ok();
                resume_unwind(panic)
            })
        })
    }

    /// Puts the calling thread into the mounts that hosts begin with, and makes alpha.
    fn new() -> io::Result<Self> {
        share()?;
        let mounts = File::open("/proc/thread-self/ns/mnt")?;
        let repository = Repository::init(&Path::new(SHARED).join("tree"));
        let alpha = Host::new("alpha");
        let state = Mutex::new(State {
            hosts: vec![alpha],
            segment: None,
        });
        Ok(Self {
            mounts,
            repository,
            state,
        })
    }

    /// The first host, on which the body runs.
    pub fn alpha(&self) -> Host {
        self.state().hosts[0].clone()
    }

    /// All hosts, in the order in which they came.
    pub fn hosts(&self) -> Vec<Host> {
        self.state().hosts.clone()
    }

    /// The git repository that every host sees, at the same path.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Runs `reconcile` on alpha, on the tree of [`Lab::repository`].
    ///
    /// # Panics
    /// Where [`binary`] finds none.
    pub fn reconcile(&self, arguments: &[&str]) -> Run {
        self.reconcile_on(&self.alpha(), arguments)
    }

    /// Runs `reconcile` on a host, on the tree of [`Lab::repository`].
    ///
    /// # Panics
    /// Where [`binary`] finds none.
    pub fn reconcile_on(&self, host: &Host, arguments: &[&str]) -> Run {
        let program = reconcile(self.repository.path()).unwrap_or_else(|e| panic!("{e}"));
        host.program(&program.args(arguments))
    }

    /// Types a line into a shell on a host, at the top of the repository, with the program under
    /// test on its `PATH`: for what a person would type.
    ///
    /// # Panics
    /// Where [`binary`] finds none.
    pub fn shell(&self, host: &Host, line: &str) -> Run {
        let program = binary().unwrap_or_else(|e| panic!("{e}"));
        let folder = program.parent().expect("a program is in a folder");
        let script = "PATH=$0:$PATH; eval \"$1\"";
        let shell = Program::new("bash")
            .args(["-c", script])
            .args([folder.as_os_str()])
            .args([line]);
        let shell = shell.env("HOME", Path::new(SHARED).join("home"));
        host.program(&with_identity(shell).folder(self.repository.path()))
    }

    /// Commits what the repository holds and applies it on alpha.
    ///
    /// # Panics
    /// Where `reconcile` does not end with 0.
    #[track_caller]
    pub fn apply(&self, message: &str) -> Run {
        self.repository.commit(message);
        self.reconcile(&[]).ended(0)
    }

    /// Adds a host on the segment, which carries the containers of these ranges: every other node
    /// has routes to them through it.
    ///
    /// # Panics
    /// Where the kernel refuses it.
    pub fn host(&self, name: &str, ranges: &[&str]) -> Host {
        self.join_alpha();
        let host = self.on_first_mounts(|| Host::new(name));
        let mut state = self.state();
        let number = u8::try_from(state.hosts.len() + 1).expect("a lab has few hosts");
        state.hosts.push(host.clone());
        state
            .segment
            .as_mut()
            .expect("alpha has joined")
            .join(host.net(), number, ranges);
        host
    }

    /// A machine on the segment that is no host of the tree. Alpha's default routes lead to it.
    ///
    /// # Panics
    /// Where the kernel refuses it.
    pub fn outside(&self) -> Netns {
        self.join_alpha();
        let mut state = self.state();
        let segment = state.segment.as_mut().expect("alpha has joined");
        if let Some(node) = segment.nodes.iter().find(|n| n.net.name() == "outside") {
            return node.net.clone();
        }
        let outside = Netns::new("outside");
        segment.join(&outside, OUTSIDE, &["0.0.0.0/0", "::/0"]);
        outside
    }

    /// The IPv4 and the IPv6 address of a host on the segment, or of `outside`.
    ///
    /// # Panics
    /// Where it is not on the segment.
    pub fn addresses(&self, net: &Netns) -> [IpAddr; 2] {
        let state = self.state();
        let nodes = state.segment.iter().flat_map(|s| &s.nodes);
        let node = nodes.into_iter().find(|n| n.net.inode() == net.inode());
        let node = node.unwrap_or_else(|| panic!("{} is not on the segment", net.name()));
        node.addresses
            .clone()
            .map(|a| a.parse().expect("the rig writes addresses"))
    }

    /// Puts alpha on the segment, which comes into being with it.
    fn join_alpha(&self) {
        let mut state = self.state();
        if state.segment.is_none() {
            let mut segment = Segment::new();
            segment.join(state.hosts[0].net(), 1, &["10.44.0.0/16", "fd44::/16"]);
            state.segment = Some(segment);
        }
    }

    fn on_first_mounts<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        on_thread("mounts", || {
            unshare(CloneFlags::CLONE_FS)
                .and_then(|()| setns(&self.mounts, CloneFlags::CLONE_NEWNS))
                .expect("mounts that a lab holds can be entered");
            inside()
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

impl Segment {
    fn new() -> Self {
        let bridge = Netns::new("segment");
        // Snooping would have to learn who listens before neighbour discovery is let through.
        bridge.ip_batch(
            "link add segment type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             link set segment up",
        );
        Self {
            bridge,
            nodes: Vec::new(),
        }
    }

    /// Joins a namespace by a veth pair, its end named `uplink`, and makes the routes both ways.
    fn join(&mut self, net: &Netns, number: u8, ranges: &[&str]) {
        let path = net.path();
        self.bridge.ip_batch(&format!(
            "link add port{number} type veth peer name uplink netns {path}\n\
             link set port{number} master segment up"
        ));
        let node = Node {
            net: net.clone(),
            addresses: [format!("192.0.2.{number}"), format!("2001:db8::{number}")],
            ranges: ranges.iter().map(|&range| range.to_owned()).collect(),
        };
        let [v4, v6] = &node.addresses;
        // Probing for duplicates takes a second, and there are none.
        net.sysctl("ipv6/conf/uplink/accept_dad", "0");
        net.ip_batch(&format!(
            "address add {v4}/24 dev uplink\naddress add {v6}/64 dev uplink nodad\n\
             link set uplink up"
        ));
        net.wait_up("uplink");
        for other in &self.nodes {
            other.net.ip_batch(&node.routes());
            net.ip_batch(&other.routes());
        }
        self.nodes.push(node);
    }
}

impl Node {
    /// Lines for `ip` that lead to its ranges.
    fn routes(&self) -> String {
        let line = |range: &String| {
            let via = &self.addresses[usize::from(range.contains(':'))];
            format!("route replace {range} via {via}\n")
        };
        self.ranges.iter().map(line).collect()
    }
}

/// `reconcile -C tree`, with an empty home and nothing else in its environment.
///
/// # Errors
/// Where there is no such program.
pub fn reconcile(tree: &Path) -> Result<Program, String> {
    let program = Program::new(binary()?).env("HOME", Path::new(SHARED).join("home"));
    Ok(program.args([OsString::from("-C"), tree.into()]))
}

/// The program under test: `RECONCILE_BIN`, else what cargo has built beside the running test.
/// (Cargo tells a test only about the programs of its own package.)
///
/// # Errors
/// Where there is none, with what to do.
pub fn binary() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("RECONCILE_BIN") {
        return Ok(named.into());
    }
    let own = std::env::current_exe().expect("a running program has a path");
    let folders = own.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join("reconcile"))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        let own = own.display();
        format!(
            "no reconcile beside {own}: type `cargo build --bins`, or name one in RECONCILE_BIN"
        )
    })
}
