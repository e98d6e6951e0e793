//! The parser's errors, said for people.
//!
//! The parser stops where it cannot go on, which is often a line after what is wrong. Where that is
//! known, the finding stands at the cause.

use std::sync::Arc;

use saphyr_parser::{Marker, ScanError};

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
        "while scanning a block scalar",
        codes::YAML_SYNTAX,
        "something stands after the '|' or '>' that begins a text block",
        "begin the text on the next line, or quote it",
    ),
    reading(
        "tab",
        codes::YAML_TAB,
        "a tab stands where YAML wants spaces",
        "indent with spaces",
    ),
    reading(
        "equal to 0",
        codes::YAML_SYNTAX,
        "the indentation of a text block cannot be 0",
        "write | or > alone",
    ),
    reading(
        "recursion limit",
        codes::TOO_DEEP,
        "lists and mappings stand too deep within each other here",
        "at most 64 may stand within each other",
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
        "hexadecimal number",
        codes::YAML_SYNTAX,
        "the text that begins here has a \\x, \\u or \\U without its hexadecimal digits",
        "\\x has 2 of them, \\u 4 and \\U 8",
    ),
    reading(
        "Unicode character escape",
        codes::YAML_SYNTAX,
        "the text that begins here has a \\u or \\U of a character that does not exist",
        "write the character itself",
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

/// The finding for an error of the parser in `text`.
pub(super) fn problem(file: &Arc<str>, text: &str, error: &ScanError) -> Problem {
    let lines = Lines(text);
    let marker = lines.within(error.marker());
    let Some(reading) = READINGS.iter().find(|r| error.info().contains(r.says)) else {
        return Problem::error(marker.of(file), codes::YAML_SYNTAX, error.info());
    };
    let spot = match (reading.code, reading.says) {
        (codes::YAML_TAB, _) => lines.tab(marker),
        (_, "simple key") => lines.before(marker),
        _ => None,
    };
    Problem::error(
        spot.unwrap_or(marker).of(file),
        reading.code,
        reading.message,
    )
    .help(reading.help)
}

/// Lines of a text, counted from 1.
struct Lines<'t>(&'t str);

impl<'t> Lines<'t> {
    /// So many lines around an error are looked at.
    const NEAR: usize = 100;

    fn from(&self, line: u32) -> impl Iterator<Item = (u32, &'t str)> {
        let skipped = usize::try_from(line).unwrap_or(usize::MAX) - 1;
        (line..).zip(self.0.lines().skip(skipped).take(Self::NEAR))
    }

    /// The place of a marker; the end of the last line where it stands behind all of them.
    fn within(&self, marker: &Marker) -> Spot {
        let line = count(marker.line()).max(1);
        if self.from(line).next().is_some() {
            return Spot {
                line,
                column: count(marker.col()) + 1,
                length: 0,
            };
        }
        let last = count(self.0.lines().count()).max(1);
        let text = self.from(last).next().map_or("", |(_, text)| text);
        Spot {
            line: last,
            column: count(text.chars().count()) + 1,
            length: 0,
        }
    }

    /// The first tab in an indentation at the marker or after it.
    fn tab(&self, marker: Spot) -> Option<Spot> {
        self.from(marker.line).find_map(|(line, text)| {
            let indentation = text.len() - text.trim_start_matches([' ', '\t']).len();
            let column = text[..indentation].find('\t')?;
            Some(Spot {
                line,
                column: count(column) + 1,
                length: 1,
            })
        })
    }

    /// The last line before the marker that says something.
    fn before(&self, marker: Spot) -> Option<Spot> {
        let near = u32::try_from(Self::NEAR).ok()?;
        let first = marker.line.saturating_sub(near - 1).max(1);
        let before = |(line, text): &(u32, &str)| {
            let text = text.trim_start();
            let earlier = *line < marker.line || marker.column > 1 && *line == marker.line;
            earlier && !text.is_empty() && !text.starts_with('#')
        };
        let (line, text) = self.from(first).filter(before).last()?;
        let text = text.trim_end();
        let trimmed = text.trim_start();
        Some(Spot {
            line,
            column: count(text.chars().count() - trimmed.chars().count()) + 1,
            length: count(trimmed.chars().count()),
        })
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
