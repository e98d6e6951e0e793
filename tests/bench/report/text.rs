//! Tables for a terminal: one for each case.

use super::{rate, ratios, trouble};
use crate::rounds::Series;

/// All of it.
pub(crate) fn tables(all: &[Series]) -> String {
    let mut text = String::new();
    for series in all.chunk_by(|a, b| a.case == b.case) {
        text.push_str(&table(series));
    }
    text
}

fn table(all: &[Series]) -> String {
    let Some(case) = all.first().map(|series| series.case) else {
        return String::new();
    };
    let unit = case.workload.unit();
    let ratio_is = match all.iter().any(|series| series.beside.is_some()) {
        true => "to the same alone",
        false => "to the direct pair",
    };
    let none_is = "to no policies";
    let mut text = format!(
        "\n{case}\n  {:<22} {unit:>14}  {ratio_is:<21}  {none_is:<21}\n",
        ""
    );
    for series in all {
        let name = match series.beside {
            None => series.setup.to_string(),
            Some(beside) => {
                format!("+ {}, {}/s", beside.name(), rate(&series.done_per_s))
            }
        };
        let (rate, ratio) = (rate(&series.rates), ratios(&series.ratios));
        let (none, trouble) = (ratios(&series.against_none), trouble(series));
        let line = format!("  {name:<22} {rate:>14}  {ratio:<21}  {none:<21}  {trouble}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
