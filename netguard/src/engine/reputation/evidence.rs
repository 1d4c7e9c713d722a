//! What speaks against a source: kinds of evidence with their weight and how long they last, and what is remembered of each
//! for people. Nothing here finds evidence.

use serde::{Deserialize, Serialize};

use super::Level;

const SECOND_NS: u64 = 1_000_000_000;
/// Bytes of a detail that are kept.
const DETAIL_BYTES: usize = 64;
/// The same again within this time is one reason, met more often.
const SAME_NS: u64 = 60 * SECOND_NS;

/// Where evidence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The flooder detector found it over its limits.
    Flood,
    /// Its packets were dropped in an attack.
    Attack,
    /// It sent packets that cannot be real.
    Malformed,
    /// A feed lists it.
    Feed,
    /// It is one of many that together do what none does enough of to be noticed.
    Campaign,
    /// It kept asking for more than limits of requests allow.
    Requests,
    /// It was found to harm an application.
    Abuse,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Flood,
        Self::Attack,
        Self::Malformed,
        Self::Feed,
        Self::Campaign,
        Self::Requests,
        Self::Abuse,
    ];

    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Attack => "attack",
            Self::Malformed => "malformed",
            Self::Feed => "feed",
            Self::Campaign => "campaign",
            Self::Requests => "requests",
            Self::Abuse => "abuse",
        }
    }

    /// In a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Flood => "it kept exceeding its limits",
            Self::Attack => "its packets were dropped in an attack",
            Self::Malformed => "it sent packets that cannot be real",
            Self::Feed => "a feed lists it",
            Self::Campaign => "it is one of many sources that ask where nobody is",
            Self::Requests => "it kept asking for more than limits of requests allow",
            Self::Abuse => "it harmed an application",
        }
    }

    /// What one piece of it adds.
    pub const fn weight(self) -> Level {
        Level::percent(match self {
            Self::Flood | Self::Abuse => 60,
            Self::Attack => 15,
            Self::Malformed | Self::Campaign | Self::Requests => 10,
            Self::Feed => 20,
        })
    }

    /// What all of it comes to at the most. Who is merely near an attack, or listed by somebody, is never much suspected for that.
    pub const fn most(self) -> Level {
        Level::percent(match self {
            Self::Flood | Self::Abuse => 100,
            Self::Attack | Self::Malformed | Self::Requests => 30,
            Self::Feed | Self::Campaign => 20,
        })
    }

    /// How long half of it lasts, in half-lives of the configuration.
    pub const fn half_lives(self) -> u32 {
        match self {
            Self::Flood | Self::Malformed | Self::Requests | Self::Abuse => 1,
            Self::Attack | Self::Campaign => 3,
            Self::Feed => 6,
        }
    }

    /// How long the same again says nothing new.
    pub const fn pause_ns(self) -> u64 {
        SECOND_NS
            * match self {
                Self::Flood | Self::Abuse => 0,
                Self::Malformed | Self::Requests => 10,
                Self::Attack => 60,
                Self::Campaign => 600,
                Self::Feed => 3_600,
            }
    }
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub kind: Kind,
    /// Whether the source had an established connection then: nobody else's address is in it.
    pub proven: bool,
    /// The verdict, the class of the attack, or the feed.
    pub detail: String,
    /// Dropped packets that it is about, estimated.
    pub packets: u64,
}

/// Evidence as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub kind: Kind,
    pub proven: bool,
    pub first_ns: u64,
    pub last_ns: u64,
    pub times: u32,
    pub packets: u64,
    pub detail: String,
}

impl Reason {
    pub(super) fn new(evidence: &Evidence, at_ns: u64) -> Self {
        let mut detail = evidence.detail.clone();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES));
        Self {
            kind: evidence.kind,
            proven: evidence.proven,
            first_ns: at_ns,
            last_ns: at_ns,
            times: 1,
            packets: evidence.packets,
            detail,
        }
    }

    /// Takes `evidence` in, if it is the same again.
    pub(super) fn is_joined_by(&mut self, evidence: &Evidence, at_ns: u64) -> bool {
        let same = self.kind == evidence.kind
            && self.proven == evidence.proven
            && evidence.detail.starts_with(&self.detail)
            && at_ns.saturating_sub(self.last_ns) < self.kind.pause_ns().saturating_mul(2).max(SAME_NS);
        if same {
            self.last_ns = self.last_ns.max(at_ns);
            self.times = self.times.saturating_add(1);
            self.packets = self.packets.saturating_add(evidence.packets);
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_behaviour_of_its_own_is_enough_for_the_default_threshold() {
        let own = [Kind::Flood, Kind::Abuse];
        let others = Kind::ALL.into_iter().filter(|kind| !own.contains(kind));
        for kind in others {
            assert!(kind.most().score() < 50, "{kind:?}");
            assert!(kind.weight() <= kind.most());
        }
        assert!(own.iter().all(|kind| kind.weight().score() >= 50));
    }

    #[test]
    fn the_same_again_is_one_reason() {
        let mut evidence = Evidence {
            kind: Kind::Flood,
            proven: true,
            detail: "limit-syn".to_owned(),
            packets: 7,
        };
        let mut reason = Reason::new(&evidence, 5 * SECOND_NS);
        assert!(reason.is_joined_by(&evidence, 6 * SECOND_NS));
        assert!(!reason.is_joined_by(&evidence, 66 * SECOND_NS));
        evidence.detail = "limit-udp".to_owned();
        assert!(!reason.is_joined_by(&evidence, 7 * SECOND_NS));
        assert_eq!((reason.times, reason.packets), (2, 14));
        evidence.detail = "\u{e9}".repeat(100);
        assert_eq!(Reason::new(&evidence, 0).detail.len(), DETAIL_BYTES);
    }
}
