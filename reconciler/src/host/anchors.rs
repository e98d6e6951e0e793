//! What of the host containers hang on, in short: another namespace or interface is another text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrIn6;
use state::target::host::{Attach, interface_name};
use state::words::names::FullName;

use super::mounts::Mounts;
use super::namespaces::DIRECTORY;
use super::{Host, links};

/// A namespace or an interface that is looked for by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anchor {
    /// A network namespace, by the path of its file.
    Namespace(PathBuf),
    /// An interface of the host.
    Interface(String),
}

/// What these containers hang on.
pub fn of<'a>(containers: impl Iterator<Item = (&'a FullName, &'a Attach)>) -> Vec<Anchor> {
    let anchors = containers.flat_map(|(name, attach)| match attach {
        Attach::Managed => vec![
            Anchor::Namespace(Path::new(DIRECTORY).join(name.dotted())),
            Anchor::Interface(interface_name(name)),
        ],
        Attach::Namespace(path) => vec![
            Anchor::Namespace(path.into()),
            Anchor::Interface(interface_name(name)),
        ],
        Attach::Interface { name, .. } => vec![Anchor::Interface(name.clone())],
    });
    anchors.collect()
}

/// Which namespaces and interfaces stand at these names now, and the addresses of the host. Nothing
/// is opened.
pub fn seen(anchors: &[Anchor], mounts: Mounts) -> String {
    let interfaces = interfaces();
    let mut text = addresses(anchors);
    for anchor in anchors {
        // Writing to a String cannot fail.
        let _ = match anchor {
            Anchor::Namespace(path) => {
                let id = fs::metadata(mounts.reach(path))
                    .ok()
                    .map(|m| (m.dev(), m.ino()));
                writeln!(text, "{} {id:?}", path.display())
            }
            Anchor::Interface(name) => writeln!(text, "{name} {:?}", interfaces.get(name)),
        };
    }
    text
}

/// The folders in which a name of these appears when its file does.
pub fn folders(anchors: &[Anchor], mounts: Mounts) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = anchors
        .iter()
        .filter_map(|anchor| match anchor {
            Anchor::Namespace(path) => Some(mounts.reach(path.parent()?)),
            Anchor::Interface(_) => None,
        })
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// The addresses of all interfaces of the calling thread's network namespace, in order: the host's
/// own, which policy knows from others (getifaddrs(3)). Each interface that somebody makes has a
/// link-local one, which counts where a container is attached to it.
fn addresses(anchors: &[Anchor]) -> String {
    let Ok(listed) = getifaddrs() else {
        return String::new();
    };
    let all: BTreeSet<String> = listed
        .filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|a| a.ip().to_string());
            let v6 = address.as_sockaddr_in6().map(SockaddrIn6::ip);
            let attached = anchors.contains(&Anchor::Interface(one.interface_name));
            let v6 = v6.filter(|ip| attached || !ip.is_unicast_link_local());
            v4.or(v6.map(|ip| ip.to_string()))
        })
        .collect();
    let all: Vec<String> = all.into_iter().collect();
    all.join(" ") + "\n"
}

/// By name, all interfaces of the calling thread's network namespace: which one it is, where it
/// leads, and whose port it is. An engine makes a pair first, and gives away its other end then.
fn interfaces() -> BTreeMap<String, impl std::fmt::Debug> {
    let listed = Host::open().and_then(|host| Ok(links::list(&host.netlink)?));
    let listed = listed.unwrap_or_else(|error| {
        tracing::info!("what interfaces there are was not seen: {error}");
        Vec::new()
    });
    let which = |link: &links::Link| (link.index, link.peer, link.peer_namespace, link.controller);
    let named = listed.into_iter().map(|link| (which(&link), link.name));
    named.map(|(which, name)| (name, which)).collect()
}
