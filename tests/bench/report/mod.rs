//! What is told: a table on standard output, and the files that are kept.

mod text;
mod json;
mod markdown;
mod plot;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use crate::facts::Facts;
use crate::matrix::Setup;
use crate::rounds::{Series, Spread};

/// All that came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) facts: Facts,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    /// The setups, and how long each took to be in force.
    pub(crate) made: Vec<(Setup, Option<Duration>)>,
    /// Those that are missing, and why.
    pub(crate) lacking: Vec<(Setup, String)>,
    /// What each tool was given: a name, and the text for two policies.
    pub(crate) commands: Vec<(String, String)>,
    pub(crate) series: Vec<Series>,
}

impl Outcome {
    /// The tables for a terminal.
    pub(crate) fn tables(&self) -> String {
        text::tables(&self.series)
    }

    /// Whether it is of something that went on beside the traffic.
    fn is_during(&self) -> bool {
        self.series.iter().any(|series| series.beside.is_some())
    }

    /// Writes the files that are kept into a folder, as its owner's.
    ///
    /// # Errors
    /// The file that could not be written, and why.
    pub(crate) fn keep(&self, folder: &Path) -> Result<(), (String, io::Error)> {
        let (name, title) = match self.is_during() {
            true => ("during", "Traffic while the host is busy"),
            false => ("traffic", "Traffic beside its peers"),
        };
        let json = serde_json::to_string_pretty(&json::document(self)).expect("it is JSON");
        let mut files = vec![
            (format!("{name}.json"), json + "\n"),
            (format!("{name}.md"), markdown::page(self, name, title)),
        ];
        if !self.is_during() {
            files.push((format!("{name}.svg"), plot::svg(&self.series)));
        }
        for (file, text) in files {
            keep(&folder.join(&file), &text).map_err(|error| (file, error))?;
        }
        Ok(())
    }
}

fn keep(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.exists() {
        fs::create_dir(folder)?;
        belong(folder)?;
    }
    fs::write(path, text)?;
    belong(path)
}

/// Gives a file to whoever owns the folder that it is in: root has written it.
fn belong(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let owner = fs::metadata(folder.unwrap_or(Path::new(".")))?;
    chown(path, Some(owner.uid()), Some(owner.gid()))
}

/// The spread of some ratios, as every table shows it: `0.964 [0.942-0.985]`.
fn ratios(numbers: &[f64]) -> String {
    match Spread::of(numbers) {
        None => String::new(),
        Some(s) => format!("{:.3} [{:.3}-{:.3}]", s.median, s.minimum, s.maximum),
    }
}

/// The middle of some rates, as long as is told apart.
fn rate(numbers: &[f64]) -> String {
    match Spread::of(numbers) {
        None => String::new(),
        Some(spread) if spread.median < 1000.0 => format!("{:.1}", spread.median),
        Some(spread) => format!("{:.0}", spread.median),
    }
}

/// What went wrong in a series, in words; nothing where nothing did.
fn trouble(series: &Series) -> String {
    let mut words = Vec::new();
    if series.broken > 0 {
        let failure = series.failure.as_deref().unwrap_or("no reason");
        words.push(format!("{} broken ({failure})", series.broken));
    }
    if series.stalls > 0 {
        words.push(format!("{} stalled", series.stalls));
    }
    words.join(", ")
}
