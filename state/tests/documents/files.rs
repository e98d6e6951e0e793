//! Files that are no text, or text that hides something.

use std::sync::Arc;

use state::documents::limits;
use state::documents::tree::Tree;

use super::{Row, check, found, parse, tree};

/// Each is a whole file of which nothing is read.
pub(super) const ROWS: &[Row] = &[
    ("hidden-character 1:1", "\u{feff}a: b\n"),
    ("hidden-character 1:4", "a: \0\n"),
    ("hidden-character 1:4", "a: \u{1}b\n"),
    ("hidden-character 1:5", "a: b\u{8}\n"),
    ("hidden-character 1:5", "a: b\u{b}c\n"),
    ("hidden-character 1:5", "a: b\u{c}c\n"),
    ("hidden-character 1:5", "a: b\rc: d\n"),
    ("hidden-character 1:4", "a: \u{1b}[31mb\n"),
    ("hidden-character 1:4", "a: \u{1b}]8;;http://x\u{7}b\n"),
    ("hidden-character 1:4", "a: \u{7f}\n"),
    ("hidden-character 1:4", "a: \u{80}\n"),
    ("hidden-character 1:5", "a: b\u{85}c: d\n"),
    ("hidden-character 1:4", "a: \u{9b}31m\n"),
    ("hidden-character 1:5", "a: b\u{2028}c: d\n"),
    ("hidden-character 1:5", "a: b\u{2029}c: d\n"),
    ("hidden-character 2:1", "a: b\n\u{feff}c: d\n"),
    ("hidden-character 1:4", "a: \u{202e}b\n"),
    ("hidden-character 1:4", "a: \u{202a}b\n"),
    ("hidden-character 1:4", "a: \u{2066}b\n"),
    ("hidden-character 1:4", "a: \u{2069}b\n"),
    ("hidden-character 1:4", "a: \u{200e}b\n"),
    ("hidden-character 1:4", "a: \u{200f}b\n"),
    ("hidden-character 1:4", "a: \u{61c}b\n"),
    ("hidden-character 1:4", "a: \u{ffff}b\n"),
    ("hidden-character 2:3", "a: b\n# \u{202e}c\n"),
    ("hidden-character 1:6", "é: 'ü\u{7f}'\n"),
];

#[test]
fn hidden_characters_are_found_wherever_they_stand() {
    check(ROWS, str::to_owned);
}

#[test]
fn hidden_characters_are_counted() {
    let parsed = parse(tree(&[("a.yaml", "a: \u{202e}b\n# \u{7}\n")]));
    let problem = parsed.problems.iter().next().unwrap();
    assert_eq!(
        problem.message,
        "U+202E stands here and cannot be seen (and 1 more hidden characters in this file)"
    );
    assert_eq!(
        problem.help.as_deref(),
        Some("if it is meant, write \"\\u202e\"")
    );
}

fn found_in_bytes(bytes: &[u8]) -> String {
    let mut tree = Tree::default();
    let content: Arc<[u8]> = bytes.into();
    tree.files.insert("a.yaml".into(), content);
    found(&parse(tree))
}

#[test]
fn what_is_not_utf8_is_found() {
    for (expected, bytes) in [
        ("not-utf8 1:4", &b"a: \xff\n"[..]),
        ("not-utf8 2:4", b"a: b\nc: \xc3\x28\n"),
        ("not-utf8 1:4", b"a: \xc3"),
        ("not-utf8 1:4", b"a: \xed\xa0\x80\n"),
        ("not-utf8 1:4", b"a: \xc0\x80\n"),
        ("not-utf8 1:1", b"\xff\xfea\0:\0 \0b\0\n\0"),
        ("not-utf8 1:1", b"\xfe\xff\0a\0:\0 \0b\0\n"),
        ("not-utf8 1:1", b"\x89PNG\r\n\x1a\n"),
    ] {
        assert_eq!(found_in_bytes(bytes), expected);
    }
}

#[test]
fn a_file_has_at_most_four_mebibytes() {
    let text = |bytes: usize| format!("#{}\n", "x".repeat(bytes - 2));
    assert_eq!(found_in_bytes(text(limits::FILE_BYTES).as_bytes()), "");
    assert_eq!(
        found_in_bytes(text(limits::FILE_BYTES + 1).as_bytes()),
        "too-large 0:0"
    );
}

#[test]
fn lines_may_end_in_carriage_return_and_line_feed() {
    let text = "apiVersion: v1\r\nkind: Namespace\r\nmetadata:\r\n  nam: a\r\n";
    assert_eq!(
        super::found_in(text),
        "missing-field 4:3, unknown-field 4:3"
    );
}

#[test]
fn a_file_that_cannot_be_read_hides_no_other() {
    let bad = "a: 'b\n";
    let parsed = parse(tree(&[
        ("a.yaml", bad),
        (
            "b/c.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: C}\n",
        ),
        (
            "d.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: d}\n---\na: b: c\n",
        ),
    ]));
    assert_eq!(
        found(&parsed),
        "yaml-syntax 1:4, b/c.yaml bad-name 3:18, d.yaml yaml-syntax 5:5"
    );
    assert_eq!(parsed.documents.namespaces.len(), 1);
}

#[test]
fn nobody_knows_what_an_unreadable_plumbline_yaml_ignores() {
    let others = [
        ("b.yaml", "apiVersion: apps/v1\nkind: Deployment\n"),
        ("c.yaml", "x: 5\n"),
    ];
    let config = ("plumbline.yaml", "ignoreKinds: ['Deployment\n");
    let parsed = parse(tree(&[others[0], others[1], config]));
    assert_eq!(found(&parsed), "plumbline.yaml yaml-syntax 1:15");
}
