//! The transcript in the README is what happens: each command is typed, and what it prints is
//! compared. Hashes differ from one repository to the next, so each run of twelve or more
//! hexadecimal digits stands for any other.

use std::fs;
use std::path::Path;

use rig::lab::Lab;

/// One command of the transcript and what it prints.
struct Turn {
    command: String,
    output: String,
}

fn transcript(readme: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    let lines = readme.lines().skip_while(|line| *line != "```console");
    for line in lines.skip(1).take_while(|line| *line != "```") {
        match (line.strip_prefix("$ "), turns.last_mut()) {
            (Some(command), _) => turns.push(Turn {
                command: command.to_owned(),
                output: String::new(),
            }),
            (None, Some(turn)) => turn.output.extend([line, "\n"]),
            (None, None) => panic!("the transcript begins with a command"),
        }
    }
    turns
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

#[test]
fn the_transcript_is_what_happens() {
    Lab::run("readme", |lab| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let readme = fs::read_to_string(top.join("README.md")).unwrap();
        lab.repository()
            .hold_copy(&top.join("examples"), "examples");
        lab.repository().commit("the examples");
        let turns = transcript(&readme);
        assert!(turns.len() > 5, "the README has a transcript");
        for turn in turns {
            let run = lab.shell(&lab.hosts()[0], &turn.command);
            let printed = format!("{}{}", run.stdout, run.stderr);
            assert_eq!(
                without_hashes(&printed),
                without_hashes(&turn.output),
                "$ {}",
                turn.command
            );
        }
    });
}

#[test]
fn hashes_stand_for_each_other_and_nothing_else_does() {
    assert_eq!(
        without_hashes("27b179042e70 becomes generation 2"),
        without_hashes("d28915070911 becomes generation 2")
    );
    assert_ne!(without_hashes("port 80"), without_hashes("port 81"));
}
