//! The same for programs. Every document carries `formatVersion`; fields are added, never changed.

use serde::Serialize;

/// Version of every JSON document that a command prints.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Versioned<'a, T> {
    #[serde(rename = "formatVersion")]
    format_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

/// A value as one JSON document, pretty, with a line feed at its end.
pub fn document<T: Serialize>(body: &T) -> Result<String, serde_json::Error> {
    let versioned = Versioned {
        format_version: FORMAT_VERSION,
        body,
    };
    serde_json::to_string_pretty(&versioned).map(|text| text + "\n")
}
