//! `ignore` of `plumbline.yaml`: which paths hold no documents of ours.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// Globs of paths below the root: `*` stays within a folder, `**` does not. A glob that names a
/// folder names everything in it.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    globs: Vec<String>,
    set: GlobSet,
}

/// What it ignores is told by its globs.
impl PartialEq for Ignore {
    fn eq(&self, other: &Self) -> bool {
        self.globs == other.globs
    }
}

impl Eq for Ignore {}

impl Ignore {
    /// Of globs that were checked; one that is none ignores nothing.
    pub(super) fn new(globs: &[String]) -> Self {
        let mut set = GlobSetBuilder::new();
        for glob in globs.iter().filter_map(|text| glob(text).ok()) {
            set.add(glob);
        }
        Self {
            globs: globs.to_vec(),
            set: set.build().unwrap_or_default(),
        }
    }

    /// Whether a glob names the path or a folder on its way.
    pub fn is_ignored(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        self.set.is_match(path) || folders.into_iter().any(|folder| self.set.is_match(folder))
    }
}

/// Why a text is no glob; `None` where it is one.
pub(super) fn problem(text: &str) -> Option<String> {
    if text.is_empty() || text == "/" {
        return Some("names nothing".to_owned());
    }
    let leads_out = |part| matches!(part, "." | "..");
    if text.starts_with('/') || text.split('/').any(leads_out) {
        return Some("is not a path below the tree's root".to_owned());
    }
    glob(text)
        .err()
        .map(|error| format!("is no glob: {}", error.kind()))
}

fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text.strip_suffix('/').unwrap_or(text))
        .literal_separator(true)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_name_paths_and_folders() {
        let paths = [
            "a.yaml",
            "charts/x/values.yaml",
            "charts/y.yaml",
            "b/charts.yaml",
        ];
        for (glob, expected) in [
            ("charts", &[1, 2][..]),
            ("charts/", &[1, 2]),
            ("charts/*.yaml", &[2]),
            ("charts/*", &[1, 2]),
            ("**/values.yaml", &[1]),
            ("*.yaml", &[0]),
            ("**/*.yaml", &[0, 1, 2, 3]),
            ("{a,b/charts}.yaml", &[0, 3]),
            ("nothing", &[]),
        ] {
            let ignore = Ignore::new(&[glob.to_owned()]);
            let found: Vec<usize> = (0..paths.len())
                .filter(|n| ignore.is_ignored(paths[*n]))
                .collect();
            assert_eq!(found, expected, "{glob}");
        }
    }
}
