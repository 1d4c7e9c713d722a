//! What becomes of a network of which many sources were blocked: a decision beside those on its sources. Whether it is due, reputation says.

use super::{Action, Decision, Withheld, in_mode};
use crate::{
    engine::{
        Guard,
        reputation::{Before, Reputation},
    },
    prefix::Prefix,
};

/// Decides at `now_ns` on `network`, of which the `last` of its sources was blocked.
pub(super) fn decide_on_network(
    network: Prefix,
    last: &Decision,
    guard: &Guard,
    reputation: &mut Reputation,
    now_ns: u64,
) -> Decision {
    let blocked = reputation.blocked_lately(&network, reputation.at(now_ns));
    let mut before = Before::default();
    let action = match guard.objection(&network) {
        Some((prefix, kind)) => Action::Withhold(Withheld::Guarded { prefix, kind }),
        None => match reputation.penalise_network(network, now_ns) {
            Ok((touched, ttl_ns)) => {
                before.touched = touched;
                in_mode(network, ttl_ns, reputation)
            }
            Err(excess) => Action::Withhold(Withheld::Radius {
                prefix: network,
                excess,
            }),
        },
    };
    reputation.count(match &action {
        Action::Block { .. } => "network-blocked",
        Action::Withhold(Withheld::Shadow { .. }) => "network-shadow",
        Action::Withhold(_) => "network-withheld",
    });
    Decision {
        finding: last.finding.clone(),
        action,
        score: last.score,
        repeats: 0,
        before,
        network: Some((network, blocked)),
    }
}
