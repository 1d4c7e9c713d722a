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
    /// Somebody is logged in from there.
    Session,
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
            Self::Session => "where somebody is logged in from by ssh",
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
        self.objections(prefix).next()
    }

    /// All guarded prefixes that blocking `prefix` would touch.
    pub fn objections(&self, prefix: &Prefix) -> impl Iterator<Item = (Prefix, GuardKind)> {
        self.entries
            .iter()
            .filter(|(guarded, _)| guarded.covers(prefix) || prefix.covers(guarded))
            .copied()
    }

    /// The parts of `prefix`, as few as can be, whose block would touch nothing guarded.
    pub fn outside(&self, prefix: Prefix) -> Vec<Prefix> {
        let inner = Self::new(self.objections(&prefix));
        if inner.entries.is_empty() {
            return vec![prefix];
        }
        if inner.entries.iter().any(|(guarded, _)| guarded.covers(&prefix)) {
            return Vec::new();
        }
        let halves = prefix.halves().into_iter().flatten();
        halves.flat_map(|half| inner.outside(half)).collect()
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

    #[test]
    fn a_prefix_without_its_guarded_parts() {
        let prefix = |text: &str| text.parse::<Prefix>().expect("a prefix");
        let guard = Guard::new([
            (prefix("192.0.2.1"), GuardKind::Gateway),
            (prefix("192.0.2.2"), GuardKind::OwnAddress),
            (prefix("2001:db8::/32"), GuardKind::Configured),
        ]);
        let outside = |text: &str| -> Vec<String> {
            let parts = guard.outside(prefix(text)).into_iter();
            parts.map(|part| part.to_string()).collect()
        };
        assert_eq!(outside("192.0.2.128/25"), ["192.0.2.128/25"]);
        assert_eq!(
            outside("192.0.2.0/29"),
            ["192.0.2.0/32", "192.0.2.3/32", "192.0.2.4/30"]
        );
        assert_eq!(outside("192.0.2.1"), [""; 0]);
        assert_eq!(outside("2001:db8:7::/48"), [""; 0]);
        let wide = guard.outside(prefix("2001::/16"));
        assert_eq!(wide.len(), 16);
        assert!(wide.iter().all(|part| guard.objection(part).is_none()));
    }
}
