//! Detector: a source that keeps sending far over its limits. It finds; whether the source may be blocked for
//! it is policy's business.

use std::{collections::HashMap, net::IpAddr};

use netguard_common::Verdict;

use super::{Account, Window, l7::Offence, reputation::Kind, window::vote};

/// Streaks kept at the most; beyond, new ones are not begun.
const MAX_STREAKS: usize = 65_536;
/// A streak survives this long without a sample: sampling is sparse under a flood from elsewhere.
const PAUSE_NS: u64 = 300_000_000;
/// A finding needs this many samples: a single one of great weight is chance.
const MIN_SAMPLES: u32 = 5;

#[derive(Clone, Copy, Debug)]
pub struct FlooderSettings {
    /// How long the source must be over its limits.
    pub over_for_ns: u64,
    /// Dropped packets per second from which on a source counts as over its limits.
    pub min_dropped_per_s: u64,
    /// Count packets that were only counted in shadow mode, too.
    pub count_shadow: bool,
}

/// Sources that are over their limits now.
#[derive(Debug, Default)]
pub struct Flooders {
    streaks: HashMap<Account, Streak>,
}

/// What a detector noticed, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub account: Account,
    /// The address of the account that most of it came from.
    pub source: IpAddr,
    pub cause: Cause,
    /// How long the source has been over its limits.
    pub over_for_ns: u64,
    /// Packets dropped meanwhile, or requests made, estimated; or connections that ended.
    pub dropped: u64,
    /// Requests a second, where it is about requests.
    pub per_s: u64,
    /// Connections a second that the source opened meanwhile, from request to acknowledgement, as far as that is known.
    pub opened_per_s: u64,
}

/// What a source was found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It keeps sending over its limits: this one dropped most.
    Limit(Verdict),
    /// It harms an application.
    Application(Offence),
    /// It opens connections that say nothing, again after such ended; so many of those that it had before these ended, to whatever service.
    SlowConnections { silent: u32, of: u32 },
}

/// What the command line and JSON call [`Cause::SlowConnections`].
pub const SLOW_CONNECTIONS: &str = "slow-connections";

/// Requests a second that no person makes over one connection for long.
const BEYOND_PEOPLE: u64 = 10;
/// The part of the connections of a source that must say nothing, for these not to be those of some of many people.
const MOSTLY_PERCENT: u64 = 75;
/// People behind one address who need not be connected at the same moment.
const COMING_AND_GOING: u32 = 50;

impl Finding {
    /// Whether each of `connections` carries more than people ask for: then many of them do not make it the address of many people.
    pub fn is_beyond_people(&self, connections: u32) -> bool {
        let each = BEYOND_PEOPLE.saturating_mul(connections.into());
        match self.cause {
            Cause::Application(offence) => offence.is_of_requests() && self.per_s >= each,
            // Nearly all that it had, to whatever service, said nothing.
            Cause::SlowConnections { silent, of } => is_nearly_all(silent, connections.max(of)),
            Cause::Limit(_) => false,
        }
    }

    /// Whether all that speaks against it is how many requests there are, and those are no more than people make over its `connections`, or many who
    /// come and go: a large office is over any limit of one source.
    pub fn is_of_people(&self, connections: u32) -> bool {
        matches!(self.cause, Cause::Application(offence) if offence.is_of_volume())
            && !self.is_beyond_people(connections.max(COMING_AND_GOING))
    }

    /// Whether nobody can have forged it, given how many connections of the source are seen now. What was found in a conversation was said by
    /// somebody who heard the answer; the connection may be over by now.
    pub const fn is_proven(&self, connections: u32) -> bool {
        connections > 0 || !matches!(self.cause, Cause::Limit(_))
    }
}

/// Whether so many `silent` connections of a source are nearly all that it has.
pub(super) fn is_nearly_all(silent: u32, of: u32) -> bool {
    u64::from(silent) * 100 >= u64::from(of) * MOSTLY_PERCENT
}

impl Cause {
    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit(verdict) => verdict.name(),
            Self::Application(offence) => offence.name(),
            Self::SlowConnections { .. } => SLOW_CONNECTIONS,
        }
    }

    /// What it is as evidence.
    pub const fn evidence(self) -> Kind {
        match self {
            Self::Limit(_) => Kind::Flood,
            Self::Application(_) | Self::SlowConnections { .. } => Kind::Abuse,
        }
    }
}

