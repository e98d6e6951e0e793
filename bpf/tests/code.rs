//! The hash of the code: the same for two builds in two folders, another for other code.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

// Parts of the build script, which this test runs in other folders.
#[allow(dead_code)]
#[path = "../build/clang.rs"]
mod clang;
#[allow(dead_code)]
#[path = "../build/elf.rs"]
mod elf;
#[allow(dead_code)]
#[path = "../build/maps.rs"]
mod maps;
#[path = "../build/code.rs"]
mod code;

/// Copies the datapath below `folder`, lets `edit` change a file, and hashes the container's code.
fn hash(folder: &Path, file: &str, edit: impl Fn(String) -> String) -> [u8; 32] {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("datapath");
    copy(&source, folder);
    let edited = folder.join(file);
    std::fs::write(&edited, edit(std::fs::read_to_string(&edited).unwrap())).unwrap();
    let out = tempfile::tempdir().unwrap();
    let clang = clang::Clang::find(out.path()).unwrap();
    let units: Vec<PathBuf> = ["from_container", "to_container"]
        .map(|block| {
            let unit = out.path().join(block);
            clang
                .compile(folder, Path::new(&format!("blocks/{block}.bpf.c")), &unit)
                .unwrap();
            unit
        })
        .into();
    let linked = out.path().join("container.bpf.o");
    clang::link(&units, &linked).unwrap();
    code::hash(&std::fs::read(linked).unwrap()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let (path, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn the_folder_and_comments_do_not_count_and_the_code_does() {
    const FILE: &str = "blocks/from_container.bpf.c";
    let folder = tempfile::tempdir().unwrap();
    let embedded = bpf::object::datapath().container_code;
    assert_eq!(hash(&folder.path().join("a"), FILE, |text| text), embedded);
    let far = folder.path().join("another/folder/whose/name/is/longer");
    let commented = |text| format!("/* A line more.\n */\n{text}");
    assert_eq!(hash(&far, FILE, commented), embedded);
    let other = |text: String| text.replace("PL_SPOOFED_MAC", "PL_MALFORMED");
    assert_ne!(hash(&folder.path().join("b"), FILE, other), embedded);
}

#[test]
fn a_map_of_another_size_is_other_code() {
    let folder = tempfile::tempdir().unwrap();
    let other = |text: String| text.replace("max_entries, 8192", "max_entries, 4096");
    let hashed = hash(folder.path(), "maps.h", other);
    assert_ne!(hashed, bpf::object::datapath().container_code);
}
