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

/// Pieces into which a block is cut at the most.
const MAX_PIECES: usize = 1_024;

/// A block without what is guarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carved {
    pub blocked: Vec<Prefix>,
    pub spared: Vec<(Prefix, GuardKind)>,
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

    /// What of `prefix` can be blocked, and what is spared. All of a guarded IPv6 /64 is spared, and where the guarded are
    /// many, wider networks around them: a rule is needed for every piece.
    pub fn carve(&self, prefix: Prefix) -> Carved {
        for (v4, v6) in [(32, 64), (24, 48), (16, 32)] {
            let widened = self.objections(&prefix).map(|(guarded, kind)| {
                let longest = if guarded.address().is_ipv4() { v4 } else { v6 };
                // A prefix that is itself longer is cut exactly.
                let bits = guarded.bits().min(longest.max(prefix.bits()));
                (
                    Prefix::truncated(guarded.address(), bits).unwrap_or(guarded),
                    kind,
                )
            });
            let around = Self::new(widened);
            let blocked = around.outside(prefix);
            if blocked.len() <= MAX_PIECES {
                let spared = around.entries;
                return Carved { blocked, spared };
            }
        }
        let spared = self.objections(&prefix).take(1).map(|(_, kind)| (prefix, kind));
        Carved {
            blocked: Vec::new(),
            spared: spared.collect(),
        }
    }

    /// The parts of `prefix`, as few as can be, whose block would touch nothing guarded.
    fn outside(&self, prefix: Prefix) -> Vec<Prefix> {
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
            let parts = guard.carve(prefix(text)).blocked.into_iter();
            parts.map(|part| part.to_string()).collect()
        };
        assert_eq!(outside("192.0.2.128/25"), ["192.0.2.128/25"]);
        assert_eq!(
            outside("192.0.2.0/29"),
            ["192.0.2.0/32", "192.0.2.3/32", "192.0.2.4/30"]
        );
        assert_eq!(outside("192.0.2.1"), [""; 0]);
        assert_eq!(outside("2001:db8:7::/48"), [""; 0]);
        let wide = guard.carve(prefix("2001::/16")).blocked;
        assert_eq!(wide.len(), 16);
        assert!(wide.iter().all(|part| guard.objection(part).is_none()));
    }

    #[test]
    fn pieces_are_bounded() {
        let prefix = |text: &str| text.parse::<Prefix>().expect("a prefix");
        let guard = Guard::new((0..3_000_u32).flat_map(|host| {
            // Scattered, so that no two share much.
            let scattered = host.wrapping_mul(0x9e37_79b1);
            let v4 = Prefix::from(std::net::IpAddr::from((10 << 24 | scattered >> 8).to_be_bytes()));
            let v6 = prefix(&format!(
                "2001:db8:{:x}:{:x}::7",
                scattered >> 16,
                scattered & 0xffff
            ));
            [(v4, GuardKind::OwnAddress), (v6, GuardKind::OwnAddress)]
        }));
        for text in ["10.0.0.0/8", "2001:db8::/32", "2001::/16"] {
            let Carved { blocked, spared } = guard.carve(prefix(text));
            assert!(blocked.len() <= MAX_PIECES, "{text}: {}", blocked.len());
            assert!(!spared.is_empty());
            assert!(blocked.iter().all(|part| guard.objection(part).is_none()));
        }
        // Neighbours in one network cost little.
        let guard =
            Guard::new((1..400).map(|host| (prefix(&format!("fe80::{host:x}")), GuardKind::OwnAddress)));
        let Carved { blocked, .. } = guard.carve(prefix("fe80::/10"));
        assert_eq!(blocked.len(), 54);
        assert_eq!(guard.carve(prefix("fe80::7")).blocked.len(), 0);
        assert_eq!(guard.carve(prefix("fe80::f000")).blocked.len(), 1);
    }
}
