//! Text to documents: every finding of a whole tree at once, each with its place.
//!
//! A file's bytes become text, the text one tree of values with places ([`yaml`]), and each
//! document of it is read by the parser of its kind, field by field; what no parser asks for is
//! unknown and refused. Parsing never stops at a finding: only a syntax error ends its file, and
//! only a limit ends the tree. It never panics, and takes time and memory in proportion to the
//! tree ([`limits`]). Files are read in the order of their paths, so the same tree gives the same
//! documents and findings.

pub mod limits;
pub mod codes;
pub mod ignore;
pub mod tree;
pub mod yaml;
mod suggest;
mod fields;
mod labels;
mod metadata;
mod addresses;
mod ports;
pub mod network_policy;
pub mod namespace;
pub mod container;
pub mod config;
mod kinds;
mod told;
pub mod memory;
pub mod schema;

use std::sync::Arc;

pub use config::Config;
pub use container::Container;
pub use namespace::Namespace;
pub use network_policy::NetworkPolicy;

use crate::words::place::Place;
use crate::words::problem::{Problem, Problems};
use ignore::Ignore;
use kinds::Collection;
use memory::Memory;
use tree::Tree;
use yaml::{Contents, Node};

/// All documents of a tree that was found valid document by document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// `plumbline.yaml`, or its defaults.
    pub config: Config,
    /// Declared namespaces.
    pub namespaces: Vec<Namespace>,
    /// Containers of all hosts.
    pub containers: Vec<Container>,
    /// Policies.
    pub policies: Vec<NetworkPolicy>,
    /// How many documents `ignoreKinds` left out, by kind.
    pub ignored: std::collections::BTreeMap<String, usize>,
    /// What an API server wrote and nothing acts on, for `validate -v`: field and place.
    pub accepted: Vec<(String, Place)>,
    /// An error was found, so documents may be missing here: what only the whole tree can tell,
    /// such as whom a selector selects, is not to be asked.
    pub incomplete: bool,
}

/// Reads a tree: the documents in which nothing was wrong, and every finding. The documents are the
/// whole tree only if no finding is an error. What `ignore` names moves to what is left out.
pub fn parse(tree: &mut Tree) -> (Documents, Problems) {
    parse_again(tree, &mut Memory::default())
}

/// The same for one tree after the other: a file that is as it was, and in which nothing was found,
/// is not read again. What it gives does not depend on what is remembered.
pub fn parse_again(tree: &mut Tree, memory: &mut Memory) -> (Documents, Problems) {
    let mut collection = Collection::new();
    let config_file: Arc<str> = Tree::CONFIG.into();
    let config_bytes = tree.files.get(&config_file).map(Arc::clone);
    let config = match &config_bytes {
        Some(bytes) => read(&mut collection, &config_file, bytes),
        None => Contents {
            complete: true,
            ..Contents::default()
        },
    };
    collection.config_known = config.complete;
    collection.take_config(&config_file, &config.documents);
    tree.leave_out(Ignore::new(&collection.documents.config.ignore));
    let before = memory.begin(&collection.documents.config.ignore_kinds, config.complete);
    if fits(tree, &mut collection.problems) {
        for (file, bytes) in &tree.files {
            if collection.budget.is_stopped() {
                break;
            }
            if *file == config_file {
                take(&mut collection, file, &config.documents);
                continue;
            }
            if let Some(clean) = before.of(file, bytes)
                && collection.take_again(clean)
            {
                memory.keep(file, bytes, Arc::clone(clean));
                continue;
            }
            let begun = collection.begin();
            let contents = read(&mut collection, file, bytes);
            take(&mut collection, file, &contents.documents);
            if let Some(clean) = collection.end(&begun) {
                memory.keep(file, bytes, Arc::new(clean));
            }
        }
    }
    collection.documents.incomplete = collection.problems.has_errors();
    (collection.documents, collection.problems)
}

fn read<'t>(collection: &mut Collection, file: &Arc<str>, bytes: &'t [u8]) -> Contents<'t> {
    yaml::read(
        file,
        bytes,
        &mut collection.budget,
        &mut collection.problems,
    )
}

fn take(collection: &mut Collection, file: &Arc<str>, nodes: &[Node<'_>]) {
    for node in nodes {
        if collection.budget.is_stopped() {
            return;
        }
        collection.take(file, node);
    }
}

/// Whether the tree is small enough to be read at all.
fn fits(tree: &Tree, problems: &mut Problems) -> bool {
    let bytes: usize = tree.files.values().map(|content| content.len()).sum();
    let (code, message) = if tree.files.len() > limits::FILES {
        let most = limits::FILES;
        (
            codes::TOO_MANY,
            format!("the tree has more than {most} files"),
        )
    } else if bytes > limits::TREE_BYTES {
        let most = limits::TREE_BYTES >> 20;
        (
            codes::TOO_LARGE,
            format!("the tree has more than {most} MiB"),
        )
    } else {
        return true;
    };
    let place = Place::file(Tree::CONFIG);
    let help = "leave out what holds no documents by `ignore` in plumbline.yaml";
    problems.push(Problem::error(place, code, message).help(help));
    false
}
