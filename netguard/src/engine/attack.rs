//! Attack: what becomes of suspicions over time. One that is strong, or lasts, begins an attack; it ends when nothing has spoken
//! for it for a while, and comes back under the same number when the same begins again soon: pulses are one attack.

mod record;
mod spread;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::{
    Account, Features, Window,
    detect::{Class, LEAST_STRENGTH, Suspicion},
};

pub use record::{Attack, Point};
pub use spread::SourceSpread;

/// So many times its threshold a suspicion begins an attack at once,
pub(super) const AT_ONCE: f64 = 2.0;
/// and one of less in so many stretches one after the other.
const IN_A_ROW: u32 = 3;
/// Clients from far away look like a flood of SYNs until they have got their answers, a tick later: where connections are asked for, it must have
/// been suspected before, unless it is so many times its threshold.
pub(super) const NO_CROWD: f64 = 20.0;
/// How long nothing must have spoken for an attack before it is over.
const QUIET_NS: u64 = 10_000_000_000;
/// How long after its end the same is taken up again.
const AGAIN_NS: u64 = 120_000_000_000;
/// How long connections that are kept stop what is learnt: they may have come to stay, and send nothing that could be learnt amiss.
const GIVE_IN_NS: u64 = 3_600_000_000_000;
/// Attacks remembered, the newest.
const REMEMBERED: usize = 256;

/// Follows attacks. Numbers begin with 1.
#[derive(Debug, Default)]
pub struct Tracker {
    attacks: Vec<Attack>,
    begun: u64,
    /// How often a class was suspected in a row.
    rows: BTreeMap<Pace, BTreeMap<Class, u32>>,
    /// What the tick before was suspected of.
    told: Vec<Class>,
    /// What the last second was suspected of: the ticks since then tell who is met.
    patient: BTreeSet<Class>,
}

/// What changed in a step, by the number of the attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Begun(u64),
    /// It was over, and is not.
    Resumed(u64),
    Ended(u64),
}

/// What is looked at one after the other: stretches of one kind make a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    Tick,
    Second,
}

impl Tracker {
    /// Takes in what the `features` of a tick look like, and who was dropped meanwhile.
    pub fn step(&mut self, features: &Features, suspicions: &[Suspicion], window: &Window) -> Vec<Change> {
        let now_ns = features.at_ns;
        let mut changes = self.follow(features, suspicions, window, Pace::Tick, now_ns);
        for attack in self.attacks.iter_mut().filter(|attack| attack.is_going()) {
            if self.patient.contains(&attack.class) {
                attack.take_offenders(&offenders(attack.class, window));
            }
            if now_ns.saturating_sub(attack.last_ns) >= QUIET_NS {
                attack.ended_ns = Some(attack.last_ns);
                changes.push(Change::Ended(attack.id));
            }
        }
        changes
    }

    /// Takes in, at `now_ns`, what only the whole `second` before looks like; once for each second.
    pub fn second(&mut self, second: &Features, suspicions: &[Suspicion], now_ns: u64) -> Vec<Change> {
        let changes = self.follow(second, suspicions, &Window::default(), Pace::Second, now_ns);
        let told = suspicions
            .iter()
            .filter(|suspicion| suspicion.strength >= LEAST_STRENGTH);
        self.patient = told.map(|suspicion| suspicion.class).collect();
        changes
    }

