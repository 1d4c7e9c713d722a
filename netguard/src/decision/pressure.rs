//! Whether so much is asked that clients must work first: the checks of each second, and a while after the last busy one. It decides nothing
//! else.

const SECOND_NS: u64 = 1_000_000_000;
/// It lasts so long after the last second that was too busy.
const LASTS_NS: u64 = 30 * SECOND_NS;

/// How much is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressure {
    begun_ns: u64,
    /// Checks of this second, and those that count for pressure.
    checks: u64,
    weighing: u64,
    /// Checks of the last whole second.
    last: u64,
    until_ns: u64,
}

impl Pressure {
    /// Counts a check at `now_ns`.
    pub(super) fn check(&mut self, now_ns: u64) {
        self.roll(now_ns);
        self.checks += 1;
    }

    /// Counts a check that was not refused anyway; `most` a second are no pressure.
    pub(super) fn weigh(&mut self, most: u32, now_ns: u64) {
        self.roll(now_ns);
        self.weighing += 1;
        if self.weighing > u64::from(most) {
            self.until_ns = now_ns.saturating_add(LASTS_NS);
        }
    }

    /// Whether it is high.
    pub(super) const fn is_high(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    /// Checks of the last whole second.
    pub(super) fn per_second(&mut self, now_ns: u64) -> u64 {
        self.roll(now_ns);
        self.last
    }

    fn roll(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.begun_ns);
        if since_ns >= SECOND_NS {
            self.last = if since_ns < 2 * SECOND_NS { self.checks } else { 0 };
            (self.begun_ns, self.checks, self.weighing) = (now_ns, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_second_counts_for_a_while() {
        let mut pressure = Pressure::default();
        let at = 100 * SECOND_NS;
        for _ in 0..20 {
            pressure.check(at);
        }
        for _ in 0..10 {
            pressure.weigh(10, at);
        }
        assert!(!pressure.is_high(at));
        pressure.weigh(10, at + 1);
        assert!(pressure.is_high(at + 1) && pressure.is_high(at + LASTS_NS));
        assert!(!pressure.is_high(at + LASTS_NS + 1));
        pressure.check(at + SECOND_NS);
        assert_eq!(pressure.per_second(at + SECOND_NS), 20);
        assert_eq!(pressure.per_second(at + 9 * SECOND_NS), 0);
    }
}
