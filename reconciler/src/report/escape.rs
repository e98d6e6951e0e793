//! Text from outside, made safe for a terminal.

use std::fmt::Write;

/// Whether a character could move the cursor, change colours or the order of what is read: C0, DEL,
/// C1, and the bidirectional and invisible format characters (Unicode Technical Report 36).
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The text with every such character written as `\u{…}`.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hostile(character) {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// JSON text with every such character written as `\u....`, which means the same. Line feeds stand
/// between values only, and stay.
pub fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_hostile(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{escape, escape_json};

    #[test]
    fn escaped_json_means_the_same() {
        let text = "a\u{1b}\u{202e}\u{7f}\u{9b}\n\"ü\u{200b}";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let safe = escape_json(&json);
        assert_eq!(
            safe,
            "[\n  \"a\\u001b\\u202e\\u007f\\u009b\\n\\\"ü\\u200b\"\n]"
        );
        let again: Vec<String> = serde_json::from_str(&safe).unwrap();
        assert_eq!(again, [text]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(escape("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(escape("\u{202e}evil\n"), "\\u{202e}evil\\u{a}");
        assert_eq!(escape("größe ✓"), "größe ✓");
    }
}