    fn follow(
        &mut self,
        features: &Features,
        suspicions: &[Suspicion],
        window: &Window,
        pace: Pace,
        now_ns: u64,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut rows = mem::take(&mut self.rows);
        let before = rows.remove(&pace).unwrap_or_default();
        let mut row_of: BTreeMap<Class, u32> = BTreeMap::new();
        for suspicion in suspicions {
            let class = suspicion.class;
            if suspicion.strength >= 1.0 {
                row_of.insert(class, before.get(&class).map_or(1, |row| row + 1));
            }
            let row = row_of.get(&class).copied().unwrap_or(0);
            let is_crowd = class == Class::SynFlood
                && suspicion.strength < NO_CROWD
                && !(pace == Pace::Second || self.told.contains(&class));
            let begins = suspicion.strength >= AT_ONCE && !is_crowd || row >= IN_A_ROW;
            if begins && self.going(class).is_none() {
                changes.push(self.begin(features, suspicion, now_ns));
            }
            let is_told = suspicion.strength >= LEAST_STRENGTH;
            if let Some(attack) = self.going(class).filter(|_| is_told) {
                attack.go_on(features, suspicion, &offenders(class, window));
            }
        }
        if pace == Pace::Tick {
            self.told = suspicions.iter().map(|suspicion| suspicion.class).collect();
        }
        rows.insert(pace, row_of);
        self.rows = rows;
        changes
    }

    /// The attack of `class` that goes on.
    fn going(&mut self, class: Class) -> Option<&mut Attack> {
        self.attacks
            .iter_mut()
            .find(|attack| attack.class == class && attack.is_going())
    }

    fn begin(&mut self, features: &Features, suspicion: &Suspicion, now_ns: u64) -> Change {
        let start_ns = features.at_ns.saturating_sub(features.length_ns);
        let before = self.attacks.iter_mut().rev();
        let mut before = before.filter(|attack| attack.class == suspicion.class);
        if let Some(attack) = before.next()
            && start_ns.saturating_sub(attack.last_ns) < AGAIN_NS
        {
            attack.ended_ns = None;
            attack.pulses += 1;
            return Change::Resumed(attack.id);
        }
        self.begun += 1;
        if self.attacks.len() >= REMEMBERED {
            // The oldest that is over; where none is there are no more than classes.
            let oldest = self.attacks.iter().position(|attack| !attack.is_going());
            oldest.map(|index| self.attacks.remove(index));
        }
        self.attacks
            .push(Attack::new(self.begun, start_ns, now_ns, suspicion));
        Change::Begun(self.begun)
    }

    /// Attacks, the oldest first.
    pub fn attacks(&self) -> &[Attack] {
        &self.attacks
    }

    pub fn attack(&self, id: u64) -> Option<&Attack> {
        self.attacks.iter().find(|attack| attack.id == id)
    }

    /// Whether an attack by connections that are merely kept goes on for so long at `now_ns` that it is to be taken for what is usual.
    pub fn is_given_in(&self, class: Class, now_ns: u64) -> bool {
        let kept = matches!(class, Class::ConnectionExhaustion | Class::LowAndSlow);
        let mut attacks = self.attacks.iter();
        kept && attacks.any(|attack| {
            attack.class == class && attack.is_going() && now_ns.saturating_sub(attack.begun_ns) >= GIVE_IN_NS
        })
    }

    /// Whether somebody means harm at `now_ns` in a way that nothing is to be learnt from.
    pub fn hinders_learning(&self, now_ns: u64) -> bool {
        let mut attacks = self.attacks.iter();
        attacks.any(|attack| {
            attack.is_going() && attack.class.is_attack() && !self.is_given_in(attack.class, now_ns)
        })
    }

    /// Whether somebody means harm now.
    pub fn is_attacked(&self) -> bool {
        self.attacks
            .iter()
            .any(|attack| attack.is_going() && attack.class.is_attack())
    }
}

