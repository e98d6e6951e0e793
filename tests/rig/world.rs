//! The whole world of a lab, printed when a test fails: so that a failure that comes once in a
//! thousand runs need not come again to be understood.

use std::fmt::Write;
use std::path::Path;

use crate::host::{Host, names_in};
use crate::lab::{Lab, reconcile};
use crate::netns::Netns;
use crate::program::Program;

/// What `ip` is asked in each namespace.
const QUESTIONS: [&str; 6] = [
    "-d link show",
    "address show",
    "-4 route show table all",
    "-6 route show table all",
    "neighbour show nud all",
    "-s link show",
];

/// Prints the world of a lab to standard error.
#[expect(
    clippy::print_stderr,
    reason = "the harness shows it with the test that failed"
)]
pub fn print(lab: &Lab) {
    for host in lab.hosts() {
        eprintln!("{}", of_host(lab, &host));
    }
}

/// The world of one host, as text.
pub fn of_host(lab: &Lab, host: &Host) -> String {
    let mut text = format!("==== host {}\n", host.name());
    if let Some(run) = host.last_run() {
        let last = format!("`{}` ended with {}\n{}", run.command, run.code, run.stderr);
        section(&mut text, "last program", &last);
    }
    let status = reconcile(lab.repository().path()).map(|reconcile| {
        let status = reconcile.args(["status"]);
        host.run(|| status.run()).to_string()
    });
    section(&mut text, "status", &status.unwrap_or_else(|none| none));
    section(&mut text, "pins", &pins(host));
    for objects in ["prog", "map", "link", "net"] {
        section(
            &mut text,
            &format!("bpftool {objects}"),
            &host.run(|| bpftool(objects)),
        );
    }
    network(&mut text, host.net());
    for name in host.netns_names() {
        match host.netns(&name) {
            Ok(net) => network(&mut text, &net),
            Err(e) => section(&mut text, &name, &e.to_string()),
        }
    }
    text
}

fn section(text: &mut String, title: &str, body: &str) {
    let lines = body.lines().map(|line| format!("    {line}\n"));
    writeln!(text, "---- {title}\n{}", lines.collect::<String>()).expect("a string");
}

fn network(text: &mut String, net: &Netns) {
    for question in QUESTIONS {
        let program = Program::new("ip").args(question.split_whitespace());
        section(
            text,
            &format!("{}: ip {question}", net.name()),
            &net.program(&program).stdout,
        );
    }
}

/// Everything below the host's bpffs.
fn pins(host: &Host) -> String {
    let mut found = Vec::new();
    host.run(|| walk(Path::new("/sys/fs/bpf"), &mut found));
    found.sort();
    found.join("\n")
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for name in names_in(folder) {
        let path = folder.join(name);
        found.push(path.display().to_string());
        walk(&path, found);
    }
}

/// What `bpftool` shows, where it is installed. Programs and maps are the whole machine's.
fn bpftool(objects: &str) -> String {
    let search = "command -v bpftool >/dev/null || { echo not installed; exit; }; bpftool $0 show";
    Program::new("sh")
        .args(["-c", search, objects])
        .run()
        .stdout
}
