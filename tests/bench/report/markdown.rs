//! The result as tables of Markdown.

use std::fmt::Write;
use std::time::Duration;

use super::{Outcome, rate, ratios, trouble};
use crate::during::Beside;
use crate::matrix::{Case, Setup, Workload};
use crate::rounds::Series;

/// A page: where it was measured, one table for each workload, how it was made.
pub(crate) fn page(outcome: &Outcome, name: &str, title: &str) -> String {
    let mut page = Page(String::new());
    page.head(outcome, name, title);
    let same = |a: &Series, b: &Series| a.case.workload == b.case.workload;
    for series in outcome.series.chunk_by(same) {
        page.workload(series);
    }
    page.against_none(&outcome.series);
    page.setups(outcome);
    page.commands(outcome);
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
        let commit = facts.commit.get(..12).unwrap_or_default();
        let changed = if facts.changed { " with changes" } else { "" };
        self.line(format_args!("    {}\n", facts.command));
        self.line(format_args!(
            "{}, commit {commit}{changed}, on {}.",
            facts.date,
            facts.machine()
        ));
        let tools = facts.versions.iter().map(|(_, version)| version.as_str());
        self.line(format_args!("{}.\n", tools.collect::<Vec<_>>().join(", ")));
        let (rounds, seconds) = (outcome.rounds, outcome.seconds);
        self.line(format_args!(
            "{rounds} rounds; a measurement takes {seconds} s. In each round every line of a table"
        ));
        let [than, json] = match outcome.is_during() {
            true => ["the same line alone", "during.json"],
            false => ["the direct pair", "traffic.json"],
        };
        self.line(format_args!(
            "is measured once in turn, and a ratio is to {than} in the same round: median"
        ));
        self.line(format_args!(
            "[minimum-maximum]. Each round's numbers are in [{json}]({json})."
        ));
        if !outcome.is_during() {
            self.line(format_args!(
                "\n![throughput over the number of policies]({name}.svg)"
            ));
        }
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

    /// Each setup that has policies, against itself without.
    fn against_none(&mut self, all: &[Series]) {
        let of_it = |series: &&Series| {
            !series.against_none.is_empty() && series.case.workload != Workload::Stream
        };
        let rows: Vec<&Series> = all.iter().filter(of_it).collect();
        let mut cases: Vec<Case> = rows.iter().map(|series| series.case).collect();
        cases.dedup();
        let Some(&first) = cases.first() else {
            return;
        };
        self.line(format_args!("\n## N policies against none\n"));
        self.line(format_args!(
            "| |{}",
            cases.iter().map(|c| format!(" {c} |")).collect::<String>()
        ));
        self.line(format_args!("|---|{}", ":--|".repeat(cases.len())));
        for row in rows.iter().filter(|series| series.case == first) {
            let same = rows.iter().filter(|series| series.setup == row.setup);
            let cells = same.map(|series| format!(" {} |", ratios(&series.against_none)));
            let label = words(row.setup);
            self.line(format_args!("| {label} |{}", cells.collect::<String>()));
        }
    }

    /// How long each tool took, a row for each.
    fn setups(&mut self, outcome: &Outcome) {
        let timed = outcome
            .made
            .iter()
            .filter_map(|(setup, made)| Some((*setup, (*made)?)));
        let timed: Vec<(Setup, Duration)> = timed.collect();
        let mut numbers: Vec<usize> = timed.iter().map(|(setup, _)| setup.policies).collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.line(format_args!("\n## In force after, seconds\n"));
        let heads = numbers
            .iter()
            .map(|&number| format!(" {} |", thousands(number)));
        self.line(format_args!("| N = |{}", heads.collect::<String>()));
        self.line(format_args!("|---|{}", "--:|".repeat(numbers.len())));
        for of_kind in timed.chunk_by(|a, b| a.0.kind == b.0.kind) {
            let cells = numbers.iter().map(|&number| {
                let found = of_kind.iter().find(|(setup, _)| setup.policies == number);
                found.map_or_else(
                    || " |".to_owned(),
                    |(_, made)| format!(" {:.2} |", made.as_secs_f64()),
                )
            });
            let name = of_kind.first().map_or("", |(setup, _)| setup.kind.words());
            self.line(format_args!("| {name} |{}", cells.collect::<String>()));
        }
        for (setup, why) in &outcome.lacking {
            self.line(format_args!("\nSkipped: {}, for {why}.", words(*setup)));
        }
    }

    fn commands(&mut self, outcome: &Outcome) {
        if outcome.is_during() {
            return;
        }
        self.line(format_args!("\n## What each has\n"));
        self.line(format_args!(
            "Here for two policies, and IPv4 where families are apart. The last one allows the \
             client."
        ));
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
    match setup.kind.has_policies() {
        false => name.to_owned(),
        true => format!("{name}, N = {}", thousands(setup.policies)),
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
