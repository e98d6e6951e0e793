//! Runs a law over random input. Every run prints its seed; `PLUMBLINE_SEED` replays one.

use std::fmt::Debug;

use proptest::prelude::{Strategy, any};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// The variable that holds a seed to replay.
const SEED: &str = "PLUMBLINE_SEED";

/// Holds a law over `cases` random values. A failure shows the smallest value found that breaks it,
/// as `show` writes it, and how to run the same again.
pub(crate) fn hold<S: Strategy>(
    cases: u32,
    values: S,
    show: impl Fn(&S::Value) -> String,
    law: impl Fn(&S::Value) -> Result<(), String>,
) where
    S::Value: Debug,
{
    let seed = seed();
    println!("{SEED}={seed}");
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        max_shrink_time: 10_000, // ms: a large tree need not become the smallest
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&values, |value| law(&value).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => panic!(
            "{reason}\n\nsmallest tree:\n{}\nreplay: {SEED}={seed} cargo nextest run -p \
             plumbline-state\n",
            show(&value)
        ),
        Err(TestError::Abort(reason)) => panic!("too many values were left out: {reason}"),
    }
}

/// The seed to replay, or a new one.
fn seed() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may be told which seed to replay"
    )]
    let given = std::env::var(SEED);
    match given {
        Ok(text) => text.parse().expect("PLUMBLINE_SEED is a number"),
        Err(_) => {
            let fresh = any::<u64>().new_tree(&mut TestRunner::default());
            fresh.expect("any number will do").current()
        }
    }
}
