//! The hash of what a set of programs is, without constants: instructions and map layouts.
//!
//! It says whether two builds are the same code. So it leaves out everything of the object file
//! that is not code: debug information, the order and numbers of sections and symbols, paths.
//! Relocations count by the name of what they point at.

use anyhow::Result;

use super::elf::{Elf, Section};
use super::maps;

/// Hashes a linked object.
pub(crate) fn hash(object: &[u8]) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key("plumbline datapath code");
    let elf = Elf::parse(object)?;
    let mut sections: Vec<&Section<'_>> = elf.sections.iter().filter(|s| counts(s)).collect();
    sections.sort_by_key(|section| section.name);
    for section in sections {
        field(&mut hasher, section.name.as_bytes());
        field(&mut hasher, &section.size.to_le_bytes());
        field(&mut hasher, section.bytes);
        for (offset, relocation) in &section.relocations {
            field(&mut hasher, &offset.to_le_bytes());
            field(&mut hasher, &relocation.kind.to_le_bytes());
            field(&mut hasher, relocation.symbol.as_bytes());
            field(&mut hasher, &relocation.value.to_le_bytes());
        }
    }
    field(&mut hasher, maps::text(&maps::shapes(object)?).as_bytes());
    Ok(*hasher.finalize().as_bytes())
}

/// Code and the data it starts with. A map's symbol has an offset in `.maps`, but the bytes there
/// are zeroes: its layout is in the types.
fn counts(section: &Section<'_>) -> bool {
    let data = [".rodata", ".data", ".bss", "license"];
    section.executable || data.iter().any(|prefix| section.name.starts_with(prefix))
}

/// Length first, so that no two sequences of fields are the same bytes.
fn field(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher
        .update(&(bytes.len() as u64).to_le_bytes())
        .update(bytes);
}
