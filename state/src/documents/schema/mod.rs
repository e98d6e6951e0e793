//! JSON Schema (draft 2020-12) of each kind, as text, for editors.
//!
//! A schema says less than the parser: what it refuses the parser refuses, and a test holds both to
//! the same documents. `null` is the same as nothing wherever a field may be absent.

/// What all of them refer to, by name: their `$defs`.
pub const DEFINITIONS: &str = include_str!("defs.json");

/// By kind.
pub const KINDS: [(&str, &str); 4] = [
    ("Config", include_str!("config.json")),
    ("Container", include_str!("container.json")),
    ("Namespace", include_str!("namespace.json")),
    ("NetworkPolicy", include_str!("networkpolicy.json")),
];
