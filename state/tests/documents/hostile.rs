//! Input that was made to be slow, large or deep: a clear finding, never a panic, and little time.
//!
//! Time and memory are not measured here. What bounds them is: each of these inputs ends at a limit
//! of `limits`, or is read to its end as any other file.

use std::fmt::Write;

use state::documents::limits;

use super::{Parsed, found, parse, tree};

const FILE: usize = limits::FILE_BYTES;

/// As many copies of `part` as fit into so many bytes, between `head` and `tail`.
fn filled_to(bytes: usize, head: &str, part: &str, tail: &str) -> String {
    let copies = (bytes - head.len() - tail.len()) / part.len();
    format!("{head}{}{tail}", part.repeat(copies))
}

/// A file of the largest size.
fn filled(head: &str, part: &str, tail: &str) -> String {
    filled_to(FILE, head, part, tail)
}

/// A tree of so many files of this text.
fn copies(text: &str, number: usize) -> Parsed {
    let names: Vec<String> = (0..number).map(|n| format!("{n:02}.yaml")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text)).collect();
    parse(tree(&files))
}

/// A tree of the largest size.
fn whole_tree(text: &str) -> Parsed {
    copies(text, limits::TREE_BYTES / FILE)
}

fn codes(parsed: &Parsed) -> Vec<&'static str> {
    let mut codes: Vec<_> = parsed.problems.iter().map(|p| p.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[test]
fn files_that_end_at_a_limit() {
    for (head, part, tail, code) in [
        ("", "[", "", "too-deep"),
        ("", "{a: ", "", "too-deep"),
        ("", "- ", "", "too-deep"),
        ("", "? ", "", "yaml-key"),
        ("a: ", "[", "", "too-deep"),
        ("[", "a,", "]", "too-complex"),
        ("[", ",", "]", "too-complex"),
        ("{", "a: b, ", "}", "too-complex"),
        ("a: \"", "b ", "\"", "too-complex"),
        ("a: ", "b ", "", "too-complex"),
        ("a:\n- [", "b, ", "]", "too-complex"),
        ("", "---\n", "", "too-many"),
        ("a: [", "b,", "]", "too-many"),
        ("", "a: b\n", "", "duplicate-key"),
        ("", "- &a b\n", "", "too-many"),
        ("", "- *a\n", "", "yaml-alias"),
        ("", "\t", "", "yaml-tab"),
        ("", "- \t\n", "", "too-many"),
        ("a: ", "\t ", "\n", "yaml-tab"),
        ("", "%A\n", "", "too-complex"),
        ("", "\"", "", "yaml-syntax"),
        ("a: '", "''", "", "yaml-syntax"),
        ("", "]", "", "yaml-syntax"),
        ("", ":", "", "wrong-type"),
        ("", "\u{1b}", "", "hidden-character"),
    ] {
        let text = filled_to(1 << 20, head, part, tail);
        let codes = codes(&copies(&text, 9));
        assert!(codes.contains(&code), "{head}{part}{tail}: {codes:?}");
    }
}

#[test]
fn whole_trees_that_end_at_a_limit() {
    let lists = whole_tree(&filled("a: [", "b,", "]"));
    assert_eq!(codes(&lists), ["missing-field", "too-many"]);
    let tabs = whole_tree(&filled("", "\t", ""));
    assert_eq!(codes(&tabs), ["yaml-tab"]);
}

#[test]
fn large_files_that_say_nothing_wrong_are_read() {
    let parsed = whole_tree(&filled("", "# comment\n", ""));
    assert_eq!(found(&parsed), "");
    for (head, part, tail) in [
        ("", "\n", ""),
        ("", " ", ""),
        ("a: ", "b", ""),
        ("a: |\n", "  text text text\n", ""),
        ("a: '", "b", "'"),
        ("a: ", "é", ""),
    ] {
        let text = filled(head, part, tail);
        let parsed = parse(tree(&[("a.yaml", &text)]));
        let codes = codes(&parsed);
        assert!(
            codes.is_empty() || codes == ["missing-field"],
            "{part}: {codes:?}"
        );
    }
}

/// A list that turns out to be a key costs as much as everything that was read after it began.
#[test]
fn lists_as_keys_within_long_lists() {
    for depth in [10, 60, 250] {
        let padding = "a,".repeat(7_000);
        let keys = "]: x ".repeat(depth - 1);
        let list = format!("- [{padding}{}{padding}{keys}]\n", "[".repeat(depth));
        let text = filled("a:\n", &list, "");
        let parsed = whole_tree(&text);
        let codes = codes(&parsed);
        let ends = ["too-complex", "yaml-key", "too-deep"];
        assert!(
            codes.iter().any(|code| ends.contains(code)),
            "{depth}: {codes:?}"
        );
        assert!(
            codes.contains(&"too-many"),
            "reading stops after a few: {codes:?}"
        );
    }
}

#[test]
fn many_small_files_with_lists_as_keys() {
    let padding = "a,".repeat(7_000);
    let text = format!(
        "[{padding}{}{padding}{}]\n",
        "[".repeat(60),
        "]: x ".repeat(59)
    );
    let names: Vec<String> = (0..1_000).map(|n| format!("{n}.yaml")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &*text)).collect();
    assert!(codes(&parse(tree(&files))).contains(&"too-many"));
}

