//! Whose trees are read: git's rule, as `safe.directory` in git-config(1) describes it.
//!
//! A tree decides what root enforces, so whoever can write it rules the host's network. The owner
//! of a directory, or of a repository's work tree and git directories, must be
//!
//! - root, or the caller's own user;
//! - behind sudo, the user who called it (`SUDO_UID`, believed only when root runs: anybody can
//!   set a variable);
//! - or anybody, where the directory is listed in `safe.directory` of the caller's global or the
//!   system's git configuration. A repository's own configuration is never asked.
//!
//! The configuration is read without git: `GIT_CONFIG_*` and the like are ignored, and a file that
//! belongs to neither root nor the caller is too (`sudo -E` keeps another user's `HOME`).

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gix::config::file::Metadata;
use gix::config::file::includes;
use gix::config::file::init;

use super::git::in_words;

/// Why a tree is not trusted, or why that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// It is somebody else's.
    #[error(
        "{} belongs to user {owner}, and {} decides what is enforced here; if you trust whoever \
         can write there, say so to git",
        path.display(), tree.display()
    )]
    Foreign {
        /// The directory that `safe.directory` has to name.
        tree: PathBuf,
        /// What belongs to somebody else: it, or a git directory of it.
        path: PathBuf,
        /// The user id it belongs to.
        owner: u32,
    },
    /// The owner cannot be read.
    #[error("cannot read the owner of {}: {cause}", path.display())]
    Stat {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        cause: std::io::Error,
    },
    /// A git configuration cannot be read.
    #[error("cannot read `safe.directory` in {}: {}", path.display(), in_words(cause))]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: gix::Error,
    },
}

impl OwnerError {
    /// The line to paste into a shell, where one would do.
    pub fn remedy(&self) -> Option<String> {
        let Self::Foreign { tree, .. } = self else {
            return None;
        };
        let tree = quoted(tree);
        Some(format!("git config --global --add safe.directory {tree}"))
    }
}

/// Who runs this, as far as the rule asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Effective user id.
    uid: u32,
    /// `SUDO_UID`, if root runs behind sudo.
    sudo_uid: Option<u32>,
    home: Option<PathBuf>,
    /// Configuration files that may hold `safe.directory`, in git's order.
    configs: Vec<PathBuf>,
}

impl Caller {
    /// Who runs this process.
    pub(super) fn of_process() -> Self {
        Self::new(
            rustix::process::geteuid().as_raw(),
            |name| std::env::var_os(name),
            &fs::read_to_string("/etc/passwd").unwrap_or_default(),
        )
    }

    fn new(uid: u32, variable: impl Fn(&str) -> Option<OsString>, passwd: &str) -> Self {
        let sudo_uid = variable("SUDO_UID")
            .filter(|_| uid == 0)
            .and_then(|text| text.to_str()?.parse().ok());
        let absolute = |name| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = absolute("HOME").or_else(|| home_of(uid, passwd));
        let xdg = absolute("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let global = [
            xdg.map(|dir| dir.join("git/config")),
            home.as_ref().map(|dir| dir.join(".gitconfig")),
        ];
        let configs = std::iter::once(PathBuf::from("/etc/gitconfig"))
            .chain(global.into_iter().flatten())
            .collect();
        Self {
            uid,
            sudo_uid,
            home,
            configs,
        }
    }

    fn trusts(&self, owner: u32) -> bool {
        owner == 0 || owner == self.uid || Some(owner) == self.sudo_uid
    }
}

/// Checks that everything in `parts` belongs to somebody whose trees are read, or that `tree` is
/// listed in `safe.directory`. Paths are absolute and free of links.
pub(super) fn check(caller: &Caller, tree: &Path, parts: &[&Path]) -> Result<(), OwnerError> {
    for path in parts {
        let metadata = fs::metadata(path).map_err(|cause| OwnerError::Stat {
            path: (*path).to_owned(),
            cause,
        })?;
        check_owner(caller, tree, path, metadata.uid())?;
    }
    Ok(())
}

