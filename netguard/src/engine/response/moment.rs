//! What the responder is told of a moment, and what it answers.

use std::collections::HashSet;

use super::{Mode, Taken};
use crate::engine::{Account, Attack, Baselines, Controller, Features, seen::Seen};

/// What each kind of measure may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSettings {
    pub limits: Mode,
    pub challenge: Mode,
    pub signatures: Mode,
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
    /// Sources with an established connection.
    pub good: &'a HashSet<Account>,
}

impl<'a> Moment<'a> {
    /// The one that `features` are of, which `controller` took in already.
    pub fn of(
        features: &'a Features,
        controller: &'a Controller,
        seen: &'a [Seen],
        good: &'a HashSet<Account>,
    ) -> Self {
        Self {
            now_ns: features.at_ns,
            features,
            baselines: controller.baselines(),
            attacks: controller.tracker().attacks(),
            seen,
            is_calm: controller.is_calm(features.at_ns),
            good,
        }
    }
}

/// A measure that begins or ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    Begin { attack: u64, taken: Taken },
    End { attack: u64, taken: Taken },
}