/// Connections that a source ever opened, as far as anybody counts; begins anew after the largest number.
pub type Opened<'a> = &'a dyn Fn(IpAddr) -> Option<u32>;

#[derive(Clone, Debug)]
struct Streak {
    source: IpAddr,
    lead: u64,
    /// Packets that each limit dropped.
    limits: Vec<(Verdict, u64)>,
    since_ns: u64,
    last_ns: u64,
    dropped: u64,
    samples: u32,
    /// How many connections the source had opened when it was seen for the second time, and when that was: most are not.
    opened: Option<(u32, u64)>,
}

impl Flooders {
    /// Sources whose streak reached `over_for_ns` in `window`. Each streak is found once, then begins anew.
    pub fn detect(
        &mut self,
        window: &Window,
        settings: &FlooderSettings,
        opened: Opened<'_>,
    ) -> Vec<Finding> {
        let now_ns = window.at_ns;
        self.streaks
            .retain(|_, streak| now_ns.saturating_sub(streak.last_ns) <= PAUSE_NS);
        let mut findings = Vec::new();
        for (&account, activity) in &window.accounts {
            let counts = |shadow: bool| settings.count_shadow || !shadow;
            let limited = activity.sum(|dropped| dropped.is_by_limit() && counts(dropped.shadow));
            let Some(limited) = limited else {
                continue;
            };
            let dropped = limited.packets;
            if window.per_second(dropped) < settings.min_dropped_per_s {
                continue;
            }
            if self.streaks.len() >= MAX_STREAKS && !self.streaks.contains_key(&account) {
                continue;
            }
            let since_ns = now_ns.saturating_sub(window.length_ns);
            let streak = self.streaks.entry(account).or_insert_with(|| Streak {
                source: activity.source,
                lead: 0,
                limits: Vec::with_capacity(1),
                since_ns,
                last_ns: now_ns,
                dropped: 0,
                samples: 0,
                opened: None,
            });
            streak.last_ns = now_ns;
            streak.dropped = streak.dropped.saturating_add(dropped);
            streak.samples = streak.samples.saturating_add(limited.samples);
            vote(&mut streak.source, &mut streak.lead, activity.source, dropped);
            match streak
                .limits
                .iter_mut()
                .find(|(limit, _)| *limit == limited.verdict)
            {
                Some((_, sum)) => *sum = sum.saturating_add(dropped),
                None => streak.limits.push((limited.verdict, dropped)),
            }
            if streak.opened.is_none() && streak.samples > limited.samples {
                streak.opened = opened(streak.source).map(|opened| (opened, now_ns));
            }
            let over_for_ns = now_ns.saturating_sub(streak.since_ns);
            if over_for_ns >= settings.over_for_ns && streak.samples >= MIN_SAMPLES {
                findings.push(Finding {
                    account,
                    source: streak.source,
                    cause: Cause::Limit(streak.limit().unwrap_or(limited.verdict)),
                    over_for_ns,
                    dropped: streak.dropped,
                    per_s: 0,
                    opened_per_s: streak.opened_per_s(opened(streak.source), now_ns),
                });
                self.streaks.remove(&account);
            }
        }
        findings.sort_by_key(|finding| finding.account);
        findings
    }
}

impl Streak {
    /// Connections a second since it was looked first, now that there are `now`. Who was forgotten meanwhile began anew.
    fn opened_per_s(&self, now: Option<u32>, now_ns: u64) -> u64 {
        let (Some(now), Some((then, then_ns))) = (now, self.opened) else {
            return 0;
        };
        let opened = u64::from(now.checked_sub(then).unwrap_or(now));
        opened.saturating_mul(1_000_000_000) / now_ns.saturating_sub(then_ns).max(1)
    }

