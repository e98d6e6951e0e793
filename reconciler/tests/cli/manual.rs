//! docs/cli.md is what `--help` prints, of every command.
//!
//! `PLUMBLINE_DOCS=write ./dev test -E 'test(manual)'` writes it.

use std::path::Path;

use super::run::Place;

const HEAD: &str = "\
# Command line

What `--help` prints, of every command. This file is written by a test and compared by it:

    PLUMBLINE_DOCS=write ./dev test -E 'test(manual)'
";

/// The help of one command.
fn help(place: &Place, command: &[&str]) -> String {
    let output = place.output(&[command, &["--help"]].concat());
    assert_eq!(output.status.code(), Some(0), "{command:?}");
    assert!(output.stderr.is_empty(), "{command:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines = printed.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// The commands that a help lists, without `help` itself.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // What a line has no room for goes on further in.
    let named = listed.filter(|line| !line.starts_with("   "));
    let names = named.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

fn manual() -> String {
    let place = Place::with(&[]);
    let top = help(&place, &[]);
    let mut text = format!("{HEAD}\n## reconcile\n\n```text\n{top}```\n");
    let commands = commands(&top);
    assert!(commands.contains(&"validate"), "{commands:?}");
    for command in commands {
        let help = help(&place, &[command]);
        text += &format!("\n## reconcile {command}\n\n```text\n{help}```\n");
    }
    text
}

#[test]
fn manual_is_what_help_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let manual = manual();
    if std::env::var_os("PLUMBLINE_DOCS").is_some_and(|what| what == "write") {
        std::fs::write(&path, &manual).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == manual,
        "docs/cli.md is not what --help prints; to write it:\n    \
         PLUMBLINE_DOCS=write ./dev test -E 'test(manual)'"
    );
}

/// An option that stands in a document is one of the program's.
#[test]
fn manual_has_every_option_that_documents_name() {
    let manual = manual();
    let known = |option: &str| manual.contains(&format!("--{option}"));
    for (file, text) in [
        ("README.md", include_str!("../../../README.md")),
        ("operations.md", include_str!("../../../docs/operations.md")),
        ("semantics.md", include_str!("../../../docs/semantics.md")),
    ] {
        for line in text.lines().filter(|line| line.contains("reconcile ")) {
            let (_, arguments) = line.split_once("reconcile ").unwrap();
            let arguments = arguments.split(['|', ';', '`', '&']).next().unwrap();
            for word in arguments.split_whitespace() {
                if let Some(option) = word.strip_prefix("--") {
                    assert!(known(option), "{file}: --{option} in {line}");
                }
            }
        }
    }
}
