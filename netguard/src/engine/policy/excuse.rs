//! What is found of a source, and is nothing to be held against it.

use super::{Finding, Withheld};

/// Connections a second from which on a source is the address of many: a person's programs open some at once, and then none. Behind the address
/// translation of a provider or an office people come and go, and hardly any of them is connected at the same moment.
const BUSY: u64 = 20;

/// What makes that which was found nothing to be held against anybody.
pub(super) fn excuse(finding: &Finding) -> Option<Withheld> {
    let opened_per_s = finding.opened_per_s;
    (opened_per_s >= BUSY).then_some(Withheld::Busy { opened_per_s })
}
