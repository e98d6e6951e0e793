//! The result as JSON: every round's number, and what made it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use crate::rounds::{Series, Spread};

/// All of it.
pub(crate) fn document(outcome: &Outcome) -> Value {
    let skipped = outcome.lacking.iter().map(|(setup, why)| {
        json!({ "setup": setup.kind.name(), "policies": setup.policies, "reason": why })
    });
    let setups = outcome.made.iter().map(|(setup, made)| {
        json!({
            "setup": setup.kind.name(),
            "policies": setup.policies,
            "is": setup.kind.words(),
            "policies_in_force_after_s": made.as_ref().map(Duration::as_secs_f64).map(rounded),
        })
    });
    json!({
        "facts": outcome.facts,
        "rounds": outcome.rounds,
        "seconds_a_measurement": outcome.seconds,
        "commands": outcome.commands.iter().cloned().collect::<BTreeMap<_, _>>(),
        "setups": setups.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "series": outcome.series.iter().map(one).collect::<Vec<_>>(),
    })
}

fn one(series: &Series) -> Value {
    let mut one = json!({
        "setup": series.setup.kind.name(),
        "policies": series.setup.policies,
        "workload": series.case.workload.name(),
        "family": series.case.family.name(),
        "cpus": series.case.cpus.count(),
        "unit": series.case.workload.unit(),
        "rate": spread(&series.rates),
        "broken": series.broken,
        "stalls": series.stalls,
        "longest_us": series.longest_us,
    });
    match series.beside {
        None => one["to_direct"] = spread(&series.ratios),
        Some(beside) => {
            one["beside"] = json!(beside.name());
            one["asked_per_s"] = json!(beside.asked());
            one["done_per_s"] = spread(&series.done_per_s);
            one["to_alone"] = spread(&series.ratios);
        }
    }
    if !series.against_none.is_empty() {
        one["to_no_policies"] = spread(&series.against_none);
    }
    one
}

/// Minimum, median, maximum, and the number of each round.
fn spread(numbers: &[f64]) -> Value {
    let Some(spread) = Spread::of(numbers) else {
        return Value::Null;
    };
    json!({
        "minimum": rounded(spread.minimum),
        "median": rounded(spread.median),
        "maximum": rounded(spread.maximum),
        "rounds": numbers.iter().copied().map(rounded).collect::<Vec<_>>(),
    })
}

/// Four digits behind the point: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}
