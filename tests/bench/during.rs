//! Beside the traffic: commits, swings and link updates on the host that carries it.
//!
//! Each is done on the processor that client and server leave free, so often a second if it can;
//! how often it could is told.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bpf::kernel::Kernel;
use bpf::object::Build;
use clap::ValueEnum;
use rig::host::Host;
use rig::processors::stay_on;
use state::words::generation::CommitRecord;
use state::words::names::FullName;

use crate::matrix::Case;
use crate::measure::{Meter, Sample};
use crate::places::{Place, Revisions, SERVER_NAME, reconcile, revisions};
use crate::rounds::Series;

/// What goes on beside the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Beside {
    /// Whole commits: `reconcile` runs, each for the other one of two revisions.
    Commits,
    /// Stores that make the other slot live, as it is.
    Swings,
    /// Updates of the server's two links, to programs that are loaded for it.
    Links,
}

impl Beside {
    /// Its name on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::Swings => "swings",
            Self::Links => "links",
        }
    }

    /// What a reader is told of it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Commits => "whole commits, a `reconcile` run each",
            Self::Swings => "swings between two ready slots",
            Self::Links => "link updates, to programs that were loaded for it",
        }
    }

    /// How many a second are asked for.
    pub(crate) fn asked(self) -> u32 {
        match self {
            Self::Commits => 40,
            Self::Swings | Self::Links => 100,
        }
    }

    /// How many of them one step is: a container has two links.
    fn of_a_step(self) -> u32 {
        if self == Self::Links { 2 } else { 1 }
    }
}

/// Where pins are by default.
const BASE: &str = "/sys/fs/bpf/plumbline";

/// Measures all cases alone and beside each of these, round by round.
///
/// # Panics
/// Where the place is none of Plumbline's, or its host fails at what it is to do.
pub(crate) fn run(
    meter: &Meter,
    rounds: u32,
    cases: &[Case],
    place: &Place,
    all: &[Beside],
) -> Vec<Series> {
    let host = place.host.as_ref().expect("Plumbline polices a host");
    let revisions = revisions(place, host);
    let mut every = Vec::new();
    for case in cases {
        let with = std::iter::once(None).chain(all.iter().copied().map(Some));
        let mut series: Vec<Series> = with
            .map(|beside| Series {
                beside,
                ..Series::new(place.setup, *case)
            })
            .collect();
        for round in 0..rounds {
            eprintln!("bench: round {} of {rounds}: {case}", round + 1);
            let mut alone = None;
            for series in &mut series {
                let (sample, done) = match series.beside {
                    None => (meter.measure(place, case), None),
                    Some(beside) => {
                        let busy = Busy {
                            beside,
                            host,
                            revisions: &revisions,
                        };
                        let (sample, done) = busy.while_measured(meter, place, case);
                        (sample, Some(done))
                    }
                };
                series.done_per_s.extend(done);
                let against = *alone.get_or_insert(sample.rate);
                series.add(sample, Some(against), None);
            }
        }
        every.extend(series);
    }
    every
}

/// What is done on a host while something is measured.
#[derive(Clone, Copy)]
struct Busy<'a> {
    beside: Beside,
    host: &'a Host,
    revisions: &'a Revisions,
}

impl Busy<'_> {
    /// The sample, and how often a second the host was busied.
    fn while_measured(self, meter: &Meter, place: &Place, case: &Case) -> (Sample, f64) {
        let cpu = meter.processors.first().copied().unwrap_or_default();
        let (stop, stopped) = channel::<()>();
        let (ready, begun) = channel::<()>();
        thread::scope(|scope| {
            let working = scope.spawn(move || {
                self.host.run(move || {
                    stay_on(cpu);
                    self.work(&stopped, || drop(ready))
                })
            });
            // Nothing is sent: who has prepared hangs up, and so does who has measured.
            begun.recv().ok();
            let sample = meter.measure(place, case);
            drop(stop);
            (sample, working.join().expect("its panic has said why"))
        })
    }

    /// Does it again and again until it is stopped; gives how often a second.
    fn work(self, stopped: &Receiver<()>, ready: impl FnOnce()) -> f64 {
        let kernel = Kernel::open(Path::new(BASE)).expect("the base can be opened");
        let kernel = kernel.expect("a commit is live");
        let server = FullName::from_slashed(SERVER_NAME).expect("a name of ours");
        let live = kernel.live().expect("what is live can be read");
        let programs = live.containers.get(&server).and_then(|c| c.programs);
        let programs = programs.expect("the server has programs");
        let build = Build::Plain(programs.constants, programs.build);
        ready();

        let every = Duration::from_secs(1) * self.beside.of_a_step() / self.beside.asked();
        let began = Instant::now();
        let (mut next, mut steps) = (began, 0_u32);
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                break;
            }
            // Who is late does not hurry afterwards.
            next = Instant::now().max(next + every);
            match self.beside {
                Beside::Commits => {
                    let other = &self.revisions[(steps as usize + 1) % 2];
                    reconcile(self.host, &["--quiet", "--rev", other]).succeed();
                }
                Beside::Swings => swing(&kernel),
                Beside::Links => kernel.swap(&server, &build).expect("links can be updated"),
            }
            steps += 1;
        }
        f64::from(steps * self.beside.of_a_step()) / began.elapsed().as_secs_f64()
    }
}

/// Makes the other slot live as it is.
fn swing(kernel: &Kernel) {
    let live = kernel.record();
    let other = CommitRecord {
        generation: live.generation.next(),
        slot: live.slot.other(),
    };
    kernel.store(other).expect("both slots are ready");
}
