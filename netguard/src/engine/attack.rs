//! Attack: what becomes of suspicions over time. One that is strong, or lasts, begins an attack; it ends when nothing has spoken
//! for it for a while, and comes back under the same number when the same begins again soon: pulses are one attack.

mod record;
mod spread;

use std::{collections::BTreeMap, mem};

use super::{
    Account, Features, Window,
    detect::{Class, LEAST_STRENGTH, Suspicion},
};

pub use record::{Attack, Point};
pub use spread::SourceSpread;

/// So many times its threshold a suspicion begins an attack at once,
const AT_ONCE: f64 = 2.0;
/// and one of less in so many stretches one after the other.
const IN_A_ROW: u32 = 3;
/// Clients from far away look like a flood of SYNs until they have got their answers, a tick later: where connections are asked for, it must have
/// been suspected before, unless it is so many times its threshold.
const NO_CROWD: f64 = 20.0;
/// How long nothing must have spoken for an attack before it is over.
const QUIET_NS: u64 = 10_000_000_000;
/// How long after its end the same is taken up again.
const AGAIN_NS: u64 = 120_000_000_000;
/// Attacks remembered, the newest.
const REMEMBERED: usize = 256;

/// Follows attacks. Numbers begin with 1.
#[derive(Debug, Default)]
pub struct Tracker {
    attacks: Vec<Attack>,
    begun: u64,
    /// How often a class was suspected in a row.
    rows: BTreeMap<Class, u32>,
    /// What was suspected in the step before.
    told: Vec<Class>,
}

/// What changed in a step, by the number of the attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Begun(u64),
    /// It was over, and is not.
    Resumed(u64),
    Ended(u64),
}

impl Tracker {
    /// Takes in what `features` look like, and who was dropped meanwhile.
    pub fn step(&mut self, features: &Features, suspicions: &[Suspicion], window: &Window) -> Vec<Change> {
        let mut changes = Vec::new();
        let rows = mem::take(&mut self.rows);
        let told = suspicions.iter().map(|suspicion| suspicion.class).collect();
        let before = mem::replace(&mut self.told, told);
        for suspicion in suspicions {
            let class = suspicion.class;
            if suspicion.strength >= 1.0 {
                self.rows.insert(class, rows.get(&class).map_or(1, |row| row + 1));
            }
            let row = self.rows.get(&class).copied().unwrap_or(0);
            let is_crowd =
                class == Class::SynFlood && suspicion.strength < NO_CROWD && !before.contains(&class);
            let begins = suspicion.strength >= AT_ONCE && !is_crowd || row >= IN_A_ROW;
            if begins && self.going(class).is_none() {
                changes.push(self.begin(features, suspicion));
            }
            let is_told = suspicion.strength >= LEAST_STRENGTH;
            if let Some(attack) = self.going(class).filter(|_| is_told) {
                attack.go_on(features, suspicion, &offenders(class, window));
            }
        }
        for attack in self.attacks.iter_mut().filter(|attack| attack.is_going()) {
            if features.at_ns.saturating_sub(attack.last_ns) >= QUIET_NS {
                attack.ended_ns = Some(attack.last_ns);
                changes.push(Change::Ended(attack.id));
            }
        }
        changes
    }

    /// The attack of `class` that goes on.
    fn going(&mut self, class: Class) -> Option<&mut Attack> {
        self.attacks
            .iter_mut()
            .find(|attack| attack.class == class && attack.is_going())
    }

    fn begin(&mut self, features: &Features, suspicion: &Suspicion) -> Change {
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
            .push(Attack::new(self.begun, start_ns, features, suspicion));
        Change::Begun(self.begun)
    }

    /// Attacks, the oldest first.
    pub fn attacks(&self) -> &[Attack] {
        &self.attacks
    }

    pub fn attack(&self, id: u64) -> Option<&Attack> {
        self.attacks.iter().find(|attack| attack.id == id)
    }

    /// Whether somebody means harm now.
    pub fn is_attacked(&self) -> bool {
        self.attacks
            .iter()
            .any(|attack| attack.is_going() && attack.class.is_attack())
    }
}

/// Who was last seen with a verdict of `class` in `window`, how many of its packets were dropped, and how many samples say so.
fn offenders(class: Class, window: &Window) -> Vec<(Account, u64, u32)> {
    let of_class = window.accounts.iter();
    of_class
        .filter(|(_, activity)| class.verdicts().contains(&activity.verdict))
        .map(|(account, activity)| {
            let counts = [activity.limited, activity.shadow_limited, activity.other];
            let packets = counts.into_iter().fold(0, u64::saturating_add);
            (*account, packets, activity.samples)
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