#[test]
fn more_findings_than_anybody_reads() {
    let policy = super::policy("ingress:");
    let text = filled(&policy, "  - {x: y}\n", "");
    let parsed = whole_tree(&text);
    assert!(parsed.problems.errors() > limits::FINDINGS);
    // And one that says where reading stopped.
    assert_eq!(parsed.problems.clone().sorted().len(), 1_001);
}

/// One mapping alone may have very many, and each would take a hint.
#[test]
fn more_unknown_fields_than_anybody_reads() {
    let mut text = String::from("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n");
    for n in 0..60_000 {
        writeln!(text, "  a-field-that-nobody-has-ever-heard-of-{n}: x").unwrap();
    }
    let parsed = parse(tree(&[("a.yaml", &text)]));
    assert_eq!(parsed.problems.errors(), limits::FINDINGS + 1);
    let helped = parsed.problems.iter().filter(|p| p.help.is_some());
    assert_eq!(helped.count(), 1_000);
}

#[test]
fn more_labels_than_may_be() {
    let mut labels = String::new();
    for n in 0..170_000 {
        writeln!(labels, "  a{n}: b").unwrap();
    }
    let selector = format!(
        "podSelector:\n  matchLabels:\n{}",
        labels.replace("  a", "    a")
    );
    let parsed = copies(&super::policy(&selector), 3);
    assert!(codes(&parsed).contains(&"too-many"));
}

#[test]
fn one_mapping_of_very_many_keys() {
    let mut text =
        String::from("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels:\n");
    for n in 0..200_000 {
        writeln!(text, "    key-{n}: x").unwrap();
    }
    let parsed = parse(tree(&[("a.yaml", &text)]));
    assert_eq!(found(&parsed), "");
    assert_eq!(parsed.documents.namespaces[0].labels.len(), 200_001);
}

/// Each selector of what is not there asks every container.
#[test]
fn more_selectors_than_can_be_asked() {
    let mut text = String::new();
    for n in 0..5_000 {
        let (high, low) = (n >> 8, n & 255);
        writeln!(
            text,
            "---\napiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: \
             {{name: c{n}, labels: {{app: a{n}}}}}\nspec: {{addresses: [10.0.{high}.{low}]}}\n\
             ---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{n}}}\n\
             spec: {{podSelector: {{matchExpressions: \
             [{{key: app, operator: NotIn, values: [a{n}]}}]}}}}",
        )
        .unwrap();
    }
    let parsed = parse(tree(&[("a.yaml", &text)]));
    assert_eq!(found(&parsed), "");
    let host = state::words::names::HostName::new("alpha").unwrap();
    let (_, problems) = state::desired::resolve(&parsed.documents, &host);
    let problems = problems.sorted();
    let codes: Vec<_> = problems.iter().map(|p| (p.code, &*p.place.file)).collect();
    assert_eq!(codes, [("too-many", "")]);
}

#[test]
fn more_documents_than_may_be() {
    let config = "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nignoreKinds: [K]\n";
    let items = "- {apiVersion: v, kind: K}\n".repeat(limits::DOCUMENTS / 2);
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let files = [
        ("a.yaml", &*list),
        ("b.yaml", &*list),
        ("plumbline.yaml", config),
    ];
    assert_eq!(codes(&parse(tree(&files))), ["too-many"]);
}

#[test]
fn more_files_than_may_be() {
    let mut large = tree(&[]);
    for n in 0..=limits::FILES {
        large
            .files
            .insert(format!("{n}.yaml").into(), Vec::new().into());
    }
    assert_eq!(found(&parse(large)), "plumbline.yaml too-many 0:0");
}

#[test]
fn a_larger_tree_than_may_be() {
    let text = filled("", "# comment\n", "");
    let mut large = tree(&[]);
    for n in 0..=limits::TREE_BYTES / FILE {
        large
            .files
            .insert(format!("{n}.yaml").into(), text.as_bytes().into());
    }
    assert_eq!(found(&parse(large)), "plumbline.yaml too-large 0:0");
}

#[test]
fn keys_and_names_of_any_length() {
    let long = "x".repeat(3 << 20);
    for (text, code) in [
        (format!("{long}: y\n"), "yaml-syntax"),
        (format!("{{\"{long}\": y}}\n"), "yaml-key"),
        (format!("apiVersion: v1\nkind: {long}\n"), "unknown-kind"),
        (
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {long}}}\n"),
            "bad-name",
        ),
    ] {
        let parsed = parse(tree(&[("a.yaml", &text)]));
        assert!(
            codes(&parsed).contains(&code),
            "{code}: {:?}",
            codes(&parsed)
        );
        assert!(
            parsed
                .problems
                .iter()
                .all(|problem| problem.message.len() < 1_000)
        );
    }
}
