//! What the outlier score is worth: attacks that detectors recognise with it and without it, at how many false ones; beside a random cut
//! forest (rcf3) and beside thresholds that are simply halved. On made-up traffic with known truth.

mod traffic;

use std::{hint::black_box, time::Instant};

use anyhow::{Context, Result, anyhow};
use netguard::engine::{
    Baselines, Change, Controller, Features, Tracker, Window,
    detect::{Class, Suspicion, detect_alone},
    outlier::{LENGTH, Outlier, Score, Vector, raise, vector},
};
use rcf3::Forest;

use super::report::Figure;
use traffic::{Attack, HOUR, Traffic};

/// Ticks in a second.
const SECOND: u64 = 20;
/// Hours that are learnt, and of calm in which what is recognised is false.
const LEARNT: u64 = 6;
const CALM: u64 = 12;
/// Attacks, how long each lasts, and how long it is calm before.
const ATTACKS: usize = 400;
const LASTS: u64 = 10 * SECOND;
const BETWEEN: u64 = 30 * SECOND;
/// The part of calm moments that may be unusual: with that the two scores are compared.
const UNUSUAL: f64 = 0.005;

/// Of a hundred attacks, so many more must be recognised with the score of what is unusual than without it, while both are wrong as often.
const LIFT: f64 = 5.0;

/// Scores moments.
type Scorer<'a> = Box<dyn Fn(&Features) -> Option<Score> + 'a>;

