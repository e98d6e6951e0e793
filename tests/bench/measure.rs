//! One measurement: a server, and a client that counts, each a process in its namespace.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use rig::processors;
use rig::program::Program;

use crate::load::Count;
use crate::matrix::{Case, Cpus, Family, Workload};
use crate::places::Place;

/// What a client may take beyond its time: waiting for its server, and for what broke.
const MARGIN: Duration = Duration::from_secs(60);

/// How measurements are made.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    own: PathBuf,
    /// The processors of client and server; the one that is left is of the bench.
    pub(crate) processors: Vec<usize>,
    pub(crate) seconds: f64,
    pub(crate) count: u64,
}

/// What came of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// In the workload's unit.
    pub(crate) rate: f64,
    pub(crate) count: Count,
}

impl Meter {
    /// One that measures so long, and so many transactions at most.
    pub(crate) fn new(seconds: f64, count: u64) -> Self {
        Self {
            own: std::env::current_exe().expect("a running program has a path"),
            processors: processors::allowed(),
            seconds,
            count,
        }
    }

    /// Whether client and server can have the processors that a case asks for.
    pub(crate) fn can(&self, case: &Case) -> bool {
        self.processors.len() >= case.cpus.count()
    }

    /// A place, where its server answers the client in both families.
    ///
    /// # Errors
    /// Where it does not.
    pub(crate) fn checked(&self, place: Place) -> Result<Place, String> {
        let once = Self {
            count: 1,
            ..self.clone()
        };
        let cases = Case::all(&[Workload::Rr], Family::value_variants(), &[Cpus::One]);
        match cases
            .iter()
            .find_map(|case| once.measure(&place, case).count.failure)
        {
            None => Ok(place),
            Some(failure) => Err(failure),
        }
    }

    /// Measures.
    ///
    /// # Panics
    /// Where a process of the traffic cannot be run.
    pub(crate) fn measure(&self, place: &Place, case: &Case) -> Sample {
        // The first processor serves most interrupts: it is the last to be taken.
        let mut from_the_last = self.processors.iter().rev();
        let client = from_the_last.next().copied().unwrap_or_default();
        let server = match case.cpus {
            Cpus::One => client,
            Cpus::Two => from_the_last.next().copied().unwrap_or(client),
        };
        let at = Place::server_at(case.family).to_string();
        let serve = Program::new(&self.own).args(["serve", &at, &server.to_string()]);
        let served = place.server.run(|| serve.start());
        let ask = Program::new(&self.own)
            .args(["ask", &at, &client.to_string(), case.workload.name()])
            .args([self.seconds.to_string(), self.count.to_string()])
            .limit(Duration::from_secs_f64(self.seconds) + MARGIN);
        let count: Count = serde_json::from_value(place.client.program(&ask).json())
            .expect("a client prints what it counted");
        drop(served);
        Sample {
            rate: rate(case.workload, &count),
            count,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(workload: Workload, count: &Count) -> f64 {
    if count.done == 0 {
        return 0.0;
    }
    let done = count.done as f64;
    match workload {
        Workload::Rr | Workload::Crr => done / count.seconds,
        Workload::Stream => done * 8.0 / count.seconds / 1e9,
    }
}
