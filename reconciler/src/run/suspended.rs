//! Whether applying is suspended: a file in the state directory, which outlives a reboot.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::dirs::{self, DirsError};
use super::files::{self, WriteError};

/// Name of the file in the state directory.
pub const NAME: &str = "suspended.json";

/// Since when, by whom and why nothing is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspended {
    /// Since when: seconds since 1970.
    pub since_s: u64,
    /// Why, as somebody said.
    pub reason: String,
    /// Who said so: a user's name.
    pub by: String,
    /// The commit that was live; empty where none was. It is what a reboot brings back.
    pub commit: String,
}

/// Why that cannot be told or changed.
#[derive(Debug, thiserror::Error)]
pub enum SuspendedError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Folder(#[from] DirsError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It cannot be read or removed. Whoever cannot tell applies nothing.
    #[error(
        "{} cannot be used: {cause}; `reconcile resume` removes it", path.display()
    )]
    Use {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// What the state directory says; `None` where nothing is suspended.
///
/// # Errors
///
/// It says something that cannot be read.
pub fn read(state: &Path) -> Result<Option<Suspended>, SuspendedError> {
    let path = state.join(NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(SuspendedError::Use { path, cause }),
    };
    match serde_json::from_slice(&text) {
        Ok(suspended) => Ok(Some(suspended)),
        Err(error) => {
            let cause = io::Error::new(io::ErrorKind::InvalidData, error);
            Err(SuspendedError::Use { path, cause })
        }
    }
}

/// Suspends.
///
/// # Errors
///
/// It cannot be kept.
pub fn write(state: &Path, suspended: &Suspended) -> Result<(), SuspendedError> {
    dirs::make(state)?;
    let _alone = alone(state)?;
    replace(state, suspended)
}

/// Notes another commit, if anything is suspended still.
///
/// # Errors
///
/// It cannot be kept.
pub fn note(state: &Path, commit: &str) -> Result<(), SuspendedError> {
    let _alone = alone(state)?;
    match read(state)? {
        Some(noted) if noted.commit != commit => {
            let commit = commit.to_owned();
            replace(state, &Suspended { commit, ..noted })
        }
        _ => Ok(()),
    }
}

/// Who changes the file while this is held is alone: nobody writes again what another removes.
fn alone(state: &Path) -> Result<File, SuspendedError> {
    let opened = File::open(state).and_then(|folder| {
        rustix::fs::flock(&folder, FlockOperation::LockExclusive)?;
        Ok(folder)
    });
    opened.map_err(|cause| SuspendedError::Use {
        path: state.to_owned(),
        cause,
    })
}

fn replace(state: &Path, suspended: &Suspended) -> Result<(), SuspendedError> {
    let path = state.join(NAME);
    let text = serde_json::to_vec(suspended).map_err(|error| SuspendedError::Use {
        path: path.clone(),
        cause: error.into(),
    })?;
    Ok(files::replace(&path, &text, 0o600)?)
}

/// Resumes; whether anything was suspended.
///
/// # Errors
///
/// The file cannot be removed.
pub fn remove(state: &Path) -> Result<bool, SuspendedError> {
    let path = state.join(NAME);
    if !state.exists() {
        return Ok(false);
    }
    let _alone = alone(state)?;
    match fs::remove_file(&path) {
        Ok(()) => {
            files::sync_folder(&path).map_err(|cause| SuspendedError::Use { path, cause })?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(SuspendedError::Use { path, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_suspended_until_it_is_resumed_and_what_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert_eq!(read(&state).unwrap(), None);
        assert!(!remove(&state).unwrap());
        let suspended = Suspended {
            since_s: 1,
            reason: "a \"reason\"".to_owned(),
            by: "root".to_owned(),
            commit: String::new(),
        };
        write(&state, &suspended).unwrap();
        assert_eq!(read(&state).unwrap(), Some(suspended));
        fs::write(state.join(NAME), "{").unwrap();
        let error = read(&state).unwrap_err().to_string();
        assert!(error.contains("reconcile resume"), "{error}");
        assert!(remove(&state).unwrap());
        assert_eq!(read(&state).unwrap(), None);
    }
}
