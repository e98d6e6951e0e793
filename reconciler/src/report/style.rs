//! Colours, where they may be used.

/// How to write on this terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether colours may be used.
    pub colour: bool,
}

impl Style {
    /// The text in a colour (a number of ECMA-48 SGR), where colours may be used.
    pub fn paint(self, colour: u8, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

pub(super) const RED: u8 = 31;
pub(super) const GREEN: u8 = 32;
pub(super) const YELLOW: u8 = 33;
