//! One run of the program, as text to compare.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory to run in, and nothing of the caller's environment.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// A directory with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (path, text) in files {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        place
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `reconcile` here.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_reconcile"))
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .output()
            .unwrap()
    }

    /// The run as a reader sees it: the command, what it printed, how it ended.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        let mut text = format!("$ reconcile {}\n", words.join(" "));
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let printed = String::from_utf8(bytes.clone()).unwrap();
            if !printed.is_empty() {
                text += &format!("--- {name}\n{printed}");
            }
        }
        let code = output.status.code().unwrap();
        text += &format!("--- exit code {code}\n");
        text.replace(self.path().to_str().unwrap(), "/tree")
    }
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(' ') {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}
