//! Nothing is left behind: not when a test passes, not when it fails, not when it is killed.
//!
//! Two witnesses stand outside the lab, because they show that the kernel has let go: a BPF map
//! pinned in the lab's bpffs (its id goes with the mount namespace) and one end of a veth pair
//! (it goes with the other end's network namespace).

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Command, Stdio};

use libbpf_rs::{MapCore, MapHandle, MapType};
use rig::lab::Lab;
use rig::netns::Netns;
use rig::wait;

/// What the machine shows of others: mounts, named namespaces, pins, interfaces.
fn machine() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut shown: Vec<String> = mounts.lines().map(str::to_owned).collect();
    for folder in [
        "/run/netns",
        "/etc/netns",
        "/sys/fs/bpf",
        "/sys/class/net",
        "/var/lib/plumbline",
    ] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        shown.extend(entries.map(|entry| entry.path().display().to_string()));
    }
    shown.sort();
    shown
}

/// Leaves what a lab's host may hold, and gives the id of the map pinned in it.
fn furnish(lab: &Lab, witness: &Netns) -> u32 {
    let net = lab.alpha().net().clone();
    net.ip("netns add shop.web");
    net.ip(&format!(
        "link add inside type veth peer name outside netns {}",
        witness.path()
    ));
    let options = libbpf_rs::libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_rs::libbpf_sys::bpf_map_create_opts>() as u64,
        ..Default::default()
    };
    let mut map = MapHandle::create(MapType::Array, Some("rig"), 4, 4, 1, &options).unwrap();
    fs::create_dir("/sys/fs/bpf/plumbline").unwrap();
    map.pin("/sys/fs/bpf/plumbline/witness").unwrap();
    map.info().unwrap().info.id
}

#[track_caller]
fn all_gone(map: u32, witness: &Netns) {
    wait::holds("the lab's map to go", || {
        MapHandle::from_map_id(map).is_err()
    });
    wait::holds("the lab's interface to go", || {
        witness.interfaces().is_empty()
    });
}

#[test]
fn a_lab_that_ends_leaves_nothing() {
    let (before, witness) = (machine(), Netns::new("witness"));
    let map = Lab::run("ends", |lab| furnish(lab, &witness));
    all_gone(map, &witness);
    assert_eq!(machine(), before);
}

#[test]
fn a_lab_that_fails_leaves_nothing() {
    let (before, witness) = (machine(), Netns::new("witness"));
    let map = std::sync::Mutex::new(0);
    let failed = catch_unwind(|| {
        Lab::run("fails", |lab| {
            *map.lock().unwrap() = furnish(lab, &witness);
            std::panic::panic_any("as asked");
        });
    });
    assert_eq!(failed.unwrap_err().downcast_ref(), Some(&"as asked"));
    let map = map.into_inner().unwrap();
    all_gone(map, &witness);
    assert_eq!(machine(), before);
}

/// Set in the process that is to be killed.
const VICTIM: &str = "RIG_VICTIM";

#[test]
fn a_lab_that_is_killed_leaves_nothing() {
    let witness = Netns::new("witness");
    if std::env::var_os(VICTIM).is_some() {
        Lab::run("killed", |lab| {
            // The parent cannot hold a namespace of ours: the map alone is its witness.
            println!("\nmap {}", furnish(lab, &witness));
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        });
        return;
    }
    let before = machine();
    let own = std::env::current_exe().unwrap();
    let mut victim = Command::new(own)
        .args([
            "--exact",
            "cleanup::a_lab_that_is_killed_leaves_nothing",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let map = lines.find_map(|line| line.unwrap().strip_prefix("map ")?.parse().ok());
    let map = map.expect("the victim names its map");
    assert!(MapHandle::from_map_id(map).is_ok());
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait::holds("the lab's map to go", || {
        MapHandle::from_map_id(map).is_err()
    });
    assert_eq!(machine(), before);
    assert!(!Path::new("/sys/fs/bpf/plumbline").exists());
}
