//! Guard list: what no automatic decision may ever block.

use serde::Serialize;

use crate::prefix::Prefix;

/// Why a prefix is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardKind {
    OwnAddress,
    Gateway,
    Resolver,
    Allowlist,
    /// `guard.never_block` of the configuration.
    Configured,
}

impl GuardKind {
    /// In a sentence: "it is ...".
    pub const fn describe(self) -> &'static str {
        match self {
            Self::OwnAddress => "an address of this machine",
            Self::Gateway => "a gateway",
            Self::Resolver => "a name server",
            Self::Allowlist => "on the allowlist",
            Self::Configured => "listed under guard.never_block",
        }
    }
}

/// Guarded prefixes.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    entries: Vec<(Prefix, GuardKind)>,
}

impl Guard {
    pub fn new(entries: impl IntoIterator<Item = (Prefix, GuardKind)>) -> Self {
        Self {
            entries: entries.into_iter().collect(),
        }
    }

    /// The guarded prefix that blocking `prefix` would touch, wholly or in part.
    pub fn objection(&self, prefix: &Prefix) -> Option<(Prefix, GuardKind)> {
        self.entries
            .iter()
            .find(|(guarded, _)| guarded.covers(prefix) || prefix.covers(guarded))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_in_either_direction_is_an_objection() {
        let prefix = |text: &str| text.parse::<Prefix>().expect("a prefix");
        let guard = Guard::new([
            (prefix("192.0.2.1"), GuardKind::Gateway),
            (prefix("2001:db8::/32"), GuardKind::Configured),
        ]);
        let kind = |text| guard.objection(&prefix(text)).map(|(_, kind)| kind);
        assert_eq!(kind("192.0.2.1"), Some(GuardKind::Gateway));
        assert_eq!(kind("192.0.2.0/24"), Some(GuardKind::Gateway));
        assert_eq!(kind("192.0.2.2"), None);
        assert_eq!(kind("2001:db8:7::/64"), Some(GuardKind::Configured));
        assert_eq!(kind("::/0"), Some(GuardKind::Configured));
    }
}
