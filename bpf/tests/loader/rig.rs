//! What the tests stand on: namespaces and a bpffs of their own, and the kernel's numbers of ours.
//!
//! A test runs its own binary again under `unshare`, for namespaces belong to a whole process and
//! other tests run in this one. Everything ends with that process.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bpf::attached::{self, Hook};
use bpf::kernel::{Kernel, OpenError};
use bpf::marks::SlotInfo;
use libbpf_rs::{MapCore, MapFlags, MapHandle, ProgramHandle};
use state::diff::Delta;
use state::target::constants::Constants;
use state::target::tables::{Endpoint, EndpointIndex, Tables};
use state::words::address::Mac;
use state::words::generation::{CommitRecord, Generation};
use state::words::identity::SubjectId;
use state::words::names::FullName;

use crate::clang::Clang;

/// Runs a test in network and mount namespaces of its own, with a bpffs at the given base's parent.
pub(crate) fn alone<F: FnOnce(&Lab)>(test: F) {
    alone_as::<F>(test);
}

/// The same for a closure that stands in another one: `F`'s name is the test's.
#[allow(clippy::print_stdout)]
pub(crate) fn alone_as<F>(test: impl FnOnce(&Lab)) {
    const INSIDE: &str = "PLUMBLINE_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return test(&Lab::new());
    }
    let name = std::any::type_name::<F>();
    let name = name.trim_end_matches("::{{closure}}");
    let name = name.split_once("::").expect("a path").1;
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare, of util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "no test of that name: {said}");
    // Of a test that passes, whoever asks for it sees it.
    print!("{said}");
}

