//! The text between events, walked once from beginning to end.
//!
//! Events say what the parser made of the text, not what stood there. Walking along finds what no
//! event shows (directives, explicit keys, tabs), gives places in characters without counting any
//! line twice, and lets values borrow from the text where they stand in it as they are.

use saphyr_parser::ScalarStyle;

use super::node::Spot;

/// What may not stand between values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// A tab: some readers take it for indentation, some do not.
    Tab,
    /// A `%` line.
    Directive,
    /// A `?` that begins a key.
    ExplicitKey,
    /// A `...` that ends nothing.
    DocumentEnd,
    /// Any other character.
    Other(char),
}

/// A position in the text that only moves forward.
pub(super) struct Source<'t> {
    text: &'t str,
    byte: usize,
    /// Characters before it.
    index: usize,
    line: u32,
    /// Characters before its line.
    line_start: usize,
    /// Whether nothing but spaces and tabs stands before it on its line.
    line_is_blank: bool,
    /// The last `-`, `,`, `[` or `{` that was passed.
    pub(super) indicator: Spot,
    /// Whether a document has begun.
    pub(super) begun: bool,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            byte: 0,
            index: 0,
            line: 1,
            line_start: 0,
            line_is_blank: true,
            indicator: Spot {
                line: 1,
                column: 1,
                length: 0,
            },
            begun: false,
        }
    }

    /// All of the text.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The rest of the text.
    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.byte..).unwrap_or_default()
    }

    /// Characters before this position.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The place here.
    pub(super) fn spot(&self, length: usize) -> Spot {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Spot {
            line: self.line,
            column: count(self.index - self.line_start) + 1,
            length: count(length),
        }
    }

    /// Walks over what stands between values up to `index`, counted in characters, and tells what
    /// is odd there.
    pub(super) fn gap(
        &mut self,
        index: usize,
        bracketed: bool,
        mut tell: impl FnMut(Oddity, Spot),
    ) {
        let (mut in_comment, mut in_header) = (false, false);
        // After a dash, and after a tab about which the decision has been made.
        let (mut after_dash, mut after_tab) = (false, false);
        while self.index < index {
            let (spot, line_begins) = (self.spot(1), self.line_is_blank);
            let Some(character) = self.step() else {
                return;
            };
            match character {
                ' ' => continue,
                '\t' if in_comment => continue,
                '\t' => {
                    let within = bracketed || (!after_dash && !after_tab && self.line_ends());
                    if !after_tab && (line_begins || !within) {
                        tell(Oddity::Tab, spot);
                    }
                    after_tab = true;
                    continue;
                }
                '\n' => (in_comment, in_header) = (false, false),
                _ if in_comment => {}
                '#' => in_comment = true,
                '.' if !self.begun => {
                    self.begun = true;
                    tell(Oddity::DocumentEnd, spot);
                }
                '\r' | ':' | ']' | '}' | '.' => {}
                '-' | ',' | '[' | '{' => self.indicator = spot,
                '|' | '>' => in_header = true,
                '+' | '0'..='9' if in_header => {}
                '%' if spot.column == 1 => {
                    tell(Oddity::Directive, spot);
                    in_comment = true;
                }
                '?' => tell(Oddity::ExplicitKey, spot),
                other => tell(Oddity::Other(other), spot),
            }
            (after_dash, after_tab) = (character == '-', false);
        }
    }

    /// Whether nothing but a comment follows on this line. Looks no further than people do.
    fn line_ends(&self) -> bool {
        let mut rest = self.rest().chars().take(64);
        let next = rest.find(|c| !matches!(c, ' ' | '\t'));
        matches!(next, Some('\n' | '\r' | '#'))
    }

    /// Walks over a scalar, up to `end` in characters or to its closing quote, and returns it as it
    /// stands in the text. (What the parser calls the end of a quoted scalar lies behind it.)
    pub(super) fn scalar(&mut self, style: ScalarStyle, end: usize) -> &'t str {
        let start = self.byte;
        match style {
            ScalarStyle::SingleQuoted => self.single_quoted(),
            ScalarStyle::DoubleQuoted => self.double_quoted(),
            ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => {
                while self.index < end && self.step().is_some() {}
            }
        }
        self.text.get(start..self.byte).unwrap_or_default()
    }

    fn single_quoted(&mut self) {
        self.step();
        while let Some(character) = self.step() {
            if character == '\'' && !self.rest().starts_with('\'') {
                return;
            }
            if character == '\'' {
                self.step();
            }
        }
    }

    fn double_quoted(&mut self) {
        self.step();
        while let Some(character) = self.step() {
            match character {
                '"' => return,
                '\\' => {
                    self.step();
                }
                _ => {}
            }
        }
    }

    /// One character further.
    fn step(&mut self) -> Option<char> {
        let character = self.rest().chars().next()?;
        self.byte += character.len_utf8();
        self.index += 1;
        match character {
            '\n' => {
                self.line += 1;
                self.line_start = self.index;
                self.line_is_blank = true;
            }
            ' ' | '\t' => {}
            _ => self.line_is_blank = false,
        }
        Some(character)
    }
}
