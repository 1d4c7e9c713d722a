//! Outliers: how unusual the numbers of a moment are together, learnt without labels from calm moments. It raises a suspicion
//! that there is, and never makes one.
//!
//! What is kept is a sample of moments of the last day or so; trees count them (`trees.rs`), and the score of a moment is how empty
//! it is around it. All that is random follows from a seed.

mod trees;
mod vector;

use serde::{Deserialize, Serialize};

use super::{
    baseline::NormalWhole,
    detect::{Evidence, Suspicion},
};
use trees::{Point, Trees};

pub use vector::{LENGTH, NAMES, Vector, vector};

/// Moments that must have been learnt before anything is unusual.
const READY: u64 = 300;
/// Moments kept; once there are so many, one in so many new ones takes the place of another: each stays for 18 hours in the mean.
const KEPT: usize = 1_024;
const ONE_IN: u64 = 64;
/// Moments that were taken up until the scale is taken anew.
const RESCALE: u32 = 128;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_DEVIATION: f32 = 1.4826;
/// Deviations from the median at which a number is half as far out as can be.
const HALF_OUT: f32 = 4.0;
/// Of the scores of what was learnt, so many are not unusual; and how much above that one must be, in binary orders of magnitude.
const USUAL: f64 = 0.99;
const BEYOND: f32 = 1.0;
/// Numbers that are told of one moment.
const TOLD: usize = 3;

/// What is known of calm moments.
#[derive(Clone, Serialize, Deserialize)]
pub struct Outlier {
    seed: u64,
    learnt: u64,
    points: Vec<Sparse>,
    scale: Scale,
    threshold: f32,
    taken: u32,
    #[serde(skip)]
    trees: Option<Trees>,
}

/// A moment; `None`: could not be told.
type Sparse = [Option<f32>; LENGTH];

/// Median and deviation of each number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scale {
    median: [f32; LENGTH],
    deviation: [f32; LENGTH],
}

/// How unusual a moment is.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    pub value: f64,
    /// From where on it is unusual.
    pub threshold: f64,
    /// Which numbers made it so, by index into [`NAMES`], those that did most first, with their part of `value`.
    pub because: Vec<(usize, f64)>,
}

impl Outlier {
    /// Knows nothing; what will be random follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            learnt: 0,
            points: Vec::new(),
            scale: Scale::default(),
            threshold: 0.0,
            taken: 0,
            trees: None,
        }
    }

    /// Learns a calm moment.
    pub fn learn(&mut self, moment: &Vector) {
        self.learnt += 1;
        let mut random =
            fastrand::Rng::with_seed(self.seed ^ self.learnt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let sparse = moment.map(|number| number.is_finite().then_some(number));
        if self.points.len() < KEPT {
            self.points.push(sparse);
            let point = self.scale.place(&sparse);
            if let Some(trees) = &mut self.trees {
                trees.add(&point);
            }
        } else if random.u64(..ONE_IN) == 0 {
            let index = random.usize(..KEPT);
            let old = std::mem::replace(&mut self.points[index], sparse);
            let (old, new) = (self.scale.place(&old), self.scale.place(&sparse));
            if let Some(trees) = &mut self.trees {
                trees.remove(&old);
                trees.add(&new);
            }
        } else {
            return;
        }
        self.taken += 1;
        if self.learnt == READY || (self.learnt > READY && self.taken >= RESCALE) {
            self.rescale();
        }
    }

    /// Takes scale and threshold anew from the moments that are kept.
    fn rescale(&mut self) {
        self.taken = 0;
        self.scale = Scale::of(&self.points);
        let trees = self.grown();
        let scores = self
            .points
            .iter()
            .map(|point| sum(&trees.score(&self.scale.place(point))));
        let mut scores: Vec<f32> = scores.collect();
        scores.sort_by(f32::total_cmp);
        let index = (scores.len() as f64 * USUAL) as usize;
        let usual = scores.get(index.min(scores.len().saturating_sub(1)));
        self.threshold = usual.copied().unwrap_or_default() + BEYOND;
        self.trees = Some(trees);
    }

    fn grown(&self) -> Trees {
        let mut trees = Trees::new(self.seed);
        for point in &self.points {
            trees.add(&self.scale.place(point));
        }
        trees
    }

    /// Makes what is not saved, after it was read.
    pub fn restored(mut self) -> Self {
        if self.learnt >= READY && !self.points.is_empty() {
            self.trees = Some(self.grown());
        }
        self
    }

    /// Whether all of it can have been learnt.
    pub fn is_sound(&self) -> bool {
        let numbers = self.points.iter().flatten().flatten();
        let scale = self.scale.median.iter().chain(&self.scale.deviation);
        let deviates = self.scale.deviation.iter().all(|deviation| *deviation > 0.0);
        self.points.len() <= KEPT
            && self.points.len() as u64 <= self.learnt
            && numbers
                .chain(scale)
                .chain([&self.threshold])
                .all(|number| number.is_finite())
            && (self.learnt < READY || deviates)
    }

    /// How unusual a moment is; `None` until enough was learnt.
    pub fn score(&self, moment: &Vector) -> Option<Score> {
        let sparse = moment.map(|number| number.is_finite().then_some(number));
        let sides = self.trees.as_ref()?.score(&self.scale.place(&sparse));
        let mut because: Vec<(usize, f64)> = sides.iter().map(|side| f64::from(*side)).enumerate().collect();
        because.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        because.retain(|(_, side)| *side > 0.0);
        because.truncate(TOLD);
        Some(Score {
            value: f64::from(sum(&sides)),
            threshold: f64::from(self.threshold),
            because,
        })
    }

    /// What the newest moment was like, to be told.
    pub fn told(&self, score: Option<&Score>) -> NormalWhole {
        NormalWhole {
            score: score.map(|score| score.value),
            threshold: score.map(|score| score.threshold),
            because: score.map_or_else(Vec::new, |score| {
                let named = score.because.iter();
                named
                    .map(|(index, part)| (NAMES[*index].to_owned(), *part))
                    .collect()
            }),
            learnt: self.learnt,
        }
    }
}

