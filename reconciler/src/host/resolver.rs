//! `/etc/netns/<namespace>/resolv.conf`, which `ip netns exec` mounts over `/etc/resolv.conf`.
//!
//! It is the host's, below a first line that marks it as ours. Where the host's names only name
//! servers on its own loopback, which no container can reach, and systemd-resolved keeps the list
//! that it forwards to (`/run/systemd/resolve/resolv.conf`), that list is taken instead.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::ownership::{NotOurs, RESOLV_CONF_MARK};
use crate::run::files;

/// Where files for network namespaces are (ip-netns(8)).
pub const DIRECTORY: &str = "/etc/netns";
const OF_THE_HOST: &str = "/etc/resolv.conf";
const OF_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// A longer file is no `resolv.conf`.
const BYTES_MOST: u64 = 1 << 20;

/// Why the file cannot be read, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// Somebody else's file stands there.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// Something else than a file stands there.
    #[error("{} is no file; remove it", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// A file or folder cannot be read or made.
    #[error("cannot read or make {}: {cause}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] files::WriteError),
}

/// What is at a namespace's `resolv.conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    Absent,
    /// Ours, as the host's is now.
    Current,
    /// Ours, from what the host's was.
    Stale,
    /// Somebody else's.
    NotOurs,
}

/// What a namespace's file should hold; `None` where the host has no `resolv.conf`.
pub(super) fn wanted() -> Result<Option<String>, ResolverError> {
    let Some(host) = read(Path::new(OF_THE_HOST))? else {
        return Ok(None);
    };
    let text = match only_loopback(&host) {
        true => read(Path::new(OF_RESOLVED))?.unwrap_or(host),
        false => host,
    };
    Ok(Some(format!("{RESOLV_CONF_MARK}{text}")))
}

/// Compares a namespace's file with what it should hold.
pub(super) fn state(namespace: &str, wanted: Option<&str>) -> Result<State, ResolverError> {
    let found = match read(&path(namespace)) {
        Err(ResolverError::NotAFile { .. }) => return Ok(State::NotOurs),
        found => found?,
    };
    Ok(match found {
        None if wanted.is_none() => State::Current,
        None => State::Absent,
        Some(text) if Some(text.as_str()) == wanted => State::Current,
        Some(text) if is_ours(&text) => State::Stale,
        Some(_) => State::NotOurs,
    })
}

/// The namespaces, by name, for which somebody else has put a file.
pub(super) fn foreign() -> Result<BTreeSet<String>, ResolverError> {
    let folder = Path::new(DIRECTORY);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(failed(folder)(e)),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(failed(folder))?.file_name();
        let Ok(name) = name.into_string() else {
            continue;
        };
        let foreign = match read(&path(&name)) {
            Ok(text) => text.is_some_and(|text| !is_ours(&text)),
            Err(ResolverError::NotAFile { .. }) => true,
            // What cannot be read is told where it is wanted.
            Err(_) => false,
        };
        if foreign {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Writes a namespace's file from the host's.
pub(super) fn write(namespace: &str) -> Result<(), ResolverError> {
    let wanted = wanted()?;
    match (state(namespace, wanted.as_deref())?, wanted) {
        (State::Current, _) => Ok(()),
        (State::NotOurs, _) => Err(NotOurs::File {
            path: path(namespace),
        }
        .into()),
        (_, None) => remove(namespace),
        (_, Some(text)) => {
            let folder = Path::new(DIRECTORY).join(namespace);
            DirBuilder::new()
                .mode(0o755)
                .recursive(true)
                .create(&folder)
                .map_err(failed(&folder))?;
            files::place(&path(namespace), text.as_bytes(), 0o644)?;
            Ok(())
        }
    }
}

/// Removes a namespace's file if it is ours, and its folder if that is empty then.
pub(super) fn remove(namespace: &str) -> Result<(), ResolverError> {
    let path = path(namespace);
    files::remove_beside(&path)?;
    match read(&path) {
        Ok(Some(text)) if is_ours(&text) => {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        Ok(None) => {}
        Ok(Some(_)) | Err(ResolverError::NotAFile { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let folder = Path::new(DIRECTORY).join(namespace);
    match fs::remove_dir(&folder) {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
            Err(failed(&folder)(e))
        }
        _ => Ok(()),
    }
}

/// By its mark. A crash may leave an empty one: it is not synced.
fn is_ours(text: &str) -> bool {
    text.is_empty() || text.starts_with(RESOLV_CONF_MARK)
}

/// Whether all name servers are on the loopback, as a stub resolver's are.
fn only_loopback(text: &str) -> bool {
    let mut servers = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("nameserver"))
        .filter_map(|rest| rest.split_whitespace().next())
        .peekable();
    servers.peek().is_some()
        && servers.all(|server| server.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

fn path(namespace: &str) -> PathBuf {
    Path::new(DIRECTORY).join(namespace).join("resolv.conf")
}

fn read(path: &Path) -> Result<Option<String>, ResolverError> {
    use std::io::Read;
    // A FIFO would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let not_a_file = || ResolverError::NotAFile {
        path: path.to_owned(),
    };
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NXIO) => return Err(not_a_file()),
        Err(e) => return Err(failed(path)(e.into())),
    };
    if !file.metadata().map_err(failed(path))?.is_file() {
        return Err(not_a_file());
    }
    let mut content = Vec::new();
    file.take(BYTES_MOST)
        .read_to_end(&mut content)
        .map_err(failed(path))?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ResolverError + use<> {
    let path = path.to_owned();
    move |cause| ResolverError::Io { path, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_resolver_is_told_from_name_servers() {
        assert!(only_loopback(
            "search x\nnameserver 127.0.0.53\noptions edns0\n"
        ));
        assert!(only_loopback("nameserver ::1\n nameserver 127.0.0.1\n"));
        assert!(!only_loopback(
            "nameserver 127.0.0.53\nnameserver 192.0.2.1\n"
        ));
        assert!(!only_loopback("# nameserver 127.0.0.1\nsearch x\n"));
    }
}
