//! Findings in documents: for people with the line and a caret, for programs as data.
//!
//! Text from a tree reaches the terminal escaped, so that no document can move the cursor, colour
//! what it is not, or turn round the order of what is read. Places count characters; a caret counts
//! columns of the terminal, so tabs and wide characters are laid out before it is placed.

use std::fmt::Write;

use serde::Serialize;
use state::documents::tree::Tree;
use state::words::place::Place;
use state::words::problem::{Problem, Severity};
use unicode_width::UnicodeWidthChar;

use super::escape::escape;
use super::style::Style;

const RED: u8 = 31;
const YELLOW: u8 = 33;
const BLUE: u8 = 34;

/// Columns of a source line that are shown; a longer one is cut around the caret.
const COLUMNS: usize = 100;
/// Columns of them before the caret, where a line is cut.
const BEFORE: usize = 40;
/// Characters on each side of a place that are looked at.
const NEAR: usize = 400;
/// Columns for a tab.
const TAB: usize = 4;
/// A line of more bytes is not shown at all.
const LINE_BYTES: usize = 64 << 10;

/// Findings for people, in the order given.
pub fn text<'p>(
    problems: impl IntoIterator<Item = &'p Problem>,
    tree: &Tree,
    style: Style,
) -> String {
    let mut out = String::new();
    let mut lines = Lines::default();
    for problem in problems {
        block(&mut out, problem, lines.get(tree, &problem.place), style);
    }
    out
}

fn block(out: &mut String, problem: &Problem, line: Option<&str>, style: Style) {
    let (severity, colour) = match problem.severity {
        Severity::Error => ("error", RED),
        Severity::Warning => ("warning", YELLOW),
    };
    let code = style.paint(colour, &format!("{severity}[{}]", problem.code));
    let place = match place(&problem.place) {
        place if place.is_empty() => place,
        place => format!("{place}: "),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{place}{code}: {}", escape(&problem.message));
    let number = problem.place.line.to_string();
    let margin = " ".repeat(number.len());
    if let Some(line) = line {
        let snippet = Snippet::of(line, problem.place.column, problem.place.length);
        let bar = style.paint(BLUE, "|");
        let _ = writeln!(
            out,
            " {} {bar} {}",
            style.paint(BLUE, &number),
            snippet.text
        );
        let caret = style.paint(colour, &"^".repeat(snippet.width));
        let _ = writeln!(out, " {margin} {bar} {}{caret}", " ".repeat(snippet.start));
    }
    let notes = [
        ("help", problem.help.as_deref().map(escape)),
        ("see", problem.related.as_ref().map(self::place)),
    ];
    for (word, note) in notes {
        if let Some(note) = note {
            let _ = writeln!(
                out,
                " {margin} {} {note}",
                style.paint(BLUE, &format!("= {word}:"))
            );
        }
    }
}

/// `file:line:column`, escaped; nothing for the tree as a whole.
fn place(place: &Place) -> String {
    escape(&place.to_string())
}

/// The lines that places point at. Findings come in the order of their places, so a file is walked
/// once, however many there are.
#[derive(Default)]
struct Lines<'t> {
    file: String,
    line: u32,
    rest: &'t str,
}