/// A host to try on.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"]);
        run(
            "mount",
            &[
                "-t",
                "bpf",
                "-o",
                "mode=0700",
                "bpf",
                folder.path().to_str().unwrap(),
            ],
        );
        run("ip", &["link", "set", "lo", "up"]);
        Self { folder }
    }

    /// The base directory, which is not there yet.
    pub(crate) fn base(&self) -> PathBuf {
        self.folder.path().join("plumbline")
    }

    pub(crate) fn create(&self) -> Kernel {
        Kernel::create(&self.base()).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn open(&self) -> Option<Kernel> {
        Kernel::open(&self.base()).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_open(&self) -> Result<Option<Kernel>, OpenError> {
        Kernel::open(&self.base())
    }

    /// A veth pair whose other end is in a namespace of the given name; the host-side index.
    pub(crate) fn container(&self, name: &str) -> u32 {
        run("ip", &["netns", "add", name]);
        let host = format!("pl{name}");
        let peer = ["peer", "name", "eth0", "netns", name];
        run(
            "ip",
            &[&["link", "add", &host, "type", "veth"], peer.as_slice()].concat(),
        );
        // Without a link-local address neither end sends anything by itself.
        run("ip", &["link", "set", &host, "addrgenmode", "none", "up"]);
        run(
            "ip",
            &[
                "-n",
                name,
                "link",
                "set",
                "eth0",
                "addrgenmode",
                "none",
                "up",
            ],
        );
        ifindex(&host)
    }
}

/// The object that a stranger's source makes.
fn compiled(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stranger.bpf.c"), source).unwrap();
    let object = folder.path().join("stranger.o");
    let clang = Clang::find(folder.path()).unwrap();
    clang
        .compile(folder.path(), Path::new("stranger.bpf.c"), &object)
        .unwrap();
    std::fs::read(object).unwrap()
}

/// Puts a program that has a constant, but no types by which one could be found, in the place of
/// those of the links that are pinned in a folder.
pub(crate) fn put_without_types(folder: &Path) {
    let source = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n\
         const volatile int answer = 2;\n\
         SEC(\"tc\") int stranger(struct __sk_buff *skb) { return answer; }\n";
    let mut object = compiled(source);
    while let Some(at) = object.windows(4).position(|bytes| bytes == b".BTF") {
        object[at..at + 4].copy_from_slice(b".off");
    }
    let object = libbpf_rs::ObjectBuilder::default()
        .open_memory(&object)
        .unwrap();
    let object = object.load().unwrap();
    let program = object.progs().next().unwrap();
    for link in ["from_container", "to_container"] {
        let mut link = libbpf_rs::Link::open(folder.join(link)).unwrap();
        link.update_prog(&program).unwrap();
    }
}

/// A stranger's program that lets everything pass, first on both sides of an interface for as long
/// as it is held.
pub(crate) struct Stranger {
    _links: Vec<OwnedFd>,
}

impl Stranger {
    pub(crate) fn attach(ifindex: u32) -> Self {
        let object = compiled(
            "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n\
             SEC(\"tc\") int stranger(struct __sk_buff *skb) { return 0; }\n",
        );
        let object = libbpf_rs::ObjectBuilder::default()
            .open_memory(&object)
            .unwrap();
        let object = object.load().unwrap();
        let program = object.progs().next().unwrap();
        let links = [Hook::Ingress, Hook::Egress]
            .map(|hook| attached::attach_first(program.as_fd(), ifindex, hook).unwrap());
        Self {
            _links: links.into(),
        }
    }
}

/// Program and link numbers of both sides of an interface.
pub(crate) fn chain(ifindex: u32) -> [Vec<(u32, u32)>; 2] {
    [Hook::Ingress, Hook::Egress].map(|hook| {
        let chain = attached::chain(ifindex, hook).unwrap();
        chain.into_iter().map(|at| (at.program, at.link)).collect()
    })
}

pub(crate) fn link_ids(ifindex: u32) -> [Vec<u32>; 2] {
    chain(ifindex).map(|side| side.into_iter().map(|(_, link)| link).collect())
}

/// Numbers of kernel objects that belong to containers: what they have pinned, and what those
/// programs hold that is pinned nowhere else.
pub(crate) struct Ids {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    links: BTreeSet<u32>,
}

impl Ids {
    /// Of all containers attached to these interfaces and pinned below a base directory.
    pub(crate) fn of_containers(base: &Path, interfaces: &[u32]) -> Self {
        let mut ids = Self {
            programs: BTreeSet::new(),
            maps: BTreeSet::new(),
            links: BTreeSet::new(),
        };
        for (program, link) in interfaces.iter().flat_map(|index| chain(*index)).flatten() {
            ids.programs.insert(program);
            ids.links.insert(link);
        }
        for (path, _) in tree(&base.join("v1/containers")) {
            let path = base.join("v1/containers").join(path);
            if let Ok(map) = MapHandle::from_pinned_path(&path)
                && !path.ends_with("from_container")
                && !path.ends_with("to_container")
            {
                ids.maps.insert(map.info().unwrap().info.id);
            }
        }
        assert!(!ids.programs.is_empty() && !ids.maps.is_empty());
        ids
    }

    /// Whether none of them exists any more.
    pub(crate) fn gone(&self) -> bool {
        let maps = self
            .maps
            .iter()
            .all(|id| MapHandle::from_map_id(*id).is_err());
        let programs = self
            .programs
            .iter()
            .all(|id| ProgramHandle::from_prog_id(*id).is_err());
        let links = libbpf_rs::query::LinkInfoIter::default().map(|link| link.id);
        maps && programs && links.into_iter().all(|id| !self.links.contains(&id))
    }
}

/// A way to see whether datagrams pass a container's interface: nothing else is sent there.
pub(crate) struct Wire {
    container: String,
    socket: UdpSocket,
}

impl Wire {
    /// Gives both ends addresses and each other's MAC address.
    pub(crate) fn over(container: &str) -> Self {
        let host = format!("pl{container}");
        let mac = |shown: String| {
            let words: Vec<&str> = shown.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "link/ether").unwrap();
            words[at + 1].to_owned()
        };
        let inside = mac(run("ip", &["-n", container, "-o", "link", "show", "eth0"]));
        let outside = mac(run("ip", &["-o", "link", "show", &host]));
        run("ip", &["addr", "add", "169.254.1.1/30", "dev", &host]);
        run(
            "ip",
            &[
                "-n",
                container,
                "addr",
                "add",
                "169.254.1.2/30",
                "dev",
                "eth0",
            ],
        );
        let neighbour = [
            "neigh",
            "add",
            "169.254.1.2",
            "lladdr",
            &inside,
            "dev",
            &host,
        ];
        run("ip", &neighbour);
        let neighbour = [
            "neigh",
            "add",
            "169.254.1.1",
            "lladdr",
            &outside,
            "dev",
            "eth0",
        ];
        run("ip", &[&["-n", container], neighbour.as_slice()].concat());
        let socket = UdpSocket::bind("169.254.1.1:9999").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        Self {
            container: container.to_owned(),
            socket,
        }
    }

    /// Whether a datagram passes from the container, and towards it.
    pub(crate) fn passes(&self) -> (bool, bool) {
        let send = "echo x > /dev/udp/169.254.1.1/9999";
        run(
            "ip",
            &["netns", "exec", &self.container, "bash", "-c", send],
        );
        let from = self.socket.recv(&mut [0; 16]).is_ok();
        let before = self.received();
        self.socket.send_to(b"x", "169.254.1.2:9999").unwrap();
        // A veth's received packets are counted as its peer sends them.
        (from, self.received() > before)
    }

    fn received(&self) -> u64 {
        let netns = ["netns", "exec", &self.container];
        let count = run(
            "ip",
            &[netns.as_slice(), &["cat", "/proc/net/dev"]].concat(),
        );
        let line = count
            .lines()
            .find(|line| line.trim().starts_with("eth0"))
            .unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    }
}

/// Commits a generation whose only row is endpoint 2 at this interface.
pub(crate) fn commit(kernel: &Kernel, generation: u64, ifindex: u32) {
    let slot = kernel.record().slot.other();
    let generation = Generation(generation);
    let mut tables = Tables::default();
    tables.endpoints.insert(
        EndpointIndex(2),
        Endpoint {
            ifindex: Some(ifindex),
            mac: constants(2).mac,
            subject: SubjectId(1),
            tap: false,
        },
    );
    kernel.mark_preparing(slot, generation).unwrap();
    let there = kernel.read_slot(slot).unwrap().tables;
    kernel
        .write_delta(slot, &Delta::between(&there, &tables))
        .unwrap();
    let info = SlotInfo {
        generation,
        commit: "c0ffee".to_owned(),
        ..SlotInfo::default()
    };
    kernel.mark_ready(slot, info).unwrap();
    kernel.store(CommitRecord { generation, slot }).unwrap();
    kernel.barrier().unwrap();
    kernel.mark_settled(slot, generation, 1).unwrap();
}

/// Puts a connection into a container's map: to 10.44.0.9:80, from port 40000, judged by this
/// generation, to be delivered to endpoint 7, half closed by the peer. It expires after a minute.
pub(crate) fn plant(base: &Path, container: &str, map: &str, generation: u64) {
    let path = base.join("v1/containers").join(container).join(map);
    let map = MapHandle::from_pinned_path(path).unwrap();
    let mut key = [0; 24];
    key[..4].copy_from_slice(&[10, 44, 0, 9]);
    key[16..18].copy_from_slice(&80_u16.to_be_bytes());
    key[18..20].copy_from_slice(&40_000_u16.to_be_bytes());
    key[20..22].copy_from_slice(&[6, 4]);
    let mut value = [0; 32];
    let word = generation | 7 << 28 | 1 << 60 | 1 << 62;
    value[..8].copy_from_slice(&u64::to_ne_bytes(word));
    map.update(&key, &value, MapFlags::ANY).unwrap();
    let kernel = Kernel::open(base).unwrap().unwrap();
    let container = name(container);
    for connection in kernel.connections(&container).unwrap() {
        kernel.set_expiry(&container, &connection, 60).unwrap();
    }
}

/// Waits for a condition that the kernel brings about by itself.
pub(crate) fn wait_until(says: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "not in 20 s: {says}"
        );
        std::thread::yield_now();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        run("umount", &["-l", self.folder.path().to_str().unwrap()]);
    }
}

