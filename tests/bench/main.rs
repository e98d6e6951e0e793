//! Traffic, measured: Plumbline beside its peers, all of them beside a direct veth pair.
//!
//! ```text
//! arguments  what is asked for
//! matrix     setups and cases, by name
//! places     what stands between a client and a server
//! load       client and server
//! measure    one measurement
//! rounds     all of them, in turns
//! during     the same while the host is busy with commits
//! facts      the machine, the tools, the commit
//! report     tables, JSON, the plot
//! ```
//!
//! Everything happens in network and mount namespaces of the bench's own: the machine's network,
//! its `/run`, `/etc` and `/sys/fs/bpf` are not touched, and all of it goes with the process.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that shows"
)]
#![allow(
    clippy::expect_used,
    reason = "what the bench cannot make is its failure"
)]

mod matrix;
mod arguments;
mod load;
mod places;
mod measure;
mod rounds;
mod during;
mod facts;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rig::lab::Lab;
use rig::machine;

use arguments::{Arguments, Measure, Part};
use facts::Facts;
use matrix::Setup;
use measure::Meter;
use places::Place;
use report::Outcome;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Serve(end)) => {
            if let Err(error) = load::serve(end) {
                eprintln!("bench: the server at {}: {error}", end.server);
                return ExitCode::FAILURE;
            }
        }
        Some(Part::Ask {
            end,
            workload,
            seconds,
            count,
        }) => {
            let limit = Duration::from_secs_f64(seconds);
            let count = load::ask(end, workload, limit, count);
            println!("{}", serde_json::json!(count));
        }
        None => return measure_all(&arguments.measure),
    }
    ExitCode::SUCCESS
}

fn measure_all(asked: &Measure) -> ExitCode {
    if let Some(lack) = machine::lack("bench") {
        eprintln!("bench: {lack}");
        return ExitCode::FAILURE;
    }
    let meter = Meter::new(asked.seconds(), asked.count);
    let facts = Facts::gather(meter.processors.len());
    let result = Lab::run_or("bench", |_| (), |lab| traffic(lab, asked, &meter, facts));
    print!("{}", result.tables());
    let kept = asked
        .write
        .as_deref()
        .map_or(Ok(()), |folder| result.keep(folder));
    if let Err((file, error)) = kept {
        eprintln!("bench: {file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Makes every place and measures every case on it.
fn traffic(lab: &Lab, asked: &Measure, meter: &Meter, facts: Facts) -> Outcome {
    let mut cases = asked.cases();
    for case in cases.extract_if(.., |case| !meter.can(case)) {
        eprintln!("bench: no {case}: there are not so many processors");
    }
    let (setups, rounds) = (asked.setups(), asked.rounds());
    let (places, lacking) = places(lab, meter, &setups);
    let series = match asked.during.as_slice() {
        [] => rounds::run(meter, rounds, &cases, &places),
        during => match places.first() {
            Some(place) => during::run(meter, rounds, &cases, place, during),
            None => Vec::new(),
        },
    };
    Outcome {
        facts,
        rounds,
        seconds: meter.seconds,
        made: places
            .iter()
            .map(|place| (place.setup, place.made))
            .collect(),
        lacking,
        commands: places::commands(&setups),
        series,
    }
}

/// What can be made of these setups, and why the rest cannot.
fn places(lab: &Lab, meter: &Meter, setups: &[Setup]) -> (Vec<Place>, Vec<(Setup, String)>) {
    let (mut places, mut lacking) = (Vec::new(), Vec::new());
    for &setup in setups {
        match Place::make(lab, setup).and_then(|place| meter.checked(place)) {
            Ok(place) => {
                let took = place
                    .made
                    .map_or_else(String::new, |made| format!(" in {made:.1?}"));
                eprintln!("bench: made {setup}{took}");
                places.push(place);
            }
            Err(error) => {
                eprintln!("bench: no {setup}: {error}");
                lacking.push((setup, error));
            }
        }
    }
    (places, lacking)
}
