//! How long a connection stood: its socket carries since when. It counts nothing.

/// The mark that earlier versions put at sockets: since when they are connected is not known.
const UNDATED: u64 = 1;

const MS: u64 = 1_000_000;

/// The mark of a connection that is opened at `now_ns`; never 0.
#[inline(always)]
pub const fn mark(now_ns: u64) -> u64 {
    if now_ns > UNDATED { now_ns } else { UNDATED }
}

/// How long the connection with `mark` stood when it ends at `now_ns`, to the nearest millisecond; `None` where that is not known.
#[inline(always)]
pub const fn stood_ms(mark: u64, now_ns: u64) -> Option<u64> {
    if mark <= UNDATED || now_ns < mark {
        return None;
    }
    // In two steps: nothing overflows.
    let stood_ns = now_ns - mark;
    Some(stood_ns / MS + (stood_ns % MS >= MS / 2) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_time() {
        for (mark, now_ns, wanted) in [
            (mark(7 * MS), 9 * MS, Some(2)),
            (mark(7 * MS), 7 * MS, Some(0)),
            (mark(7 * MS), 7 * MS + 499_999, Some(0)),
            (mark(7 * MS), 7 * MS + 500_000, Some(1)),
            (mark(2), u64::MAX, Some(u64::MAX / MS + 1)),
            (UNDATED, 9 * MS, None),
            (mark(0), 9 * MS, None),
            (0, 9 * MS, None),
            // No clock does that.
            (mark(7 * MS), 6 * MS, None),
        ] {
            assert_eq!(stood_ms(mark, now_ns), wanted, "{mark} to {now_ns}");
        }
        assert_ne!(mark(0), 0);
    }
}
