//! What was found, as a small table.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::Question;
use crate::traffic::Outcome;

/// What was found, and a small table of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    pub(super) found: BTreeMap<Question, Outcome>,
}

impl Matrix {
    /// Whether each question was answered or met silence; what was neither is not told apart.
    pub fn allowed(&self) -> BTreeMap<Question, bool> {
        let answers = self.found.iter();
        answers
            .map(|(question, outcome)| (question.clone(), *outcome == Outcome::Echoed))
            .collect()
    }

    /// What one cell shows: `yes` where everything was reached, `-` where nothing was, else what
    /// was.
    fn cell(&self, from: &str, to: &str) -> String {
        let of_pair = self
            .found
            .iter()
            .filter(|(q, _)| q.from == from && q.to == to);
        let of_pair: Vec<_> = of_pair.collect();
        let reached = of_pair
            .iter()
            .filter(|(_, outcome)| **outcome == Outcome::Echoed);
        let reached: Vec<&Question> = reached.map(|(question, _)| *question).collect();
        match reached.len() {
            _ if of_pair.is_empty() => String::new(),
            0 => "-".to_owned(),
            all if all == of_pair.len() => "yes".to_owned(),
            _ => {
                let short = |question: &&Question| {
                    let text = question.to_string();
                    text.rsplitn(3, ' ').take(2).collect::<Vec<_>>().join(":")
                };
                reached.iter().map(short).collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.found.keys().flat_map(|q| [&*q.from, &*q.to]).collect();
        names.sort_unstable();
        names.dedup();
        let mut rows = vec![
            [&["from \\ to"], &names[..]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        ];
        for from in &names {
            let cells = names.iter().map(|to| self.cell(from, to));
            rows.push(
                [(*from).to_owned()]
                    .into_iter()
                    .chain(cells)
                    .collect::<Vec<_>>(),
            );
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=names.len()).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Protocol;

    fn question(from: &str, to: &str, port: u16, v6: bool) -> Question {
        let [from, to] = [from, to].map(str::to_owned);
        Question {
            from,
            to,
            protocol: Protocol::Tcp,
            port,
            v6,
        }
    }

    #[test]
    fn a_matrix_is_a_small_table() {
        let found = [
            (question("a", "b", 80, false), Outcome::Echoed),
            (question("a", "b", 80, true), Outcome::Echoed),
            (question("a", "c", 80, false), Outcome::Echoed),
            (question("a", "c", 80, true), Outcome::TimedOut),
            (question("b", "c", 80, false), Outcome::TimedOut),
        ];
        let matrix = Matrix {
            found: found.into_iter().collect(),
        };
        insta::assert_snapshot!(matrix, @r"
        from \ to  a  b    c
        a             yes  v4:tcp/80
        b                  -
        c
        ");
    }
}
