//! Rounds: each case on every place once in turn, so that what the machine does beside it meets all
//! of them alike.

use crate::during::Beside;
use crate::matrix::{Case, Kind, Setup};
use crate::measure::{Meter, Sample};
use crate::places::Place;

/// What one place gave in one case, a number for each round.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) setup: Setup,
    pub(crate) case: Case,
    /// What went on beside it.
    pub(crate) beside: Option<Beside>,
    /// How often a second that was done.
    pub(crate) done_per_s: Vec<f64>,
    /// In the workload's unit.
    pub(crate) rates: Vec<f64>,
    /// To the direct pair's rate in the same round; beside something, to the rate without it.
    pub(crate) ratios: Vec<f64>,
    /// To the rate in the same round of the same setup without policies, where that was measured.
    pub(crate) against_none: Vec<f64>,
    pub(crate) broken: u64,
    pub(crate) stalls: u64,
    pub(crate) longest_us: u64,
    pub(crate) failure: Option<String>,
}

/// The middle of some numbers, and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) minimum: f64,
    pub(crate) median: f64,
    pub(crate) maximum: f64,
}

impl Spread {
    /// Of these numbers; `None` of none.
    pub(crate) fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&minimum, &maximum) = (sorted.first()?, sorted.last()?);
        let half = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[half - 1], sorted[half]),
            _ => sorted[half],
        };
        Some(Self {
            minimum,
            median,
            maximum,
        })
    }
}

/// Measures all cases on all places, round by round.
pub(crate) fn run(meter: &Meter, rounds: u32, cases: &[Case], places: &[Place]) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for case in cases {
        all.extend(places.iter().map(|place| Series::new(place.setup, *case)));
    }
    for round in 0..rounds {
        for (case, series) in cases.iter().zip(all.chunks_mut(places.len())) {
            eprintln!("bench: round {} of {rounds}: {case}", round + 1);
            let mut samples: Vec<(usize, Sample)> = Vec::new();
            // Nobody always stands at the same place of the turn.
            let first = round as usize * places.len() / rounds as usize;
            for at in (0..places.len()).map(|at| (first + at) % places.len()) {
                samples.push((at, meter.measure(&places[at], case)));
            }
            samples.sort_by_key(|(at, _)| *at);
            add(
                series,
                samples.into_iter().map(|(_, sample)| sample).collect(),
            );
        }
    }
    all
}

/// Adds one turn's samples, one for each series.
fn add(series: &mut [Series], samples: Vec<Sample>) {
    let rates: Vec<(Setup, f64)> = series
        .iter()
        .zip(&samples)
        .map(|(series, sample)| (series.setup, sample.rate))
        .collect();
    let of = |kind: Kind| {
        let found = rates.iter().find(|(setup, _)| *setup == Setup::of(kind, 0));
        found.map(|(_, rate)| *rate)
    };
    let direct = of(Kind::Direct);
    for (series, sample) in series.iter_mut().zip(samples) {
        let none = match series.setup.kind {
            Kind::Fleet => of(Kind::Plumbline),
            kind => of(kind),
        };
        series.add(sample, direct, none.filter(|_| series.setup.policies > 0));
    }
}

impl Series {
    pub(crate) fn new(setup: Setup, case: Case) -> Self {
        Self {
            setup,
            case,
            beside: None,
            done_per_s: Vec::new(),
            rates: Vec::new(),
            ratios: Vec::new(),
            against_none: Vec::new(),
            broken: 0,
            stalls: 0,
            longest_us: 0,
            failure: None,
        }
    }

    pub(crate) fn add(&mut self, sample: Sample, direct: Option<f64>, none: Option<f64>) {
        self.rates.push(sample.rate);
        self.ratios
            .extend(direct.map(|direct| sample.rate / direct));
        self.against_none
            .extend(none.map(|none| sample.rate / none));
        self.broken += sample.count.broken;
        self.stalls += sample.count.stalls;
        self.longest_us = self.longest_us.max(sample.count.longest_us);
        if self.failure.is_none() {
            self.failure = sample.count.failure;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        assert_eq!(Spread::of(&[]), None);
        let spread = Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(
            [spread.minimum, spread.median, spread.maximum],
            [1.0, 2.5, 4.0]
        );
        assert_eq!(
            Spread::of(&[3.0, 1.0, 2.0]).unwrap().median.to_bits(),
            2.0_f64.to_bits()
        );
    }
}