impl<'t> Lines<'t> {
    fn get(&mut self, tree: &'t Tree, place: &Place) -> Option<&'t str> {
        if place.line == 0 {
            return None;
        }
        if *self.file != *place.file || self.line > place.line {
            let content = tree.files.get(&place.file)?;
            self.file = place.file.to_string();
            self.line = 1;
            self.rest = std::str::from_utf8(content).unwrap_or_default();
        }
        while self.line < place.line {
            let (_, rest) = self.rest.split_once('\n')?;
            (self.line, self.rest) = (self.line + 1, rest);
        }
        let line = self.rest.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        (line.len() <= LINE_BYTES && !self.rest.is_empty()).then_some(line)
    }
}

/// A line as it is shown, and where the caret stands below it.
struct Snippet {
    text: String,
    start: usize,
    width: usize,
}

impl Snippet {
    /// Of a line, a column from 1 and a length, both in characters.
    fn of(line: &str, column: u32, length: u32) -> Self {
        let column = usize::try_from(column).unwrap_or(usize::MAX).max(1) - 1;
        let length = usize::try_from(length).unwrap_or(usize::MAX).max(1);
        // No more of a long line is laid out than can be shown.
        let skipped = column.saturating_sub(NEAR);
        let mut characters = line.chars().skip(skipped);
        let cells: Vec<_> = characters.by_ref().take(2 * NEAR).map(cell).collect();
        let ended = characters.next().is_none();
        let column = (column - skipped).min(cells.len());
        let whole = skipped == 0 && ended && width_of(&cells) <= COLUMNS;
        let before = if whole {
            column
        } else {
            fitting(cells[..column].iter().rev(), BEFORE)
        };
        let from = column - before;
        let to = from + fitting(cells[from..].iter(), COLUMNS);
        let (before, after) = (from + skipped > 0, to < cells.len() || !ended);
        let mut text = String::from(if before { "…" } else { "" });
        text.extend(cells[from..to].iter().map(|(shown, _)| shown.as_str()));
        text.push_str(if after { "…" } else { "" });
        let end = column.saturating_add(length).clamp(column, to.max(column));
        Self {
            text: text.trim_end().to_owned(),
            start: usize::from(before) + width_of(&cells[from..column]),
            width: width_of(&cells[column..end]).max(1),
        }
    }
}

/// How many of these cells fit into so many columns.
fn fitting<'c>(cells: impl Iterator<Item = &'c (String, usize)>, columns: usize) -> usize {
    let mut used = 0;
    let fits = |(_, width): &&(String, usize)| {
        used += width;
        used <= columns
    };
    cells.take_while(fits).count()
}

fn width_of(cells: &[(String, usize)]) -> usize {
    cells.iter().map(|(_, width)| width).sum()
}

/// How a character is shown, and in how many columns.
fn cell(character: char) -> (String, usize) {
    if character == '\t' {
        return (" ".repeat(TAB), TAB);
    }
    let shown = escape(character.encode_utf8(&mut [0; 4]));
    let width = if shown.chars().eq([character]) {
        character.width().unwrap_or(0)
    } else {
        shown.len()
    };
    (shown, width)
}

/// Findings for programs.
#[derive(Debug, Serialize)]
pub struct Findings<'p> {
    problems: Vec<Finding<'p>>,
}

#[derive(Debug, Serialize)]
struct Finding<'p> {
    #[serde(flatten)]
    place: Where<'p>,
    severity: &'static str,
    code: &'static str,
    message: &'p str,
    help: Option<&'p str>,
    related: Option<Where<'p>>,
}

/// A place; `null` where it is the whole file, or the tree as a whole.
#[derive(Debug, Serialize)]
struct Where<'p> {
    file: Option<&'p str>,
    line: Option<u32>,
    column: Option<u32>,
    length: Option<u32>,
}

/// The same findings as data, in the order given.
pub fn data(problems: &[Problem]) -> Findings<'_> {
    Findings {
        problems: problems.iter().map(Finding::of).collect(),
    }
}

impl<'p> Finding<'p> {
    fn of(problem: &'p Problem) -> Self {
        Self {
            place: Where::of(&problem.place),
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: problem.code,
            message: &problem.message,
            help: problem.help.as_deref(),
            related: problem.related.as_ref().map(Where::of),
        }
    }
}