/// Whom verdicts of `class` dropped in `window`, how many of its packets, and how many samples say so.
fn offenders(class: Class, window: &Window) -> Vec<(Account, u64, u32)> {
    let of_class = window.accounts.iter();
    of_class
        .filter_map(|(account, activity)| {
            let of_class = activity.sum(|dropped| class.verdicts().contains(&dropped.verdict))?;
            Some((*account, of_class.packets, of_class.samples))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use netguard_common::{Verdict, telemetry::Kind};

    use super::*;
    use crate::engine::{feature::tests::second, observe, window::tests::sample};

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    /// A tracker that sees a flood of UDP of this strength in each tenth of a second.
    fn follow(tracker: &mut Tracker, strengths: impl IntoIterator<Item = (u64, f64)>) -> Vec<(u64, Change)> {
        let mut told = Vec::new();
        for (at_ms, strength) in strengths {
            let mut features = second(&[(Kind::Udp, (strength * 1_000.0) as u64)], &[]);
            (features.at_ns, features.length_ns) = (at_ms * MS, 100 * MS);
            let suspicion = Suspicion {
                class: Class::UdpFlood,
                strength,
                packets: strength * 1_000.0,
                evidence: Vec::new(),
            };
            let suspicions = if strength > 0.0 { &[suspicion][..] } else { &[] };
            let samples = [sample([192, 0, 2, 1], Verdict::LimitUdp, 100)];
            let window = observe(&[], &[], &samples, 0, features.at_ns, features.length_ns);
            let changes = tracker.step(&features, suspicions, &window);
            told.extend(changes.into_iter().map(|change| (at_ms, change)));
        }
        told
    }

    fn every_tenth(from_s: u64, to_s: u64, strength: f64) -> impl Iterator<Item = (u64, f64)> {
        (from_s * 10..to_s * 10).map(move |tenth| (tenth * 100, strength))
    }

    #[test]
    fn what_is_strong_begins_at_once_and_what_is_not_must_last() {
        let mut tracker = Tracker::default();
        assert_eq!(
            follow(&mut tracker, [(10_000, 2.0)]),
            [(10_000, Change::Begun(1))]
        );
        let mut tracker = Tracker::default();
        let weak = [
            (100, 1.1),
            (200, 1.1),
            (300, 0.9),
            (400, 1.1),
            (500, 1.1),
            (600, 1.1),
        ];
        assert_eq!(follow(&mut tracker, weak), [(600, Change::Begun(1))]);
        assert_eq!(follow(&mut Tracker::default(), every_tenth(1, 9, 0.9)), []);
    }

    /// Found in review: each tick judged the same second again, so that one burst was three in a row; and it began after its last packet.
    #[test]
    fn a_second_counts_once_and_under_its_own_time() {
        let mut tracker = Tracker::default();
        let mut changes = Vec::new();
        let mut suspicion = Suspicion {
            class: Class::Scan,
            strength: 1.3,
            packets: 260.0,
            evidence: Vec::new(),
        };
        for at_s in [10, 11, 14] {
            let mut features = second(&[(Kind::Syn, 260)], &[]);
            features.at_ns = at_s * SECOND;
            let suspicions: &[Suspicion] = match at_s {
                14 => &[],
                _ => std::slice::from_ref(&suspicion),
            };
            changes.extend(tracker.second(&features, suspicions, at_s * SECOND + 50 * MS));
            changes.extend(
                follow(&mut tracker, every_tenth(at_s, at_s + 1, 0.0))
                    .into_iter()
                    .map(|(_, change)| change),
            );
        }
        assert_eq!(changes, [], "two seconds are no three");
        suspicion.strength = 2.5;
        let mut features = second(&[(Kind::Syn, 260)], &[]);
        features.at_ns = 20 * SECOND;
        tracker.second(&features, &[suspicion], 20 * SECOND + 50 * MS);
        let attack = tracker.attack(1).expect("it is strong");
        assert_eq!(
            (attack.begun_ns, attack.detected_ns),
            (19 * SECOND, 20 * SECOND + 50 * MS)
        );
        assert_eq!((attack.packets, attack.timeline.len()), (260.0, 1));
    }

    #[test]
    fn clients_from_afar_have_a_tick_to_answer() {
        let mut tracker = Tracker::default();
        let mut look = |strength: f64| {
            let features = second(&[(Kind::Syn, 9_000)], &[]);
            let suspicion = Suspicion {
                class: Class::SynFlood,
                strength,
                packets: 9_000.0,
                evidence: Vec::new(),
            };
            let suspicions = if strength > 0.0 { &[suspicion][..] } else { &[] };
            tracker.step(&features, suspicions, &Window::default()).len()
        };
        // Many at once, who answer; and many who do not.
        assert_eq!([6.0, 0.0, 6.0, 0.0].map(&mut look), [0; 4]);
        assert_eq!([0.5, 6.0].map(&mut look), [0, 1]);
        let mut tracker = Tracker::default();
        let flood = [Suspicion {
            class: Class::SynFlood,
            strength: 20.0,
            packets: 10_000.0,
            evidence: Vec::new(),
        }];
        let features = second(&[(Kind::Syn, 10_000)], &[]);
        assert_eq!(
            tracker.step(&features, &flood, &Window::default()),
            [Change::Begun(1)]
        );
    }

    #[test]
    fn it_goes_on_with_half_the_strength_and_ends_after_a_while() {
        let mut tracker = Tracker::default();
        let begun = follow(
            &mut tracker,
            every_tenth(10, 12, 3.0).chain(every_tenth(12, 40, 0.6)),
        );
        assert_eq!(begun, [(10_000, Change::Begun(1))]);
        assert!(tracker.is_attacked());
        let ended = follow(&mut tracker, every_tenth(40, 60, 0.0));
        assert_eq!(ended, [(49_900, Change::Ended(1))]);
        assert!(!tracker.is_attacked());
        let attack = tracker.attack(1).expect("it is remembered");
        assert_eq!(
            (attack.begun_ns, attack.ended_ns),
            (9_900 * MS, Some(39_900 * MS))
        );
        assert_eq!(attack.peak, 3_000.0);
        assert_eq!(attack.offenders()[0].0, Account::of([192, 0, 2, 1].into()));
    }

    #[test]
    fn pulses_are_one_attack() {
        let mut tracker = Tracker::default();
        let pulses = (0..5).flat_map(|pulse| {
            let start = 100 + pulse * 30;
            every_tenth(start, start + 1, 5.0).chain(every_tenth(start + 1, start + 30, 0.0))
        });
        let told = follow(&mut tracker, pulses);
        let begun = told
            .iter()
            .filter(|(_, change)| matches!(change, Change::Begun(_)));
        let resumed = told
            .iter()
            .filter(|(_, change)| matches!(change, Change::Resumed(1)));
        assert_eq!((begun.count(), resumed.count()), (1, 4));
        assert_eq!(tracker.attack(1).map(|attack| attack.pulses), Some(5));
        let long_after = follow(&mut tracker, every_tenth(10_000, 10_001, 5.0));
        assert_eq!(long_after, [(10_000 * 1_000, Change::Begun(2))]);
    }

    #[test]
    fn memory_is_bounded_and_the_clock_may_jump() {
        let mut tracker = Tracker::default();
        for attack in 0..1_000 {
            let start_s = 1_000 * (attack + 1);
            follow(
                &mut tracker,
                [(start_s * 1_000, 9.0), ((start_s + 20) * 1_000, 0.0)],
            );
        }
        assert_eq!(tracker.attacks().len(), REMEMBERED);
        assert_eq!(tracker.attacks().last().map(|attack| attack.id), Some(1_000));
        follow(&mut tracker, [(5, 9.0), (u64::MAX / MS, 9.0), (0, 9.0)]);
    }

    #[test]
    fn a_long_attack_is_told_in_bounded_points() {
        let mut tracker = Tracker::default();
        follow(&mut tracker, every_tenth(10, 4_000, 3.0));
        let attack = tracker.attack(1).expect("it goes on");
        assert!(attack.timeline.len() <= 256, "{}", attack.timeline.len());
        let last = attack.timeline.last().expect("there are some");
        assert!(last.at_ns > 3_900 * SECOND, "{last:?}");
        let sum: f64 = attack.timeline.iter().map(|point| point.packets).sum();
        assert!(
            (sum - attack.packets).abs() < 0.01 * attack.packets,
            "{sum} {}",
            attack.packets
        );
    }
}
