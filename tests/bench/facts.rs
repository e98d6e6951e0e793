//! What a figure is worth nothing without: the machine, its kernel, the tools, the commit, the
//! date, the command.

use std::fs;
use std::path::Path;

use rig::program::Program;
use serde::Serialize;

/// Facts of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    /// The day, in UTC.
    pub(crate) date: String,
    /// The processor's name.
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gib: u64,
    /// What the machine is a guest of, if it knows.
    pub(crate) hypervisor: bool,
    pub(crate) kernel: String,
    /// Tools by name, each with its version.
    pub(crate) versions: Vec<(&'static str, String)>,
    pub(crate) commit: String,
    /// Whether files differed from that commit.
    pub(crate) changed: bool,
    /// What was typed.
    pub(crate) command: String,
}

/// The tools that setups are made with, and how each is asked for its version.
const TOOLS: [(&str, &str, &str); 4] = [
    ("iproute2", "ip", "-V"),
    ("nftables", "nft", "--version"),
    ("iptables", "iptables-nft", "--version"),
    ("git", "git", "--version"),
];

impl Facts {
    /// Those of this run.
    pub(crate) fn gather(processors: usize) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib: u64 = field(&meminfo, "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .unwrap_or_default();
        let flags = field(&cpuinfo, "flags").unwrap_or_default();
        let versions = TOOLS.map(|(name, program, flag)| (name, said(program, &[flag])));
        Self {
            date: said("date", &["--utc", "+%F"]),
            processor: field(&cpuinfo, "model name").unwrap_or_default().to_owned(),
            processors,
            memory_gib: (memory_kib + (1 << 19)) >> 20,
            hypervisor: flags.split(' ').any(|flag| flag == "hypervisor"),
            kernel: said("uname", &["-r"]),
            versions: versions.into(),
            commit: git(&["rev-parse", "HEAD"]),
            changed: !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty(),
            command: command(),
        }
    }

    /// Date, machine and kernel, as a sentence's part.
    pub(crate) fn machine(&self) -> String {
        let Self {
            processor,
            processors,
            memory_gib,
            kernel,
            ..
        } = self;
        let guest = if self.hypervisor {
            "a virtual machine, "
        } else {
            ""
        };
        format!("{guest}{processors} processors ({processor}), {memory_gib} GiB, Linux {kernel}")
    }
}

/// A field of `/proc/cpuinfo` and the like.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The first line of what a program says.
fn said(program: &str, arguments: &[&str]) -> String {
    first_line(&Program::new(program).args(arguments))
}

/// Of this repository, whoever owns it.
fn git(arguments: &[&str]) -> String {
    let git = Program::new("git").args(["-c", "safe.directory=*"]);
    first_line(
        &git.args(arguments)
            .folder(Path::new(env!("CARGO_MANIFEST_DIR"))),
    )
}

fn first_line(program: &Program) -> String {
    let run = program.run();
    run.stdout.lines().next().unwrap_or_default().to_owned()
}

fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("./dev bench {}", arguments.join(" "))
        .trim_end()
        .to_owned()
}
