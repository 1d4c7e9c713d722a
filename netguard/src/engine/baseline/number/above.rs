//! How often a number was above a value, as its sketches say.

use super::Baseline;

/// The quantiles that are asked for.
const PARTS: [f64; 12] = [
    0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999,
];

impl Baseline {
    /// The part of the seconds that were learnt, 0 to 1, in which the number was above `value`, at most; `None` while it is not to be
    /// believed.
    pub fn part_above(&self, value: f64) -> Option<f64> {
        if !self.is_ready() {
            return None;
        }
        if self.values.highest() <= value {
            return Some(0.0);
        }
        let quantiles = self.values.quantiles(PARTS);
        let below = PARTS.iter().zip(quantiles);
        let below = below.filter(|(_, quantile)| quantile.is_some_and(|quantile| quantile <= value));
        Some(1.0 - below.map(|(part, _)| *part).fold(0.0, f64::max))
    }
}
