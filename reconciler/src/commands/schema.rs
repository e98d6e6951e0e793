//! `reconcile schema`: JSON Schema of a kind, or of all.

use serde_json::{Map, Value, json};
use state::documents::schema::{DEFINITIONS, KINDS};

use super::arguments::SchemaArguments;
use crate::report::exit::Exit;
use crate::report::out::Out;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Runs it.
pub(crate) fn run(arguments: &SchemaArguments, out: Out) -> Exit {
    let schema = match &arguments.kind {
        Some(kind) => of(kind),
        None => of_all(),
    };
    match schema.and_then(|schema| serde_json::to_string_pretty(&schema)) {
        Ok(text) => out.data(&format!("{text}\n")),
        Err(error) => {
            out.error(&error.to_string());
            Exit::Failed
        }
    }
}

/// The schema of documents of one kind.
fn of(kind: &str) -> serde_json::Result<Value> {
    let named = KINDS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind));
    let text = named.map_or("{}", |(_, text)| *text);
    let mut schema: Map<String, Value> = serde_json::from_str(text)?;
    schema.insert("$schema".to_owned(), DRAFT.into());
    schema.insert("$defs".to_owned(), serde_json::from_str(DEFINITIONS)?);
    Ok(schema.into())
}

/// That of a document of any kind, for files that hold several. Of a kind that no parser serves
/// nothing is said: `ignoreKinds` may name it.
fn of_all() -> serde_json::Result<Value> {
    let mut cases = Vec::new();
    for (_, text) in KINDS {
        let schema: Value = serde_json::from_str(text)?;
        let named = ["apiVersion", "kind"].map(|field| {
            let says = schema.pointer(&format!("/properties/{field}")).cloned();
            (field.to_owned(), says.unwrap_or_default())
        });
        let properties: Map<String, Value> = named.into_iter().collect();
        let case = json!({"properties": properties, "required": ["apiVersion", "kind"]});
        cases.push(json!({"if": case, "then": schema}));
    }
    let definitions: Value = serde_json::from_str(DEFINITIONS)?;
    Ok(json!({
        "$schema": DRAFT,
        "title": "Plumbline",
        "description": "A document of a tree.",
        "type": ["object", "null"],
        "allOf": cases,
        "$defs": definitions,
    }))
}
