//! Where the name of a tree leads.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// How many links are followed, as by the kernel (path_resolution(7)).
const LINKS_MOST: usize = 40;

/// The entries, each with its directory, by which a path leads where it does: the links on its way,
/// and the name of what it leads to. Where one of them is put elsewhere, so is the tree.
pub(super) fn entries(path: &Path) -> Vec<(PathBuf, OsString)> {
    let Ok(path) = std::path::absolute(path) else {
        return Vec::new();
    };
    let (mut found, mut links) = (Vec::new(), 0);
    let mut at = PathBuf::from("/");
    let mut left: VecDeque<OsString> = names(&path).collect();
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        match fs::read_link(at.join(&name)) {
            Ok(target) if links < LINKS_MOST => {
                links += 1;
                found.push((at.clone(), name));
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(name);
                }
            }
            _ => at.push(name),
        }
    }
    found.extend(entry(&at));
    found
}

/// A directory's name, and where it has it.
pub(super) fn entry(directory: &Path) -> Option<(PathBuf, OsString)> {
    let name = directory.file_name().map(OsStr::to_owned)?;
    Some((directory.parent()?.to_owned(), name))
}

fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_link_on_the_way_counts_and_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("releases/2/tree")).unwrap();
        symlink("releases/2", root.join("current")).unwrap();
        symlink(root.join("current"), root.join("live")).unwrap();
        let at = |directory: &str, name: &str| {
            let directory = root.join(directory).components().collect();
            (directory, OsString::from(name))
        };
        let links = [at("", "live"), at("", "current")];
        let expected: Vec<_> = links
            .into_iter()
            .chain([at("releases/2", "tree")])
            .collect();
        assert_eq!(entries(&root.join("live/tree")), expected);
        // `live/..` is the directory above what it leads to.
        let above = entries(&root.join("live/../1"));
        assert_eq!(above.last(), Some(&at("releases", "1")));
        // What is not there has its name all the same, and a link that leads to itself ends.
        assert_eq!(entries(&root.join("none"))[0], at("", "none"));
        symlink("loop", root.join("loop")).unwrap();
        assert!(entries(&root.join("loop")).len() > LINKS_MOST);
    }
}
