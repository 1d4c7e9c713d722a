//! Rhythm: how often two attacks turned (began, came back, ended) together. That alone joins nothing: attacks are many and seconds few.

/// Turns this close together are one moment: an attack is over ten seconds after it was last seen, and told by the second.
const NEAR_NS: u64 = 5_000_000_000;
/// Turns together from which on it is no chance,
const AGAIN: usize = 3;
/// if they are this part of the turns of whoever has fewer.
const LEAST_PART: f64 = 0.6;

/// How two attacks went together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    Never,
    /// They began together.
    Once,
    /// They turned together so often.
    Again(usize),
}

/// How those go together that turned at the times `one` and `other`, in ascending order, the first of them their beginnings.
pub fn together(one: &[u64], other: &[u64]) -> Together {
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    let mut common = 0;
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        if a.abs_diff(**b) <= NEAR_NS {
            common += 1;
            left.next();
            right.next();
        } else if a < b {
            left.next();
        } else {
            right.next();
        }
    }
    let fewer = one.len().min(other.len());
    if common >= AGAIN && common as f64 >= LEAST_PART * fewer as f64 {
        return Together::Again(common);
    }
    match (one.first(), other.first()) {
        (Some(a), Some(b)) if a.abs_diff(*b) <= NEAR_NS => Together::Once,
        _ => Together::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn turns_within_seconds_are_together() {
        let times = |seconds: &[u64]| seconds.iter().map(|at_s| at_s * SECOND).collect::<Vec<_>>();
        for (one, other, expected) in [
            (&[10][..], &[14][..], Together::Once),
            (&[10], &[16], Together::Never),
            (&[10, 40], &[12, 41], Together::Once),
            (&[10, 40, 70], &[12, 41, 74], Together::Again(3)),
            (&[10, 40, 70], &[12, 20, 41, 50, 74, 99], Together::Again(3)),
            // One that comes and goes all the time meets everybody.
            (
                &[10, 40, 70, 100, 130, 160, 190, 220],
                &[11, 55, 85, 115, 145, 161, 205, 221],
                Together::Once,
            ),
            (&[], &[10], Together::Never),
        ] {
            let (one, other) = (times(one), times(other));
            assert_eq!(together(&one, &other), expected, "{one:?} {other:?}");
            assert_eq!(together(&other, &one), expected, "{one:?} {other:?}");
        }
        assert_eq!(together(&[0, u64::MAX], &[u64::MAX]), Together::Never);
    }
}
