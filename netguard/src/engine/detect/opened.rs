//! Detector: where connections come about as a rule, those that do not are a flood, whatever else goes on: neither a crowd nor what those send who
//! are connected hides them.
//!
//! A request of one moment is acknowledged in another, and programs open several connections at once. So the last ticks are added up, from two to
//! ten of them: what is under way is soon little beside what does not come about. One tick by itself tells no more than that something may begin.

use std::{collections::VecDeque, ops::Range};

use super::{Class, Evidence, Suspicion, syn::FLOOR};
use crate::engine::{Baselines, Features, attack::NO_CROWD, baseline::COMES_ABOUT, feature::Metric};

/// So many times less than what is usual is suspicious.
const FACTOR: f64 = 2.0;
/// Deviations that are chance, half of them since requests come several at once.
const CHANCE: f64 = 6.0;
/// The strongest that one tick tells, and that several tell: also doubled, in an unusual moment, the one keeps nobody from learning, and the other must have
/// been suspected before.
const HINTED: f64 = 0.49;
const BELIEVED: f64 = 9.0;
const _: () = assert!(2.0 * HINTED < 1.0 && 2.0 * BELIEVED < NO_CROWD);
/// Ticks that are added up at most: half a second. A stretch that is as long by itself is no tick.
const TICKS: usize = 10;
const LONG_NS: u64 = 500_000_000;
/// Ticks in which those have answered who are no farther than one of them away, wherever in it they began.
const UNDER_WAY: usize = 2;

/// Connections that were asked for in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Attempts {
    length_ns: u64,
    /// How many got as far as a service, or were answered for it.
    asked: f64,
    /// How many were dropped.
    pub(super) dropped: f64,
    /// How many came about, from request to acknowledgement.
    pub(super) opened: f64,
}

impl Attempts {
    /// `None`: nobody counts what comes about.
    fn of(features: &Features) -> Option<Self> {
        let seconds = features.length_ns as f64 / 1e9;
        let [asked, dropped] = features.asked_and_dropped();
        let asked = (asked - super::scan::scattered(features)).max(0.0);
        Some(Self {
            length_ns: features.length_ns,
            asked: asked * seconds,
            dropped: dropped * seconds,
            opened: features.opened? * seconds,
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            length_ns: self.length_ns.saturating_add(other.length_ns),
            asked: self.asked + other.asked,
            dropped: self.dropped + other.dropped,
            opened: self.opened + other.opened,
        }
    }

    /// What is chance in the difference of both.
    fn chance(&self) -> f64 {
        CHANCE * (self.asked + self.opened).sqrt()
    }

    /// Whether less than this part came about.
    pub(super) fn is_below(&self, share: f64) -> bool {
        self.opened < share * self.asked
    }

    fn per_second(&self, count: f64) -> f64 {
        count * 1e9 / (self.length_ns as f64).max(1.0)
    }
}

/// The last ticks, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Attempts>);

impl Recent {
    /// Nothing but this stretch.
    pub fn of(features: &Features) -> Self {
        Self(Attempts::of(features).into_iter().collect())
    }

    /// Takes in the next tick.
    pub fn take(&mut self, tick: &Features) {
        let Some(attempts) = Attempts::of(tick) else {
            return self.0.clear();
        };
        self.0.truncate(TICKS - 1);
        self.0.push_front(attempts);
    }

    pub(super) fn newest(&self) -> Option<&Attempts> {
        self.0.front()
    }

    /// What the ticks say, and how strong a suspicion they may be: the newest alone; with some before it, where no crowd arrives; and of those the
    /// ones whose connections had time to come about.
    fn sums(&self) -> impl Iterator<Item = (Attempts, f64)> {
        let alone = self.newest().map(|newest| match newest.length_ns {
            LONG_NS.. => (*newest, f64::INFINITY),
            _ => (*newest, HINTED),
        });
        let together = (2..self.0.len()).filter(|newest| !self.is_crowd_arriving(*newest));
        let together = together.map(|newest| self.sum(0..newest));
        let answered = (UNDER_WAY + 1..=self.0.len()).map(|newest| {
            let (sum, under_way) = (self.sum(0..newest), self.sum(0..UNDER_WAY));
            let asked = sum.asked - under_way.asked;
            Attempts { asked, ..sum }
        });
        let added_up = together.chain(answered).map(|sum| (sum, BELIEVED));
        alone.into_iter().chain(added_up)
    }