pub(crate) fn ifindex(name: &str) -> u32 {
    let shown = run("ip", &["-o", "link", "show", "dev", name]);
    shown.split(':').next().unwrap().trim().parse().unwrap()
}

/// Runs a command that must succeed; what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn name(text: &str) -> FullName {
    FullName::from_slashed(text).unwrap()
}

/// Constants of the container with this index.
pub(crate) fn constants(index: u16) -> Constants {
    let [high, low] = index.to_be_bytes();
    Constants {
        endpoint: EndpointIndex(index),
        v4: Some([10, 44, high, low].into()),
        v6: Some([0xfd44, 0, 0, 0, 0, 0, 0, index].into()),
        mac: Mac([2, 0, 0, 0, high, low]),
        gateway_mac: Mac([2, 0x50, 0x4c, 0x42, 0, 1]),
        theirs: false,
        passes: false,
        tap: false,
    }
}

/// Every file below a directory, and its mode.
pub(crate) fn tree(path: &Path) -> Vec<(String, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    let mut queue = vec![path.to_owned()];
    while let Some(folder) = queue.pop() {
        let mode = folder.metadata().unwrap().permissions().mode() & 0o7777;
        found.push((
            folder.strip_prefix(path).unwrap().display().to_string(),
            mode,
        ));
        if folder.is_dir() {
            queue.extend(
                folder
                    .read_dir()
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    found.sort();
    found
}