/// The same for one part whose owner is known.
pub(super) fn check_owner(
    caller: &Caller,
    tree: &Path,
    path: &Path,
    owner: u32,
) -> Result<(), OwnerError> {
    if caller.trusts(owner) || listed(caller, tree)? {
        return Ok(());
    }
    Err(OwnerError::Foreign {
        tree: tree.to_owned(),
        path: path.to_owned(),
        owner,
    })
}

/// Whether `safe.directory` names the directory. As in git, an empty value forgets those before
/// it, `*` names every directory and `/a/*` those below `/a`.
fn listed(caller: &Caller, tree: &Path) -> Result<bool, OwnerError> {
    let mut safe = false;
    for path in &caller.configs {
        for value in values(caller, path)? {
            safe = match value.as_str() {
                "" => false,
                "*" => true,
                value => safe || names(value, caller.home.as_deref(), tree),
            };
        }
    }
    Ok(safe)
}

fn names(value: &str, home: Option<&Path>, tree: &Path) -> bool {
    let (value, below) = match value.strip_suffix("/*") {
        Some(above) => (above, true),
        None => (value, false),
    };
    let path = match (value.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(if value.is_empty() { "/" } else { value }),
    };
    // Git ignores a relative one: whose directory it names would depend on where one stands.
    if path.is_relative() {
        return false;
    }
    let path = path.canonicalize().unwrap_or(path);
    if below {
        tree != path && tree.starts_with(&path)
    } else {
        tree == path
    }
}

/// The values of `safe.directory` in one file, in order; none where there is no such file, or it
/// is somebody else's.
fn values(caller: &Caller, path: &Path) -> Result<Vec<String>, OwnerError> {
    match fs::metadata(path) {
        Ok(m) if m.is_file() && (m.uid() == 0 || m.uid() == caller.uid) => {}
        _ => return Ok(Vec::new()),
    }
    let metadata = Metadata::from(gix::config::Source::User).at(path.to_owned());
    let options = init::Options {
        includes: includes::Options::follow_without_conditional(caller.home.as_deref()),
        ..init::Options::default()
    };
    let file = gix::config::File::from_paths_metadata([metadata], options).map_err(|cause| {
        OwnerError::Config {
            path: path.to_owned(),
            cause,
        }
    })?;
    let values = file.and_then(|file| file.strings("safe.directory"));
    Ok(values
        .unwrap_or_default()
        .into_iter()
        .map(|value| value.to_string())
        .collect())
}

/// The home of a user in the text of passwd(5).
fn home_of(uid: u32, passwd: &str) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let id = fields.nth(2)?.parse::<u32>().ok()?;
        let home = fields.nth(2)?;
        (id == uid && home.starts_with('/')).then(|| PathBuf::from(home))
    })
}