impl Score {
    pub fn is_unusual(&self) -> bool {
        self.value > self.threshold
    }

    /// What it says, beside other evidence.
    fn evidence(&self) -> Evidence {
        let names: Vec<&str> = self.because.iter().map(|(index, _)| NAMES[*index]).collect();
        Evidence {
            what: format!(
                "how unusual all numbers are together, most of all {}",
                names.join(", ")
            ),
            value: self.value,
            threshold: self.threshold,
            usual: None,
        }
    }
}

/// Where a moment is as unusual as that, a suspicion of harm counts twice: half of its threshold is enough, and what is over it begins
/// an attack at once. Where there is no suspicion there is none after it.
pub fn raise<'a>(suspicions: impl IntoIterator<Item = &'a mut Suspicion>, score: &Score) {
    if !score.is_unusual() {
        return;
    }
    let suspicions = suspicions.into_iter();
    for suspicion in suspicions.filter(|suspicion| suspicion.class.is_attack()) {
        suspicion.strength *= 2.0;
        suspicion.evidence.push(score.evidence());
    }
}

impl Scale {
    fn of(points: &[Sparse]) -> Self {
        let mut scale = Self::default();
        for index in 0..LENGTH {
            let mut numbers: Vec<f32> = points.iter().filter_map(|point| point[index]).collect();
            let median = median(&mut numbers);
            let mut off: Vec<f32> = numbers.iter().map(|number| (number - median).abs()).collect();
            let deviation = MAD_TO_DEVIATION * self::median(&mut off);
            scale.median[index] = median;
            scale.deviation[index] = deviation.max(vector::least_spread(index));
        }
        scale
    }

    /// Where a moment lies between 0 and 1; what could not be told lies in the middle.
    fn place(&self, moment: &Sparse) -> Point {
        std::array::from_fn(|index| {
            let Some(number) = moment[index] else {
                return 0.5;
            };
            let deviations = (number - self.median[index]) / self.deviation[index].max(f32::MIN_POSITIVE);
            0.5 + (deviations / HALF_OUT).atan() / std::f32::consts::PI
        })
    }
}

