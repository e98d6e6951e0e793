//! What files said when they were read before.
//!
//! A file in which nothing was found says the same as long as its bytes are the same, whatever
//! stands in others: only whether two of them agree is to be asked again, and whether there is room
//! for all of them. What else it depends on is in `plumbline.yaml`: where that changes, all is read
//! again. Only files of the last tree are remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::told::Told;
use super::yaml::Spent;
use crate::words::place::Place;

/// Files that were read, and what each said.
#[derive(Debug, Default)]
pub struct Memory {
    /// The kinds that the tree ignores, and whether that is known.
    config: Option<(BTreeSet<String>, bool)>,
    files: BTreeMap<Arc<str>, Remembered>,
}

#[derive(Debug)]
struct Remembered {
    bytes: Arc<[u8]>,
    clean: Arc<Clean>,
}

/// What a file says in which nothing was found.
#[derive(Debug)]
pub(super) struct Clean {
    pub(super) told: Vec<Told>,
    pub(super) accepted: Vec<(String, Place)>,
    pub(super) spent: Spent,
}

/// What was remembered of the tree before.
pub(super) struct Before(BTreeMap<Arc<str>, Remembered>);

impl Memory {
    /// Another tree begins.
    pub(super) fn begin(&mut self, ignored: &BTreeSet<String>, known: bool) -> Before {
        let files = std::mem::take(&mut self.files);
        let config = Some((ignored.clone(), known));
        if self.config == config {
            return Before(files);
        }
        self.config = config;
        Before(BTreeMap::new())
    }

    pub(super) fn keep(&mut self, file: &Arc<str>, bytes: &Arc<[u8]>, clean: Arc<Clean>) {
        let bytes = Arc::clone(bytes);
        let remembered = Remembered { bytes, clean };
        self.files.insert(Arc::clone(file), remembered);
    }
}

impl Before {
    /// What a file said, if it is the same. Bytes that were read once have one place in memory, so
    /// most need not be compared.
    pub(super) fn of(&self, file: &Arc<str>, bytes: &Arc<[u8]>) -> Option<&Arc<Clean>> {
        let found = self.0.get(file)?;
        let same = Arc::ptr_eq(&found.bytes, bytes) || found.bytes == *bytes;
        same.then_some(&found.clean)
    }
}
