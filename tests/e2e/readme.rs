//! The transcripts in the README and in docs/operations.md are what happens: each command is typed,
//! and what it prints is compared. Hashes and times differ from one run to the next, so each run of
//! twelve or more hexadecimal digits stands for any other, and so does each time in UTC.
//!
//! With `PLUMBLINE_DOCS=write` in the environment what was printed is written into the document.

use std::fs;
use std::path::{Path, PathBuf};

use rig::lab::Lab;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The document with what its commands print now: each line of a `console` block that begins with
/// `$ ` is typed, and the lines up to the next one are what it prints.
fn played(lab: &Lab, document: &str) -> String {
    let mut text = String::new();
    let mut in_transcript = false;
    for line in document.lines() {
        in_transcript = match line {
            "```console" => true,
            "```" => false,
            _ => in_transcript,
        };
        let command = line.strip_prefix("$ ").filter(|_| in_transcript);
        if !in_transcript || command.is_some() || line == "```console" {
            text += line;
            text += "\n";
        }
        if let Some(command) = command {
            let run = lab.shell(&lab.hosts()[0], &format!("{{ {command}; }} 2>&1"));
            for printed in run.stdout.lines() {
                text += printed.trim_end();
                text += "\n";
            }
        }
    }
    text
}

/// The text with every run of twelve or more hexadecimal digits as `#`.
fn without_hashes(text: &str) -> String {
    let mut plain = String::new();
    let mut digits = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_hexdigit() && !character.is_ascii_uppercase() {
            digits.push(character);
            continue;
        }
        plain.push_str(if digits.len() < 12 { &digits } else { "#" });
        digits.clear();
        plain.push(character);
    }
    plain
}

/// The same with every time in UTC as `@`.
fn without_times(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let is_time = |bytes: &[u8]| {
        let same = |(is, shape): (&u8, &u8)| is == shape || is.is_ascii_digit() && *shape == b'0';
        bytes.len() == SHAPE.len() && bytes.iter().zip(SHAPE).all(same)
    };
    let mut plain = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let time = rest
            .get(..SHAPE.len())
            .filter(|time| is_time(time.as_bytes()));
        plain.push(if time.is_some() { '@' } else { character });
        rest = &rest[time.map_or(character.len_utf8(), str::len)..];
    }
    plain
}

fn hold(name: &str, file: &str, commands: usize) {
    let path = top().join(file);
    let document = fs::read_to_string(&path).unwrap();
    assert!(document.matches("\n$ ").count() > commands, "{file}");
    Lab::run(name, |lab| {
        lab.repository()
            .hold_copy(&top().join("examples"), "examples");
        lab.repository().commit("the examples");
        let played = played(lab, &document);
        let plain = |text: &str| without_times(&without_hashes(text));
        let write = std::env::var_os("PLUMBLINE_DOCS").is_some_and(|what| what == "write");
        if write && plain(&played) != plain(&document) {
            fs::write(&path, &played).unwrap();
        }
        for (is, says) in plain(&played).lines().zip(plain(&document).lines()) {
            assert_eq!(is, says, "{file} is not what happens:\n{played}");
        }
        assert_eq!(played.lines().count(), document.lines().count(), "{played}");
    });
}

#[test]
fn the_transcript_is_what_happens() {
    hold("readme", "README.md", 5);
}

#[test]
fn the_operators_session_is_what_happens() {
    hold("operations", "docs/operations.md", 30);
}

#[test]
fn hashes_stand_for_each_other_and_nothing_else_does() {
    assert_eq!(
        without_hashes("27b179042e70 becomes generation 2"),
        without_hashes("d28915070911 becomes generation 2")
    );
    assert_ne!(without_hashes("port 80"), without_hashes("port 81"));
    assert_eq!(
        without_times("generation 2, since 2026-11-25T06:53:26Z (not settled)"),
        without_times("generation 2, since 2026-11-25T07:00:00Z (not settled)")
    );
}
