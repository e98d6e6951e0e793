//! What is wrong with a reference that cannot be resolved.
//!
//! Git does not sync loose references, so a crash may leave one with no bytes or with zeros
//! (gitrepository-layout(5): a reference is a file with an id, or with `ref: ` and a name). This
//! is looked at only after resolving has failed, to say which file is damaged.

use std::fs;
use std::path::{Path, PathBuf};

use super::repository::Repository;

/// How many symbolic references may follow each other (git's own limit).
const SYMBOLIC_MOST: usize = 5;

/// The damaged reference that stands behind a revision, and what it holds instead of an id.
pub(super) fn damaged(place: &Repository, rev: &str) -> Option<(PathBuf, &'static str)> {
    let name = rev.split(['^', '~', '@', ':']).next()?;
    let name = if name.is_empty() { "HEAD" } else { name };
    ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"]
        .iter()
        .find_map(|prefix| follow(place, &format!("{prefix}{name}")))
}

fn follow(place: &Repository, first: &str) -> Option<(PathBuf, &'static str)> {
    let mut name = first.to_owned();
    for _ in 0..SYMBOLIC_MOST {
        if !is_reference(&name) {
            return None;
        }
        let (file, content) = [&place.git_dir, &place.common_dir]
            .iter()
            .find_map(|dir| read(dir.join(&name)))?;
        let Ok(text) = std::str::from_utf8(&content) else {
            return Some((file, "it is not text"));
        };
        match text.trim_end() {
            "" => return Some((file, "it is empty")),
            text if text.bytes().all(|b| b.is_ascii_hexdigit()) => {
                let whole = matches!(text.len(), 40 | 64);
                return (!whole).then_some((file, "its id is cut short"));
            }
            text => match text.strip_prefix("ref:") {
                Some(target) => name = target.trim().to_owned(),
                None => return Some((file, "it holds no id")),
            },
        }
    }
    None
}

/// Whether a name stays below the git directory.
fn is_reference(name: &str) -> bool {
    Path::new(name)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn read(file: PathBuf) -> Option<(PathBuf, Vec<u8>)> {
    let metadata = fs::metadata(&file).ok()?;
    if !metadata.is_file() || metadata.len() > 4096 {
        return None;
    }
    let content = fs::read(&file).ok()?;
    Some((file, content))
}
