//! The directory below bpffs: what is where. The only file with path strings.
//!
//! ```text
//! <base>/                          0700, root's; the lock is taken on it
//!   v1/                            the version of the layouts of all that is below
//!     commit slots policy ...      the maps that a host has once, by their names
//!     blocks/<code>_<n>/           one set of shared blocks: its table and its programs
//!     containers/<namespace>/<name>/
//!       established half_open datagrams counters    its connection maps
//!       from_container to_container                 its links
//! ```
//!
//! bpffs keeps names with a dot for itself (`bpf_lookup` in kernel/bpf/inode.c), and a container's
//! name may have dots but no underscore, so an underscore stands for each. Namespace and name are
//! two directories, for together they may be longer than a file name can be.
//!
//! Pins are made with mode 0600 and directories with 0700: modes alone protect them. Nothing here
//! says what must exist; [`Listing`] tells what does, known or not. What stands under one of our
//! names and is another kind of thing is read as no pin, and makes room for one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use state::live::LostPin;
use state::words::names::{FullName, NamespaceName, ObjectName};

use crate::abi::{CONNECTION_MAPS, GLOBAL, header};
use crate::fault::{Fault, Object, Of};
use crate::sys::{self, Hook, Kind};

/// Why a base directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It is on another file system.
    #[error(
        "{} is not on a bpffs: mount one there (mount -t bpf -o mode=0700 bpf {})",
        .path.display(), .path.parent().unwrap_or(.path).display()
    )]
    NotBpffs {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody else's, or open to others: what is pinned there could be read or replaced.
    #[error(
        "{} belongs to user {owner} with mode {mode:04o}; it must be root's with mode 0700: \
         if it is yours, chown 0:0 and chmod 0700 it, else remove it",
        .path.display()
    )]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// The kernel does not let us look.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What exists below the base directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Maps that a host has once.
    pub maps: BTreeSet<String>,
    /// Sets of blocks: what each has pinned.
    pub blocks: BTreeMap<String, BTreeSet<String>>,
    /// Containers: what each has pinned.
    pub containers: BTreeMap<FullName, BTreeSet<String>>,
    /// What we do not know: another version's, a stranger's, or left by a run that died.
    pub unknown: BTreeSet<PathBuf>,
}

/// The directory of one layout version.
#[derive(Clone, Debug)]
pub struct Pins {
    base: PathBuf,
    root: PathBuf,
}

const TABLE: &str = "table";
const NEXT: &str = "_next";

