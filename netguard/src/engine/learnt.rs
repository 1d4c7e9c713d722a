//! What the controller has learnt: the part of it that outlives the daemon. It learns nothing itself.

use serde::{Deserialize, Serialize};

use super::{Baselines, outlier::Outlier};

/// What was learnt, to be kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Learnt {
    pub baselines: Baselines,
    pub outlier: Outlier,
}

impl Learnt {
    /// Nothing; what will be random follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            baselines: Baselines::default(),
            outlier: Outlier::new(seed),
        }
    }

    /// Whether all of it can have been learnt.
    pub fn is_sound(&self) -> bool {
        self.baselines.is_sound() && self.outlier.is_sound()
    }

    /// Seconds that were learnt of all traffic.
    pub fn seconds(&self) -> u64 {
        self.baselines.learnt_s()
    }
}