    fn sum(&self, ticks: Range<usize>) -> Attempts {
        let ticks = self.0.range(ticks);
        ticks.fold(Attempts::default(), |sum, tick| sum.and(*tick))
    }

    /// Whether more comes about in the newest tick than did before the `last` ones: clients who come all at once have got their answers by their second
    /// tick, unless they are farther than a tick away.
    fn is_crowd_arriving(&self, last: usize) -> bool {
        let before = self.sum(last..self.0.len());
        self.newest().is_some_and(|newest| {
            let expected = before.per_second(before.opened) * newest.length_ns as f64 / 1e9;
            newest.opened > expected + CHANCE * expected.max(1.0).sqrt()
        })
    }
}

/// The strongest of what the last ticks say, if it goes on in the newest; `usual` is the part that comes about as a rule.
pub(super) fn hardly_opened(
    features: &Features,
    recent: &Recent,
    baselines: &Baselines,
    usual: f64,
) -> Option<Suspicion> {
    let usual_asked = baselines.usual(Metric::Syn, features.wall_s);
    let threshold = FLOOR.max(usual_asked.unwrap_or(0.0) / FACTOR);
    let least = COMES_ABOUT * usual;
    recent.newest().filter(|newest| newest.is_below(least))?;
    let suspicious = recent.sums().filter_map(|(sum, most)| {
        let unanswered = sum.per_second(sum.asked - sum.opened - sum.chance());
        let strength = (unanswered / threshold).min(most);
        (sum.is_below(least) && unanswered > 0.0).then_some((strength, unanswered, sum))
    });
    let (strength, unanswered, sum) = suspicious.max_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(Suspicion {
        class: Class::SynFlood,
        strength,
        packets: unanswered,
        evidence: vec![
            Evidence {
                what: "connection attempts/s that nobody goes on with".to_owned(),
                value: unanswered,
                threshold,
                usual: usual_asked.map(|asked| asked * (1.0 - usual)),
            },
            Evidence {
                what: "part of the attempts that becomes a connection".to_owned(),
                value: sum.opened / sum.asked,
                threshold: least,
                usual: Some(usual),
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use netguard_common::{Verdict, telemetry::Kind};

    use super::{super::syn::syn_flood, *};
    use crate::engine::feature::tests::second;

    /// A tick of this length in which so many a second ask, come about and are over limits, beside much that is connected.
    fn lasting(length_ms: u64, syn: u64, opened: u64, limited: u64) -> Features {
        let kinds = [(Kind::Syn, syn), (Kind::Ack, 40_000)];
        let mut features = Features {
            opened: Some(opened as f64),
            length_ns: length_ms * 1_000_000,
            ..second(&kinds, &[(Verdict::LimitSyn, limited)])
        };
        features.refused[Kind::Syn as usize] = limited as f64;
        features
    }

    fn tick(syn: u64, opened: u64) -> Features {
        lasting(50, syn, opened, 0)
    }

    fn baselines() -> Baselines {
        let mut baselines = Baselines::default();
        (0..30).for_each(|_| drop(baselines.learn(&lasting(1_000, 150, 149, 0))));
        baselines
    }

    /// How strong the suspicion is after each of `ticks`, behind some that are as usual.
    fn strengths(ticks: &[Features]) -> Vec<f64> {
        let baselines = baselines();
        let mut recent = Recent::default();
        (0..TICKS).for_each(|_| recent.take(&tick(150, 150)));
        let strengths = ticks.iter().map(|tick| {
            recent.take(tick);
            let suspicion = syn_flood(tick, &recent, &baselines);
            suspicion.map_or(0.0, |suspicion| suspicion.strength)
        });
        strengths.collect()
    }

    /// Found in review: whatever else went on hid a flood, since all segments of the machine were held against its requests.
    #[test]
    fn those_that_do_not_come_about_are_a_flood() {
        let beside_connected = strengths(&vec![tick(2_150, 150); 3]);
        assert!(
            beside_connected[0] < 1.0 && beside_connected[1] >= 2.0,
            "{beside_connected:?}"
        );
        let unknown = Features {
            opened: None,
            ..tick(2_150, 0)
        };
        assert_eq!(strengths(&[unknown]), [0.0], "segments go on");
        let far_over = lasting(50, 50_000, 150, 49_000);
        let far_over = strengths(&[far_over.clone(), far_over]);
        assert!(far_over[1] >= 1.0, "few sources, far over their limits");
        let second = lasting(1_000, 5_000, 3_000, 0);
        let told = syn_flood(&second, &Recent::of(&second), &baselines());
        let told = told.map_or(0.0, |told| told.strength);
        assert!(told > 2.0, "little of a crowd, but for a second: {told}");
    }

    /// Beside a crowd, little is chance in a tick, and less so in each that is added.
    #[test]
    fn a_crowd_does_not_hide_it_for_long() {
        let crowd = vec![tick(3_000, 3_000); TICKS];
        let hidden = vec![tick(5_000, 3_000); 5];
        let strengths = strengths(&[crowd, hidden].concat());
        let (before, under_attack) = strengths.split_at(TICKS);
        assert_eq!(before, [0.0; TICKS]);
        assert!(under_attack[0] < 0.5 && under_attack[4] > 1.5, "{under_attack:?}");
    }

    /// Found in review: in a tick of a busy server as many requests as acknowledgements come only on the average; browsers open six connections at
    /// once; and people who were limited were a flood by what their limit dropped.
    #[test]
    fn clients_are_none() {
        assert_eq!(strengths(&[tick(600, 150)]), [0.0], "little, which can be chance");
        assert_eq!(
            strengths(&[tick(1_400, 600), tick(600, 1_400)]),
            [0.0; 2],
            "chance"
        );
        let browsers = strengths(&[tick(1_120, 0), tick(0, 1_120)]);
        assert!(browsers[0] <= HINTED && browsers[1] == 0.0, "{browsers:?}");
        let office = lasting(50, 950, 150, 800);
        assert_eq!(strengths(&[office]), [0.0], "an office over its limit");
    }

    /// Found in review: what a pool of connections opened at once began an attack in the tick in which all of it had come about.
    #[test]
    fn what_is_over_is_none() {
        let strengths = strengths(&[tick(10_150, 150), tick(150, 150), tick(150, 10_150)]);
        assert!(
            strengths[0] <= BELIEVED && strengths[1..] == [0.0; 2],
            "{strengths:?}"
        );
    }

    /// The first tick after a start says no more than any other.
    #[test]
    fn the_first_tick_is_a_tick() {
        let first = tick(20_000, 0);
        let told = syn_flood(&first, &Recent::of(&first), &baselines());
        assert_eq!(told.map(|told| told.strength), Some(HINTED));
    }

    /// Many clients, all at once, who have their answers in their second tick.
    #[test]
    fn a_crowd_that_arrives_is_none() {
        let arriving = [(20_000, 150), (20_000, 2_000), (20_000, 20_000)];
        let stays = [(20_000, 20_000); 12];
        let ticks = arriving.iter().chain(&stays);
        let ticks = ticks.map(|(asked, opened)| tick(*asked, *opened));
        let strengths = strengths(&ticks.collect::<Vec<_>>());
        assert!(
            strengths[0] < NO_CROWD / 2.0 && strengths[1] <= HINTED,
            "{strengths:?}"
        );
        assert_eq!(strengths[2..], [0.0; 13]);
    }
}
