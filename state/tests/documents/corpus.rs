//! Manifests that others have published, word for word.

use std::path::{Path, PathBuf};

use state::documents::tree::Tree;

use super::{found, parse};

/// Kinds among them that are not served.
const CONFIG: &str =
    "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nignoreKinds: [Kustomization]\n";

/// The folder of published manifests, if the environment names one.
#[allow(
    clippy::disallowed_methods,
    reason = "the one test input that lies outside the tree"
)]
fn folder() -> Option<PathBuf> {
    std::env::var_os("PLUMBLINE_CORPUS").map(PathBuf::from)
}

#[allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the one test input that lies outside the tree"
)]
fn add(folder: &Path, prefix: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            add(&path, &format!("{name}/"), tree);
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            let content = std::fs::read(&path).unwrap();
            tree.files.insert(name.into(), content.into());
        }
    }
}

/// Every published manifest as one tree; `None`, and a line that says so, where there is none.
#[allow(clippy::print_stdout, reason = "a test that reads nothing says so")]
pub(super) fn published() -> Option<Tree> {
    let Some(folder) = folder() else {
        println!("PLUMBLINE_CORPUS is not set: no published manifest is read");
        return None;
    };
    let mut tree = Tree::default();
    add(&folder, "", &mut tree);
    assert!(!tree.files.is_empty(), "PLUMBLINE_CORPUS holds no YAML");
    Some(tree)
}

/// Every file of our own examples, all of them as one tree.
pub(super) fn examples() -> Tree {
    let mut tree = Tree::default();
    add(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")),
        "",
        &mut tree,
    );
    tree
}

#[test]
fn published_manifests_are_read_as_they_are() {
    let Some(mut tree) = published() else { return };
    tree.files
        .insert(Tree::CONFIG.into(), CONFIG.as_bytes().into());
    let files = tree.files.len();
    let parsed = parse(tree);
    assert_eq!(found(&parsed), "");
    assert!(parsed.documents.policies.len() >= files / 2);
}
