//! What campaigns are told of a moment, and what they answer.

use std::collections::{BTreeSet, HashSet};

use netguard_common::{Verdict, packet::protocol};

use super::{Asn, Attempt, Target};
use crate::engine::{Account, Attack, Change, detect::Class, response::Responder, seen::Seen};

/// A moment, as it is told.
pub struct Scene<'a> {
    pub now_ns: u64,
    /// What changed, and all attacks that are remembered.
    pub changes: &'a [Change],
    pub attacks: &'a [Attack],
    pub responder: &'a Responder,
    /// Packets whose heads were told since the moment before.
    pub seen: &'a [Seen],
    /// How many packets passed since then.
    pub passed: u64,
    /// Sources with an established connection.
    pub connected: &'a HashSet<Account>,
    /// Whether nothing is attacked, nor was lately.
    pub is_calm: bool,
    /// Whether anybody serves what a packet asks for; `None` where nobody knows.
    pub is_served: &'a dyn Fn(&Seen) -> Option<bool>,
    /// What is served since the moment before, and was not: who asked for it already meant no harm.
    pub begun: &'a BTreeSet<Target>,
    pub asn: Asn<'a>,
}

/// What changed, by the number of the campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Begun(u64),
    /// An attack joined it, it goes on again, or it has twice as many sources as were told.
    Grown(u64),
    /// It turned out to be the same as an older one, of which it is a part from now on.
    Merged {
        id: u64,
        into: u64,
    },
    /// What its sources asked for is served since. So many of them asked for nothing else; `is_whole`: too little is left to be a probe.
    Withdrawn {
        id: u64,
        sources: usize,
        is_whole: bool,
    },
    Ended(u64),
}

/// Whether an attack goes on that `attempt`, which had this `verdict`, may be a packet of.
pub(super) fn is_flooded(attempt: &Attempt, verdict: Verdict, attacks: &[Attack]) -> bool {
    let floods: &[Class] = match attempt.target.protocol {
        protocol::TCP => &[Class::SynFlood, Class::SegmentFlood, Class::SynAckReflection],
        _ => &[Class::UdpFlood, Class::Reflection, Class::CarpetBombing],
    };
    attacks
        .iter()
        .filter(|attack| attack.is_going())
        .any(|attack| floods.contains(&attack.class) || attack.class.verdicts().contains(&verdict))
}
