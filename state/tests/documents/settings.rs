//! Sentences of docs/semantics.md that no other table shows: the tree's settings, lists of nothing,
//! and what one document may say twice.

use state::documents::Documents;
use state::documents::config::{Config, Dns};

use super::{Parsed, found, found_in, parse, tree};

const HEAD: &str = "apiVersion: plumbline.dev/v1alpha1\nkind: Config\n";
const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";

fn config(settings: &str) -> Parsed {
    let text = format!("{HEAD}{settings}\n");
    parse(tree(&[("plumbline.yaml", &text)]))
}

#[test]
fn settings_that_are_absent_or_null_are_the_defaults() {
    let expected = Config::default();
    assert_eq!((expected.forwarding, expected.dns), (true, Dns::Host));
    assert_eq!(parse(tree(&[])).documents.config, expected);
    for settings in [
        "",
        "ignore: null\nignoreKinds: ~\nforwarding: null\ndns:\nmetadata: null",
        "ignore: []\nignoreKinds: []\nforwarding: true\ndns: host\nmetadata: {name: x, labels: 5}",
    ] {
        let parsed = config(settings);
        assert_eq!(found(&parsed), "", "{settings}");
        assert_eq!(parsed.documents.config, expected, "{settings}");
    }
}

#[test]
fn a_tree_has_one_config() {
    assert_eq!(
        found(&config(&format!("---\n{HEAD}"))),
        "plumbline.yaml duplicate-name 4:1"
    );
}

/// In a list it would be read, and nobody would follow its settings.
#[test]
fn a_config_is_no_item_of_a_list() {
    let item = "{apiVersion: plumbline.dev/v1alpha1, kind: Config, forwarding: false}";
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {item}\n");
    let parsed = parse(tree(&[("plumbline.yaml", &list)]));
    assert_eq!(found(&parsed), "plumbline.yaml misplaced 4:3");
    let parsed = parse(tree(&[("plumbline.yaml", &format!("{HEAD}---\n{list}"))]));
    assert_eq!(found(&parsed), "plumbline.yaml misplaced 7:3");
}

/// Whoever was not read may be whom it selects.
#[test]
fn whom_a_selector_selects_is_not_asked_of_a_tree_with_errors() {
    let warnings = |address: &str| {
        let container = "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: \
                         {name: web}\nspec: {addresses: [10.0.0.1]}\n";
        let container = container.replace("10.0.0.1", address);
        let policy = super::policy("podSelector: {}\ningress: [{from: [{podSelector: {}}]}]");
        let text = format!(
            "{container}---\n{policy}---\n{}",
            policy.replace("p\n", "q\n")
        );
        let parsed = parse(tree(&[("a.yaml", &text)]));
        let host = state::words::names::HostName::new("alpha").unwrap();
        let (_, problems) = state::desired::resolve(&parsed.documents, &host);
        (parsed.problems.errors(), problems.warnings())
    };
    assert_eq!(warnings("10.0.0.1"), (0, 0));
    assert_eq!(warnings("10.0.0.256"), (1, 0));
}

#[test]
fn an_empty_namespace_is_none() {
    for (metadata, expected) in [
        ("{name: a, namespace: \"\"}", ""),
        ("{name: a, namespace: null}", ""),
        ("{name: a, namespace: b}", "bad-name 3:32"),
    ] {
        let text = NAMESPACE.replace("{name: a}", metadata);
        assert_eq!(found_in(&text), expected, "{metadata}");
    }
}

#[test]
fn plumbline_yaml_may_hold_other_documents() {
    let parsed = config(&format!("---\n{NAMESPACE}"));
    assert_eq!(found(&parsed), "");
    assert_eq!(parsed.documents.namespaces.len(), 1);
    // And need not hold a Config.
    let parsed = parse(tree(&[("plumbline.yaml", NAMESPACE)]));
    assert_eq!(found(&parsed), "");
    assert_eq!(parsed.documents.namespaces.len(), 1);
}

#[test]
fn lists_of_nothing_hold_nothing() {
    for items in ["", "items: null\n", "items: []\n", "metadata: null\n"] {
        let parsed = parse(tree(&[(
            "a.yaml",
            &format!("apiVersion: v1\nkind: List\n{items}"),
        )]));
        assert_eq!(found(&parsed), "", "{items}");
        let Documents {
            namespaces,
            containers,
            policies,
            ..
        } = parsed.documents;
        assert_eq!(namespaces.len() + containers.len() + policies.len(), 0);
    }
}

/// Of a list of one kind an item need not say what it is; in a `List` it must.
#[test]
fn items_of_a_typed_list_have_its_kind() {
    let typed = "apiVersion: v1\nkind: NamespaceList\nitems: [{metadata: {name: a}}]\n";
    let parsed = parse(tree(&[("a.yaml", typed)]));
    assert_eq!(found(&parsed), "");
    assert_eq!(parsed.documents.namespaces.len(), 1);
    let plain = typed.replace("NamespaceList", "List");
    assert_eq!(found_in(&plain), "missing-field 3:9");
}

/// Within lists too, and lists may stand in lists.
#[test]
fn lists_may_stand_in_lists() {
    let inner = "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Namespace, \
                 metadata: {name: a}}]}";
    let outer = format!("apiVersion: v1\nkind: List\nitems: [{inner}]\n");
    let parsed = parse(tree(&[("a.yaml", &outer)]));
    assert_eq!(found(&parsed), "");
    assert_eq!(parsed.documents.namespaces.len(), 1);
}

#[test]
fn annotations_may_have_any_text() {
    let annotated = |value: &str| {
        NAMESPACE.replace(
            "{name: a}",
            &format!("{{name: a, annotations: {{a/b: {value}}}}}"),
        )
    };
    for value in ["null", "\"\"", "\"a b {c} é\"", "'{\"x\": [1]}'"] {
        assert_eq!(found_in(&annotated(value)), "", "{value}");
    }
    assert_eq!(found_in(&annotated("5")), "wrong-type 3:40");
}
