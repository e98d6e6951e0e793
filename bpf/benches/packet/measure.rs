//! Batches of packets, and what is left of their time without the harness.

use std::collections::BTreeSet;

use crate::driver::{Driver, Flow, Ran, To, Way};
use crate::scene::Scene;

/// How often each batch is run.
pub(crate) const ROUNDS: usize = 41;

/// What was measured, nanoseconds for each packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            least: values[0],
            median: values[values.len() / 2],
            most: values[values.len() - 1],
        }
    }

    /// Without the harness: the least without its least, all else without its median.
    fn without(self, harness: Self) -> Self {
        Self {
            least: self.least - harness.least,
            median: self.median - harness.median,
            most: self.most - harness.median,
        }
    }
}

/// What is done before each batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// A commit: every cached verdict is stale.
    Commit,
    /// The connections of these containers are forgotten, and the next flows are taken.
    Forget([u16; 2]),
}

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) says: &'static str,
    pub(crate) way: Way,
    pub(crate) frame: Vec<u8>,
    pub(crate) flows: Vec<Flow>,
    /// How many packets a batch is.
    pub(crate) packets: usize,
    pub(crate) before: Before,
    /// What the program answers.
    pub(crate) answer: u32,
    /// Whether the judge is never asked.
    pub(crate) hot: bool,
    /// Whether every packet is dropped.
    pub(crate) denied: bool,
}

/// What came of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) net: Spread,
    pub(crate) whole: Spread,
    pub(crate) harness: Spread,
}

impl Case {
    /// Runs the batches, those of the harness between them.
    pub(crate) fn measure(&self, scene: &Scene, driver: &mut Driver) -> Measured {
        driver.put_flows(&self.flows);
        let dropped = self.dropped(scene);
        let (mut whole, mut harness) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=ROUNDS {
            let first = round * self.packets % driver.flow_count();
            let nothing = self.run(driver, To::Nothing, first);
            self.prepare(scene);
            let ran = self.run(driver, To::Programs, first);
            assert_eq!(ran.answer, self.answer, "{}", self.says);
            if round > 0 {
                harness.push(as_float(nothing.ns));
                whole.push(as_float(ran.ns));
            }
        }
        let packets = if self.denied {
            (ROUNDS + 1) * self.packets
        } else {
            0
        };
        let more = self.dropped(scene) - dropped;
        assert_eq!(
            more,
            u64::try_from(packets).unwrap(),
            "{} was dropped",
            self.says
        );
        if self.hot {
            // Where the judge cannot be reached, whoever needs it is dropped.
            scene.without_judge(|| {
                let walk = driver.flow_count().max(self.packets);
                driver.run(self.way, To::Programs, &self.frame, 0, walk);
            });
            assert_eq!(
                self.dropped(scene) - dropped,
                more,
                "{} was judged",
                self.says
            );
        }
        let (whole, harness) = (Spread::of(whole), Spread::of(harness));
        let net = whole.without(harness);
        Measured {
            net,
            whole,
            harness,
        }
    }

    fn run(&self, driver: &Driver, to: To, first: usize) -> Ran {
        driver.run(self.way, to, &self.frame, first, self.packets)
    }

    fn prepare(&self, scene: &Scene) {
        match self.before {
            Before::Nothing => {}
            Before::Commit => scene.raise_generation(),
            Before::Forget(numbers) => scene.forget(numbers),
        }
    }

    fn dropped(&self, scene: &Scene) -> u64 {
        let senders: BTreeSet<u16> = self.flows.iter().map(|flow| flow.sender).collect();
        scene.dropped(&senders)
    }
}

/// Exact below 2^53.
#[allow(clippy::cast_precision_loss)]
fn as_float(ns: u64) -> f64 {
    ns as f64
}
