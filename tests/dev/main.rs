//! `./dev` on machines that this one is not: too old a kernel, no root, nothing installed.
//!
//! Each test runs the script itself, from a copy, with a PATH that holds the few programs it needs
//! and stand-ins for those that ask the machine or change it (`uname`, `id`, `sudo`, `apt-get`, …).
//! A stand-in writes its name and arguments to a journal, so a test sees what would have happened.
//! No root, and nothing of this machine changes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// What `./dev` takes from any Debian: all of these are in its essential packages or beside them.
const ESSENTIAL: &[&str] = &[
    "awk", "cut", "dirname", "env", "grep", "head", "mkdir", "rm", "sed", "sh", "sort",
];
/// What the build needs, as stand-ins where a test wants them there.
const BUILD_TOOLS: &[&str] = &["clang", "gcc", "make", "pkg-config", "git", "ip"];
const PINNED: &str = "toolchains/1.95.0-x86_64-unknown-linux-gnu/bin";

/// A machine: a copy of the script, a folder of programs and a journal of what was called.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// Debian as root, with a kernel that serves, and nothing that `./dev` installs.
    fn new() -> Self {
        let machine = Self {
            folder: TempDir::new().unwrap(),
        };
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        for folder in ["bin", "clone", "home"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        for file in ["dev", "Justfile", "rust-toolchain.toml"] {
            fs::copy(root.join(file), machine.path("clone").join(file)).unwrap();
        }
        for program in ESSENTIAL {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
            let found = found.iter().find(|path| path.exists()).expect(program);
            symlink(found, machine.path("bin").join(program)).unwrap();
        }
        machine.has_kernel("6.6.0-1-amd64");
        machine.has("id", "case $1 in -u) echo 0 ;; *) echo root ;; esac");
        machine.has("getent", "echo root:x:0:0:root:/nonexistent:/bin/sh");
        for program in ["apt-get", "apt-cache", "dpkg", "unshare"] {
            machine.has(program, ":");
        }
        machine.has("curl", "exit 6");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a stand-in on PATH that notes its call and then does `body`.
    fn has(&self, program: &str, body: &str) {
        self.has_at(&self.path("bin").join(program), body);
    }

    fn has_at(&self, path: &Path, body: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let journal = self.path("journal");
        let text = format!(
            "#!/bin/sh\necho \"{name} $*\" >>{}\n{body}\n",
            journal.display()
        );
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn has_kernel(&self, release: &str) {
        self.has(
            "uname",
            &format!("case $1 in -m) echo x86_64 ;; *) echo {release} ;; esac"),
        );
    }

    /// The caller is an ordinary user, and sudo would ask for a password.
    fn has_no_root(&self) {
        self.has("id", "case $1 in -u) echo 1000 ;; *) echo ann ;; esac");
        self.has("sudo", "exit 1");
    }

    /// Everything that a recipe needs is there, Rust as the pinned toolchain of rustup.
    fn has_everything(&self) {
        for program in BUILD_TOOLS {
            self.has(program, ":");
        }
        for program in ["cargo", "cargo-clippy", "rustfmt"] {
            self.has_at(&self.path("home/.rustup").join(PINNED).join(program), ":");
        }
        self.has("just", "[ \"$1\" != --version ] || echo just 1.59.0");
        self.has("cargo-nextest", "echo cargo-nextest 0.9.143");
    }

    fn dev(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.path("clone").join("dev"));
        command.args(arguments).env_clear();
        command
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"));
        command.output().unwrap()
    }

    /// The calls of stand-ins that change a machine, in order.
    fn changes(&self) -> Vec<String> {
        let journal = fs::read_to_string(self.path("journal")).unwrap_or_default();
        let changes = ["apt-get ", "curl ", "cargo ", "rustup "];
        let is_change = |line: &&str| changes.iter().any(|change| line.starts_with(change));
        journal
            .lines()
            .filter(is_change)
            .map(str::to_owned)
            .collect()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Asserts a refusal of one line that holds `says`, before anything was changed.
fn assert_refused(machine: &Machine, output: &Output, says: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.starts_with("dev: ") && stderr.contains(says),
        "{stderr}"
    );
    assert_eq!(machine.changes(), [""; 0]);
}

#[test]
fn alone_it_lists_every_recipe_and_installs_nothing() {
    let machine = Machine::new();
    let output = machine.dev(&[]);
    assert!(output.status.success());
    let listed: Vec<&str> = text(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .collect();
    let expected = [
        "build",
        "check",
        "test",
        "e2e",
        "lint",
        "test-boot",
        "package",
        "tarball",
        "faults",
        "fmt",
        "fmt-check",
        "tidy",
        "doc",
        "instructions",
        "deny",
        "ci",
        "demo",
        "bench",
    ];
    assert_eq!(listed, expected);
    assert_eq!(machine.changes(), [""; 0]);
}

#[test]
fn a_recipe_that_is_not_there_is_a_usage_error() {
    let machine = Machine::new();
    for recipe in ["tset", "--version", ""] {
        let output = machine.dev(&[recipe]);
        assert_eq!(output.status.code(), Some(64));
        assert!(text(&output.stderr).contains(&format!("no recipe '{recipe}'")));
    }
    assert_eq!(machine.changes(), [""; 0]);
}

#[test]
fn a_kernel_that_is_too_old_is_refused_with_the_remedy() {
    let machine = Machine::new();
    machine.has_kernel("6.1.0-39-amd64");
    for recipe in ["test", "demo", "bench", "e2e", "ci"] {
        let says = format!("this kernel is 6.1.0-39-amd64, and {recipe} needs 6.6 or later");
        assert_refused(&machine, &machine.dev(&[recipe]), &says);
    }
    assert_refused(
        &machine,
        &machine.dev(&["test"]),
        "apt-get install -t bookworm-backports",
    );
}

#[test]
fn without_root_the_line_to_type_is_printed() {
    let machine = Machine::new();
    machine.has_no_root();
    assert_refused(
        &machine,
        &machine.dev(&["test"]),
        "type: sudo -v && ./dev test\n",
    );
    fs::remove_file(machine.path("bin/sudo")).unwrap();
    assert_refused(
        &machine,
        &machine.dev(&["demo"]),
        "type: su -c './dev demo'\n",
    );
}

#[test]
fn a_sandbox_without_namespaces_is_refused() {
    let machine = Machine::new();
    machine.has("unshare", "exit 1");
    assert_refused(&machine, &machine.dev(&["test"]), "run on the host itself");
}

#[test]
fn packages_that_nobody_may_install_are_named_with_the_line_to_type() {
    let machine = Machine::new();
    machine.has_no_root();
    let output = machine.dev(&["build"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let line = stderr.lines().nth(1).unwrap();
    let install = "sudo apt-get update && sudo apt-get install -y --no-install-recommends clang";
    assert!(
        line.starts_with(&format!("dev:     {install} gcc make pkg-config git")),
        "{stderr}"
    );
    assert_eq!(machine.changes(), [""; 0]);
}

#[test]
fn what_is_missing_is_installed_and_said() {
    let machine = Machine::new();
    machine.has("apt-cache", "echo '  Candidate: 1.21.0-1build1'");
    let output = machine.dev(&["build"]);
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("dev: installing Debian packages: clang gcc make"),
        "{stderr}"
    );
    assert!(stderr.contains("from https://sh.rustup.rs"), "{stderr}");
    assert!(
        stderr.contains("Rust 1.95.0 could not be installed"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
    let changes = machine.changes();
    assert_eq!(changes[0], "apt-get update -q");
    let install = &changes[1];
    assert!(
        install.starts_with("apt-get install -y --no-install-recommends -q"),
        "{install}"
    );
    assert!(
        install.contains(" clang gcc make pkg-config git"),
        "{install}"
    );
    assert!(install.ends_with(" just"), "{install}");
    assert!(changes[2].starts_with("curl --proto =https"), "{changes:?}");
}

#[test]
fn a_tool_that_apt_lacks_is_built_by_cargo_in_its_pinned_version() {
    let machine = Machine::new();
    machine.has_everything();
    machine.has("apt-cache", "echo '  Candidate: (none)'");
    machine.has("just", "echo just 1.20.0");
    let cargo = machine.path("home/.rustup").join(PINNED).join("cargo");
    machine.has_at(&cargo, "exit 101");
    let output = machine.dev(&["build"]);
    let stderr = text(&output.stderr);
    let tools = machine.path("home/.cache/plumbline-dev");
    let says = format!(
        "dev: building just 1.59.0 by cargo into {}",
        tools.display()
    );
    assert!(stderr.contains(&says), "{stderr}");
    let built = machine.changes().pop().unwrap();
    assert!(
        built.starts_with("cargo install -q --locked --force --root"),
        "{built}"
    );
    assert!(built.ends_with("just@1.59.0"), "{built}");
}

#[test]
fn with_everything_there_it_hands_over_to_just() {
    let machine = Machine::new();
    machine.has_everything();
    let output = machine.dev(&["test", "-E", "test(a b)"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let journal = fs::read_to_string(machine.path("journal")).unwrap();
    assert_eq!(journal.lines().last(), Some("just test -E test(a b)"));
    assert!(
        machine
            .changes()
            .iter()
            .all(|change| !change.starts_with("apt-get install"))
    );
}

#[test]
fn the_pinned_toolchain_is_found_with_any_home() {
    let machine = Machine::new();
    machine.has_everything();
    let elsewhere = machine.path("other");
    fs::create_dir_all(elsewhere.join(".cargo/bin")).unwrap();
    fs::rename(machine.path("home/.rustup"), elsewhere.join(".rustup")).unwrap();
    machine.has_at(&elsewhere.join(".cargo/bin/cargo"), "exit 1");
    machine.has_at(&elsewhere.join(".cargo/bin/rustup"), "exit 1");
    let path = format!(
        "{}:{}",
        elsewhere.join(".cargo/bin").display(),
        machine.path("bin").display()
    );
    let output = Command::new(machine.path("clone").join("dev"))
        .arg("build")
        .env_clear()
        .env("PATH", path)
        .env("HOME", machine.path("home"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(machine.changes(), [""; 0]);
}
