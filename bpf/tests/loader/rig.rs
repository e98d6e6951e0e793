//! What the tests stand on: namespaces and a bpffs of their own, and the kernel's numbers of ours.
//!
//! A test runs its own binary again under `unshare`, for namespaces belong to a whole process and
//! other tests run in this one. Everything ends with that process.

use std::path::{Path, PathBuf};
use std::process::Command;

use bpf::kernel::Kernel;
use state::target::constants::Constants;
use state::target::tables::EndpointIndex;
use state::words::address::Mac;
use state::words::names::FullName;

/// Runs a test in network and mount namespaces of its own, with a bpffs at the given base's parent.
pub(crate) fn alone<F: FnOnce(&Lab)>(test: F) {
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
}

/// A host to try on.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"]);
        run("mount", &["-t", "bpf", "-o", "mode=0700", "bpf", folder.path().to_str().unwrap()]);
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

    /// A veth pair whose other end is in a namespace of the given name; the host-side index.
    pub(crate) fn container(&self, name: &str) -> u32 {
        run("ip", &["netns", "add", name]);
        let host = format!("pl{name}");
        let peer = ["peer", "name", "eth0", "netns", name];
        run("ip", &[&["link", "add", &host, "type", "veth"], peer.as_slice()].concat());
        run("ip", &["link", "set", &host, "up"]);
        run("ip", &["-n", name, "link", "set", "eth0", "up"]);
        ifindex(&host)
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

/// Whether a command succeeds.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().unwrap().status.success()
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
    }
}

/// Every file below a directory, and its mode.
pub(crate) fn tree(path: &Path) -> Vec<(String, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    let mut queue = vec![path.to_owned()];
    while let Some(folder) = queue.pop() {
        let mode = folder.metadata().unwrap().permissions().mode() & 0o7777;
        found.push((folder.strip_prefix(path).unwrap().display().to_string(), mode));
        if folder.is_dir() {
            queue.extend(folder.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}
