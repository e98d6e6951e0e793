//! The last run that was to change something, and how it ended: a note in the run directory, for
//! `status`. It may be lost.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{self, WriteError};

/// Name of the file in the run directory.
const NAME: &str = "attempt.json";
/// Name of the one that says that whoever was to be told of a run that stepped aside was.
const ASIDE: &str = "stepped-aside";
/// Most bytes that are kept of what was told.
const BYTES_MOST: usize = 16 << 10;

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it ended: seconds since 1970.
    pub time_s: u64,
    /// The commit that it was about; empty where it found none.
    pub commit: String,
    /// Its exit code.
    pub exit: u8,
    /// What it told of in the end, a line each.
    pub reasons: Vec<String>,
    /// Whether who hears nothing but news has heard that, of this run or the one before.
    #[serde(default)]
    pub told: bool,
}

impl Attempt {
    /// Whether another one ended in the same way.
    pub fn ended_as(&self, other: &Self) -> bool {
        let kept_of = |attempt: &Self| kept(attempt.reasons.clone());
        (self.exit, &self.commit) == (other.exit, &other.commit) && kept_of(self) == kept_of(other)
    }
}

/// Notes it.
///
/// # Errors
///
/// The file cannot be written.
pub fn note(run: &Path, attempt: &Attempt) -> Result<(), WriteError> {
    let mut attempt = attempt.clone();
    attempt.reasons = kept(attempt.reasons);
    let text = serde_json::to_vec(&attempt).unwrap_or_default();
    // Where it is not there, nobody stepped aside.
    let _ = fs::remove_file(run.join(ASIDE));
    files::place(&run.join(NAME), &text, 0o600)
}

/// Notes that a run stepped aside for another one, and that this was told. It says nothing of the
/// tree, so what is known of that stays.
///
/// # Errors
///
/// The file cannot be written.
pub fn note_aside(run: &Path) -> Result<(), WriteError> {
    files::place(&run.join(ASIDE), b"", 0o600)
}

/// Whether the last run stepped aside, and that was told.
pub fn stepped_aside(run: &Path) -> bool {
    run.join(ASIDE).exists()
}

/// What is kept of what was told.
fn kept(mut reasons: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    reasons.retain(|line| {
        bytes += line.len();
        bytes <= BYTES_MOST
    });
    reasons
}

/// The last one; `None` where none is known.
pub fn last(run: &Path) -> Option<Attempt> {
    serde_json::from_slice(&fs::read(run.join(NAME)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_known_and_a_damaged_note_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(dir.path()), None);
        let attempt = Attempt {
            time_s: 7,
            commit: "abc".to_owned(),
            exit: 3,
            reasons: vec!["the tree is invalid".to_owned()],
            told: true,
        };
        note(dir.path(), &attempt).unwrap();
        assert_eq!(last(dir.path()), Some(attempt.clone()));
        let long = Attempt {
            reasons: vec!["short".to_owned(), "x".repeat(BYTES_MOST)],
            ..attempt.clone()
        };
        note(dir.path(), &long).unwrap();
        let short = last(dir.path()).unwrap();
        assert_eq!(short.reasons, ["short"]);
        assert!(short.ended_as(&long) && !short.ended_as(&attempt));
        fs::write(dir.path().join(NAME), "[").unwrap();
        assert_eq!(last(dir.path()), None);
    }
}