fn median(numbers: &mut [f32]) -> f32 {
    numbers.sort_by(f32::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

fn sum(sides: &[f32; LENGTH]) -> f32 {
    sides.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::Class;

    /// A moment with this rate of UDP, and the other numbers a little different each time.
    fn moment(index: u64, udp: f32) -> Vector {
        let mut moment = [1.0; LENGTH];
        for (number, value) in moment.iter_mut().enumerate() {
            *value = 3.0 + ((index * (number as u64 + 7)) % 23) as f32 / 23.0;
        }
        moment[4] = udp;
        moment[14] = f32::NAN;
        moment
    }

    fn learnt(seed: u64, moments: u64) -> Outlier {
        let mut outlier = Outlier::new(seed);
        for index in 0..moments {
            outlier.learn(&moment(index, 5.0 + (index % 10) as f32 / 20.0));
        }
        outlier
    }

    #[test]
    fn what_was_never_seen_is_unusual_and_it_is_said_why() {
        assert_eq!(
            learnt(1, READY - 1).score(&moment(1, 5.2)),
            None,
            "it is too early"
        );
        let outlier = learnt(1, 2_000);
        let usual = outlier.score(&moment(3_001, 5.2)).expect("it is ready");
        assert!(!usual.is_unusual(), "{usual:?}");
        let odd = outlier.score(&moment(3_001, 12.0)).expect("it is ready");
        assert!(
            odd.is_unusual() && odd.value > usual.value + 1.0,
            "{odd:?} {usual:?}"
        );
        assert_eq!(NAMES[odd.because[0].0], "UDP packets/s", "{odd:?}");
        let told = outlier.told(Some(&odd));
        assert_eq!(
            (told.because[0].0.as_str(), told.learnt),
            ("UDP packets/s", 2_000)
        );
    }

    #[test]
    fn few_of_what_is_usual_is_unusual() {
        let outlier = learnt(1, 5_000);
        let unusual = (0..2_000_u64).filter(|index| {
            let moment = moment(100_003 + index * 3, 5.0 + (index % 10) as f32 / 20.0);
            outlier.score(&moment).is_some_and(|score| score.is_unusual())
        });
        assert!(unusual.count() < 40, "at most two in a hundred");
    }

    #[test]
    fn it_follows_from_its_seed_and_is_bounded() {
        let text = |outlier: &Outlier| serde_json::to_string(outlier).expect("it is JSON");
        assert_eq!(text(&learnt(3, 20_000)), text(&learnt(3, 20_000)));
        assert_ne!(text(&learnt(3, 20_000)), text(&learnt(4, 20_000)));
        let outlier = learnt(3, 20_000);
        assert_eq!(outlier.points.len(), KEPT);
        assert!(text(&outlier).len() < 400_000, "{}", text(&outlier).len());
        let back: Outlier = serde_json::from_str(&text(&outlier)).expect("it is read");
        let back = back.restored();
        assert!(back.is_sound());
        for index in 0..200 {
            let moment = moment(index, 3.0 + index as f32 / 20.0);
            assert_eq!(back.score(&moment), outlier.score(&moment));
        }
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let mut outlier = learnt(1, 2_000);
        let nothing = [f32::NAN; LENGTH];
        assert!(
            outlier
                .score(&nothing)
                .is_some_and(|score| score.value.is_finite())
        );
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN] {
            for _ in 0..500 {
                outlier.learn(&[odd; LENGTH]);
            }
            assert!(outlier.is_sound(), "{odd}");
            assert!(
                outlier
                    .score(&[odd; LENGTH])
                    .is_some_and(|score| score.value.is_finite())
            );
        }
    }

    #[test]
    fn only_what_is_suspected_already_is_raised() {
        let outlier = learnt(1, 2_000);
        let odd = outlier.score(&moment(3_001, 12.0)).expect("it is ready");
        let usual = outlier.score(&moment(3_001, 5.2)).expect("it is ready");
        let suspicion = |class| Suspicion {
            class,
            strength: 0.6,
            packets: 1.0,
            evidence: Vec::new(),
        };
        let mut nothing = [];
        raise(&mut nothing, &odd);
        let mut both = [suspicion(Class::UdpFlood), suspicion(Class::FlashCrowd)];
        raise(&mut both, &usual);
        assert_eq!(both[0], suspicion(Class::UdpFlood));
        raise(&mut both, &odd);
        assert_eq!((both[0].strength, both[0].evidence.len()), (1.2, 1));
        assert_eq!(both[1], suspicion(Class::FlashCrowd), "a crowd is no harm");
    }
}
