//! serde_yaml is the second reader: what is accepted, it reads to the same values.
//!
//! The two readers have nothing in common (serde_yaml stands on libyaml). Texts are made in three
//! ways: any bytes, sequences of the words that YAML is made of, and manifests with small edits. A
//! form that no field takes ([`Kind::Ambiguous`]) may be anything to either.

use proptest::prelude::*;
use serde::Deserialize;
use serde_yaml::Value as Second;
use state::documents::tree::Tree;
use state::documents::yaml::{self, Budget, Kind, Node, Value};
use state::words::problem::Problems;

use super::corpus::{examples, published};
use super::parse;

/// Whether both read the same from a text. `None` where it is refused here.
fn agree(text: &[u8]) -> Option<Result<(), String>> {
    let mut problems = Problems::default();
    let contents = yaml::read(
        &"a.yaml".into(),
        text,
        &mut Budget::default(),
        &mut problems,
    );
    if problems.has_errors() {
        return None;
    }
    Some(compare(&contents.documents, text))
}

fn compare(documents: &[Node<'_>], text: &[u8]) -> Result<(), String> {
    let mut seconds = Vec::new();
    for document in serde_yaml::Deserializer::from_slice(text) {
        seconds.push(Second::deserialize(document).map_err(|e| format!("refused there: {e}"))?);
    }
    // A text without a document is one document of nothing there.
    if documents.is_empty() && seconds.iter().all(Second::is_null) {
        return Ok(());
    }
    if documents.len() != seconds.len() {
        return Err(format!(
            "{} and {} documents",
            documents.len(),
            seconds.len()
        ));
    }
    for (first, second) in documents.iter().zip(&seconds) {
        if !same(first, second) {
            return Err(format!("{first:?}\n{second:?}"));
        }
    }
    Ok(())
}

fn same(first: &Node<'_>, second: &Second) -> bool {
    match (&first.value, second) {
        (Value::List(items), Second::Sequence(seconds)) => {
            items.len() == seconds.len() && items.iter().zip(seconds).all(|(a, b)| same(a, b))
        }
        (Value::Map(entries), Second::Mapping(seconds)) => {
            let pairs = || entries.iter().zip(seconds);
            entries.len() == seconds.len()
                && pairs()
                    .all(|(a, (key, value))| key.as_str() == Some(&*a.key) && same(&a.value, value))
        }
        (Value::Scalar(scalar), second) => match (scalar.kind(), second) {
            (Kind::Null, Second::Null) => true,
            (Kind::Bool(first), Second::Bool(second)) => first == *second,
            (Kind::Integer, Second::Number(number)) => {
                let text = scalar.text.strip_prefix('+').unwrap_or(&scalar.text);
                number.to_string() == text || (text == "-0" && number.as_i64() == Some(0))
            }
            (Kind::Number, Second::Number(_)) => true,
            (Kind::Text, Second::String(second)) => *second == scalar.text,
            (Kind::Ambiguous(_), Second::String(_) | Second::Number(_) | Second::Bool(_)) => true,
            _ => false,
        },
        _ => false,
    }
}

/// A whole manifest with most of what people write, for edits.
const MANIFEST: &str = r#"# A policy.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: "web"   # quoted
  namespace: shop
  annotations: {note: 'it''s', long: "a \"b\" \u00e9"}
  labels:
    app.kubernetes.io/name: web
spec:
  podSelector:
    matchLabels: {app: web}
    matchExpressions:
    - key: tier
      operator: In
      values: [a, "b", 'c']
  policyTypes:
  - Ingress
  - Egress
  ingress:
    - from:
        - namespaceSelector: {}
          podSelector:
            matchLabels:
              app: front
        - ipBlock:
            cidr: 10.0.0.0/8
            except: [10.1.0.0/16]
      ports:
        - protocol: TCP
          port: 80
          endPort: 90
        - {port: dns, protocol: UDP}
  egress: []
---
apiVersion: v1
kind: ConfigMap
data:
  text: |
    one
      two

    three
  folded: >-
    a b
    c

    d
  plain: several words
    on two lines
  empty:
  "true": ~
"#;

/// What YAML is made of, and what readers stumble over.
const WORDS: &[&str] = &[
    "a",
    "b: ",
    "key: ",
    "80",
    "true",
    "null",
    "~",
    "yes",
    "0o7",
    "1_0",
    "-1",
    ".5",
    "'x y'",
    "''",
    "\"p\\n\"",
    "\"q\": ",
    "'r': ",
    "\"",
    "'",
    "- ",
    "- - ",
    "-",
    ":",
    ": ",
    "?",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    "\n",
    "\n",
    "\n",
    "\n  ",
    "\n    ",
    "\r\n",
    " ",
    "  ",
    "\t",
    " #c",
    "#c",
    "|\n",
    "|-\n",
    "|+\n",
    ">\n",
    ">2\n",
    "|",
    ">",
    "---\n",
    "...\n",
    "--- ",
    "%YAML 1.2\n",
    "&x ",
    "*x",
    "!t ",
    "!!str ",
    "\\",
    "\\\n",
    "@",
    "`",
    "é",
    "\u{a0}",
    "x:y",
    "x#y",
    "::1",
    "fd44::10",
    "<<: ",
    "=",
    "a?b",
    "[a, b]",
    "{a: b}",
    "- a: b\n",
    "c: d\n",
    "  text\n",
    "2024-01-01",
    "1e3",
    ":?",
];

/// One edit of a text by lines and words.
#[derive(Clone, Debug)]
enum Edit {
    Indent,
    Dedent,
    Remove,
    Repeat,
    Swap(prop::sample::Index),
    Insert(prop::sample::Index, &'static str),
    Replace(&'static str),
}

fn edit() -> impl Strategy<Value = (prop::sample::Index, Edit)> {
    let word = || prop::sample::select(WORDS);
    let index = any::<prop::sample::Index>;
    let edit = prop_oneof![
        Just(Edit::Indent),
        Just(Edit::Dedent),
        Just(Edit::Remove),
        Just(Edit::Repeat),
        index().prop_map(Edit::Swap),
        (index(), word()).prop_map(|(at, word)| Edit::Insert(at, word)),
        word().prop_map(Edit::Replace),
    ];
    (index(), edit)
}

fn edited(text: &str, edits: &[(prop::sample::Index, Edit)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (at, edit) in edits {
        if lines.is_empty() {
            break;
        }
        let at = at.index(lines.len());
        match edit {
            Edit::Indent => lines[at].insert(0, ' '),
            Edit::Dedent => lines[at] = lines[at].strip_prefix(' ').unwrap_or("").to_owned(),
            Edit::Remove => drop(lines.remove(at)),
            Edit::Repeat => lines.insert(at, lines[at].clone()),
            Edit::Swap(other) => {
                let other = other.index(lines.len());
                lines.swap(at, other);
            }
            Edit::Insert(where_, word) => {
                let starts: Vec<usize> = lines[at].char_indices().map(|(at, _)| at).collect();
                let end = lines[at].len();
                let inside = where_.index(starts.len() + 1);
                lines[at].insert_str(starts.get(inside).copied().unwrap_or(end), word);
            }
            Edit::Replace(word) => {
                let end = lines[at].find(": ").map_or(0, |colon| colon + 2);
                lines[at].replace_range(end.., word);
            }
        }
    }
    lines.join("\n") + "\n"
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn words_in_any_order(words in prop::collection::vec(prop::sample::select(WORDS), 0..14)) {
        let text = words.concat();
        let (braced, deeper) = (format!("{{k: {text}}}\n"), text.replace('\n', "\n "));
        for text in [format!("k: {text}"), text, braced, deeper] {
            if let Some(Err(why)) = agree(text.as_bytes()) {
                prop_assert!(false, "{text:?}: {why}");
            }
        }
    }

    #[test]
    fn edited_manifests(edits in prop::collection::vec(edit(), 0..5)) {
        let text = edited(MANIFEST, &edits);
        if let Some(Err(why)) = agree(text.as_bytes()) {
            prop_assert!(false, "{text}: {why}");
        }
    }

    #[test]
    fn any_text(text in any::<String>()) {
        if let Some(Err(why)) = agree(text.as_bytes()) {
            prop_assert!(false, "{text:?}: {why}");
        }
    }

    /// Arbitrary bytes make findings, never a panic, and the same ones each time.
    #[test]
    fn any_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        config in any::<bool>(),
    ) {
        let name = if config { Tree::CONFIG } else { "a.yaml" };
        let mut tree = Tree::default();
        tree.files.insert(name.into(), bytes.into());
        let (first, second) = (parse(tree.clone()), parse(tree));
        prop_assert_eq!(first.problems, second.problems);
    }

    /// Edited manifests go through the parsers of their kinds, too.
    #[test]
    fn edited_documents_never_panic(edits in prop::collection::vec(edit(), 0..8)) {
        let mut tree = Tree::default();
        tree.files.insert("a.yaml".into(), edited(MANIFEST, &edits).as_bytes().into());
        parse(tree);
    }
}

#[test]
fn the_manifest_is_accepted_before_it_is_edited() {
    assert_eq!(agree(MANIFEST.as_bytes()), Some(Ok(())));
}

#[test]
fn published_manifests_agree() {
    let Some(tree) = published() else { return };
    for (path, content) in &tree.files {
        assert_eq!(agree(content), Some(Ok(())), "{path}");
    }
}

#[test]
fn examples_agree() {
    let tree = examples();
    assert!(!tree.files.is_empty());
    for (path, content) in &tree.files {
        assert_eq!(agree(content), Some(Ok(())), "{path}");
    }
}

/// Differences that were found once. Each is refused here.
#[test]
fn forms_on_which_the_readers_differ_are_refused() {
    for text in [
        "a: |\n b",
        "a: |+\n ",
        "a: |\n \tb\n",
        "a: >\n  b\n \t\n",
        "...\n",
        "a: b\n...\nc: d\n",
        "{a:}",
        "{>: }",
        "{a: :b}",
        "a: [:b]\n",
        "{a: b:?}",
        "a: [b\n\t\n]\n",
        "a:\n- []\n\t\n",
        "-0x1: a\n",
        "a: 18446744073709551616\n",
        "- |\nb\n",
        "a: b\u{85}c: d\n",
    ] {
        assert_eq!(agree(text.as_bytes()), None, "{text:?}");
    }
}
