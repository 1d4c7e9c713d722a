//! Pieces of packets that nobody needs to cut so small. Whether they are a flood, [`super::flood`] says.

use netguard_common::telemetry::Kind;

use super::Class;
use crate::engine::Features;

/// Pieces behind the first are as long as a link allows, but for the last one of each packet: so short ones are no more than packets. The least that
/// any link has to carry is 576 bytes (RFC 791) or 1280 (RFC 8200). Pieces shorter than this on average, and so many times as many as the
/// packets that came in pieces, belong to none: one that is cut in a tunnel, and again on its way, has two small ones.
const SMALL: f64 = 256.0;
const FOR_EACH_PACKET: f64 = 3.0;
/// So many small ones a second are suspicious, in a tick and in a second: some programs send a packet in small pieces.
pub(super) const IN_A_TICK: f64 = 500.0;
pub(super) const IN_A_SECOND: f64 = 100.0;

/// Pieces a second if they are small, of no packets, and at least so many, or none.
pub(super) fn small(features: &Features, least: f64) -> f64 {
    let fragments = features.of_kinds(&[Kind::Fragment]);
    let are_small = features.fragment_bytes < SMALL * fragments;
    let are_of_none = fragments > FOR_EACH_PACKET * features.cut;
    if are_small && are_of_none && fragments >= least {
        fragments
    } else {
        0.0
    }
}

/// Small pieces of no packet that were dropped: as answers that nobody asked for, among others, since nobody asked for what they are of.
pub(super) fn dropped(features: &Features, least: f64) -> f64 {
    match small(features, least) > 0.0 {
        true => {
            // Some may be for what they are, and not as answers.
            let odd = features.with(Class::FragmentFlood.verdicts());
            (features.refused_of(&[Kind::Fragment]) - odd).max(0.0)
        }
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::Verdict;

    use super::{
        super::{Suspicion, detect_alone, flood::slow_floods},
        *,
    };
    use crate::engine::{Baselines, feature::tests::second};

    #[test]
    fn pieces_that_nobody_needs_to_cut_are_told_and_long_ones_are_not() {
        let cold = Baselines::default();
        let strong = |told: Vec<Suspicion>| {
            let strong = told.into_iter().filter(|suspicion| suspicion.strength >= 1.0);
            strong.map(|suspicion| suspicion.class).collect::<Vec<_>>()
        };
        let pieces = |packets: u64, bytes: f64| Features {
            fragment_bytes: bytes * packets as f64,
            ..second(&[(Kind::Fragment, packets)], &[])
        };
        assert_eq!(
            strong(detect_alone(&pieces(600, 80.0), &cold)),
            [Class::FragmentFlood]
        );
        assert_eq!(
            strong(slow_floods(&pieces(120, 80.0), &cold)),
            [Class::FragmentFlood]
        );
        // A datagram of a file server in two pieces, the second short; and a few small ones.
        assert_eq!(strong(detect_alone(&pieces(3_000, 800.0), &cold)), []);
        assert_eq!(strong(slow_floods(&pieces(3_000, 800.0), &cold)), []);
        assert_eq!(strong(detect_alone(&pieces(400, 80.0), &cold)), []);
        assert_eq!(strong(slow_floods(&pieces(90, 80.0), &cold)), []);
        // A tunnel all of whose packets are a little too long: each has a last piece of a few bytes.
        let tunnel = Features {
            fragment_bytes: 60.0 * 3_000.0,
            cut: 3_000.0,
            ..second(&[(Kind::Udp, 3_000), (Kind::Fragment, 3_000)], &[])
        };
        assert_eq!(strong(detect_alone(&tunnel, &cold)), []);
        assert_eq!(strong(slow_floods(&tunnel, &cold)), []);
        // Nobody asked for them: that makes them no reflection beside, which long ones may be.
        let unasked = |bytes: f64| {
            let mut unasked = Features {
                fragment_bytes: bytes * 3_000.0,
                ..second(&[(Kind::Fragment, 3_000)], &[(Verdict::Reflection, 2_900)])
            };
            unasked.refused[Kind::Fragment as usize] = 2_900.0;
            unasked
        };
        assert_eq!(
            strong(detect_alone(&unasked(80.0), &cold)),
            [Class::FragmentFlood]
        );
        assert_eq!(strong(slow_floods(&unasked(80.0), &cold)), [Class::FragmentFlood]);
        assert_eq!(
            strong(detect_alone(&unasked(1_400.0), &cold)),
            [Class::Reflection]
        );
        // Whatever else comes hides none.
        let beside = Features {
            fragment_bytes: 60.0 * 2_000.0,
            ..second(&[(Kind::Ack, 20_000), (Kind::Fragment, 2_000)], &[])
        };
        assert_eq!(strong(detect_alone(&beside, &cold)), [Class::FragmentFlood]);
    }
}
