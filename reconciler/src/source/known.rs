//! Objects that were read and checked: an id says what is in one, wherever it is named again, in
//! the same tree or in the next. Those that the last few trees did not name are forgotten.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use gix::ObjectId;
use gix::objs::Kind;

use super::git::{Entry, GitError, Objects};
use super::selection::{FILE_BYTES_MOST, Folder};

/// Objects that were read and checked.
#[derive(Debug, Default)]
pub struct Known {
    /// How many trees were read.
    trees: u64,
    folders: BTreeMap<ObjectId, Used<Arc<[Entry]>>>,
    sizes: BTreeMap<ObjectId, Used<u64>>,
    contents: BTreeMap<ObjectId, Used<Arc<[u8]>>>,
}

/// For how many more trees an object is known: runs read the live one and the next in turn.
const TREES: u64 = 3;

/// Something, and which tree named it last.
type Used<T> = (u64, T);

impl Known {
    pub(super) fn begin(&mut self) {
        self.trees += 1;
    }

    pub(super) fn end(&mut self) {
        let oldest = self.trees.saturating_sub(TREES);
        self.folders.retain(|_, (used, _)| *used > oldest);
        self.sizes.retain(|_, (used, _)| *used > oldest);
        self.contents.retain(|_, (used, _)| *used > oldest);
    }

    pub(super) fn entries(
        &mut self,
        objects: &Objects,
        id: ObjectId,
        folder: &Folder,
    ) -> Result<Arc<[Entry]>, GitError> {
        let role = || format!("the folder {}", folder.shown());
        once(&mut self.folders, self.trees, id, || {
            Ok(objects.entries(id, role)?.into())
        })
    }

    pub(super) fn size(
        &mut self,
        objects: &Objects,
        id: ObjectId,
        path: &str,
    ) -> Result<u64, GitError> {
        let role = || format!("the content of {path}");
        once(&mut self.sizes, self.trees, id, || {
            Ok(objects.header(id, role)?.1)
        })
    }

    pub(super) fn content(
        &mut self,
        objects: &Objects,
        id: ObjectId,
        path: &str,
    ) -> Result<Arc<[u8]>, GitError> {
        let role = || format!("the content of {path}");
        once(&mut self.contents, self.trees, id, || {
            Ok(objects.load(id, Kind::Blob, FILE_BYTES_MOST, role)?.into())
        })
    }
}

/// What is known of an object, or what is read of it now.
fn once<T: Clone>(
    known: &mut BTreeMap<ObjectId, Used<T>>,
    tree: u64,
    id: ObjectId,
    read: impl FnOnce() -> Result<T, GitError>,
) -> Result<T, GitError> {
    match known.entry(id) {
        btree_map::Entry::Occupied(mut found) => {
            found.get_mut().0 = tree;
            Ok(found.get().1.clone())
        }
        btree_map::Entry::Vacant(place) => Ok(place.insert((tree, read()?)).1.clone()),
    }
}
