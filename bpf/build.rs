//! Compiles the datapath: each block by itself, then linked to the two objects that the loader
//! embeds. Cargo alone, no make; what is missing is said with what to install.

// A build script talks to cargo on its standard output.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use libbpf_cargo::SkeletonBuilder;

#[path = "build/clang.rs"]
mod clang;
#[path = "build/elf.rs"]
mod elf;
#[path = "build/maps.rs"]
mod maps;
#[path = "build/code.rs"]
mod code;
#[path = "build/header.rs"]
mod header;

use clang::Clang;

/// What each container has of its own.
const CONTAINER: &[&str] = &["from_container", "to_container"];
/// What all containers share.
const BLOCKS: &[&str] = &["judge", "neighbour", "sweep", "guard"];

fn main() -> Result<()> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("no OUT_DIR: not run by cargo")?);
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").context("not run by cargo")?);
    let folder = root.join("datapath");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-changed=build");
    watch(&folder)?;
    every_block_is_named(&folder.join("blocks"))?;

    let clang = Clang::find(&out)?;
    let container = object(&clang, &folder, &out, "container", CONTAINER)?;
    let blocks = object(&clang, &folder, &out, "blocks", BLOCKS)?;
    let mut rust = shared(&clang, &folder, &out)?;
    for (name, code) in [("CONTAINER_CODE", container), ("BLOCK_CODE", blocks)] {
        rust +=
            &format!("/// Hash of that object's code.\npub const {name}: [u8; 32] = {code:?};\n");
    }
    write(&out.join("header.rs"), &rust)?;
    let blocks = std::fs::read(out.join("blocks.bpf.o"))?;
    write(&out.join("maps.rs"), &maps::rust(&maps::shapes(&blocks)?))
}

/// Compiles and links one object, makes its skeleton and hashes its code.
fn object(
    clang: &Clang,
    folder: &Path,
    out: &Path,
    name: &str,
    blocks: &[&str],
) -> Result<[u8; 32]> {
    let mut units = Vec::new();
    for block in blocks {
        let unit = out.join(format!("{block}.o"));
        clang.compile(folder, Path::new(&format!("blocks/{block}.bpf.c")), &unit)?;
        units.push(unit);
    }
    let linked = out.join(format!("{name}.bpf.o"));
    clang::link(&units, &linked)?;
    skeleton(&linked, &out.join(format!("{name}.skel.rs")))?;
    code::hash(&std::fs::read(&linked)?).with_context(|| format!("cannot hash {name}"))
}

/// The constants that both sides read.
fn shared(clang: &Clang, folder: &Path, out: &Path) -> Result<String> {
    let header = folder.join("plumbline.h");
    let header = std::fs::read_to_string(&header).with_context(|| header.display().to_string())?;
    let source = out.join("header.bpf.c");
    write(&source, &header::unit(&header))?;
    let unit = out.join("header.o");
    clang.compile(folder, &source, &unit)?;
    header::rust(&header, &std::fs::read(&unit)?)
}

fn skeleton(object: &Path, rust: &Path) -> Result<()> {
    SkeletonBuilder::new()
        .obj(object)
        .reference_obj(true)
        .generate(rust)
}

/// Cargo runs this again when a source or header changes, and when one comes or goes.
fn watch(folder: &Path) -> Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            watch(&path)?;
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Ok(())
}

/// A block that no object has would be dead code that looks alive.
fn every_block_is_named(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let block = name.strip_suffix(".bpf.c");
        if !block.is_some_and(|block| CONTAINER.contains(&block) || BLOCKS.contains(&block)) {
            bail!("blocks/{name} is part of no object: build.rs names each block");
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
