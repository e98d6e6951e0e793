//! The same for programs. Every document carries `formatVersion`; fields are added, never changed.

use serde::Serialize;

use super::escape::escape_json;
use super::exit::Exit;
use super::out::Out;

/// Version of every JSON document that a command prints.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Versioned<'a, T> {
    #[serde(rename = "formatVersion")]
    format_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

/// A value as one JSON document, pretty, with a line feed at its end. What a terminal would obey is
/// escaped in it.
pub fn document<T: Serialize>(body: &T) -> Result<String, serde_json::Error> {
    let versioned = Versioned {
        format_version: FORMAT_VERSION,
        body,
    };
    serde_json::to_string_pretty(&versioned).map(|text| escape_json(&text) + "\n")
}

/// Writes it as data, and gives what became of that.
pub fn tell<T: Serialize>(body: &T, out: Out) -> Exit {
    match document(body) {
        Ok(text) => out.data(&text),
        Err(error) => {
            out.error(&error.to_string());
            Exit::Failed
        }
    }
}
