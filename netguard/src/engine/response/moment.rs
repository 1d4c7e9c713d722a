//! What the responder is told of a moment, and what it answers.

use std::collections::{BTreeSet, HashSet};

use super::{Mode, Taken};
use crate::engine::{Account, Attack, Baselines, Controller, Features, places::Places, seen::Seen};

/// What each kind of measure may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSettings {
    pub limits: Mode,
    pub challenge: Mode,
    pub signatures: Mode,
    pub geo: Mode,
    pub circuit_break: Mode,
    /// Whether the port by which somebody is logged in may be closed to newcomers, too.
    pub break_sessions: bool,
    /// How the stages of the datapath judge that refuse some attacks packet by packet: those for segments of no connection, for answers
    /// that nobody asked for, and for packets that cannot be real.
    pub state: Mode,
    pub reflection: Mode,
    pub sanity: Mode,
}

impl ResponseSettings {
    /// All measures in one mode, under a datapath that refuses what it can.
    pub const fn all(mode: Mode) -> Self {
        Self {
            limits: mode,
            challenge: mode,
            signatures: mode,
            geo: mode,
            circuit_break: mode,
            break_sessions: false,
            state: Mode::Enforce,
            reflection: Mode::Enforce,
            sanity: Mode::Enforce,
        }
    }
}

/// What is known beside the traffic.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// Sources with an established connection.
    pub good: &'a HashSet<Account>,
    /// TCP ports by which somebody is logged in.
    pub sessions: &'a BTreeSet<u16>,
    /// Where sources are.
    pub places: &'a dyn Places,
}

impl Beside<'_> {
    /// The port of `service`, if somebody is logged in by it.
    pub(super) fn session_of(&self, service: &str) -> Option<u16> {
        let port = service.strip_prefix("tcp/")?.parse().ok()?;
        self.sessions.contains(&port).then_some(port)
    }
}

/// A moment, as it is told to the responder.
pub struct Moment<'a> {
    pub now_ns: u64,
    pub features: &'a Features,
    pub baselines: &'a Baselines,
    /// All that are remembered.
    pub attacks: &'a [Attack],
    /// Packets whose heads were told since the moment before.
    pub seen: &'a [Seen],
    /// Whether nothing is attacked, or was lately: what is seen is ordinary then.
    pub is_calm: bool,
    pub beside: Beside<'a>,
}

impl<'a> Moment<'a> {
    /// The one that `features` are of, which `controller` took in already.
    pub fn of(
        features: &'a Features,
        controller: &'a Controller,
        seen: &'a [Seen],
        beside: Beside<'a>,
    ) -> Self {
        Self {
            now_ns: features.at_ns,
            features,
            baselines: controller.baselines(),
            attacks: controller.tracker().attacks(),
            seen,
            is_calm: controller.is_calm(features.at_ns),
            beside,
        }
    }
}

/// A measure that begins or ends, or that begins to drop packets, or not to.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    Begin {
        attack: u64,
        taken: Taken,
    },
    /// It goes on, see [`Taken::restraint`].
    Change {
        attack: u64,
        taken: Taken,
    },
    End {
        attack: u64,
        taken: Taken,
    },
}