/// A path as a POSIX shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:=".contains(c);
    if text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n";

    fn caller(uid: u32, home: &Path, sudo: Option<&str>) -> Caller {
        Caller::new(
            uid,
            |name| match name {
                "HOME" => Some(home.as_os_str().to_owned()),
                "SUDO_UID" => sudo.map(Into::into),
                _ => None,
            },
            PASSWD,
        )
    }

    fn owned(owner: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(owner), None).unwrap();
        dir
    }

    fn verdict(caller: &Caller, dir: &Path) -> Result<(), OwnerError> {
        let dir = dir.canonicalize().unwrap();
        check(caller, &dir, &[&dir])
    }

    #[test]
    fn root_the_caller_and_the_caller_behind_sudo_are_trusted() {
        let home = tempfile::tempdir().unwrap();
        let (root, ann, bob) = (owned(0), owned(1000), owned(1001));
        let as_root = caller(0, home.path(), None);
        assert!(verdict(&as_root, root.path()).is_ok());
        assert!(verdict(&as_root, ann.path()).is_err());
        let behind_sudo = caller(0, home.path(), Some("1000"));
        assert!(verdict(&behind_sudo, ann.path()).is_ok());
        assert!(verdict(&behind_sudo, bob.path()).is_err());
        let as_bob = caller(1001, home.path(), Some("1000"));
        assert!(verdict(&as_bob, bob.path()).is_ok());
        assert!(verdict(&as_bob, root.path()).is_ok());
        assert!(verdict(&as_bob, ann.path()).is_err(), "SUDO_UID is root's");
        let odd = caller(0, home.path(), Some("1000 "));
        assert!(verdict(&odd, ann.path()).is_err());
    }

    #[test]
    fn the_error_holds_the_line_to_run() {
        let home = tempfile::tempdir().unwrap();
        let ann = owned(1000);
        let error = verdict(&caller(0, home.path(), None), ann.path()).unwrap_err();
        let path = ann.path().canonicalize().unwrap();
        let line = format!(
            "git config --global --add safe.directory {}",
            path.display()
        );
        assert_eq!(error.remedy(), Some(line));
        assert!(error.to_string().contains("user 1000"), "{error}");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn safe_directory_is_read_as_git_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let parent = owned(0);
        let tree = parent.path().canonicalize().unwrap().join("tree");
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::chown(&tree, Some(1000), None).unwrap();
        let as_root = caller(0, &home, None);
        let above = tree.parent().unwrap().display().to_string();
        let exact = tree.display().to_string();
        let here = std::env::current_dir().unwrap();
        let up = "../".repeat(here.components().count() - 1);
        let relative = format!("{up}{}", &exact[1..]);
        assert_eq!(Path::new(&relative).canonicalize().unwrap(), tree);
        for (values, safe) in [
            (vec![exact.as_str()], true),
            (vec!["*"], true),
            (vec![&format!("{above}/*")], true),
            (vec![above.as_str()], false),
            (vec!["*", "\"\""], false),
            (vec!["\"\"", exact.as_str()], true),
            (vec!["/elsewhere"], false),
            (vec![relative.as_str()], false),
        ] {
            let lines: Vec<_> = values
                .iter()
                .map(|v| format!("\tdirectory = {v}\n"))
                .collect();
            fs::write(
                home.join(".gitconfig"),
                format!("[safe]\n{}", lines.concat()),
            )
            .unwrap();
            assert_eq!(verdict(&as_root, &tree).is_ok(), safe, "{values:?}");
        }
        fs::write(
            home.join("more"),
            format!("[safe]\n\tdirectory = {exact}\n"),
        )
        .unwrap();
        fs::write(home.join(".gitconfig"), "[include]\n\tpath = more\n").unwrap();
        assert!(verdict(&as_root, &tree).is_ok(), "an include is followed");
        std::os::unix::fs::chown(home.join(".gitconfig"), Some(1000), None).unwrap();
        assert!(verdict(&as_root, &tree).is_err(), "somebody else's file");
        fs::remove_file(home.join(".gitconfig")).unwrap();
        fs::create_dir_all(home.join(".config/git")).unwrap();
        fs::write(home.join(".config/git/config"), "[safe]\ndirectory = *\n").unwrap();
        assert!(verdict(&as_root, &tree).is_ok(), "the XDG place");
        fs::write(home.join(".config/git/config"), "[safe\n").unwrap();
        assert!(matches!(
            verdict(&as_root, &tree),
            Err(OwnerError::Config { .. })
        ));
    }

    #[test]
    fn without_home_the_passwd_entry_counts() {
        let lookup = |_: &str| None;
        let root = Caller::new(0, lookup, PASSWD);
        assert!(root.configs.contains(&PathBuf::from("/root/.gitconfig")));
        let ann = Caller::new(1000, lookup, PASSWD);
        assert!(ann.configs.contains(&PathBuf::from("/home/ann/.gitconfig")));
        let nobody = Caller::new(7, lookup, PASSWD);
        assert_eq!(nobody.configs, [PathBuf::from("/etc/gitconfig")]);
    }
}
