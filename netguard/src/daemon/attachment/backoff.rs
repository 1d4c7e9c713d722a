//! When something that was refused is tried again: ever more rarely, since an attempt can cost a driver a reset of its card.

/// Looks between two attempts at the most.
const MAX_WAIT: u32 = 64;

/// Attempts in a row that were refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    count: u32,
    /// Looks until the next attempt.
    wait: u32,
}

impl Backoff {
    /// Whether this look is one to try it again.
    pub(super) const fn is_due(&mut self) -> bool {
        let due = self.wait == 0;
        self.wait = self.wait.saturating_sub(1);
        due
    }

    /// After another attempt that was refused.
    pub(super) fn refused(&mut self) {
        self.wait = (1_u32 << self.count.min(31)).min(MAX_WAIT) - 1;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rare() {
        let mut backoff = Backoff::default();
        let looks: Vec<u32> = (0..200)
            .filter(|_| {
                let due = backoff.is_due();
                if due {
                    backoff.refused();
                }
                due
            })
            .collect();
        assert_eq!(looks, [0, 1, 3, 7, 15, 31, 63, 127, 191]);
    }
}
