//! Random choices that can be made once more.

/// A seed that is printed, and one number after the other from it (Numerical Recipes, 7.1).
pub(crate) struct Random(u64);

impl Random {
    #[expect(
        clippy::print_stdout,
        reason = "with it a failure can be made once more"
    )]
    pub(crate) fn new() -> Self {
        let given = std::env::var("PLUMBLINE_SEED").ok();
        let seed = given.map_or_else(
            || u64::from(std::process::id()),
            |text| text.parse().unwrap(),
        );
        println!("PLUMBLINE_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}
