//! Feeds that say whom never to block: they are no policy, but part of what is spared and of the guard.

use super::{Lists, sources::Source};
use crate::prefix::Prefix;

/// What they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeverBlock {
    pub prefixes: Vec<Prefix>,
    /// Those that were never read, so that nobody knows.
    pub unread: Vec<String>,
}

impl Lists {
    pub(super) fn protecting(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.protects())
    }

    /// Whom never to block, as feeds say.
    pub fn never_block(&self) -> NeverBlock {
        let unread = self.protecting().filter(|source| source.read_ns().is_none());
        NeverBlock {
            prefixes: self.protected_prefixes().collect(),
            unread: unread
                .filter_map(|source| Some(source.name()?.to_owned()))
                .collect(),
        }
    }

    pub(super) fn protected_prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.protecting()
            .flat_map(|source| source.prefixes().iter().copied())
    }

    /// The feed that has `prefix` among those never to block.
    pub(crate) fn protecting_at(&self, prefix: &Prefix) -> Option<String> {
        let source = self
            .protecting()
            .find(|source| source.prefixes().binary_search(prefix).is_ok())?;
        Some(source.name().unwrap_or_default().to_owned())
    }
}