impl<'p> Where<'p> {
    fn of(place: &'p Place) -> Self {
        let known = |n: u32| (place.line > 0).then_some(n);
        Self {
            file: (!place.file.is_empty()).then_some(&*place.file),
            line: known(place.line),
            column: known(place.column),
            length: known(place.length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json;

    fn tree(text: &str) -> Tree {
        let mut tree = Tree::default();
        tree.files.insert("a.yaml".into(), text.as_bytes().into());
        tree
    }

    fn at(line: u32, column: u32, length: u32) -> Place {
        Place {
            file: "a.yaml".into(),
            line,
            column,
            length,
        }
    }

    const TEXT: &str =
        "apiVersion: v1\nkind: NetworkPolicy\nspec:\n\tpodSelectr: {}\r\n  名前: 値\n";

    fn problems() -> Vec<Problem> {
        vec![
            Problem::error(
                at(4, 2, 10),
                "unknown-field",
                "spec has no field \"podSelectr\"",
            )
            .help("did you mean podSelector?"),
            Problem::warning(at(5, 7, 1), "some-code", "wide \u{1b}[31m\u{202e} text")
                .related(at(2, 7, 13)),
            Problem::error(at(2, 20, 0), "at-the-end", "behind the line"),
            Problem::error(at(99, 1, 0), "beyond", "behind the file"),
            Problem::error(Place::file("b\u{7}.yaml"), "too-large", "the whole file"),
            Problem::error(Place::file(""), "too-many", "the whole tree").help("less"),
        ]
    }

    #[test]
    fn findings_for_people() {
        insta::assert_snapshot!(text(&problems(), &tree(TEXT), Style::default()));
    }

    #[test]
    fn findings_in_colour() {
        let style = Style { colour: true };
        let shown = text(&problems()[..2], &tree(TEXT), style).replace('\u{1b}', "ESC");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn findings_for_programs() {
        insta::assert_snapshot!(json::document(&data(&problems())).unwrap());
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let line = format!("{}HERE{}", "a, ".repeat(200), ", b".repeat(200));
        let tree = tree(&line);
        let shown = |column: u32, length: u32| {
            let problem = Problem::error(at(1, column, length), "code", "message");
            text([&problem], &tree, Style::default())
        };
        insta::assert_snapshot!([shown(1, 1), shown(601, 4), shown(1_204, 900)].concat());
    }

    #[test]
    fn the_caret_stands_below_what_it_means() {
        for (line, column, length, start, width) in [
            ("abc", 2, 1, 1, 1),
            ("abc", 2, 0, 1, 1),
            ("abc", 2, 9, 1, 2),
            ("abc", 9, 1, 3, 1),
            ("\tabc", 2, 3, 4, 3),
            ("値abc", 2, 1, 2, 1),
            ("a値c", 2, 1, 1, 2),
            ("a\u{301}bc", 3, 1, 1, 1),
            ("\u{1b}bc", 2, 1, 6, 1),
            ("\u{1b}bc", 1, 1, 0, 6),
            ("", 1, 0, 0, 1),
        ] {
            let snippet = Snippet::of(line, column, length);
            assert_eq!((snippet.start, snippet.width), (start, width), "{line:?}");
        }
    }

    #[test]
    fn many_findings_in_one_large_file_walk_it_once() {
        let text_of_file = "a: b\n".repeat(200_000);
        let tree = tree(&text_of_file);
        let problems: Vec<Problem> = (1..=1_000)
            .map(|n| Problem::error(at(n * 200, 1, 1), "code", "message"))
            .collect();
        let shown = text(&problems, &tree, Style::default());
        assert_eq!(shown.lines().count(), 3_000);
        assert!(shown.contains("\n 200000 | a: b\n"));
    }

    #[test]
    fn nothing_of_a_tree_reaches_the_terminal_raw() {
        let hostile = "\u{1b}]8;;x\u{7}\u{9b}\u{202e}\u{2066}\u{200b}\r\u{7f}\0";
        let problem = Problem::error(
            Place {
                file: format!("{hostile}.yaml").into(),
                ..at(1, 1, 3)
            },
            "code",
            hostile,
        )
        .help(hostile)
        .related(Place::file(hostile));
        let mut tree = tree("");
        let content = hostile.as_bytes().into();
        tree.files.insert(problem.place.file.clone(), content);
        let shown = text([&problem], &tree, Style::default());
        let json = json::document(&data(&[problem])).unwrap();
        for output in [shown, json] {
            for character in hostile.chars().filter(|c| !c.is_ascii_graphic()) {
                assert!(!output.contains(character), "{output:?}");
            }
        }
    }
}
