//! The parser's input, with a limit on how far it reads ahead.
//!
//! The parser hands out events one by one, but where a list or mapping in brackets might turn out
//! to be a key it first reads all of it: four mebibytes of `[a,a,…` would take 700 MiB and seconds.
//! Each token begins with `lookahead(4)`, and so does each further word of a plain or quoted text;
//! nothing else does it often. Counting these calls since the last event bounds the tokens that are
//! held. Beyond the limit the input ends, and the parser with it.

use std::cell::Cell;

use saphyr_parser::input::SkipTabs;
use saphyr_parser::{Input, StrInput};

use crate::documents::limits;

/// Words read since the last event. Shared by the input and by who drives the parser.
#[derive(Debug, Default)]
pub(super) struct ReadAhead(Cell<u32>);

impl ReadAhead {
    /// An event was handed out.
    pub(super) fn reset(&self) {
        if !self.is_exhausted() {
            self.0.set(0);
        }
    }

    /// The limit was reached: the input has ended before its end.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0.get() > limits::READ_AHEAD
    }

    /// So much was read at once that the time it took is more than its length explains.
    pub(super) fn is_costly(&self) -> bool {
        self.0.get() > limits::READ_AHEAD / 16
    }

    fn count(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }
}

/// [`StrInput`], limited.
pub(super) struct Limited<'t, 'a> {
    inner: StrInput<'t>,
    ahead: &'a ReadAhead,
}

impl<'t, 'a> Limited<'t, 'a> {
    pub(super) fn new(text: &'t str, ahead: &'a ReadAhead) -> Self {
        Self {
            inner: StrInput::new(text),
            ahead,
        }
    }
}

/// Hands each method to the inner input, which has faster ones than the trait's own.
macro_rules! hand_on {
    (&mut self: $($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        #[inline]
        fn $name(&mut self, $($argument: $type),*) $(-> $result)? {
            self.inner.$name($($argument),*)
        }
    )*};
    (&self: $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        #[inline]
        fn $name(&self, $($argument: $type),*) -> $result {
            self.inner.$name($($argument),*)
        }
    )*};
}

impl Input for Limited<'_, '_> {
    #[inline]
    fn lookahead(&mut self, count: usize) {
        if count == 4 {
            self.ahead.count();
            if self.ahead.is_exhausted() {
                self.inner = StrInput::new("");
            }
        }
        self.inner.lookahead(count);
    }

    hand_on! { &mut self:
        raw_read_ch() -> char;
        raw_read_non_breakz_ch() -> Option<char>;
        skip();
        skip_n(count: usize);
        look_ch() -> char;
        skip_ws_to_eol(tabs: SkipTabs) -> (usize, Result<SkipTabs, &'static str>);
        skip_while_non_breakz() -> usize;
        skip_while_blank() -> usize;
        fetch_while_is_alpha(out: &mut String) -> usize;
        fetch_while_is_yaml_non_space(out: &mut String) -> usize;
    }

    hand_on! { &self:
        buflen() -> usize;
        bufmaxlen() -> usize;
        buf_is_empty() -> bool;
        peek() -> char;
        peek_nth(n: usize) -> char;
        peek_opt() -> Option<char>;
        next_char_is(c: char) -> bool;
        nth_char_is(n: usize, c: char) -> bool;
        next_2_are(first: char, second: char) -> bool;
        next_3_are(first: char, second: char, third: char) -> bool;
        next_is_document_indicator() -> bool;
        next_is_document_start() -> bool;
        next_is_document_end() -> bool;
        next_can_be_plain_scalar(in_flow: bool) -> bool;
        next_is_blank_or_break() -> bool;
        next_is_blank_or_breakz() -> bool;
        next_is_blank() -> bool;
        next_is_break() -> bool;
        next_is_breakz() -> bool;
        next_is_z() -> bool;
        next_is_flow() -> bool;
        next_is_digit() -> bool;
        next_is_alpha() -> bool;
    }
}
