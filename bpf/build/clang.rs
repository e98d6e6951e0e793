//! One block of C to one BPF object, and several objects to one.
//!
//! Nothing about the folder enters the instructions: sources are named relative to the datapath's
//! folder, and paths in debug information are mapped away.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use libbpf_rs::{Linker, libbpf_sys};

/// A compiler that has been found and where its headers are.
pub(crate) struct Clang {
    program: OsString,
    /// `bpf/bpf_helpers.h` and its kin, as libbpf brings them.
    helpers: PathBuf,
    /// `asm/types.h` of the machine's architecture.
    uapi: PathBuf,
}

impl Clang {
    /// Finds the compiler and puts libbpf's headers below `out`.
    pub(crate) fn find(out: &Path) -> Result<Self> {
        let helpers = out.join("include");
        let folder = helpers.join("bpf");
        std::fs::create_dir_all(&folder)?;
        for (name, text) in libbpf_sys::API_HEADERS {
            std::fs::write(folder.join(name), text)?;
        }
        Ok(Self {
            program: program()?,
            helpers,
            uapi: uapi()?,
        })
    }

    /// Compiles `source`, which is named relative to `folder`.
    pub(crate) fn compile(&self, folder: &Path, source: &Path, object: &Path) -> Result<()> {
        let mut map = OsString::from("-ffile-prefix-map=");
        map.push(&self.helpers);
        map.push("=include");
        let mut here = OsString::from("-ffile-prefix-map=");
        here.push(folder);
        here.push("=.");
        let output = Command::new(&self.program)
            .current_dir(folder)
            .args(["-target", target(), "-mcpu=v3", "-O2", "-g", "-std=gnu11"])
            .args([
                "-Wall",
                "-Wextra",
                "-Wcast-qual",
                "-Wno-unused-parameter",
                "-Werror",
                "-fno-stack-protector",
            ])
            .args([here, map])
            .arg("-I.")
            .arg("-isystem")
            .arg(&self.helpers)
            .arg("-idirafter")
            .arg(&self.uapi)
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(object)
            .output()
            .with_context(|| format!("{} does not start", self.program.display()))?;
        if !output.status.success() {
            bail!(
                "{}: {}\n{}",
                source.display(),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

/// Links objects to one: one `.rodata`, one set of maps.
pub(crate) fn link(objects: &[PathBuf], linked: &Path) -> Result<()> {
    let mut linker = Linker::new(linked)?;
    for object in objects {
        linker
            .add_file(object)
            .with_context(|| format!("cannot link {}", object.display()))?;
    }
    linker
        .link()
        .with_context(|| format!("cannot link {}", linked.display()))
}

/// The byte order is part of the object.
fn target() -> &'static str {
    if cfg!(target_endian = "little") {
        "bpfel"
    } else {
        "bpfeb"
    }
}

/// `$CLANG`, or the first of `clang` and its versioned names that starts.
fn program() -> Result<OsString> {
    let named = std::env::var_os("CLANG").map(|name| vec![name]);
    let candidates = named.unwrap_or_else(|| {
        let versions = (14..=23)
            .rev()
            .map(|version| format!("clang-{version}").into());
        std::iter::once("clang".into()).chain(versions).collect()
    });
    let starts = |name: &OsString| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    match candidates.iter().find(|name| starts(name)) {
        Some(name) => Ok(name.clone()),
        None => bail!(
            "the datapath is C and clang compiles it, but none of {candidates:?} starts. \
             Install it (Debian, Ubuntu: apt-get install clang) or name it in CLANG"
        ),
    }
}

/// The folder of `asm/types.h`: Debian keeps it below the architecture's triplet, others do not.
fn uapi() -> Result<PathBuf> {
    let architecture = std::env::consts::ARCH;
    let candidates = [
        PathBuf::from(format!("/usr/include/{architecture}-linux-gnu")),
        PathBuf::from("/usr/include"),
    ];
    let found = candidates
        .iter()
        .find(|folder| folder.join("asm/types.h").exists());
    match found {
        Some(folder) => Ok(folder.clone()),
        None => bail!(
            "no asm/types.h below {candidates:?}: the kernel's headers for user programs are \
             missing. Install them (Debian, Ubuntu: apt-get install linux-libc-dev)"
        ),
    }
}
