//! The README's way from a clone to a host that follows it, and each of its three blocks: typed as
//! they stand there, by somebody who has sudo, in a checkout in which the package was built.

use crate::guest::{Disk, Guest, package};
use crate::tree::{edit, is_live, make, reaches};

/// Where the README has the clone.
const CLONE: &str = "/srv/network";
/// What stands before the blocks.
const BLOCKS: &str = "follows its tree by itself;";
const CHECKOUT: &str = "/home/ann/plumbline";

/// The indented blocks of the README after `text`, each as it is copied: with its indent.
fn blocks_after(text: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once(text).expect("the README says so");
    let mut blocks = vec![String::new()];
    for line in rest.lines() {
        if line.starts_with("    ") {
            let last = blocks.len() - 1;
            blocks[last] += &format!("{line}\n");
        } else if blocks.last().is_some_and(|block| !block.is_empty()) {
            blocks.push(String::new());
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// Types a block into a shell of Ann's, and each line of it must end well.
#[track_caller]
fn typed(guest: &Guest, block: &str) {
    guest.write("/tmp/block", block);
    guest.sh(&format!(
        "cd {CHECKOUT} && runuser -u ann -- bash -e /tmp/block"
    ));
}

/// A host with the README's package and clone, on which one of the three has been typed: the one
/// that names `what`.
fn following(disk: &Disk, what: &str) -> Guest {
    let guest = Guest::boot(disk);
    guest.sh("useradd --create-home ann && echo 'ann ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers");
    guest.sh(&format!("mkdir -p {CHECKOUT}/target/package"));
    let name = package();
    let name = name.file_name().and_then(|name| name.to_str()).unwrap();
    guest.copy(&package(), &format!("{CHECKOUT}/target/package/{name}"));
    make(&guest, "/srv/theirs");
    guest.sh(&format!("git clone -q /srv/theirs {CLONE}"));
    let blocks = blocks_after(BLOCKS);
    assert_eq!(blocks.len(), 4, "the package, and three ways: {blocks:?}");
    // Building takes a compiler: `./dev test-boot` has built what the first line builds.
    let (build, install) = blocks[0].split_once('\n').unwrap();
    assert_eq!(build.trim(), "./dev package");
    typed(&guest, install);
    let ways: Vec<_> = blocks[1..]
        .iter()
        .filter(|way| way.contains(what))
        .collect();
    let [way] = ways[..] else {
        panic!("one block has {what}: {ways:?}");
    };
    typed(&guest, way);
    guest
}

/// What is there becomes live, then what `git pull` brings, and traffic obeys it.
fn follows(guest: &Guest) {
    is_live(guest, CLONE, "what was there");
    assert!(reaches(guest, 80) && !reaches(guest, 81));
    edit(guest, "/srv/theirs", 81, "git commit -qam theirs");
    guest.sh(&format!("git -C {CLONE} pull -q --ff-only"));
    is_live(guest, CLONE, "a pull");
    assert!(reaches(guest, 81) && !reaches(guest, 80));
}

/// The same again after a boot, with a commit that came while the host was down.
fn follows_after_a_boot(disk: &Disk, guest: Guest, stop: &str) {
    guest.sh(stop);
    edit(&guest, "/srv/theirs", 82, "git commit -qam theirs");
    guest.sh(&format!("git -C {CLONE} pull -q --ff-only && sync"));
    drop(guest);
    let guest = Guest::boot(disk);
    is_live(&guest, CLONE, "what came while it was down");
    edit(&guest, "/srv/theirs", 83, "git commit -qam theirs");
    guest.sh(&format!("git -C {CLONE} pull -q --ff-only"));
    is_live(&guest, CLONE, "a pull after the boot");
}

#[test]
fn the_watcher_as_the_readme_has_it() {
    let disk = Disk::new();
    let guest = following(&disk, "plumbline-watch.service");
    follows(&guest);
    follows_after_a_boot(&disk, guest, "systemctl stop plumbline-watch");
}

#[test]
fn path_and_timer_as_the_readme_has_them() {
    let disk = Disk::new();
    let guest = following(&disk, "plumbline.path plumbline.timer");
    follows(&guest);
    guest.sh("systemctl is-active plumbline.path plumbline.timer");
    guest.sh("! systemctl -q is-active plumbline-watch");
    follows_after_a_boot(&disk, guest, "systemctl stop plumbline.path");
}

#[test]
fn cron_as_the_readme_has_it() {
    let disk = Disk::new();
    let guest = following(&disk, "/etc/cron.d/plumbline");
    guest.sh("systemctl is-active cron");
    follows(&guest);
    follows_after_a_boot(&disk, guest, "systemctl stop cron");
    // The line of running.md, in the other form of crontab(5).
    let running = include_str!("../../docs/running.md");
    let line = running
        .lines()
        .find(|line| line.starts_with("    * * * * * "));
    let line = line.unwrap().trim().replacen("* * * * * ", "", 1);
    let blocks = blocks_after(BLOCKS);
    assert!(blocks[3].contains(&format!("'* * * * * root {line}'")));
}
