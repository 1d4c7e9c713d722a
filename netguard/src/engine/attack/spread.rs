//! How many sources an attack comes from, in words. Forged sources are many whoever sends them.

use serde::{Deserialize, Serialize};

/// How many sources an attack comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceSpread {
    /// One sends nearly all of it.
    Single,
    /// Few do.
    Several,
    /// Many, of which none stands out.
    Distributed,
}

/// Sources that are few.
const FEW: usize = 16;
/// Sources that are no more than one, by a count that is an estimate.
const ALONE: f64 = 1.5;
/// The part of all packets that is nearly all.
const NEARLY: f64 = 0.9;

impl SourceSpread {
    /// By how many `samples` of dropped packets there are of each source; or, where there are none, by how many sources all traffic had.
    /// `None` where neither tells.
    pub(super) fn of(mut samples: Vec<u32>, sources: Option<f64>) -> Option<Self> {
        samples.sort_unstable_by(|a, b| b.cmp(a));
        let sum = |samples: &[u32]| samples.iter().map(|samples| f64::from(*samples)).sum::<f64>();
        let all = sum(&samples);
        if all > 0.0 {
            let part = |count: usize| sum(&samples[..count.min(samples.len())]) / all;
            return Some(match (part(1), part(FEW)) {
                (one, _) if one >= NEARLY => Self::Single,
                (_, few) if few >= NEARLY => Self::Several,
                _ => Self::Distributed,
            });
        }
        // Beside it come the sources of every day: a single one can be told only where nobody else was there.
        sources.map(|sources| match sources {
            sources if sources <= ALONE => Self::Single,
            sources if sources <= FEW as f64 => Self::Several,
            _ => Self::Distributed,
        })
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Several => "several",
            Self::Distributed => "distributed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_nearly_all_is_alone() {
        use SourceSpread::{Distributed, Several, Single};
        for (samples, sources, spread) in [
            (vec![1_000], Some(9_000.0), Some(Single)),
            (vec![950, 10, 10, 10], None, Some(Single)),
            (vec![100; 16], None, Some(Several)),
            ([vec![500; 10], vec![1; 100]].concat(), None, Some(Several)),
            (vec![1; 300], None, Some(Distributed)),
            (vec![], Some(1.02), Some(Single)),
            (vec![], Some(12.0), Some(Several)),
            (vec![], Some(3_000.0), Some(Distributed)),
            (vec![0], None, None),
            (vec![], None, None),
        ] {
            assert_eq!(SourceSpread::of(samples.clone(), sources), spread, "{samples:?}");
        }
    }
}
