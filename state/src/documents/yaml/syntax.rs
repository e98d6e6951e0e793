//! The parser's errors, said for people.

use std::sync::Arc;

use saphyr_parser::ScanError;

use crate::documents::codes;
use crate::words::problem::Problem;

use super::node::Spot;

/// What the parser says, what it means, and what to do.
struct Reading {
    /// A part of the parser's own words.
    says: &'static str,
    code: &'static str,
    message: &'static str,
    help: &'static str,
}

const fn reading(
    says: &'static str,
    code: &'static str,
    message: &'static str,
    help: &'static str,
) -> Reading {
    Reading {
        says,
        code,
        message,
        help,
    }
}

const INDENTATION: &str = "compare its indentation with the lines above";

/// The first that fits counts.
const READINGS: &[Reading] = &[
    reading(
        "recursion limit",
        codes::TOO_DEEP,
        "lists and mappings stand too deep within each other here",
        "at most 64 may stand within each other",
    ),
    reading(
        "a tab",
        codes::YAML_TAB,
        "a tab stands where YAML wants spaces",
        "indent with spaces",
    ),
    reading(
        "tab",
        codes::YAML_TAB,
        "a tab stands where YAML wants spaces",
        "indent with spaces",
    ),
    reading(
        "valid YAML whitespace",
        codes::YAML_TAB,
        "a tab stands where YAML wants spaces",
        "write a space after '-' and ':'",
    ),
    reading(
        "anchor",
        codes::YAML_ALIAS,
        "anchors and aliases are not read",
        "write the value out",
    ),
    reading(
        "handle wasn't declared",
        codes::YAML_TAG,
        "tags are not read",
        "take the tag away, or quote the value if it is text",
    ),
    reading(
        "irective",
        codes::YAML_DIRECTIVE,
        "directives are not read",
        "take the line away",
    ),
    reading(
        "mapping values are not allowed",
        codes::YAML_SYNTAX,
        "a ':' stands where no key can end",
        "quote the text if it has a ':' in it; else compare its indentation with the lines above",
    ),
    reading(
        "simple key",
        codes::YAML_SYNTAX,
        "a key without ':' stands before this",
        "write a ':' and a space after each key, and begin lists with '-'",
    ),
    reading(
        "expected key",
        codes::YAML_SYNTAX,
        "this line fits no mapping or list above it",
        INDENTATION,
    ),
    reading(
        "expected '-' indicator",
        codes::YAML_SYNTAX,
        "this line fits no list or mapping above it",
        INDENTATION,
    ),
    reading(
        "unexpected end of stream",
        codes::YAML_SYNTAX,
        "the quote that opens here is never closed",
        "close it, or double it if it is meant as a character",
    ),
    reading(
        "unexpected document indicator",
        codes::YAML_SYNTAX,
        "the quote that opens here is not closed before the document ends",
        "close it, or double it if it is meant as a character",
    ),
    reading(
        "unknown escape",
        codes::YAML_SYNTAX,
        "the text that begins here has a '\\' before a character that cannot follow it",
        "double the '\\', or use single quotes",
    ),
    reading(
        "trailing content after",
        codes::YAML_SYNTAX,
        "something stands after the closing quote",
        "quote all of the text, or put a comma or a line break between",
    ),
    reading(
        "expected ',' or",
        codes::YAML_SYNTAX,
        "a comma or a closing bracket is missing before this",
        "put commas between items, and close every '[' and '{'",
    ),
    reading(
        "misplaced bracket",
        codes::YAML_SYNTAX,
        "this bracket closes nothing",
        "take it away, or quote the text it belongs to",
    ),
    reading(
        "sequence entries are not allowed",
        codes::YAML_SYNTAX,
        "a '-' stands where no list can begin",
        "begin a list on a line of its own",
    ),
    reading(
        "only valid inside a block",
        codes::YAML_SYNTAX,
        "a '-' stands within brackets",
        "separate items within brackets by commas",
    ),
    reading(
        "unexpected character",
        codes::YAML_SYNTAX,
        "a value cannot begin with this character",
        "quote the value",
    ),
    reading(
        "indentation",
        codes::YAML_SYNTAX,
        "this line is indented less than what it belongs to",
        INDENTATION,
    ),
    reading(
        "wrongly indented",
        codes::YAML_SYNTAX,
        "this line is indented less than the text block it belongs to",
        INDENTATION,
    ),
    reading(
        "<document start>",
        codes::YAML_SYNTAX,
        "the document has ended before this",
        "compare its indentation with the lines above, or begin a new document with ---",
    ),
    reading(
        "comment",
        codes::YAML_SYNTAX,
        "a comment stands where none can",
        "put a space before '#', or quote the text",
    ),
    reading(
        "node content",
        codes::YAML_SYNTAX,
        "a value is missing before this",
        "write the value, or quote it if it begins with a sign",
    ),
];

/// The finding for an error of the parser.
pub(super) fn problem(file: &Arc<str>, error: &ScanError) -> Problem {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let spot = Spot {
        line: count(error.marker().line()),
        column: count(error.marker().col()) + 1,
        length: 0,
    };
    let place = spot.of(file);
    match READINGS.iter().find(|r| error.info().contains(r.says)) {
        Some(reading) => Problem::error(place, reading.code, reading.message).help(reading.help),
        None => Problem::error(place, codes::YAML_SYNTAX, error.info()),
    }
}
