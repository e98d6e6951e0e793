//! Text that is no YAML, or YAML that readers do not agree on.

use super::{Row, check};

/// Each is a whole file. `k` is an unknown document, so what is found is about YAML first.
pub(super) const ROWS: &[Row] = &[
    // Syntax: the file ends there.
    ("yaml-syntax 2:2", "a: b\n c: d\n"),
    ("yaml-syntax 2:3", "a: b\n- c\n"),
    ("yaml-syntax 1:5", "a: b: c\n"),
    ("yaml-syntax 1:4", "a: [b, c\n"),
    ("yaml-syntax 1:4", "a: {b: c\n"),
    ("yaml-syntax 1:5", "a: b]\nc: }\n"),
    ("yaml-syntax 1:4", "a: 'b\n"),
    ("yaml-syntax 1:4", "a: \"b\n"),
    ("yaml-syntax 1:4", "a: \"b\n---\nc: d\n"),
    ("yaml-syntax 1:4", "a: \"\\q\"\n"),
    ("yaml-syntax 1:4", "a: \"\\xzz\"\n"),
    ("yaml-syntax 1:4", "a: \"\\ud800\"\n"),
    ("yaml-syntax 1:4", "a: @b\n"),
    ("yaml-syntax 1:4", "a: `b`\n"),
    ("yaml-syntax 1:4", "a: - b\n"),
    ("yaml-syntax 1:8", "a: 'b' c\n"),
    ("yaml-syntax 2:1", "a: |x\n  b\n"),
    ("yaml-syntax 1:6", "a: b\n  c: d\n"),
    ("yaml-syntax 3:1", "a:\n  - b\n c\n"),
    ("yaml-syntax 1:5", "a: [b c: d\n"),
    ("yaml-syntax 2:1", "a: b\nc\n"),
    ("yaml-syntax 1:1", "%YAML\n---\na: b\n"),
];

#[test]
fn what_is_wrong_with_the_text_is_found_where_it_is() {
    check(ROWS, str::to_owned);
}
