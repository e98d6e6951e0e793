//! Diagnostics as systemd's journal takes them from stderr: a line each, that may begin with its
//! priority (sd-daemon(3)).

use std::io;
use std::os::fd::AsFd;

/// Whether a stream leads to the journal: `JOURNAL_STREAM` names its device and inode
/// (systemd.exec(5)).
pub(super) fn takes(stream: impl AsFd) -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let found = rustix::fs::fstat(stream).map_err(io::Error::from);
    found.is_ok_and(|found| named.to_str() == Some(&format!("{}:{}", found.st_dev, found.st_ino)))
}

/// Every line with its priority, where that is another than the journal's own: lines that go on
/// with what one before them began are as grave as that.
pub(super) fn with_priorities(text: &str) -> String {
    let mut priority = "";
    let mut marked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if !line.starts_with(' ') {
            priority = of(line);
        }
        marked.push_str(priority);
        marked.push_str(line);
    }
    marked
}

/// A finding names its place first: `FILE:LINE:COLUMN: error[CODE]: ...`.
fn of(line: &str) -> &'static str {
    let is = |word: &str| line.starts_with(word) || line.contains(&format!(": {word}["));
    if is("error") {
        "<3>"
    } else if is("warning") {
        "<4>"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_grave_is_marked_so_with_the_lines_that_belong_to_it() {
        let text = [
            "abc is live\n",
            "policy.yaml:3:5: error[unknown-field]: there is no field 'port'\n",
            " 3 |  port\n",
            "   = help: ports\n",
            "a.yaml:1:1: warning[no-effect]: it selects nobody\n",
            "error: the tree is invalid\n",
            "planned again\n",
        ];
        let marks = ["", "<3>", "<3>", "<3>", "<4>", "<3>", ""];
        let lines = marks.iter().zip(text);
        let marked: String = lines.map(|(mark, line)| format!("{mark}{line}")).collect();
        let text = text.concat();
        assert_eq!(with_priorities(&text), marked);
    }

    #[test]
    fn a_stream_that_is_not_the_journal_is_left_as_it_is() {
        assert!(!takes(std::io::stderr()));
    }
}
