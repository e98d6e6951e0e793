//! A host of a test's own.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sched::CloneFlags;
use reconciler::host::{Host, HostError, Made};
use rustix::mount::{MountFlags, MountPropagationFlags};
use state::target::host::{Attach, Network, container_mac, interface_name};
use state::words::names::FullName;

/// Runs a test on a host of its own: a thread in new network and mount namespaces, in which
/// `/run` is empty, `/etc` can be written and no bpffs is mounted.
pub(crate) fn on_a_host(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).unwrap();
            mount_private();
            ip("link set lo up");
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn mount_private() {
    let none = MountFlags::empty();
    rustix::mount::mount("tmpfs", "/run", "tmpfs", none, Some(c"mode=0755")).unwrap();
    fs::create_dir_all("/run/layer/upper").unwrap();
    fs::create_dir_all("/run/layer/work").unwrap();
    let layers = c"lowerdir=/etc,upperdir=/run/layer/upper,workdir=/run/layer/work";
    rustix::mount::mount("overlay", "/etc", "overlay", none, Some(layers)).unwrap();
    fs::write("/etc/resolv.conf", "nameserver 192.0.2.53\n").unwrap();
    if Path::new("/sys/fs/bpf").exists() {
        rustix::mount::mount("tmpfs", "/sys/fs/bpf", "tmpfs", none, Some(c"mode=0755")).unwrap();
    }
}

/// The name of a container.
pub(crate) fn name(text: &str) -> FullName {
    FullName::from_slashed(text).unwrap()
}

/// A container's network as a tree asks for it.
pub(crate) fn network(container: &str, addresses: &[&str]) -> (FullName, Network) {
    let name = name(container);
    let network = Network {
        attach: Attach::Managed,
        namespace: name.dotted(),
        interface: interface_name(&name),
        mac: container_mac(&name),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        mtu: 1400,
        resolv_conf: true,
    };
    (name, network)
}

/// What was done of a network is all of it: gives the host-side interface.
#[track_caller]
pub(crate) fn done(made: Result<Made, HostError>) -> u32 {
    let made = made.unwrap();
    assert!(made.refused.is_none(), "{made:?}");
    made.ifindex
}

/// Makes and opens a container's network.
pub(crate) fn make(host: &Host, container: &str, addresses: &[&str]) -> (FullName, Network) {
    let (name, network) = network(container, addresses);
    let on = done(host.ensure_network(&name, &network));
    done(host.open_network(&name, &network, on));
    (name, network)
}

/// Opens a network on the interface that it has.
pub(crate) fn open(host: &Host, name: &FullName, network: &Network) -> Result<Made, HostError> {
    let on = host.read()?.networks[name].ifindex;
    host.open_network(name, network, on.unwrap())
}

/// Runs `ip` on the test's host and gives what it printed.
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "ip {arguments}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs something in a network namespace of the test's host, on a thread of its own.
pub(crate) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(file.as_fd(), kind).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// A process that lives in a network namespace until it is dropped.
pub(crate) struct Tenant {
    child: Child,
}

impl Tenant {
    /// Starts one and waits until it is there.
    pub(crate) fn of(namespace: &str) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace, "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b".").unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        Self { child }
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
