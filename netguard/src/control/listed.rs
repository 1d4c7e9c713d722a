//! Blocks that an operator asks for of whom a feed says never to block, and feeds that could not be asked. What else is guarded is the
//! business of `import`.

use super::{Force, Objections, Objector, RuleAddition};
use crate::{
    daemon::State,
    engine::{Guard, GuardKind},
};

/// Adds to `objections` what feeds say against blocks.
pub(super) fn find_listed(state: &State, additions: &[RuleAddition], objections: &mut Objections) {
    if nobody_asks(additions) {
        return;
    }
    let listed = state.never_block().prefixes.clone();
    if listed.is_empty() {
        return;
    }
    let guard = Guard::new(
        listed
            .into_iter()
            .map(|prefix| (prefix, GuardKind::NeverBlockList)),
    );
    objections.find(Objector::NeverBlock, &guard, additions, |prefix, guarded, _| {
        // Who reads the lists just now may do so for long, and is not waited for.
        let named = state.try_lists().and_then(|lists| lists.protecting_at(&guarded));
        let list = named.as_deref().unwrap_or("a feed");
        format!(
            "blocking {prefix} would touch {guarded}, which {list} says never to block (`netguard feed list`)"
        )
    });
}

/// The feeds that nobody could ask about such blocks, since they were never read.
pub(super) fn unasked(state: &State, additions: &[RuleAddition]) -> Vec<String> {
    match nobody_asks(additions) {
        true => Vec::new(),
        false => state.never_block().unread.clone(),
    }
}

fn nobody_asks(additions: &[RuleAddition]) -> bool {
    let overrides = |force: Force| force.overrides(Objector::NeverBlock);
    additions.iter().all(|addition| overrides(addition.force))
}
