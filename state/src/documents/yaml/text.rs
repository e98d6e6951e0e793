//! From bytes to text, or to the finding that says why not.
//!
//! What a reviewer does not see must not decide: control characters, bidirectional controls and
//! byte order marks are refused wherever they stand, comments included. So are the line breaks that
//! only some YAML readers know (U+0085, U+2028, U+2029, a carriage return alone).

use std::sync::Arc;

use crate::documents::{codes, limits};
use crate::words::place::Place;
use crate::words::problem::{Problem, Problems};

use super::node::Spot;

/// The text of a file; `None` where a finding says why it is not read.
pub(super) fn text<'t>(
    file: &Arc<str>,
    bytes: &'t [u8],
    problems: &mut Problems,
) -> Option<&'t str> {
    match check(file, bytes) {
        Ok(text) => Some(text),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

fn check<'t>(file: &Arc<str>, bytes: &'t [u8]) -> Result<&'t str, Box<Problem>> {
    if bytes.len() > limits::FILE_BYTES {
        return Err(too_large(file, bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| not_utf8(file, bytes, e.valid_up_to()))?;
    match first_hidden(text) {
        Some(first) => Err(hidden(file, text, first)),
        None => Ok(text),
    }
}

fn too_large(file: &Arc<str>, bytes: usize) -> Box<Problem> {
    let most = limits::FILE_BYTES >> 20;
    let message = format!("the file has {bytes} bytes, and at most {most} MiB are read");
    let problem = Problem::error(Place::file(Arc::clone(file)), codes::TOO_LARGE, message)
        .help("split it, or leave it out by `ignore` in plumbline.yaml");
    Box::new(problem)
}

fn not_utf8(file: &Arc<str>, bytes: &[u8], valid: usize) -> Box<Problem> {
    let before = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
    let place = spot(before, 1).of(file);
    let message = if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        "the file is UTF-16, not UTF-8"
    } else {
        "the file is not UTF-8 from here on"
    };
    let problem = Problem::error(place, codes::NOT_UTF8, message)
        .help("save it as UTF-8, or leave it out by `ignore` in plumbline.yaml");
    Box::new(problem)
}

/// A hidden character: where it is, and how many there are in all.
struct Hidden {
    at: usize,
    character: char,
    count: usize,
}

fn first_hidden(text: &str) -> Option<Hidden> {
    let seen = |byte: &u8| matches!(byte, b'\t' | b'\n' | b' '..=b'~');
    if text.as_bytes().iter().all(seen) {
        return None;
    }
    let mut first = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        if is_hidden(character, next) {
            let first = first.get_or_insert(Hidden {
                at,
                character,
                count: 0,
            });
            first.count += 1;
        }
    }
    first
}

fn is_hidden(character: char, next: Option<char>) -> bool {
    match character {
        '\t' | '\n' => false,
        '\r' => next != Some('\n'),
        // Bidirectional controls (the Unicode property Bidi_Control).
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2066}'..='\u{2069}' => true,
        // Line breaks of YAML 1.1, and what YAML allows nowhere or at the beginning only.
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => character.is_control(),
    }
}

fn hidden(file: &Arc<str>, text: &str, hidden: Hidden) -> Box<Problem> {
    let place = spot(&text[..hidden.at], 1).of(file);
    let code_point = u32::from(hidden.character);
    let more = match hidden.count {
        1 => String::new(),
        count => format!(" (and {} more hidden characters in this file)", count - 1),
    };
    let message = format!("U+{code_point:04X} stands here and cannot be seen{more}");
    let help = match hidden.character {
        '\u{feff}' => "save the file as UTF-8 without a byte order mark".to_owned(),
        '\r' => "end lines with a line feed, or with a carriage return and a line feed".to_owned(),
        _ if code_point <= 0xff => format!("if it is meant, write \"\\x{code_point:02x}\""),
        _ => format!("if it is meant, write \"\\u{code_point:04x}\""),
    };
    let problem = Problem::error(place, codes::HIDDEN_CHARACTER, message).help(help);
    Box::new(problem)
}

/// The place right after `before`, the text from the beginning of the file.
fn spot(before: &str, length: u32) -> Spot {
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Spot {
        line: count(before.bytes().filter(|b| *b == b'\n').count()) + 1,
        column: count(before[line_start..].chars().count()) + 1,
        length,
    }
}
