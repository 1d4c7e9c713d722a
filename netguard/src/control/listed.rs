//! Blocks that an operator asks for of whom a list says never to block. What else is guarded is the business of `import`.

use super::{FailedAt, RequestError, RuleAddition};
use crate::{
    bpf::List,
    daemon::State,
    engine::{Guard, GuardKind},
    prefix::Prefix,
};

/// Refuses `additions` to `list` that touch such a list, unless they are forced.
///
/// # Errors
/// With the first of them.
pub(super) fn refuse_listed(state: &State, list: List, additions: &[RuleAddition]) -> Result<(), FailedAt> {
    if list == List::Allow || additions.iter().all(|addition| addition.force) {
        return Ok(());
    }
    let listed = state.never_block().clone();
    let Some((index, guarded)) = first_of(&listed, additions) else {
        return Ok(());
    };
    // Who reads the lists just now may do so for long, and is not waited for.
    let named = state.try_lists().and_then(|lists| lists.protecting_at(&guarded));
    Err(FailedAt {
        index: Some(index),
        error: RequestError::Listed {
            prefix: additions[index].prefix,
            guarded,
            list: named.unwrap_or_else(|| "a feed".to_owned()),
        },
    })
}

/// The first addition that touches one of `listed`, by its index, and which that is.
fn first_of(listed: &[Prefix], additions: &[RuleAddition]) -> Option<(usize, Prefix)> {
    if listed.is_empty() {
        return None;
    }
    let guard = Guard::new(listed.iter().map(|prefix| (*prefix, GuardKind::NeverBlockList)));
    additions.iter().enumerate().find_map(|(index, addition)| {
        let (guarded, _) = guard.objection(&addition.prefix).filter(|_| !addition.force)?;
        Some((index, guarded))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_listed_and_not_forced_is_found() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let addition = |text: &str, force| RuleAddition {
            prefix: prefix(text),
            ttl_s: None,
            note: None,
            force,
        };
        let listed = ["192.0.2.0/24", "2001:db8:1::1", "198.51.100.7"].map(prefix);
        for (additions, expected) in [
            (
                vec![
                    addition("192.0.3.0/24", false),
                    addition("2001:db8:2::/48", false),
                ],
                None,
            ),
            (
                vec![addition("192.0.2.9", true), addition("192.0.2.9", false)],
                Some((1, listed[0])),
            ),
            (vec![addition("2001:db8::/32", false)], Some((0, listed[1]))),
            (vec![addition("198.51.100.7", true)], None),
            (vec![addition("198.51.100.0/28", false)], Some((0, listed[2]))),
        ] {
            assert_eq!(first_of(&listed, &additions), expected, "{additions:?}");
            assert_eq!(first_of(&[], &additions), None);
        }
    }
}
