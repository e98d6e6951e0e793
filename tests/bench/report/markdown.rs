//! The result as tables of Markdown.

use std::fmt::Write;

use super::{Outcome, rate, ratios, trouble};
use crate::during::Beside;
use crate::matrix::{Case, Kind, Setup};
use crate::rounds::Series;

/// A page: where it was measured, one table for each workload, how it was made.
pub(crate) fn page(outcome: &Outcome, name: &str, title: &str) -> String {
    let mut page = Page(String::new());
    page.head(outcome, name, title);
    let same = |a: &Series, b: &Series| a.case.workload == b.case.workload;
    for series in outcome.series.chunk_by(same) {
        page.workload(series);
    }
    page.setups(outcome);
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string can be written to");
    }

    fn head(&mut self, outcome: &Outcome, name: &str, title: &str) {
        let facts = &outcome.facts;
        self.line(format_args!("# {title}\n"));
        self.line(format_args!(
            "Written by `{}` on {}, at {}{}. {}.",
            facts.command,
            facts.date,
            facts.commit.get(..12).unwrap_or_default(),
            if facts.changed { " with changes" } else { "" },
            capital(&facts.machine()),
        ));
        let tools = facts.versions.iter().map(|(_, version)| version.as_str());
        self.line(format_args!("{}.\n", tools.collect::<Vec<_>>().join(", ")));
        self.line(format_args!(
            "{} rounds; a measurement takes {} s. In a round every setup is measured once in turn, and \
             each number is\ndivided by that of the same round. Median [minimum-maximum]. All numbers: \
             [{name}.json]({name}.json).",
            outcome.rounds, outcome.seconds,
        ));
        if outcome.is_during() {
            return;
        }
        self.line(format_args!(
            "\n![throughput over the number of policies]({name}.svg)"
        ));
    }

    fn workload(&mut self, series: &[Series]) {
        let Some(case) = series.first().map(|series| series.case) else {
            return;
        };
        let cases: Vec<&[Series]> = series.chunk_by(|a, b| a.case == b.case).collect();
        let words = capital(case.workload.words());
        self.line(format_args!("\n## {words}, {}\n", case.workload.unit()));
        let heads = cases
            .iter()
            .flat_map(|series| series.first())
            .map(|series| {
                let Case { family, cpus, .. } = series.case;
                format!(" {}, {} | ratio |", family.name(), cpus.words())
            });
        self.line(format_args!("| |{}", heads.collect::<String>()));
        self.line(format_args!("|---|{}", "--:|:--|".repeat(cases.len())));
        for at in 0..cases.first().map_or(0, |series| series.len()) {
            let row = cases.iter().filter_map(|series| series.get(at));
            let label = row.clone().next().map(label).unwrap_or_default();
            let cells = row.map(|series| {
                let trouble = match trouble(series) {
                    none if none.is_empty() => none,
                    some => format!(" ({some})"),
                };
                format!(
                    " {} | {}{trouble} |",
                    rate(&series.rates),
                    ratios(&series.ratios)
                )
            });
            self.line(format_args!("| {label} |{}", cells.collect::<String>()));
        }
    }

    fn setups(&mut self, outcome: &Outcome) {
        self.line(format_args!("\n## Setups\n"));
        for (setup, made) in &outcome.made {
            if let Some(made) = made {
                self.line(format_args!(
                    "- {}: in force after {:.2} s.",
                    capital(&words(*setup)),
                    made.as_secs_f64()
                ));
            }
        }
        for (setup, why) in &outcome.lacking {
            self.line(format_args!(
                "- {}: skipped, for {why}.",
                capital(&words(*setup))
            ));
        }
        for (name, text) in &outcome.commands {
            self.line(format_args!(
                "\n{}:\n\n```text\n{}\n```",
                capital(name),
                text.trim_end()
            ));
        }
    }
}

fn label(series: &Series) -> String {
    match series.beside {
        None => words(series.setup),
        Some(beside) => {
            let (asked, done) = (beside.asked(), rate(&series.done_per_s));
            format!(
                "with {}: {asked} asked a second, {done} done",
                Beside::words(beside)
            )
        }
    }
}

fn words(setup: Setup) -> String {
    let name = setup.kind.words();
    match setup.kind {
        Kind::Direct | Kind::Bridge | Kind::Routed => name.to_owned(),
        _ => format!("{name}, N = {}", thousands(setup.policies)),
    }
}

/// With a comma between thousands.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        let all = [0, 999, 1_000, 100_000, 1_234_567].map(thousands);
        assert_eq!(all, ["0", "999", "1,000", "100,000", "1,234,567"]);
    }
}
