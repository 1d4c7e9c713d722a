//! Follows the automatic blocks that stand: where the rule is gone, none stands any more, and one of somebody essential ends. It decides
//! on no new one.

use std::collections::BTreeSet;

use netguard_common::{layout::Rule, rule::Origin};
use tracing::{info, warn};

use super::{EventKind, State};
use crate::{
    bpf::{BpfError, List},
    clock::monotonic_ns,
    engine::{Guard, Reputation},
    prefix::Prefix,
};

/// Takes over what detectors of an earlier daemon blocked, as far as the kernel still has it.
pub(super) fn find(state: &State, reputation: &mut Reputation, now_ns: u64) {
    let found = state.rules().entries(List::Block).unwrap_or_else(|error| {
        warn!("what was blocked before is not known: {error}");
        Vec::new()
    });
    take_over(found, reputation, now_ns);
}

/// Takes over those of the rules that were `found` which detectors made.
pub(super) fn take_over(found: Vec<(Prefix, Rule)>, reputation: &mut Reputation, now_ns: u64) {
    let found = found.into_iter().filter(|(_, rule)| is_ours(rule, now_ns));
    let found = found.filter_map(|(prefix, rule)| Some((prefix, rule.remaining_ns(now_ns)?)));
    reputation.found_blocks(found, now_ns);
}

/// Every ten seconds: ends what must not be blocked by now, and notices what others have removed.
pub(super) fn follow(state: &State) {
    let now_ns = monotonic_ns();
    let standing: BTreeSet<Prefix> = state.reputation().standing_blocks(now_ns).into_iter().collect();
    if standing.is_empty() {
        return;
    }
    let entries = match state.rules().entries(List::Block) {
        Ok(entries) => entries,
        Err(error) => return warn!("automatic blocks are not looked after: {error}"),
    };
    let guard = state.guard().clone();
    let ours = entries.iter().filter(|(_, rule)| is_ours(rule, now_ns));
    let ours: Vec<Prefix> = ours.map(|(prefix, _)| *prefix).collect();
    for (prefix, why) in essential(&guard, &ours) {
        if let Err(error) = end(state, prefix, now_ns) {
            warn!(%prefix, "it is blocked, although {why}: {error}");
            continue;
        }
        info!(%prefix, "no longer blocked: {why}");
        state.journal.record(EventKind::BlockEnded {
            prefix: prefix.to_string(),
            why,
        });
    }
    let in_force = entries.iter().filter(|(_, rule)| !rule.expired(now_ns));
    for prefix in gone(&standing, in_force.map(|(prefix, _)| *prefix)) {
        state.reputation().block_ended(&prefix, now_ns);
    }
}

/// An operator, or somebody else, removed a rule for `prefix`.
pub(crate) fn removed(state: &State, prefix: &Prefix) {
    state.reputation().block_ended(prefix, monotonic_ns());
}

fn is_ours(rule: &Rule, now_ns: u64) -> bool {
    rule.origin == Origin::Detector as u8 && !rule.expired(now_ns)
}

fn end(state: &State, prefix: Prefix, now_ns: u64) -> Result<(), BpfError> {
    // Whoever holds both takes the rules last.
    let mut reputation = state.reputation();
    state.rules().remove(List::Block, prefix)?;
    reputation.block_ended(&prefix, now_ns);
    Ok(())
}

/// Blocks that touch somebody who is guarded, each with whom, in a sentence.
fn essential(guard: &Guard, blocks: &[Prefix]) -> Vec<(Prefix, String)> {
    let told = |block: &Prefix| {
        let (guarded, kind) = guard.objection(block)?;
        Some((*block, format!("{guarded} is {}", kind.describe())))
    };
    blocks.iter().filter_map(told).collect()
}

/// Those `standing` that no rule in force covers.
fn gone(standing: &BTreeSet<Prefix>, in_force: impl Iterator<Item = Prefix>) -> BTreeSet<Prefix> {
    let mut gone = standing.clone();
    for rule in in_force {
        let within = standing.range(rule..).take_while(|prefix| rule.covers(prefix));
        for prefix in within {
            gone.remove(prefix);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::GuardKind;

    fn prefixes<const N: usize>(texts: [&str; N]) -> [Prefix; N] {
        texts.map(|text| text.parse().expect("a prefix"))
    }

    #[test]
    fn a_block_stands_while_any_rule_covers_it() {
        let standing = BTreeSet::from(prefixes([
            "192.0.2.1",
            "192.0.2.9",
            "2001:db8::/64",
            "2001:db8:7::/48",
        ]));
        let in_force = prefixes(["192.0.2.0/29", "192.0.2.77", "2001:db8::/64", "2001:db8:7:1::/64"]);
        let expected = BTreeSet::from(prefixes(["192.0.2.9", "2001:db8:7::/48"]));
        assert_eq!(gone(&standing, in_force.into_iter()), expected);
        assert_eq!(gone(&standing, standing.iter().copied()), BTreeSet::new());
    }

    /// Found in review: who became a gateway while a detector's block stood was blocked until that ended.
    #[test]
    fn a_block_that_touches_somebody_essential_is_to_end() {
        let [gateway, session] = prefixes(["192.0.2.1", "2001:db8::7"]);
        let guard = Guard::new([(gateway, GuardKind::Gateway), (session, GuardKind::Session)]);
        let blocks = prefixes(["192.0.2.0/24", "198.51.100.1", "2001:db8::/64", "2001:db8::8"]);
        let ending = essential(&guard, &blocks);
        let [first, second] = &ending[..] else {
            panic!("{ending:?}");
        };
        assert_eq!((first.0, second.0), (blocks[0], blocks[2]));
        assert_eq!(first.1, "192.0.2.1/32 is a gateway");
    }
}