impl Pins {
    /// Below a base directory, which need not exist yet.
    pub(crate) fn below(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            root: base.join(format!("v{}", header::PL_LAYOUT)),
        }
    }

    /// The base directory.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn block_sets(&self) -> PathBuf {
        self.root.join("blocks")
    }

    pub(crate) fn block_set(&self, set: &str) -> PathBuf {
        self.block_sets().join(set)
    }

    pub(crate) fn block_table(&self, set: &str) -> PathBuf {
        self.block_set(set).join(TABLE)
    }

    pub(crate) fn block(&self, set: &str, program: &str) -> PathBuf {
        self.block_set(set).join(program)
    }

    pub(crate) fn make_block_set(&self, set: &str) -> Result<(), Fault> {
        make_directory(&self.block_sets())?;
        make_directory(&self.block_set(set))
    }

    /// A name for a new set of blocks of this code.
    pub(crate) fn new_block_set(code: &[u8; 32], taken: &Listing) -> String {
        let short: String = code[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        (1_u32..)
            .map(|number| format!("{short}_{number}"))
            .find(|name| !taken.blocks.contains_key(name))
            .unwrap_or(short)
    }

    fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(crate) fn container(&self, name: &FullName) -> PathBuf {
        self.containers()
            .join(name.namespace.as_str())
            .join(name.name.as_str().replace('.', "_"))
    }

    pub(crate) fn container_map(&self, name: &FullName, map: &str) -> PathBuf {
        self.container(name).join(map)
    }

    pub(crate) fn link(&self, name: &FullName, hook: Hook) -> PathBuf {
        self.container(name).join(link_name(hook))
    }

    /// Where a pin waits to take the place of another.
    pub(crate) fn next(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(NEXT);
        path.with_file_name(name)
    }

    /// Refuses a base directory that others could change. `false` where there is none yet.
    pub(crate) fn check_base(&self) -> Result<bool, BaseError> {
        let Some(found) = metadata(&self.base)? else {
            return Ok(false);
        };
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        if !sys::is_bpffs(&self.base).of("look at", || Object::Path(self.base.clone()))? {
            return Err(BaseError::NotBpffs {
                path: self.base.clone(),
            });
        }
        if !found.is_dir() || owner != 0 || mode != 0o700 {
            return Err(BaseError::Unsafe {
                path: self.base.clone(),
                owner,
                mode,
            });
        }
        Ok(true)
    }

    /// Makes the base directory and what of the layout is empty at first.
    pub(crate) fn make_base(&self) -> Result<(), BaseError> {
        if !self.check_base()? {
            make_directory(&self.base)?;
            self.check_base()?;
        }
        for directory in [self.root.clone(), self.block_sets(), self.containers()] {
            make_directory(&directory)?;
        }
        Ok(())
    }

    /// Somebody may have removed what stands above, which is empty at first.
    pub(crate) fn make_container(&self, name: &FullName) -> Result<(), Fault> {
        make_directory(&self.containers())?;
        make_directory(&self.containers().join(name.namespace.as_str()))?;
        make_directory(&self.container(name))
    }

    /// Removes a container's directory, and its namespace's where it was the last.
    pub(crate) fn remove_container(&self, name: &FullName) -> Result<(), Fault> {
        remove_directory(&self.container(name))?;
        let namespace = self.containers().join(name.namespace.as_str());
        match fs::remove_dir(&namespace) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.of("remove", || Object::Path(namespace)),
        }
    }

    /// Removes the layout's directories and the base directory, once they are empty. A run that
    /// died may have left a namespace's without a container.
    pub(crate) fn remove_base(&self) -> Result<(), Fault> {
        for (namespace, _) in entries(&self.containers())? {
            remove_directory(&self.containers().join(namespace))?;
        }
        for directory in [
            &self.containers(),
            &self.block_sets(),
            &self.root,
            &self.base,
        ] {
            remove_directory(directory)?;
        }
        Ok(())
    }

    /// What exists.
    pub(crate) fn listing(&self) -> Result<Listing, Fault> {
        let mut listing = Listing::default();
        for (name, directory) in entries(&self.base)? {
            if !(directory && self.root.ends_with(&name)) {
                listing.unknown.insert(self.base.join(name));
            }
        }
        for (name, directory) in entries(&self.root)? {
            let map = GLOBAL.iter().any(|shape| shape.name == name);
            match (map, directory, name.as_str()) {
                (true, false, _) => {
                    listing.maps.insert(name);
                }
                (_, true, "blocks" | "containers") => {}
                _ => {
                    listing.unknown.insert(self.root.join(name));
                }
            }
        }
        self.list_blocks(&mut listing)?;
        self.list_containers(&mut listing)?;
        Ok(listing)
    }

    fn list_blocks(&self, listing: &mut Listing) -> Result<(), Fault> {
        for (set, directory) in entries(&self.block_sets())? {
            if !directory {
                listing.unknown.insert(self.block_set(&set));
                continue;
            }
            let mut pins = BTreeSet::new();
            for (name, directory) in entries(&self.block_set(&set))? {
                if directory {
                    listing.unknown.insert(self.block_set(&set).join(name));
                } else {
                    pins.insert(name);
                }
            }
            listing.blocks.insert(set, pins);
        }
        Ok(())
    }

    fn list_containers(&self, listing: &mut Listing) -> Result<(), Fault> {
        for (namespace, directory) in entries(&self.containers())? {
            let path = self.containers().join(&namespace);
            let Some(namespace) = NamespaceName::new(&namespace).ok().filter(|_| directory) else {
                listing.unknown.insert(path);
                continue;
            };
            for (name, directory) in entries(&path)? {
                let path = path.join(&name);
                let known = ObjectName::new(&name.replace('_', ".")).ok();
                let Some(name) = known.filter(|_| directory) else {
                    listing.unknown.insert(path);
                    continue;
                };
                let namespace = namespace.clone();
                let pins = container_pins(&path, &mut listing.unknown)?;
                listing
                    .containers
                    .insert(FullName { namespace, name }, pins);
            }
        }
        Ok(())
    }

    /// Opens a map, if it is pinned.
    pub(crate) fn open_map(&self, path: &Path) -> Result<Option<OwnedFd>, Fault> {
        open(path, Kind::Map)
    }

    /// Opens a program, if it is pinned.
    pub(crate) fn open_program(&self, path: &Path) -> Result<Option<OwnedFd>, Fault> {
        open(path, Kind::Program)
    }

    /// Opens a link, if it is pinned.
    pub(crate) fn open_link(&self, path: &Path) -> Result<Option<OwnedFd>, Fault> {
        open(path, Kind::Link)
    }
}

