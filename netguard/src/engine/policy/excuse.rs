//! What is found of a source, and is nothing to be held against it.

use super::{Finding, Withheld};

/// Connections a second from which on a source is the address of many: a person's programs open some at once, and then none. Behind the address
/// translation of a provider or an office people come and go, and hardly any of them is connected at the same moment.
const BUSY: u64 = 20;

/// Packets over the limit for each connection that comes about, which people and their programs send when they do not get through; of more, somebody
/// means harm behind the same address, or makes connections to be spared.
const FOR_EACH: u64 = 100;

/// What makes that which was found nothing to be held against a source that has so many `connections`.
pub(super) fn excuse(finding: &Finding, connections: u32) -> Option<Withheld> {
    let (opened_per_s, per_s) = (finding.opened_per_s, finding.per_s);
    let dropped_per_s = finding.dropped.saturating_mul(1_000_000_000) / finding.over_for_ns.max(1);
    if opened_per_s >= BUSY && dropped_per_s <= FOR_EACH.saturating_mul(opened_per_s) {
        return Some(Withheld::Busy { opened_per_s });
    }
    finding
        .is_of_people(connections)
        .then_some(Withheld::People { per_s, connections })
}
