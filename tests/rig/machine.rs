//! What a lab needs of the machine: asked before anything is made, by programs that people start.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::lab::binary;

/// The first kernel with tcx links.
const KERNEL: (u32, u32) = (6, 6);

/// What is missing for this recipe, and what to do about it.
pub fn lack(recipe: &str) -> Option<String> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        return Some(format!(
            "it makes namespaces and loads BPF programs, which takes root: type `./dev {recipe}`, \
             or start it as root."
        ));
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if version(release).is_none_or(|version| version < KERNEL) {
        let (major, minor) = KERNEL;
        return Some(format!(
            "this kernel is {release}, and {major}.{minor} or later is needed: on Debian 12, \
             install linux-image-amd64 from bookworm-backports."
        ));
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\tbpf")) {
        return Some(
            "this kernel has no BPF: boot one with CONFIG_BPF_SYSCALL=y, as Debian's and Ubuntu's \
             are, on the host itself or in a virtual machine."
                .to_owned(),
        );
    }
    binary().err()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
