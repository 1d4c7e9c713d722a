//! The kernel's monotonic clock, the one that rules expire by and the datapath reads; and the wall clock, for people only.

use std::time::{Duration, SystemTime};

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

/// The wall clock, for people and for what others wrote with its time: never for what holds how long.
#[expect(
    clippy::disallowed_methods,
    reason = "people and others cannot know this machine's monotonic clock"
)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The wall clock in seconds since 1970; `None`: it is before that.
pub fn wall_clock_s() -> Option<u64> {
    let since = wall_clock().duration_since(SystemTime::UNIX_EPOCH);
    since.ok().map(|since| since.as_secs())
}

/// The wall clock as RFC 3339 in UTC, with milliseconds.
pub fn wall_clock_text() -> String {
    humantime::format_rfc3339_millis(wall_clock()).to_string()
}

/// [`wall_clock_text`] of so long ago; `None`: there was none.
pub fn wall_clock_before(ago: Duration) -> Option<String> {
    let then = wall_clock().checked_sub(ago)?;
    (then >= SystemTime::UNIX_EPOCH).then(|| humantime::format_rfc3339_millis(then).to_string())
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
