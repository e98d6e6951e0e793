//! Names, labels and selectors that Kubernetes would not take.

use super::{Row, check, indented};

/// Each is a policy's `metadata`; its first line is line 4.
pub(super) const METADATA: &[Row] = &[
    ("bad-name 4:9", "name: P"),
    ("bad-name 4:9", "name: \"\""),
    ("bad-name 4:9", "name: a_b"),
    ("bad-name 4:9", "name: -a"),
    ("bad-name 4:9", "name: a-"),
    ("bad-name 4:9", "name: a..b"),
    ("bad-name 4:9", "name: .a"),
    ("bad-name 4:9", "name: a/b"),
    ("bad-name 4:9", "name: ../x"),
    ("bad-name 4:9", "name: \"a b\""),
    ("bad-name 4:9", "name: é"),
    ("bad-name 4:9", "name: \"a\\0b\""),
    ("bad-name 4:9", "name: \"a\\u202eb\""),
    ("wrong-type 4:9", "name: 80"),
    ("wrong-type 4:9", "name: true"),
    ("missing-field 4:3", "name: null"),
    ("missing-field 4:3", "name: ~"),
    ("missing-field 4:3", "name:"),
    ("yaml-ambiguous 4:9", "name: yes"),
    ("yaml-ambiguous 4:9", "name: 2024-01-01"),
    ("wrong-type 4:9", "name: [p]"),
    ("wrong-type 4:9", "name: {p: q}"),
    ("missing-field 4:3", "namespace: shop"),
    ("bad-name 5:14", "name: p\nnamespace: a.b"),
    ("bad-name 5:14", "name: p\nnamespace: Shop"),
    ("wrong-type 5:14", "name: p\nnamespace: 5"),
    ("wrong-type 5:14", "name: p\nnamespace: [a]"),
    (
        "bad-name 5:14",
        "name: p\nnamespace: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
    ("missing-field 4:3", "generateName: p-"),
    ("bad-label 5:12", "name: p\nlabels: {\"\": a}"),
    ("bad-label 5:12", "name: p\nlabels: {a/b/c: a}"),
    ("bad-label 5:12", "name: p\nlabels: {/a: a}"),
    ("bad-label 5:12", "name: p\nlabels: {Ex.com/a: a}"),
    ("bad-label 5:12", "name: p\nlabels: {-a: a}"),
    ("bad-label 5:12", "name: p\nlabels: {a=b: c}"),
    ("bad-label 5:12", "name: p\nlabels: {\"a\\0\": c}"),
    (
        "bad-label 5:12",
        "name: p\n\
         labels: {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: c}",
    ),
    ("bad-label 5:15", "name: p\nlabels: {a: \"b c\"}"),
    ("bad-label 5:15", "name: p\nlabels: {a: -b}"),
    (
        "bad-label 5:15",
        "name: p\n\
         labels: {a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
    ),
    ("wrong-type 5:15", "name: p\nlabels: {a: 1}"),
    ("wrong-type 5:15", "name: p\nlabels: {a: 1.10}"),
    ("wrong-type 5:15", "name: p\nlabels: {a: true}"),
    ("yaml-ambiguous 5:15", "name: p\nlabels: {a: off}"),
    ("yaml-ambiguous 5:15", "name: p\nlabels: {a: 0755}"),
    ("bad-label 5:15", "name: p\nlabels: {a: null}"),
    ("wrong-type 5:15", "name: p\nlabels: {a: [b]}"),
    ("yaml-ambiguous 5:12", "name: p\nlabels: {y: b}"),
    ("wrong-type 5:11", "name: p\nlabels: [a]"),
    ("wrong-type 5:11", "name: p\nlabels: a"),
    ("wrong-type 5:20", "name: p\nannotations: {a: 1}"),
    ("wrong-type 5:20", "name: p\nannotations: {a: true}"),
    ("bad-label 5:17", "name: p\nannotations: {\"a b\": c}"),
    ("yaml-ambiguous 5:17", "name: p\nannotations: {on: c}"),
    ("wrong-type 5:16", "name: p\nannotations: [a]"),
    ("unknown-field 5:3", "name: p\nlables: {a: b}"),
    ("unknown-field 5:3", "name: p\nName: q"),
    ("unknown-field 5:3", "name: p\nclustername: q"),
    ("wrong-type 5:20", "name: p\nownerReferences: {}"),
    ("wrong-type 5:8", "name: p\nuid: [a]"),
    ("wrong-type 5:15", "name: p\nfinalizers: a"),
];

/// Each is a policy's `podSelector`; its first line is line 7.
pub(super) const SELECTORS: &[Row] = &[
    ("unknown-field 7:5", "matchLabel: {a: b}"),
    ("wrong-type 7:18", "matchLabels: [a]"),
    ("bad-label 7:22", "matchLabels: {a: null}"),
    ("wrong-type 7:22", "matchLabels: {a: {b: c}}"),
    ("bad-label 7:19", "matchLabels: {\"a b\": c}"),
    ("bad-label 7:22", "matchLabels: {a: \"b/c\"}"),
    ("yaml-ambiguous 7:22", "matchLabels: {a: No}"),
    ("unknown-field 7:5", "matchexpressions: []"),
    (
        "wrong-type 7:23",
        "matchExpressions: {key: a, operator: Exists}",
    ),
    ("wrong-type 7:24", "matchExpressions: [a]"),
    ("empty-item 7:24", "matchExpressions: [null]"),
    ("missing-field 7:24", "matchExpressions: [{key: a}]"),
    (
        "missing-field 7:24",
        "matchExpressions: [{operator: Exists}]",
    ),
    (
        "bad-selector 7:43",
        "matchExpressions: [{key: a, operator: in, values: [b]}]",
    ),
    (
        "bad-selector 7:43",
        "matchExpressions: [{key: a, operator: Equals, values: [b]}]",
    ),
    (
        "bad-selector 7:43",
        "matchExpressions: [{key: a, operator: In}]",
    ),
    (
        "bad-selector 7:55",
        "matchExpressions: [{key: a, operator: In, values: []}]",
    ),
    (
        "bad-selector 7:43",
        "matchExpressions: [{key: a, operator: NotIn, values: null}]",
    ),
    (
        "wrong-type 7:55",
        "matchExpressions: [{key: a, operator: In, values: b}]",
    ),
    (
        "wrong-type 7:56",
        "matchExpressions: [{key: a, operator: In, values: [1]}]",
    ),
    (
        "empty-item 7:59",
        "matchExpressions: [{key: a, operator: In, values: [b, null]}]",
    ),
    (
        "bad-label 7:56, bad-label 7:63",
        "matchExpressions: [{key: a, operator: In, values: [\"b c\", \"d/e\"]}]",
    ),
    (
        "bad-selector 7:59",
        "matchExpressions: [{key: a, operator: Exists, values: [b]}]",
    ),
    (
        "bad-selector 7:65",
        "matchExpressions: [{key: a, operator: DoesNotExist, values: [b]}]",
    ),
    (
        "bad-label 7:30",
        "matchExpressions: [{key: \"a b\", operator: Exists}]",
    ),
    (
        "unknown-field 7:51",
        "matchExpressions: [{key: a, operator: Exists, value: b}]",
    ),
    ("unknown-field 7:5", "app: web"),
    ("unknown-field 8:5", "matchLabels: {a: b}\napp: web"),
];

#[test]
fn metadata_that_kubernetes_would_not_take() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n";
    check(METADATA, |text| format!("{head}{}", indented(text, 2)));
}

#[test]
fn selectors_that_kubernetes_would_not_take() {
    check(SELECTORS, |text| {
        super::policy(&format!("podSelector:\n{}", indented(text, 2)))
    });
}

#[test]
fn an_object_name_has_at_most_253_characters() {
    let name = |length: usize| {
        let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: ";
        super::found_in(&format!("{head}{}\n", "a".repeat(length)))
    };
    assert_eq!(name(253), "");
    assert_eq!(name(254), "bad-name 4:9");
}
