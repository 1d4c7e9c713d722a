//! Calm: what is learnt of calm times beside what is normal, as one daemon leaves it to the next: what is served, what ordinary packets look
//! like, and where they come from. It learns nothing itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    campaign::{Ordinary, Target},
    peace::KeptPeace,
    places::KeptPlaces,
};

/// Services that are remembered at the most: all ports of both protocols.
pub const SERVED: usize = 2 * 65_536;

/// What was served, and when it was last; seconds since 1970.
pub type Served = BTreeMap<Target, u64>;

/// What was learnt, to be kept. What an older daemon did not write is nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calm {
    /// As [`Served`]; keys of JSON are words.
    pub served: Vec<(Target, u64)>,
    pub packets: KeptPeace,
    pub places: KeptPlaces,
    pub ordinary: Ordinary,
}

impl Calm {
    /// Whether all of it can have been learnt.
    pub fn is_sound(&self) -> bool {
        self.served.len() <= SERVED
            && self.packets.is_sound()
            && self.places.is_sound()
            && self.ordinary.is_sound()
    }

    /// Forgets who is ordinary. What is served is known, not learnt.
    pub fn forget(&mut self) {
        *self = Self {
            served: std::mem::take(&mut self.served),
            ..Self::default()
        };
    }
}
