//! Data on stdout, diagnostics on stderr. A reader that has gone away is no error of ours.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use super::exit::Exit;
use super::journal;
use super::style::Style;

/// Errors that were told, a line each, for whoever notes how a run ended.
#[derive(Debug, Default)]
pub struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn hear(&self, text: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(text.to_owned());
    }

    /// All of them, in the order they were told in.
    pub fn lines(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was to be written, for whoever decides later whether it is worth reading.
#[derive(Debug, Default)]
pub struct Held(Mutex<Vec<(Stream, String)>>);

#[derive(Clone, Copy, Debug)]
enum Stream {
    Data,
    Notes,
}

impl Held {
    fn hold(&self, stream: Stream, text: &str) {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.push((stream, text.to_owned()));
    }

    /// Writes it, in the order it came in.
    pub fn write_to(self, out: Out<'_>) {
        let texts = self.0.into_inner();
        for (stream, text) in texts.unwrap_or_else(PoisonError::into_inner) {
            match stream {
                Stream::Data => drop(out.data(&text)),
                Stream::Notes => out.insist(&text),
            }
        }
    }
}

/// Where output goes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Out<'a> {
    /// JSON in place of text.
    pub json: bool,
    /// Nothing but errors.
    pub quiet: bool,
    /// How to write data for people.
    pub data: Style,
    /// How to write diagnostics.
    pub notes: Style,
    /// Whether diagnostics go to systemd's journal.
    pub journal: bool,
    /// Who else hears of errors.
    pub heard: Option<&'a Heard>,
    /// Who holds back what is to be written.
    pub held: Option<&'a Held>,
}

impl<'a> Out<'a> {
    /// From what was asked for. `colour`: always, never, or as the terminals, `NO_COLOR` (any
    /// value but the empty one) and `TERM=dumb` say.
    pub fn new(json: bool, quiet: bool, colour: Option<bool>) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let wanted = !plain && !dumb;
        let on = |terminal: bool| Style {
            colour: colour.unwrap_or(wanted && terminal),
        };
        let (data, notes) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json,
            quiet,
            data: on(data),
            notes: on(notes),
            journal: journal::takes(io::stderr()),
            heard: None,
            held: None,
        }
    }

    /// The same, with somebody who hears of errors.
    pub fn heard_by(self, heard: &'a Heard) -> Self {
        let heard = Some(heard);
        Self { heard, ..self }
    }

    /// The same, with what is to be written held back.
    pub fn held_by(self, held: &'a Held) -> Self {
        let held = Some(held);
        Self { held, ..self }
    }

    /// Writes data. What was written in part, as on a full disk, is told of, and fails a command
    /// that does nothing else.
    pub fn data(&self, text: &str) -> Exit {
        if let Some(held) = self.held {
            held.hold(Stream::Data, text);
            return Exit::Done;
        }
        match write(&mut io::stdout().lock(), text) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.error(&format!("cannot write all of the output: {error}"));
                Exit::Failed
            }
            _ => Exit::Done,
        }
    }

    /// Writes data for people, unless they asked for quiet.
    pub fn say(&self, text: &str) -> Exit {
        match self.quiet {
            true => Exit::Done,
            false => self.data(text),
        }
    }

    /// Writes a diagnostic, unless quiet was asked for.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.insist(text);
        }
    }

    /// Writes a diagnostic, even where quiet was asked for.
    pub fn insist(&self, text: &str) {
        if let Some(held) = self.held {
            return held.hold(Stream::Notes, text);
        }
        let marked = self.journal.then(|| journal::with_priorities(text));
        let text = marked.as_deref().unwrap_or(text);
        // There is nobody left to tell.
        let _ = write(&mut io::stderr().lock(), text);
    }

    /// Lets whoever hears of errors know of one that is told otherwise.
    pub fn hear(&self, text: &str) {
        if let Some(heard) = self.heard {
            heard.hear(text);
        }
    }

    /// Writes an error.
    pub fn error(&self, text: &str) {
        self.hear(text);
        let mark = self.notes.paint(31, "error:");
        self.insist(&format!("{mark} {text}\n"));
    }
}

fn write(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}
