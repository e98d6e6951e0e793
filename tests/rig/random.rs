//! Numbers from a seed that is printed: `PLUMBLINE_SEED` plays a run again.

/// One number after the other from a seed (Knuth's MMIX generator).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From `PLUMBLINE_SEED`, else from the process id.
    ///
    /// # Panics
    /// Where `PLUMBLINE_SEED` is no number.
    #[expect(
        clippy::new_without_default,
        clippy::print_stdout,
        reason = "no two are equal, and whoever reads of a failure needs the seed"
    )]
    pub fn new() -> Self {
        let given = std::env::var("PLUMBLINE_SEED").ok();
        let seed = given.map(|text| text.parse().expect("PLUMBLINE_SEED is a number"));
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("PLUMBLINE_SEED={seed}");
        Self(seed)
    }

    /// A number below `most`, which is not 0.
    ///
    /// # Panics
    /// Where it is.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }
}
