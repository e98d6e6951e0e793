//! The journal: one line of JSON for each commit that went live, in the order they did.
//!
//! It is history for people, never state: the kernel says what is live. A line is written with one
//! `write(2)` and synced before the run ends. A crash can leave its last line cut short: the next
//! append cuts that off, and a reading leaves it out. Each line carries a checksum, so that a
//! damaged one is counted and not believed.
//!
//! The file is bounded: beyond [`BYTES_MOST`] the older half is dropped, whole lines at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::files;

/// Name of the file in the state directory.
pub const NAME: &str = "journal.jsonl";
/// Size in bytes beyond which the older half is dropped: some 30 000 commits.
pub const BYTES_MOST: u64 = 8 << 20;

/// One commit that went live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When the commit was stored: seconds since 1970.
    pub time_s: u64,
    /// Its generation.
    pub generation: u64,
    /// The git commit, or the content hash of a directory.
    pub commit: String,
    /// The git tree, or the same content hash.
    pub tree: String,
    /// How many containers this host has since.
    pub containers: usize,
    /// How many steps the plan had.
    pub steps: usize,
    /// What made it live.
    #[serde(default)]
    pub kind: Kind,
}

/// What made a commit live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A run on it.
    #[default]
    Apply,
    /// Going back to it.
    Rollback,
}

impl Kind {
    /// Its name, as lines and people have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Rollback => "rollback",
        }
    }
}

/// More than a line has.
const LINE_BYTES_MOST: usize = 4096;
/// Version of the form of a line.
const FORMAT_VERSION: u32 = 1;

/// A line without its checksum.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    format_version: u32,
    #[serde(flatten)]
    entry: Entry,
}

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The commits, oldest first.
    pub entries: Vec<Entry>,
    /// Numbers of the lines, from 1, that are damaged.
    pub damaged: Vec<usize>,
    /// Whether the last line was cut short, as a crash may leave it.
    pub cut: bool,
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read.
    #[error("cannot read the journal {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It cannot be written. The commit is live all the same.
    #[error(
        "cannot write the journal {}: {cause}; the commit is live all the same",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The older half cannot be dropped.
    #[error(transparent)]
    Shorten(#[from] files::WriteError),
}

/// Appends a commit to the journal in a state directory.
pub fn append(state_directory: &Path, entry: &Entry) -> Result<(), JournalError> {
    let path = state_directory.join(NAME);
    let failed = |cause| JournalError::Write {
        path: path.clone(),
        cause,
    };
    let line = line_of(entry).map_err(failed)?;
    let is_new = !path.exists();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = open(&path, &mut options).map_err(failed)?;
    cut_torn_line(&mut file)
        .and_then(|()| file.write_all(line.as_bytes()))
        .and_then(|()| file.sync_data())
        .map_err(failed)?;
    if is_new {
        files::sync_folder(&path).map_err(failed)?;
    }
    let length = file.metadata().map_err(failed)?.len();
    if length > BYTES_MOST {
        shorten(&path)?;
    }
    Ok(())
}

/// Reads the journal in a state directory; empty where there is none.
pub fn read(state_directory: &Path) -> Result<History, JournalError> {
    let path = state_directory.join(NAME);
    let bytes = match read_whole(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(History::default()),
        Err(cause) => return Err(JournalError::Read { path, cause }),
    };
    let mut history = History::default();
    for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match line.strip_suffix(b"\n") {
            // What a crash leaves is the beginning of a line.
            None if line.len() < LINE_BYTES_MOST && !line.contains(&0) => history.cut = true,
            None => history.damaged.push(at + 1),
            Some(line) => match entry_of(line) {
                Some(entry) => history.entries.push(entry),
                None => history.damaged.push(at + 1),
            },
        }
    }
    Ok(history)
}

/// The last commit of the journal, without reading all of it; `None` where there is none, or where
/// the last line cannot be believed.
pub fn last(state_directory: &Path) -> Option<Entry> {
    let path = state_directory.join(NAME);
    let mut file = open(&path, OpenOptions::new().read(true)).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(
        length.saturating_sub(LINE_BYTES_MOST as u64),
    ))
    .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n')?;
    entry_of(bytes[..whole].rsplit(|byte| *byte == b'\n').next()?)
}

/// Opens it, and nothing that could be waited for or that has no end.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file: remove it")),
    }
}

fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    // What is larger we have not written.
    let read = file.take(2 * BYTES_MOST).read_to_end(&mut bytes)?;
    match read as u64 == 2 * BYTES_MOST {
        true => Err(io::Error::other(
            "it is larger than a journal gets: move it away",
        )),
        false => Ok(bytes),
    }
}

/// What stands between a line's content and its checksum.
const CHECKSUM: &str = ",\"checksum\":\"";

fn line_of(entry: &Entry) -> io::Result<String> {
    let text = serde_json::to_string(&Line {
        format_version: FORMAT_VERSION,
        entry: entry.clone(),
    })?;
    let open = text.strip_suffix('}').unwrap_or(&text);
    Ok(format!("{open}{CHECKSUM}{}\"}}\n", checksum(&text)))
}

fn entry_of(line: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(line).ok()?;
    let (open, sum) = text.rsplit_once(CHECKSUM)?;
    let whole = format!("{open}}}");
    if sum.strip_suffix("\"}")? != checksum(&whole) {
        return None;
    }
    let line: Line = serde_json::from_str(&whole).ok()?;
    (line.format_version == FORMAT_VERSION).then_some(line.entry)
}

