//! What packets look like while nothing is attacked: a reservoir for each kind, against which a signature is held before it is
//! used. It builds none.

use std::collections::BTreeMap;

use fastrand::Rng;
use netguard_common::signature::{Signature, WORDS};

use super::seen::{Seen, Stratum};

/// Packets kept of a stratum, and strata that are kept. 4 MiB at the most.
const KEPT: usize = 512;
const STRATA: usize = 128;
/// Packets of a stratum that are taken in a second: a reservoir is the mixture of the last half a minute at the least.
const TAKEN_PER_S: u32 = 16;

/// Packets to a port of which a part says something.
const TELLING: usize = 64;

/// The reservoirs.
#[derive(Clone, Debug)]
pub struct Peace {
    strata: BTreeMap<Stratum, Reservoir>,
    chance: Rng,
}

#[derive(Clone, Debug, Default)]
struct Reservoir {
    vectors: Vec<[u64; WORDS]>,
    /// Packets taken in `second`.
    taken: u32,
    second: u64,
}

/// How many of the packets that were held against a signature it fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub hits: usize,
    pub of: usize,
}

impl Share {
    /// 0 to 1.
    pub fn part(self) -> f64 {
        if self.of == 0 {
            0.0
        } else {
            self.hits as f64 / self.of as f64
        }
    }
}

impl Peace {
    /// `seed` decides which packets give way to others.
    pub fn new(seed: u64) -> Self {
        Self {
            strata: BTreeMap::new(),
            chance: Rng::with_seed(seed),
        }
    }

    /// Takes in a packet of a calm time.
    pub fn learn(&mut self, seen: &Seen) {
        if self.strata.len() >= STRATA && !self.strata.contains_key(&seen.stratum) {
            return;
        }
        let reservoir = self.strata.entry(seen.stratum).or_default();
        let second = seen.head.at_ns / 1_000_000_000;
        if reservoir.second != second {
            (reservoir.second, reservoir.taken) = (second, 0);
        }
        if reservoir.taken >= TAKEN_PER_S {
            return;
        }
        reservoir.taken += 1;
        if reservoir.vectors.len() < KEPT {
            reservoir.vectors.push(seen.vector);
        } else {
            reservoir.vectors[self.chance.usize(..KEPT)] = seen.vector;
        }
    }

    /// Packets of the kind of `stratum`: those to its own port, and those to all others.
    pub fn like(&self, stratum: Stratum) -> (Vec<[u64; WORDS]>, Vec<[u64; WORDS]>) {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (known, reservoir) in &self.strata {
            if (known.protocol, known.opening) == (stratum.protocol, stratum.opening) {
                let is_own = known.port == stratum.port;
                if is_own { &mut own } else { &mut others }.extend_from_slice(&reservoir.vectors);
            }
        }
        (own, others)
    }

    /// The largest part that `signature` fits of the packets to any one port that are of the kind of `stratum`, where enough
    /// are known to tell.
    pub fn worst(&self, signature: &Signature, stratum: Stratum) -> f64 {
        let alike = self
            .strata
            .iter()
            .filter(|(known, _)| (known.protocol, known.opening) == (stratum.protocol, stratum.opening));
        let parts = alike
            .filter(|(_, reservoir)| reservoir.vectors.len() >= TELLING)
            .map(|(_, reservoir)| share(signature, &reservoir.vectors).part());
        parts.fold(0.0, f64::max)
    }

    /// How many packets are known.
    pub fn len(&self) -> usize {
        self.strata
            .values()
            .map(|reservoir| reservoir.vectors.len())
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many of `vectors` `signature` fits.
pub fn share(signature: &Signature, vectors: &[[u64; WORDS]]) -> Share {
    Share {
        hits: vectors.iter().filter(|vector| signature.fits(vector)).count(),
        of: vectors.len(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use netguard_common::{Verdict, head::Head};

    use super::*;
    use crate::engine::seen::tests::{head, syn};

    /// A packet that was seen in the second `second`.
    pub(in crate::engine) fn seen_at(second: u64, frame: &[u8]) -> Seen {
        let at_ns = second * 1_000_000_000;
        Seen::of(&Head {
            at_ns,
            ..head(frame, Verdict::Pass)
        })
        .expect("a packet")
    }

    #[test]
    fn a_second_of_much_does_not_push_out_the_others() {
        let mut peace = Peace::new(1);
        for second in 1..=32 {
            for _ in 0..1_000 {
                peace.learn(&seen_at(second, &syn(second as u8, 64, 512, 0)));
            }
        }
        assert_eq!(peace.len(), KEPT);
        for _ in 0..100_000 {
            peace.learn(&seen_at(33, &syn(99, 64, 512, 0)));
        }
        let stratum = seen_at(1, &syn(1, 64, 512, 0)).stratum;
        let (own, others) = peace.like(stratum);
        assert_eq!((own.len(), others.len()), (KEPT, 0));
        let newest = seen_at(33, &syn(99, 64, 512, 0)).vector;
        assert!(own.iter().filter(|vector| **vector == newest).count() <= 16);
    }

    #[test]
    fn memory_is_bounded() {
        let mut peace = Peace::new(1);
        let mut frame = syn(1, 64, 512, 0);
        for port in 1..=1_000_u16 {
            frame[36..38].copy_from_slice(&port.to_be_bytes());
            peace.learn(&seen_at(u64::from(port), &frame));
        }
        assert_eq!(peace.len(), STRATA);
    }
}
