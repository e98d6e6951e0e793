//! Words: names that say what a thing is, and no sentence that stands for work left undone.

use crate::code;
use crate::tree::{Finding, Tree};

/// Names of files and folders, and ends of the names of items, that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "misc",
];

/// Phrases (cut in two, so that this file does not hold them), and what to do instead.
const PHRASES: &[(&str, &str, &str)] = &[
    ("TO", "DO", "do it, or file an issue and leave it out"),
    ("FIX", "ME", "fix it, or file an issue and leave it out"),
    ("X", "XX", "say what is meant"),
    (
        "keep in ",
        "sync",
        "one side is the truth: derive the other, or test it against it",
    ),
    (
        "kept in ",
        "sync",
        "one side is the truth: derive the other, or test it against it",
    ),
    (
        "be in ",
        "sync with",
        "one side is the truth: derive the other, or test it against it",
    ),
    ("to", "do!(", "do it"),
    (
        "unimple",
        "mented!(",
        "do it, or return an error that says what is not served",
    ),
    (
        "#[ig",
        "nore",
        "a test that does not run shows nothing: take it out, or run it",
    ),
];

/// What introduces a name of ours in Rust.
const ITEMS: &[&str] = &["struct", "enum", "trait", "mod", "fn", "type"];

/// Empty names of files, folders and items; phrases that have no place in code or its scripts.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        findings.extend(
            path.split(['/', '.'])
                .filter(|part| EMPTY_NAMES.contains(part))
                .map(|part| {
                    Finding::new(
                        path,
                        1,
                        format!("'{part}' says nothing: name it for what it does"),
                    )
                }),
        );
        if is_ours(path, text) {
            check_phrases(path, text, &mut findings);
        }
        if path.ends_with(".rs") {
            check_items(path, text, &mut findings);
        }
    }
    findings
}

/// Code, its build and its scripts. Trees and snapshots are what a test says they are.
fn is_ours(path: &str, text: &str) -> bool {
    let endings = [".rs", ".c", ".h", ".toml", ".md", "Justfile"];
    endings.iter().any(|end| path.ends_with(end)) || text.starts_with("#!")
}

fn check_phrases(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        for (first, second, instead) in PHRASES {
            let phrase = format!("{first}{second}");
            if holds_words(line, &phrase) {
                let says = format!("'{phrase}' has no place here: {instead}");
                findings.push(Finding::new(path, index + 1, says));
            }
        }
    }
}

/// Whether the phrase stands in the line as words of its own.
fn holds_words(line: &str, phrase: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(phrase).any(|(at, found)| {
        let before = line[..at].chars().next_back();
        let after = line[at + found.len()..].chars().next();
        let whole_end = found.ends_with(is_word);
        !(before.is_some_and(is_word) || whole_end && after.is_some_and(is_word))
    })
}

fn check_items(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for pair in code::tokens(&code::blanked(text)).windows(2) {
        let name = &pair[1].text;
        if ITEMS.contains(&pair[0].text.as_str()) && ends_in_empty_name(name) {
            let says = format!("'{name}' says nothing: name it for what it does");
            findings.push(Finding::new(path, pair[1].line, says));
        }
    }
}

/// `PlanManager` and `plan_manager`, but not `uncommon`.
fn ends_in_empty_name(name: &str) -> bool {
    let start = name
        .rfind(|c: char| c.is_uppercase() || c == '_')
        .unwrap_or(0);
    let last = name[start..].trim_start_matches('_').to_lowercase();
    EMPTY_NAMES.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn names_that_say_nothing_are_found() {
        let tree = Tree::of(&[
            ("a/src/utils.rs", ""),
            ("a/src/common/b.rs", ""),
            (
                "c.rs",
                "\nstruct PlanManager;\nfn in_uncommon() {}\nmod test_helpers {}\n",
            ),
            ("d.rs", "use x::Manager; // struct Helper"),
            ("uncommon.rs", "fn common_name() {}"),
        ]);
        let expected = [
            "a/src/common/b.rs:1",
            "a/src/utils.rs:1",
            "c.rs:2",
            "c.rs:4",
        ];
        assert_eq!(places(&check(&tree)), expected);
    }

    #[test]
    fn phrases_are_found_as_words_of_their_own() {
        for (first, second, _) in PHRASES {
            let phrase = format!("{first}{second}");
            let inside_a_word = phrase.replace('#', "a").to_lowercase();
            let text = format!("\n// {phrase}\nlet a_{inside_a_word}\n");
            for path in ["a.rs", "b.c", "Cargo.toml", "README.md"] {
                let found = places(&check(&Tree::of(&[(path, &text)])));
                assert_eq!(found, [format!("{path}:2")], "{phrase}");
            }
            assert_eq!(check(&Tree::of(&[("tree.yaml", &text)])), [], "{phrase}");
        }
        let script = format!("#!/bin/sh\n# {}{}\n", PHRASES[0].0, PHRASES[0].1);
        assert_eq!(places(&check(&Tree::of(&[("run", &script)]))), ["run:2"]);
    }
}
