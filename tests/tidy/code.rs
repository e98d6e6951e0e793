//! Source text as code alone: what comments and strings say is not code, and neither is read here.
//!
//! One small lexer serves Rust and C. It is not a parser: it finds the ends of comments, strings
//! and characters, and what is left is cut into words and signs. That is enough for braces, paths
//! and `mod` lines, and needs no crate that the product does not need.

/// The text with every comment turned into spaces and what stands in strings and characters into
/// quotes. Lines and columns stay as they are.
pub(crate) fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, fill) = match region(&chars, at) {
            Some(region) => region,
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(
            chars[at..end]
                .iter()
                .map(|c| if c.is_whitespace() { *c } else { fill }),
        );
        at = end;
    }
    out
}

/// The end of the comment, string or character that begins at `at`, and what it is filled with.
fn region(chars: &[char], at: usize) -> Option<(usize, char)> {
    let rest = &chars[at..];
    let begins_word = at == 0 || !is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => Some((at + line_length(rest), ' ')),
        ['/', '*', ..] => Some((at + block_comment_length(rest), ' ')),
        ['r', '"' | '#', ..] if begins_word => raw_string_length(rest, 1).map(|n| (at + n, '"')),
        ['b' | 'c', 'r', '"' | '#', ..] if begins_word => {
            raw_string_length(rest, 2).map(|n| (at + n, '"'))
        }
        ['"', ..] => Some((at + quoted_length(rest, '"'), '"')),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => Some((at + quoted_length(rest, '\''), '"')),
        _ => None,
    }
}

fn line_length(rest: &[char]) -> usize {
    rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
}

/// Rust's block comments nest. C's do not, but `/*` in a C comment is a warning of the compiler.
fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// `r#type` is a word, not a string, and has no length here.
fn raw_string_length(rest: &[char], prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', hashes));
    let body = &rest[open + 1..];
    let length = body
        .windows(close.len())
        .position(|window| window == close.as_slice());
    Some(length.map_or(rest.len(), |length| open + 1 + length + close.len()))
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word, `::`, or one other sign, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is_name(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Cuts code (see [`blanked`]) into tokens.
pub(crate) fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token {
                text: rest[..length].to_owned(),
                line: index + 1,
            });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code_and_keep_their_place() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("a(\"{ \\\" }\")", "a(\"\" \"\" \"\")"),
            ("r#\"{\"}\"# x", "\"\"\"\"\"\"\"\" x"),
            ("br\"{\" r#type", "\"\"\"\"\" r#type"),
            ("'{' '\\'' &'a {", "\"\"\" \"\"\"\" &'a {"),
            ("\"two\nlines\" x", "\"\"\"\"\n\"\"\"\"\"\" x"),
            ("\"never closed {", "\"\"\"\"\"\" \"\"\"\"\"\" \""),
            ("/* never closed", "               "),
        ] {
            assert_eq!(blanked(text), code, "of {text:?}");
        }
    }

    #[test]
    fn tokens_are_words_and_signs() {
        let found: Vec<(String, usize)> = tokens("use a::b_1;\n  {x}")
            .into_iter()
            .map(|t| (t.text, t.line))
            .collect();
        let expected = ["use", "a", "::", "b_1", ";", "{", "x", "}"];
        assert_eq!(
            found
                .iter()
                .map(|(text, _)| text.as_str())
                .collect::<Vec<_>>(),
            expected
        );
        assert_eq!(
            found.iter().map(|(_, line)| *line).collect::<Vec<_>>(),
            [1, 1, 1, 1, 1, 2, 2, 2]
        );
    }
}
