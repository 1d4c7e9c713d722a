//! Generated frames, to hold kernel and host against each other. `NETGUARD_SEED` repeats a run.

use std::env;

use netguard_tests::generate::any_frame;
use proptest::{
    strategy::{BoxedStrategy, Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::SHORTEST;

/// Frames of every kind that the kernel takes, without end.
pub(super) struct Generated {
    seed: u64,
    runner: TestRunner,
    strategy: BoxedStrategy<Vec<u8>>,
}

impl Generated {
    /// Tells its seed in the name of `test`.
    pub(super) fn frames(test: &str) -> Self {
        let told = env::var("NETGUARD_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = told.unwrap_or_else(netguard::clock::monotonic_ns);
        println!("{test}: NETGUARD_SEED={seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self {
            seed,
            runner: TestRunner::new_with_rng(Config::default(), rng),
            strategy: any_frame(),
        }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }
}

impl Iterator for Generated {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let tree = self.strategy.new_tree(&mut self.runner);
            let frame = tree.expect("frames can be generated").current();
            if frame.len() >= SHORTEST {
                return Some(frame);
            }
        }
    }
}
