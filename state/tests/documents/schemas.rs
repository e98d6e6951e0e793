//! The schemas that editors use, against the parser: what a schema refuses the parser refuses.
//!
//! Every tree that these tests parse goes through here, and what the published corpus and the
//! examples hold.

#![allow(
    clippy::unwrap_used,
    reason = "clippy spares test functions, not what they share"
)]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::{Value, json};
use state::documents::schema::{DEFINITIONS, KINDS};
use state::documents::tree::Tree;

use super::{CLASSES, container, policy};

fn validators() -> &'static BTreeMap<&'static str, Validator> {
    static MADE: OnceLock<BTreeMap<&'static str, Validator>> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = KINDS.iter().map(|(kind, text)| {
            let mut schema: Value = serde_json::from_str(text).unwrap();
            schema["$defs"] = serde_json::from_str(DEFINITIONS).unwrap();
            schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            (*kind, jsonschema::draft202012::new(&schema).unwrap())
        });
        made.collect()
    })
}

/// What the schemas refuse of a text; `None` where it is none of the documents that they are about.
fn refused(text: &str) -> Option<Vec<String>> {
    let mut findings = Vec::new();
    let mut known = false;
    for document in serde_yaml::Deserializer::from_str(text) {
        let document = Value::deserialize(document).ok()?;
        let kind = document["kind"].as_str().unwrap_or_default();
        let Some(validator) = validators().get(kind) else {
            continue;
        };
        known = true;
        let errors = validator.iter_errors(&document);
        findings.extend(errors.map(|e| format!("{}: {e}", e.instance_path)));
    }
    known.then_some(findings)
}

/// Of a tree that was accepted nothing is refused.
pub(crate) fn accept(tree: &Tree) {
    for (file, bytes) in &tree.files {
        let text = std::str::from_utf8(bytes).unwrap();
        let refused = refused(text).unwrap_or_default();
        assert!(refused.is_empty(), "{file}: {refused:?}\n{text}");
    }
}

/// A schema that refused nothing would agree with every parser.
#[test]
fn what_has_the_wrong_shape_is_refused_by_the_schemas_as_well() {
    let (mut of, mut found) = (0, 0);
    for (class, rows) in CLASSES {
        for (expected, text) in *rows {
            let shape = expected.contains("unknown-field") || expected.contains("wrong-type");
            if *class != "schema" || !shape {
                continue;
            }
            let whole = [(*text).to_owned(), policy(text), container(text)];
            let mut whole = whole.iter().filter_map(|text| refused(text));
            of += 1;
            found += usize::from(whole.any(|refused| !refused.is_empty()));
        }
    }
    assert!(of > 40 && found * 10 > of * 9, "{found} of {of}");
}
