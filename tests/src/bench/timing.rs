//! Time as the benchmark takes it: CPU time of the calling thread, and the middle of many figures. The kernel's own figure for a
//! test run is rounded to whole nanoseconds and counts other processes' turns.

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};

/// The figures of one thing over all rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Vec<f64>);

impl Figures {
    pub(super) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The median, if there is any figure.
    pub(super) fn any(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.median())
    }

    /// The figure below which this share of all lies; NaN when there are none.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        sorted
            .get((last * share).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// CPU time that `work` took of this thread, in ns.
pub(super) fn cpu_time_ns<E>(work: impl FnOnce() -> std::result::Result<(), E>) -> Result<f64>
where
    anyhow::Error: From<E>,
{
    let before = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    work()?;
    let after = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let seconds = after.tv_sec() - before.tv_sec();
    let nanoseconds = after.tv_nsec() - before.tv_nsec();
    Ok(seconds as f64 * 1e9 + nanoseconds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_no_mean() {
        let mut figures = Figures::default();
        assert!(figures.median().is_nan());
        for figure in [5.0, 1.0, 1000.0, 3.0, 4.0] {
            figures.push(figure);
        }
        assert_eq!(figures.median(), 4.0);
        assert_eq!([figures.quantile(0.0), figures.quantile(1.0)], [1.0, 1000.0]);
    }
}
