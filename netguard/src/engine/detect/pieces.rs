//! Pieces of packets that nobody needs to cut so small. Whether they are a flood, [`super::flood`] says.

use netguard_common::telemetry::Kind;

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
