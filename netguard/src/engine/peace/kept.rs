//! Packets of calm times as one daemon leaves them to the next. They are taken up only where they mean the same.

use std::{collections::BTreeSet, fmt::Write as _};

use netguard_common::signature::{FIELDS, WORDS};
use serde::{Deserialize, Serialize};

use super::{KEPT, Peace, STRATA, Stratum};

/// The reservoirs of all strata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptPeace {
    /// Where the fields of a packet lie in its words.
    fields: String,
    strata: Vec<(Stratum, Vec<[u64; WORDS]>)>,
}

impl KeptPeace {
    pub fn is_empty(&self) -> bool {
        self.strata.is_empty()
    }

    /// Whether it can have been learnt.
    pub fn is_sound(&self) -> bool {
        let different: BTreeSet<Stratum> = self.strata.iter().map(|(stratum, _)| *stratum).collect();
        different.len() == self.strata.len()
            && self.strata.len() <= STRATA
            && self.strata.iter().all(|(_, packets)| packets.len() <= KEPT)
    }
}

impl Peace {
    /// What is known to be ordinary, without what may still turn out not to be.
    pub fn kept(&self) -> KeptPeace {
        let strata = self.strata.iter();
        let known = strata.filter(|(_, reservoir)| !reservoir.vectors.is_empty());
        KeptPeace {
            fields: fields(),
            strata: known
                .map(|(stratum, reservoir)| (*stratum, reservoir.vectors.clone()))
                .collect(),
        }
    }

    /// Takes up what was kept, in place of what is known; whether it could: another version may have written packets otherwise. That it is
    /// sound was seen to when it was read ([`super::super::Calm`]).
    pub fn recall(&mut self, kept: KeptPeace) -> bool {
        let is_readable = kept.fields == fields();
        if is_readable {
            self.strata.clear();
            for (stratum, vectors) in kept.strata {
                self.strata.entry(stratum).or_default().vectors = vectors;
            }
        }
        is_readable
    }
}

fn fields() -> String {
    let mut text = format!("{WORDS} words");
    for field in FIELDS {
        // Writing to memory cannot fail.
        let _written = write!(
            text,
            ", {} {}.{}+{}",
            field.name, field.word, field.shift, field.bits
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        peace::{
            SECOND_NS,
            tests::{learnt, seen_at},
        },
        seen::tests::syn,
    };

    fn known() -> Peace {
        let mut peace = Peace::new(1);
        learnt(&mut peace, 1..40, 100, &|index| syn(index as u8, 64, 512, 0));
        peace.settle(60 * SECOND_NS);
        peace.learn(&seen_at(61, &syn(1, 30, 512, 0)));
        peace
    }

    #[test]
    fn what_is_ordinary_outlives_the_daemon_and_what_is_not_known_to_be_does_not() {
        let peace = known();
        let text = serde_json::to_string(&peace.kept()).expect("it is JSON");
        let kept: KeptPeace = serde_json::from_str(&text).expect("the same");
        assert_eq!(kept, peace.kept());
        let mut other = Peace::new(2);
        learnt(&mut other, 1..20, 9, &|_| syn(1, 20, 7, 0));
        assert!(other.recall(kept));
        let stratum = seen_at(1, &syn(1, 64, 512, 0)).stratum;
        assert_eq!(other.like(stratum), peace.like(stratum));
        other.settle(u64::MAX);
        assert_eq!(other.len(), peace.len());
    }

    #[test]
    fn packets_that_mean_something_else_and_more_than_there_can_be_are_left() {
        let kept = known().kept();
        assert!(kept.is_sound());
        let stratum = kept.strata[0].0;
        for strata in [
            vec![(stratum, vec![[0; WORDS]; KEPT + 1])],
            vec![(stratum, Vec::new()); 2],
        ] {
            let more = KeptPeace {
                strata,
                ..kept.clone()
            };
            assert!(!more.is_sound());
        }
        let mut peace = Peace::new(1);
        assert!(!peace.recall(KeptPeace {
            fields: "8 words".to_owned(),
            ..kept
        }));
        assert!(peace.is_empty());
    }
}
