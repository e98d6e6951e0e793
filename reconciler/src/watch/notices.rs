//! Notices that something below some directories may have changed, by inotify(7).
//!
//! Directories are watched, never files: git and editors put a new file in the place of the old
//! one. What is not there yet is waited for in the nearest directory above it. A notice says
//! nothing of what changed, and is given too often rather than not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A directory, and what counts of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which.
    pub directory: PathBuf,
    /// What counts.
    pub counts: Counts,
}

/// What of a directory counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    /// What this is the name of: a link, or a directory that may be put elsewhere.
    Entry(OsString),
    /// Everything in it.
    Entries,
    /// Those below it as well.
    Below,
}

/// What is watched.
pub struct Notices {
    watcher: notify::Result<RecommendedWatcher>,
    /// By directory: whether those below count, and which directory it was then.
    watched: BTreeMap<PathBuf, (bool, (u64, u64))>,
    filter: Arc<Mutex<Filter>>,
}

/// The names that alone count in a directory; `None` where all do.
type Names = Option<BTreeSet<OsString>>;

/// What whoever receives events knows of what is watched.
#[derive(Default)]
struct Filter {
    /// Directories, and the names that alone count there, if not all do.
    watched: BTreeMap<PathBuf, Names>,
    /// Those that were removed or renamed since: one in their place is another, whatever number it
    /// has.
    gone: BTreeSet<PathBuf>,
}

impl Filter {
    /// Whether an event may be a change. Our own looks open files as well.
    fn counts(&mut self, event: &Event) -> bool {
        if event.need_rescan() {
            // Events were lost for want of room, and what they said of directories with them.
            self.gone.extend(self.watched.keys().cloned());
            return true;
        }
        if let EventKind::Access(kind) = event.kind
            && kind != AccessKind::Close(AccessMode::Write)
        {
            return false;
        }
        let mut counts = event.paths.is_empty();
        for path in &event.paths {
            if self.watched.contains_key(path) {
                let moved = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)));
                if moved || matches!(event.kind, EventKind::Remove(_)) {
                    self.gone.insert(path.clone());
                }
                counts = true;
            }
            let around = path.parent().and_then(|parent| self.watched.get(parent));
            counts |= match (around, path.file_name()) {
                (Some(Some(names)), Some(name)) => names.contains(name),
                _ => true,
            };
        }
        counts
    }
}

/// Magic numbers of file systems on which others change files of which this kernel is not told
/// (statfs(2), linux/magic.h).
const REMOTE: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0000_517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0x786f_4256, "VirtualBox shared folders"),
];

/// What came of watching.
pub struct Watched {
    /// Why some places give no notice, if that is so: they are to be looked at now and then.
    pub deaf: Option<String>,
    /// Whether some place is watched only from now on: what was seen there before may be old.
    pub anew: bool,
}

impl Notices {
    /// Watches nothing yet. `woken` is told of each notice.
    pub fn new(woken: Arc<Notify>) -> Self {
        let filter = Arc::new(Mutex::new(Filter::default()));
        let told = Arc::clone(&filter);
        let tell = move |event: notify::Result<Event>| {
            let mut filter = told.lock().unwrap_or_else(PoisonError::into_inner);
            if event.map_or(true, |event| filter.counts(&event)) {
                woken.notify_one();
            }
        };
        let config = Config::default().with_follow_symlinks(false);
        Self {
            watcher: RecommendedWatcher::new(tell, config),
            watched: BTreeMap::new(),
            filter,
        }
    }

    /// Watches these places and no others.
    pub fn watch(&mut self, places: &[Place]) -> Watched {
        let watcher = match &mut self.watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                return Watched {
                    deaf: Some(error.to_string()),
                    anew: false,
                };
            }
        };
        let (mut deaf, mut anew) = (None, false);
        let (mut wanted, mut named) = (BTreeMap::new(), BTreeMap::new());
        for place in places {
            let there = existing(&place.directory);
            if let Some(kind) = remote(&there) {
                deaf = Some(format!("{} is on {kind}", there.display()));
            }
            want(place, there, &mut wanted, &mut named);
        }
        // One that lies below another that is watched with all below it needs none of its own.
        let deep: Vec<PathBuf> = wanted
            .iter()
            .filter(|(_, below)| **below)
            .map(|(d, _)| d.clone())
            .collect();
        wanted.retain(|directory, _| {
            !deep
                .iter()
                .any(|deep| directory != deep && directory.starts_with(deep))
        });
        // Before anything is watched anew: what comes from now on counts as what is wanted says.
        let gone = {
            let mut filter = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
            named.retain(|directory, _| wanted.contains_key(directory));
            filter.watched = named;
            std::mem::take(&mut filter.gone)
        };
        self.watched.retain(|directory, was| {
            let same = wanted.get(directory) == Some(&was.0)
                && id(directory) == Some(was.1)
                && !gone.contains(directory);
            if !same {
                // One that is gone is watched no more.
                let _ = watcher.unwatch(directory);
            }
            same
        });
        for (directory, below) in wanted {
            if self.watched.contains_key(&directory) {
                continue;
            }
            let mode = if below {
                RecursiveMode::Recursive
            } else {
                RecursiveMode::NonRecursive
            };
            match (watcher.watch(&directory, mode), id(&directory)) {
                (Ok(()), Some(id)) => {
                    anew = true;
                    self.watched.insert(directory, (below, id));
                }
                (Err(error), _) => {
                    // It would name its places once more.
                    let error = error.set_paths(Vec::new());
                    deaf = Some(format!("{}: {error}", directory.display()));
                }
                // Gone in between: whoever is told of it looks again.
                (Ok(()), None) => deaf = Some(format!("{} has gone", directory.display())),
            }
        }
        Watched { deaf, anew }
    }
}

/// Wants a place, or the nearest directory above it that is there.
fn want(
    place: &Place,
    there: PathBuf,
    wanted: &mut BTreeMap<PathBuf, bool>,
    named: &mut BTreeMap<PathBuf, Names>,
) {
    let itself = place.directory.is_dir();
    let names = named.entry(there.clone()).or_insert(Some(BTreeSet::new()));
    match (&place.counts, names.as_mut()) {
        (Counts::Entry(name), Some(names)) if itself => drop(names.insert(name.clone())),
        _ => *names = None,
    }
    *wanted.entry(there).or_default() |= itself && place.counts == Counts::Below;
}

/// A directory, or the nearest one above it that is there, by the one name that it has without
/// links: under two names it would be watched as the later one alone.
fn existing(directory: &Path) -> PathBuf {
    let mut above = directory.ancestors();
    let found = above.find_map(|path| fs::canonicalize(path).ok().filter(|path| path.is_dir()));
    found.unwrap_or_else(|| PathBuf::from("/"))
}

fn id(directory: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The kind of file system, where changes that others make there go unnoticed.
fn remote(directory: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(directory).ok()?;
    let magic = found.f_type;
    let known = REMOTE
        .iter()
        .find(|(number, _)| i128::from(*number) == i128::from(magic) & 0xffff_ffff);
    known.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use notify::event::Flag;

    use super::*;

    #[test]
    fn events_that_were_lost_may_be_of_any_directory() {
        let directory = PathBuf::from("/tree");
        let mut filter = Filter::default();
        let names = Some(BTreeSet::from(["net".into()]));
        filter.watched.insert(directory.clone(), names);
        let other = Event::new(EventKind::Any).add_path(directory.join("other"));
        assert!(!filter.counts(&other));
        assert!(filter.gone.is_empty());
        assert!(filter.counts(&Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(filter.gone, BTreeSet::from([directory]));
    }
}
