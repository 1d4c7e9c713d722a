//! What is found of a source, and is nothing to be held against it.

use super::{Finding, Withheld};

/// Connections a second from which on a source is the address of many: a person's programs open some at once, and then none. Behind the address
/// translation of a provider or an office people come and go, and hardly any of them is connected at the same moment.
const BUSY: u64 = 20;

/// What makes that which was found nothing to be held against a source that has so many `connections`.
pub(super) fn excuse(finding: &Finding, connections: u32) -> Option<Withheld> {
    let (opened_per_s, per_s) = (finding.opened_per_s, finding.per_s);
    if opened_per_s >= BUSY {
        return Some(Withheld::Busy { opened_per_s });
    }
    finding
        .is_of_people(connections)
        .then_some(Withheld::People { per_s, connections })
}
