//! Guard list: what no automatic decision may ever block.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::prefix::Prefix;

/// Why a prefix is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// `decision.trusted_proxies`: whoever comes through it is not it.
    Proxy,
    /// A feed says so.
    NeverBlockList,
}

impl GuardKind {
    /// Whether this machine cannot do without: not even an operator blocks it without insisting.
    pub const fn is_essential(self) -> bool {
        matches!(
            self,
            Self::OwnAddress | Self::Gateway | Self::Resolver | Self::Session
        )
    }

    /// In a sentence: "it is ...".
    pub const fn describe(self) -> &'static str {
        match self {
            Self::OwnAddress => "an address of this machine",
            Self::Gateway => "a gateway",
            Self::Resolver => "a name server",
            Self::Session => "where somebody is logged in from by ssh",
            Self::Allowlist => "on the allowlist",
            Self::Configured => "listed under guard.never_block",
            Self::Proxy => "listed under decision.trusted_proxies",
            Self::NeverBlockList => "on a list of whom never to block (see `netguard feed list`)",
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

/// Guarded prefixes. A machine can have tens of thousands of addresses, and a list to import a million lines: neither is gone
/// through for each of the other.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// In the order of the prefixes: those within another stand behind it, without a gap.
    entries: Vec<(Prefix, GuardKind)>,
    /// The lengths that there are.
    lengths: BTreeSet<u8>,
}

impl Guard {
    pub fn new(entries: impl IntoIterator<Item = (Prefix, GuardKind)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_unstable();
        entries.dedup();
        let lengths = entries.iter().map(|(prefix, _)| prefix.bits()).collect();
        Self { entries, lengths }
    }

    /// The guarded prefix that blocking `prefix` would touch, wholly or in part; of several one of the first kind.
    pub fn objection(&self, prefix: &Prefix) -> Option<(Prefix, GuardKind)> {
        self.objections(prefix).min_by_key(|(_, kind)| *kind)
    }

    /// All guarded prefixes that blocking `prefix` would touch.
    pub fn objections(&self, prefix: &Prefix) -> impl Iterator<Item = (Prefix, GuardKind)> {
        let shorter = self.lengths.range(..prefix.bits());
        let around = shorter.filter_map(|bits| Prefix::truncated(prefix.address(), *bits));
        let around = around.flat_map(|wide| {
            self.starting_at(wide)
                .take_while(move |(guarded, _)| *guarded == wide)
        });
        let inside = self
            .starting_at(*prefix)
            .take_while(|(guarded, _)| prefix.covers(guarded));
        around.chain(inside)
    }

    /// The entries from `prefix` on.
    fn starting_at(&self, prefix: Prefix) -> impl Iterator<Item = (Prefix, GuardKind)> {
        let start = self.entries.partition_point(|(guarded, _)| *guarded < prefix);
        self.entries[start..].iter().copied()
    }

    /// What of `prefix` can be blocked, and what is spared. All of a guarded IPv6 /64 is spared, and where the guarded are
    /// many, wider networks around them: a rule is needed for every piece.
    pub fn carve(&self, prefix: Prefix) -> Carved {
        for (v4, v6) in [(32, 64), (24, 48), (16, 32)] {
            let widened = self.objections(&prefix).map(|(guarded, kind)| {
                // A prefix that is itself longer is cut exactly.
                let [v4, v6] = [v4, v6].map(|longest| prefix.bits().max(longest));
                (guarded.within(v4, v6), kind)
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
    fn all_objections_are_found() {
        let mut state = 1_u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        let mut prefix = || {
            let [a, b] = [draw(4) as u8, draw(256) as u8];
            let length = draw(7) as usize;
            let (address, bits) = match draw(2) {
                0 => (
                    std::net::IpAddr::from([10, a, b, draw(4) as u8]),
                    [20, 22, 24, 28, 30, 31, 32][length],
                ),
                _ => (
                    std::net::IpAddr::from([0x2001, 0xdb8, u16::from(a), u16::from(b) << 8, 0, 0, 0, 1]),
                    [50, 52, 54, 56, 60, 64, 128][length],
                ),
            };
            Prefix::truncated(address, bits).expect("a prefix")
        };
        let entries: BTreeSet<_> = (0..300).map(|_| (prefix(), GuardKind::Configured)).collect();
        let guard = Guard::new(entries.iter().copied());
        let mut touched = 0;
        for _ in 0..3_000 {
            let asked = prefix();
            let found: Vec<_> = guard.objections(&asked).collect();
            let touches = |guarded: &Prefix| guarded.covers(&asked) || asked.covers(guarded);
            let all: BTreeSet<_> = entries
                .iter()
                .copied()
                .filter(|(guarded, _)| touches(guarded))
                .collect();
            assert_eq!(found.len(), all.len(), "{asked}: one is told twice");
            assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), all, "{asked}");
            touched += usize::from(!found.is_empty());
        }
        assert!((100..2_999).contains(&touched), "{touched}");
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