/// The pin of a container's link on one side.
pub(crate) fn link_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Ingress => "from_container",
        Hook::Egress => "to_container",
    }
}

/// Pins an object in place of whatever is pinned there, at once. An empty directory goes first.
pub(crate) fn replace(object: BorrowedFd<'_>, path: &Path) -> Result<(), Fault> {
    let (next, object_of) = (Pins::next(path), || Object::Path(path.to_owned()));
    if metadata(path)?.is_some_and(|found| found.is_dir()) {
        fs::remove_dir(path).of("put a pin in the place of", object_of)?;
    }
    remove(&next)?;
    sys::pin(object, &next).of("pin", || Object::Path(next.clone()))?;
    fs::rename(&next, path).of("pin", object_of)
}

/// Pins an object where no pin of ours is. Whatever else stands there has no business below our
/// base directory, and goes.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> Result<(), Fault> {
    match sys::pin(object, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => replace(object, path),
        pinned => pinned.of("pin", || Object::Path(path.to_owned())),
    }
}

/// A pin of ours that is not there, and whether anything else is.
pub(crate) fn lost(name: &str, path: &Path) -> Result<LostPin, Fault> {
    Ok(LostPin {
        name: name.to_owned(),
        taken: metadata(path)?.is_some(),
    })
}

/// Removes a pin; it is well if there is none.
pub(crate) fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.of("remove", || Object::Path(path.to_owned())),
    }
}

/// Removes an empty directory; it is well if there is none.
pub(crate) fn remove_directory(path: &Path) -> Result<(), Fault> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.of("remove", || Object::Path(path.to_owned())),
    }
}

/// Makes a directory that only root may look into; it is well if it is there.
pub(crate) fn make_directory(path: &Path) -> Result<(), Fault> {
    let object = || Object::Path(path.to_owned());
    match fs::DirBuilder::new().mode(0o700).create(path) {
        // The umask of who runs us takes no part in it.
        Ok(()) => {
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(path, mode).of("set the mode of", object)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Fault::new("make", object(), source)),
    }
}

fn metadata(path: &Path) -> Result<Option<fs::Metadata>, Fault> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Fault::new("look at", Object::Path(path.to_owned()), source)),
    }
}

/// Names in a directory, sorted, and whether each is a directory; none where there is none.
fn entries(path: &Path) -> Result<Vec<(String, bool)>, Fault> {
    let object = || Object::Path(path.to_owned());
    let listed = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.of("list", object)?,
    };
    let mut names = Vec::new();
    for entry in listed {
        let entry = entry.of("list", object)?;
        let directory = entry.file_type().of("look at", object)?.is_dir();
        names.push((entry.file_name().to_string_lossy().into_owned(), directory));
    }
    names.sort();
    Ok(names)
}

fn container_pins(path: &Path, unknown: &mut BTreeSet<PathBuf>) -> Result<BTreeSet<String>, Fault> {
    let mut pins = BTreeSet::new();
    for (name, directory) in entries(path)? {
        let ours = name.strip_suffix(NEXT).unwrap_or(&name);
        let map = CONNECTION_MAPS.iter().any(|shape| shape.name == ours);
        let link = [Hook::Ingress, Hook::Egress]
            .into_iter()
            .any(|hook| link_name(hook) == ours);
        if (map || link) && !directory {
            pins.insert(name);
        } else {
            unknown.insert(path.join(name));
        }
    }
    Ok(pins)
}

/// What is not of the kind that the name says is no pin of ours: neither is a symbolic link, which
/// may lead anywhere, nor a directory.
fn open(path: &Path, expected: Kind) -> Result<Option<OwnedFd>, Fault> {
    if metadata(path)?.is_none_or(|found| found.is_symlink() || found.is_dir()) {
        return Ok(None);
    }
    match sys::open_pin(path) {
        Ok((fd, kind)) => Ok((kind == Some(expected)).then_some(fd)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Fault::new("open", Object::Path(path.to_owned()), source)),
    }
}
