//! `plumbline.h` for Rust: its constants, and the reasons with what they mean.
//!
//! Types go through the skeleton; the numbers of `#define` are in no object's types. So one unit is
//! compiled that holds each of them as a variable, and is read instead of loaded.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use libbpf_rs::Btf;
use libbpf_rs::btf::types::Enum;

use super::elf::Elf;

/// The unit's C source.
pub(crate) fn unit(header: &str) -> String {
    let mut unit = String::from("#include \"plumbline.h\"\n");
    for name in constants(header) {
        // Writing to a string does not fail.
        let _ = writeln!(unit, "const unsigned long long value_{name} = ({name});");
    }
    unit + "enum pl_reason one_reason;\n"
}

/// What Rust reads from the compiled unit.
pub(crate) fn rust(header: &str, object: &[u8]) -> Result<String> {
    let elf = Elf::parse(object)?;
    let mut rust = String::new();
    for name in constants(header) {
        let value = elf.variable(&format!("value_{name}"))?;
        let value = u64::from_ne_bytes(value.try_into()?);
        writeln!(rust, "/// `{name}` of `plumbline.h`.")?;
        writeln!(rust, "pub const {name}: u64 = {value:#x};")?;
    }
    let btf = Btf::from_raw("header", object)?.context("object without types")?;
    let reasons: Enum<'_> = btf.type_by_name("pl_reason").context("no enum pl_reason")?;
    writeln!(rust, "/// Number, name and meaning of every reason.")?;
    writeln!(rust, "pub const REASONS: &[(u32, &str, &str)] = &[")?;
    for reason in reasons.iter() {
        let name = reason
            .name
            .context("a reason without a name")?
            .to_string_lossy();
        if name == "PL_REASONS" {
            continue;
        }
        let short = name.trim_start_matches("PL_").to_lowercase();
        let meaning = comment(header, &name).with_context(|| format!("{name} has no comment"))?;
        writeln!(rust, "    ({}, {short:?}, {meaning:?}),", reason.value)?;
    }
    writeln!(rust, "];")?;
    Ok(rust)
}

/// Names of `#define` with a value.
fn constants(header: &str) -> Vec<&str> {
    let defines = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define "));
    defines
        .filter_map(|define| define.split_once(char::is_whitespace))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("PL_") && !name.contains('('))
        .collect()
}

/// The comment behind an enumerator.
fn comment<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let line = header.lines().find(|line| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([',', ' ']))
    })?;
    let (_, comment) = line.split_once("/*")?;
    Some(comment.split_once("*/")?.0.trim())
}
