//! Files that are whole after a crash: written beside, synced, renamed, and the folder synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {cause}", path.display())]
pub struct WriteError {
    /// The file that was to be.
    pub path: PathBuf,
    /// What the kernel said.
    pub cause: io::Error,
}

/// Gives a file this content and mode: after a crash it holds the old or the new, never a part.
///
/// What a run that died left beside it is written over.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), WriteError> {
    replace_by(path, mode, |file| file.write_all(content))
}

/// The same without syncing, for what can be made again: no reader ever sees a part of it, but a
/// crash of the whole machine may leave an empty file.
pub fn place(path: &Path, content: &[u8], mode: u32) -> Result<(), WriteError> {
    let failed = |cause| WriteError {
        path: path.to_owned(),
        cause,
    };
    let beside = beside(path).ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    write_beside(&beside, mode, |file| file.write_all(content))
        .and_then(|_| fs::rename(&beside, path))
        .map_err(failed)
}

/// The same as [`replace`] with a content that is written piece by piece.
pub fn replace_by(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut io::BufWriter<&File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    let failed = |cause| WriteError {
        path: path.to_owned(),
        cause,
    };
    let beside = beside(path).ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    write_beside(&beside, mode, write)
        .and_then(|file| file.sync_data())
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path))
        .map_err(failed)
}

/// Removes what a run that died has left beside a file that it was writing.
pub fn remove_beside(path: &Path) -> Result<(), WriteError> {
    let failed = |cause| WriteError {
        path: path.to_owned(),
        cause,
    };
    let beside = beside(path).ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
        _ => Ok(()),
    }
}

/// Makes names in the folder of `path` last: what was created, renamed or removed there.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn write_beside(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut io::BufWriter<&File>) -> io::Result<()>,
) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The umask took its part of the mode.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    let mut writer = io::BufWriter::new(&file);
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    Ok(file)
}

/// The file that is written before it takes the name.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(".new");
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(dir.path().join(".file.new"), "left by a run that died").unwrap();
        for content in ["first", "second, and longer"] {
            replace(&path, content.as_bytes(), 0o640).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_placed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for content in ["first", "second"] {
            place(&path, content.as_bytes(), 0o644).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace(&path, b"old", 0o600).unwrap();
        let error = replace_by(&path, 0o600, |writer| {
            writer.write_all(b"half of the n")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(error.unwrap_err().to_string().contains("file"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