    /// The limit that dropped most.
    fn limit(&self) -> Option<Verdict> {
        let most = self.limits.iter().max_by_key(|(_, packets)| *packets);
        most.map(|(limit, _)| *limit)
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::layout::Sample;

    use super::*;
    use crate::engine::{observe, window::tests::sample};

    const MS: u64 = 1_000_000;
    const SETTINGS: FlooderSettings = FlooderSettings {
        over_for_ns: 1_000 * MS,
        min_dropped_per_s: 100,
        count_shadow: false,
    };

    fn window(at_ms: u64, weight: u32) -> Window {
        let samples = [sample([192, 0, 2, 1], Verdict::LimitSyn, weight)];
        let samples = if weight == 0 { &samples[..0] } else { &samples[..] };
        observe(&[], &[], samples, 0, at_ms * MS, 100 * MS)
    }

    fn found(flooders: &mut Flooders, windows: impl IntoIterator<Item = (u64, u32)>) -> Vec<u64> {
        windows
            .into_iter()
            .filter(|&(at, weight)| {
                !flooders
                    .detect(&window(at, weight), &SETTINGS, &|_| None)
                    .is_empty()
            })
            .map(|(at, _)| at)
            .collect()
    }

    #[test]
    fn a_second_over_the_limit_is_found_once_a_second() {
        let mut flooders = Flooders::default();
        let steady = (1..=25).map(|tick| (10_000 + tick * 100, 20));
        assert_eq!(found(&mut flooders, steady), [11_000, 12_000]);
    }

    #[test]
    fn what_it_opened_meanwhile_is_told() {
        let mut flooders = Flooders::default();
        let now = std::cell::Cell::new(u32::MAX - 5_000);
        let mut found = Vec::new();
        for tick in 1..=12 {
            now.set(now.get() + 20);
            found.extend(flooders.detect(&window(10_000 + tick * 100, 20), &SETTINGS, &|_| Some(now.get())));
        }
        assert_eq!(
            found.iter().map(|found| found.opened_per_s).collect::<Vec<_>>(),
            [200]
        );
    }

    #[test]
    fn a_pause_begins_anew() {
        let mut flooders = Flooders::default();
        let paused = (1..=20).map(|tick| (10_000 + tick * 100, if (6..10).contains(&tick) { 0 } else { 20 }));
        assert_eq!(found(&mut flooders, paused), [11_900]);
    }

    #[test]
    fn little_is_not_a_flood() {
        let mut flooders = Flooders::default();
        assert_eq!(
            found(&mut flooders, (1..=50).map(|tick| (tick * 100, 9))),
            [0_u64; 0]
        );
    }

    #[test]
    fn shadow_counts_only_when_asked() {
        let samples = [Sample {
            shadow: 1,
            ..sample([192, 0, 2, 1], Verdict::LimitSyn, 20)
        }];
        let shadow = observe(&[], &[], &samples, 0, 10_000 * MS, 100 * MS);
        let mut flooders = Flooders::default();
        assert!(flooders.detect(&shadow, &SETTINGS, &|_| None).is_empty());
        assert!(flooders.streaks.is_empty());
        flooders.detect(
            &shadow,
            &FlooderSettings {
                count_shadow: true,
                ..SETTINGS
            },
            &|_| None,
        );
        assert_eq!(flooders.streaks.len(), 1);
    }

    /// Found in review: one malformed packet, seen last, gave its name to what limits had dropped.
    #[test]
    fn a_finding_names_the_limit_that_dropped_and_counts_nothing_else() {
        let mut flooders = Flooders::default();
        let mut found = Vec::new();
        for tick in 1..=12 {
            let samples = [
                sample([192, 0, 2, 1], Verdict::LimitIcmp, 15),
                sample([192, 0, 2, 1], Verdict::LimitUdp, 1),
                sample([192, 0, 2, 1], Verdict::TcpNull, 900),
            ];
            let at_ns = (10_000 + tick * 100) * MS;
            found.extend(flooders.detect(
                &observe(&[], &[], &samples, 0, at_ns, 100 * MS),
                &SETTINGS,
                &|_| None,
            ));
        }
        let [finding] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            (finding.cause, finding.dropped),
            (Cause::Limit(Verdict::LimitIcmp), 160)
        );
        let mut flooders = Flooders::default();
        let samples = [sample([192, 0, 2, 1], Verdict::TcpNull, 900); 9];
        let window = observe(&[], &[], &samples, 0, 10_000 * MS, 100 * MS);
        assert!(flooders.detect(&window, &SETTINGS, &|_| None).is_empty() && flooders.streaks.is_empty());
    }
}