/// Measures; takes about a minute.
pub(super) fn measure(rounds: u32) -> Result<Vec<Figure>> {
    let rounds = u64::from(rounds.clamp(1, 3));
    let mut sums: Vec<(String, f64, &'static str)> = Vec::new();
    for round in 0..rounds {
        for (index, (name, value, unit)) in once(round + 1)?.into_iter().enumerate() {
            match sums.get_mut(index) {
                Some(sum) => sum.1 += value,
                None => sums.push((name, value, unit)),
            }
        }
    }
    let means = sums.into_iter();
    let mut figures: Vec<Figure> = means
        .map(|(name, sum, unit)| Figure::plain(&name, sum / rounds as f64, unit))
        .collect();
    let value = |name: &str| {
        figures
            .iter()
            .find(|figure| figure.name == name)
            .map(|figure| figure.value)
    };
    let lift =
        value("recognised, detectors and trees").zip(value("recognised, detectors alone, as false as trees"));
    let (with, without) = lift.context("trees were not measured")?;
    figures.push(Figure::at_least(
        "what trees add at as many false ones",
        with - without,
        "%",
        LIFT,
    ));
    Ok(figures)
}

fn once(seed: u64) -> Result<Vec<(String, f64, &'static str)>> {
    let mut traffic = Traffic::new(seed);
    let mut controller = Controller::default();
    let mut outlier = Outlier::new(seed);
    let mut learnt: Vec<Vector> = Vec::new();
    for tick in 1..=LEARNT * HOUR {
        let features = traffic.next(None);
        if tick.is_multiple_of(SECOND) {
            controller.second(&features);
            learnt.push(vector(&features));
            outlier.learn(&vector(&features));
        }
    }
    let scale = Scale::of(&learnt);
    let forest = forest(seed, &learnt, &scale)?;
    let calm: Vec<Features> = (0..CALM * HOUR).map(|_| traffic.next(None)).collect();
    let attacks: Vec<Vec<(Features, bool)>> =
        (0..ATTACKS).map(|index| attacked(&mut traffic, index)).collect();

    let baselines = controller.baselines();
    let trees = |features: &Features| outlier.score(&vector(features));
    let cut = |features: &Features| -> Option<Score> {
        Some(Score {
            value: forest.score(&scale.deviations(&vector(features))).ok()?,
            threshold: 0.0,
            because: Vec::new(),
        })
    };
    // Both at the same part of unusual moments in the calm.
    let [trees_at, cut_at] = [&trees as &dyn Fn(&Features) -> Option<Score>, &cut].map(|scorer| {
        let mut scores: Vec<f64> = calm
            .iter()
            .step_by(7)
            .filter_map(|moment| Some(scorer(moment)?.value))
            .collect();
        scores.sort_by(f64::total_cmp);
        scores[(scores.len() as f64 * (1.0 - UNUSUAL)) as usize]
    });
    let at = |score: Option<Score>, threshold: f64| score.map(|score| Score { threshold, ..score });
    let scorers: [(&str, Scorer<'_>); 3] = [
        ("trees, as they are", Box::new(trees)),
        ("trees", Box::new(|features| at(trees(features), trees_at))),
        ("rcf3", Box::new(|features| at(cut(features), cut_at))),
    ];
    let mut told = Vec::new();
    for (name, scorer) in &scorers {
        let part = |moments: &[&Features]| {
            let unusual = moments
                .iter()
                .filter(|moment| scorer(moment).is_some_and(|score| score.is_unusual()));
            100.0 * unusual.count() as f64 / moments.len() as f64
        };
        let quiet: Vec<&Features> = calm.iter().step_by(11).collect();
        let loud = attacks.iter().flatten().filter(|(_, attacked)| *attacked);
        let loud: Vec<&Features> = loud.map(|(moment, _)| moment).step_by(3).collect();
        told.push((format!("unusual in calm, {name}"), part(&quiet), "%"));
        told.push((format!("unusual under attack, {name}"), part(&loud), "%"));
    }
    let nothing: Scorer<'_> = Box::new(|_| None);
    let measured = |scorer: &Scorer<'_>, times: f64| {
        let recognised = attacks
            .iter()
            .filter(|attack| recognised(attack, baselines, scorer, times));
        let share = 100.0 * recognised.count() as f64 / ATTACKS as f64;
        (
            share,
            24.0 * begun(&calm, baselines, scorer, times) as f64 / CALM as f64,
        )
    };
    let mut tell = |name: &str, (share, false_ones): (f64, f64)| {
        told.push((format!("recognised, detectors {name}"), share, "%"));
        told.push((format!("false, detectors {name}"), false_ones, "/day"));
    };
    tell("alone", measured(&nothing, 1.0));
    tell("at half thresholds", measured(&nothing, 2.0));
    for (name, scorer) in &scorers {
        let with = measured(scorer, 1.0);
        tell(&format!("and {name}"), with);
        // Alone, but with thresholds as low as make no more false ones than that.
        let (mut low, mut high) = (1.0, 2.0);
        for _ in 0..6 {
            let middle = f64::midpoint(low, high);
            if measured(&nothing, middle).1 <= with.1 {
                low = middle;
            } else {
                high = middle;
            }
        }
        tell(&format!("alone, as false as {name}"), measured(&nothing, low));
    }
    told.extend(costs(seed, &learnt, &scale, &outlier, &forest)?);
    Ok(told)
}

/// Attacks of all classes, from a third of what detectors mind to three times that; each moment, and whether it is attacked.
fn attacked(traffic: &mut Traffic, index: usize) -> Vec<(Features, bool)> {
    let classes: Vec<Class> = Class::ALL.into_iter().filter(|class| class.is_attack()).collect();
    let attack = Attack {
        class: classes[index % classes.len()],
        strength: (3.0_f64).powf(2.0 * (index as f64 + 0.5) / ATTACKS as f64 - 1.0),
        spread: (index / classes.len()).is_multiple_of(2),
    };
    let calm = (0..BETWEEN).map(|_| None);
    let all = calm.chain((0..LASTS).map(|_| Some(attack)));
    all.map(|attack| (traffic.next(attack), attack.is_some()))
        .collect()
}

/// Whether an attack is begun while it lasts.
fn recognised(moments: &[(Features, bool)], baselines: &Baselines, scorer: &Scorer<'_>, times: f64) -> bool {
    let mut tracker = Tracker::default();
    let mut attacked = moments.iter().filter(|(_, attacked)| *attacked);
    attacked.any(|(moment, _)| !step(&mut tracker, moment, baselines, scorer, times).is_empty())
}

/// Attacks that are begun in the calm.
fn begun(calm: &[Features], baselines: &Baselines, scorer: &Scorer<'_>, times: f64) -> usize {
    let mut tracker = Tracker::default();
    let begun = calm
        .iter()
        .flat_map(|moment| step(&mut tracker, moment, baselines, scorer, times));
    begun
        .filter(|change| matches!(change, Change::Begun(_) | Change::Resumed(_)))
        .count()
}

fn step(
    tracker: &mut Tracker,
    moment: &Features,
    baselines: &Baselines,
    scorer: &Scorer<'_>,
    times: f64,
) -> Vec<Change> {
    let mut suspicions: Vec<Suspicion> = detect_alone(moment, baselines);
    suspicions.retain(|suspicion| suspicion.class.is_attack());
    for suspicion in &mut suspicions {
        suspicion.strength *= times;
    }
    if !suspicions.is_empty()
        && let Some(score) = scorer(moment)
    {
        raise(&mut suspicions, &score);
    }
    tracker.step(moment, &suspicions, &Window::default())
}

/// Median and deviation of each number, for a forest that has no scale of its own.
struct Scale([(f32, f32); LENGTH]);

impl Scale {
    fn of(learnt: &[Vector]) -> Self {
        let median = |mut numbers: Vec<f32>| {
            numbers.sort_by(f32::total_cmp);
            numbers.get(numbers.len() / 2).copied().unwrap_or_default()
        };
        Self(std::array::from_fn(|index| {
            let numbers: Vec<f32> = learnt
                .iter()
                .map(|moment| moment[index])
                .filter(|number| number.is_finite())
                .collect();
            let middle = median(numbers.clone());
            let off = numbers.iter().map(|number| (number - middle).abs()).collect();
            (middle, (1.4826 * median(off)).max(0.02))
        }))
    }

    fn deviations(&self, moment: &Vector) -> Vector {
        std::array::from_fn(|index| {
            let (middle, deviation) = self.0[index];
            let deviations = (moment[index] - middle) / deviation;
            if deviations.is_finite() {
                deviations.clamp(-50.0, 50.0)
            } else {
                0.0
            }
        })
    }
}

/// A random cut forest of the size that its makers suggest.
fn forest(seed: u64, learnt: &[Vector], scale: &Scale) -> Result<Forest> {
    let built = Forest::builder(LENGTH)
        .num_trees(50)
        .capacity(256)
        .seed(seed)
        .build();
    let mut forest = built.map_err(|error| anyhow!("rcf3: {error}"))?;
    for moment in learnt {
        let added = forest.update(&scale.deviations(moment));
        added.map_err(|error| anyhow!("rcf3: {error}"))?;
    }
    Ok(forest)
}

/// Time and room that both take.
fn costs(
    seed: u64,
    learnt: &[Vector],
    scale: &Scale,
    outlier: &Outlier,
    forest: &Forest,
) -> Result<Vec<(String, f64, &'static str)>> {
    let each_us = |begun: Instant| begun.elapsed().as_secs_f64() * 1e6 / learnt.len() as f64;
    let mut trees = Outlier::new(seed);
    let begun = Instant::now();
    learnt.iter().for_each(|moment| trees.learn(moment));
    let trees_learn = each_us(begun);
    let begun = Instant::now();
    for moment in learnt {
        black_box(outlier.score(moment));
    }
    let trees_score = each_us(begun);
    let begun = Instant::now();
    self::forest(seed, learnt, scale)?;
    let cut_learn = each_us(begun);
    let begun = Instant::now();
    for moment in learnt {
        black_box(forest.score(&scale.deviations(moment)).ok());
    }
    let cut_score = each_us(begun);
    let trees_bytes = serde_json::to_vec(outlier)?.len() as f64;
    let cut_bytes = forest.to_json().ok().context("rcf3 writes no JSON")?.len() as f64;
    Ok(vec![
        ("to learn a moment, trees".to_owned(), trees_learn, "us"),
        ("to learn a moment, rcf3".to_owned(), cut_learn, "us"),
        ("to score a moment, trees".to_owned(), trees_score, "us"),
        ("to score a moment, rcf3".to_owned(), cut_score, "us"),
        ("state as JSON, trees".to_owned(), trees_bytes / 1024.0, "KiB"),
        ("state as JSON, rcf3".to_owned(), cut_bytes / 1024.0, "KiB"),
    ])
}