fn checksum(text: &str) -> String {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    hash.as_str().chars().take(16).collect()
}

/// Cuts off a last line without an end.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    const BLOCK: u64 = 4096;
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            let whole = start + at as u64 + 1;
            return if whole < length {
                file.set_len(whole)
            } else {
                Ok(())
            };
        }
        end = start;
    }
    if length > 0 { file.set_len(0) } else { Ok(()) }
}

fn shorten(path: &Path) -> Result<(), JournalError> {
    let bytes = read_whole(path).map_err(|cause| JournalError::Read {
        path: path.to_owned(),
        cause,
    })?;
    let newer = &bytes[bytes.len() / 2..];
    let from = newer.iter().position(|byte| *byte == b'\n');
    let newer = from.map_or(&[][..], |at| &newer[at + 1..]);
    Ok(files::replace(path, newer, 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn entry(generation: u64) -> Entry {
        Entry {
            time_s: 1_700_000_000 + generation,
            generation,
            commit: "c".repeat(40),
            tree: "t".repeat(40),
            containers: 3,
            steps: 12,
            kind: Kind::Apply,
        }
    }

    fn generations(history: &History) -> Vec<u64> {
        history.entries.iter().map(|e| e.generation).collect()
    }

    #[test]
    fn what_is_appended_is_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), History::default());
        for generation in 1..=3 {
            append(dir.path(), &entry(generation)).unwrap();
        }
        let history = read(dir.path()).unwrap();
        assert_eq!(history.entries, [entry(1), entry(2), entry(3)]);
        assert!(history.damaged.is_empty() && !history.cut);
        let text = fs::read_to_string(dir.path().join(NAME)).unwrap();
        for line in text.lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(json["formatVersion"], 1);
        }
    }

    #[test]
    fn a_journal_cut_at_any_byte_keeps_its_whole_lines_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        for generation in 1..=3 {
            append(dir.path(), &entry(generation)).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        for keep in 0..whole.len() {
            fs::write(&path, &whole[..keep]).unwrap();
            let lines = whole[..keep].iter().filter(|b| **b == b'\n').count() as u64;
            let history = read(dir.path()).unwrap();
            assert_eq!(generations(&history), (1..=lines).collect::<Vec<_>>());
            assert!(history.damaged.is_empty());
            assert_eq!(last(dir.path()), history.entries.last().cloned());
            append(dir.path(), &entry(9)).unwrap();
            assert_eq!(last(dir.path()), Some(entry(9)));
            let history = read(dir.path()).unwrap();
            let expected: Vec<_> = (1..=lines).chain([9]).collect();
            assert_eq!(generations(&history), expected, "cut at {keep}");
            assert!(!history.cut && history.damaged.is_empty());
        }
    }

    /// Lines of a version that did not tell them apart.
    #[test]
    fn a_line_without_a_kind_is_an_apply() {
        let line = line_of(&entry(1)).unwrap();
        let (open, _) = line.split_once(CHECKSUM).unwrap();
        let text = open.replace(",\"kind\":\"apply\"", "") + "}";
        let open = text.strip_suffix('}').unwrap();
        let line = format!("{open}{CHECKSUM}{}\"}}", checksum(&text));
        assert!(!line.contains("kind"));
        assert_eq!(entry_of(line.as_bytes()), Some(entry(1)));
    }

    #[test]
    fn a_wrong_byte_anywhere_spoils_its_own_line_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        for generation in 1..=3 {
            append(dir.path(), &entry(generation)).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut wrong = whole.clone();
                wrong[at] ^= flip;
                fs::write(&path, &wrong).unwrap();
                let history = read(dir.path()).unwrap();
                let known = [entry(1), entry(2), entry(3)];
                assert!(history.entries.iter().all(|e| known.contains(e)), "{at}");
                assert!(
                    history.entries.len() < 3 && !history.entries.is_empty(),
                    "{at}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_journal_is_told_and_waited_for_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let says = |cause: &str| {
            assert_eq!(last(dir.path()), None, "{cause}");
            let read = read(dir.path()).unwrap_err().to_string();
            assert!(read.contains(cause), "{read}");
        };
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        says("no regular file");
        let append = append(dir.path(), &entry(1)).unwrap_err().to_string();
        assert!(append.contains("no regular file"), "{append}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        says("no regular file");
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(30 << 20).unwrap();
        says("larger than a journal gets");
        for odd in [vec![0; 100], vec![b'x'; 100_000]] {
            fs::write(&path, odd).unwrap();
            let history = read(dir.path()).unwrap();
            assert_eq!((history.damaged, history.cut), (vec![1], false));
        }
    }

    #[test]
    fn the_file_stays_bounded_and_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut lines = String::new();
        let mut generation = 0;
        while (lines.len() as u64) < BYTES_MOST {
            generation += 1;
            lines += &line_of(&entry(generation)).unwrap();
        }
        fs::write(&path, &lines).unwrap();
        append(dir.path(), &entry(generation + 1)).unwrap();
        assert!(fs::metadata(&path).unwrap().len() <= BYTES_MOST / 2 + 1024);
        let history = read(dir.path()).unwrap();
        assert!(history.damaged.is_empty());
        assert_eq!(*generations(&history).last().unwrap(), generation + 1);
    }
}
