//! The kernel's monotonic clock, the one that rules expire by and the datapath reads.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC. Reading it cannot fail on Linux; 0 would mean "just booted".
pub fn monotonic_ns() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else {
        return 0;
    };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The wall clock, for what was written by others with its time: the ends of entries of feeds, and the ages of their files.
#[expect(
    clippy::disallowed_methods,
    reason = "others cannot know this machine's monotonic clock"
)]
pub fn wall_clock() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_advances() {
        let before = super::monotonic_ns();
        assert!(before > 0);
        assert!(super::monotonic_ns() >= before);
    }
}
