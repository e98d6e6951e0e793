//! As much of ELF as a BPF object needs: 64-bit, in the byte order of the machine that builds.
//!
//! Layouts are those of the System V ABI, chapters 4 (sections, symbols, relocations).

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

const SHT_SYMTAB: u32 = 2;
const SHT_NOBITS: u32 = 8;
const SHT_REL: u32 = 9;
const SHF_EXECINSTR: u64 = 4;
const STT_SECTION: u8 = 3;

/// One section.
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) executable: bool,
    /// Empty where the file holds no bytes of it (`.bss`).
    pub(crate) bytes: &'a [u8],
    pub(crate) size: u64,
    /// By offset: what is patched when the object is loaded.
    pub(crate) relocations: BTreeMap<u64, Relocation<'a>>,
}

/// One relocation, by names: section and symbol numbers depend on what else is in the file.
pub(crate) struct Relocation<'a> {
    pub(crate) kind: u32,
    pub(crate) symbol: &'a str,
    pub(crate) value: u64,
}

struct Header {
    name: u32,
    kind: u32,
    flags: u64,
    offset: usize,
    size: u64,
    link: usize,
    info: usize,
}

struct Symbol<'a> {
    name: &'a str,
    section: usize,
    value: u64,
    size: u64,
}

/// An object as read.
pub(crate) struct Elf<'a> {
    pub(crate) sections: Vec<Section<'a>>,
    symbols: Vec<Symbol<'a>>,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self> {
        if file.get(..5) != Some(b"\x7fELF\x02") {
            bail!("not a 64-bit ELF object");
        }
        let headers = headers(file)?;
        let names = &headers[usize::from(u16_at(file, 62)?)];
        let names = bytes(file, names)?;
        let mut sections = Vec::new();
        for header in &headers {
            sections.push(Section {
                name: text(names, header.name as usize)?,
                executable: header.flags & SHF_EXECINSTR != 0,
                bytes: bytes(file, header)?,
                size: header.size,
                relocations: BTreeMap::new(),
            });
        }
        let symbols = symbols(file, &headers, &sections)?;
        for header in headers.iter().filter(|header| header.kind == SHT_REL) {
            let patched = sections
                .get_mut(header.info)
                .context("relocations of no section")?;
            patched.relocations = relocations(bytes(file, header)?, &symbols)?;
        }
        Ok(Self { sections, symbols })
    }

    /// The bytes of a variable.
    pub(crate) fn variable(&self, name: &str) -> Result<&'a [u8]> {
        let symbol = self
            .symbols
            .iter()
            .find(|symbol| symbol.name == name)
            .with_context(|| format!("no variable {name}"))?;
        let section = &self.sections[symbol.section];
        let start = usize::try_from(symbol.value)?;
        section
            .bytes
            .get(start..start + usize::try_from(symbol.size)?)
            .with_context(|| format!("{name} lies outside {}", section.name))
    }
}

fn headers(file: &[u8]) -> Result<Vec<Header>> {
    let start = usize::try_from(u64_at(file, 40)?)?;
    let size = usize::from(u16_at(file, 58)?);
    let count = usize::from(u16_at(file, 60)?);
    (0..count)
        .map(|index| {
            let at = start + index * size;
            Ok(Header {
                name: u32_at(file, at)?,
                kind: u32_at(file, at + 4)?,
                flags: u64_at(file, at + 8)?,
                offset: usize::try_from(u64_at(file, at + 24)?)?,
                size: u64_at(file, at + 32)?,
                link: u32_at(file, at + 40)? as usize,
                info: u32_at(file, at + 44)? as usize,
            })
        })
        .collect()
}

fn symbols<'a>(
    file: &'a [u8],
    headers: &[Header],
    sections: &[Section<'a>],
) -> Result<Vec<Symbol<'a>>> {
    let Some(table) = headers.iter().find(|header| header.kind == SHT_SYMTAB) else {
        return Ok(Vec::new());
    };
    let names = bytes(
        file,
        headers.get(table.link).context("symbols without names")?,
    )?;
    bytes(file, table)?
        .chunks_exact(24)
        .map(|entry| {
            let section = usize::from(u16_at(entry, 6)?);
            let of_section = entry[4] & 0xf == STT_SECTION;
            let name = match sections.get(section) {
                Some(section) if of_section => section.name,
                _ => text(names, u32_at(entry, 0)? as usize)?,
            };
            Ok(Symbol {
                name,
                section,
                value: u64_at(entry, 8)?,
                size: u64_at(entry, 16)?,
            })
        })
        .collect()
}

fn relocations<'a>(table: &[u8], symbols: &[Symbol<'a>]) -> Result<BTreeMap<u64, Relocation<'a>>> {
    table
        .chunks_exact(16)
        .map(|entry| {
            let symbol = symbols
                .get(u32_at(entry, 12)? as usize)
                .context("relocation against no symbol")?;
            let relocation = Relocation {
                kind: u32_at(entry, 8)?,
                symbol: symbol.name,
                value: symbol.value,
            };
            Ok((u64_at(entry, 0)?, relocation))
        })
        .collect()
}

fn bytes<'a>(file: &'a [u8], header: &Header) -> Result<&'a [u8]> {
    if header.kind == SHT_NOBITS {
        return Ok(&[]);
    }
    file.get(header.offset..header.offset + usize::try_from(header.size)?)
        .context("section beyond the end of the file")
}

fn text(names: &[u8], at: usize) -> Result<&str> {
    let rest = names.get(at..).context("name beyond the string table")?;
    let end = rest.iter().position(|byte| *byte == 0);
    let name = &rest[..end.context("name without an end")?];
    std::str::from_utf8(name).context("name is not UTF-8")
}

fn array<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    let slice = file.get(at..at + N).context("object is cut short")?;
    Ok(<[u8; N]>::try_from(slice)?)
}

fn u16_at(file: &[u8], at: usize) -> Result<u16> {
    array(file, at).map(u16::from_ne_bytes)
}

fn u32_at(file: &[u8], at: usize) -> Result<u32> {
    array(file, at).map(u32::from_ne_bytes)
}

fn u64_at(file: &[u8], at: usize) -> Result<u64> {
    array(file, at).map(u64::from_ne_bytes)
}
