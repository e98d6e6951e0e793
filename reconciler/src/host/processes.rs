//! Which processes live in which network namespace, as `/proc/<pid>/ns/net` tells (namespaces(7)).
//!
//! Only main threads are looked at: a single thread that has moved into a namespace, as a run of
//! ours does, is not a process that lives there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use state::live::Process;

/// The network namespaces that threads of the host are in, each once.
pub(super) fn namespaces() -> io::Result<Vec<OwnedFd>> {
    let mut found = BTreeMap::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        // One that ends meanwhile, or no process.
        let Ok(threads) = fs::read_dir(process.join("task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let Ok(namespace) = File::open(thread.path().join("ns/net")) else {
                continue;
            };
            let metadata = namespace.metadata()?;
            found
                .entry((metadata.dev(), metadata.ino()))
                .or_insert_with(|| OwnedFd::from(namespace));
        }
    }
    Ok(found.into_values().collect())
}

/// The processes of each of these namespaces, by the device and inode that tell it. Processes that
/// end meanwhile are left out, and so are those that the caller may not look at.
pub(super) fn living_in(
    namespaces: &BTreeMap<(u64, u64), usize>,
) -> io::Result<Vec<(usize, Process)>> {
    let mut found = Vec::new();
    if namespaces.is_empty() {
        return Ok(found);
    }
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|text| text.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(metadata) = fs::metadata(format!("/proc/{pid}/ns/net")) else {
            continue;
        };
        if let Some(whose) = namespaces.get(&(metadata.dev(), metadata.ino())) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let name = name.trim_end_matches('\n').to_owned();
            found.push((*whose, Process { pid, name }));
        }
    }
    found.sort();
    Ok(found)
}
