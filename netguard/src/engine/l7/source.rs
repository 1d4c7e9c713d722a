//! What is remembered of a source, and of what it was found to do.

use std::net::IpAddr;

use super::{
    Finding, Offence, SECOND_NS, Settings,
    count::{Bucket, Distinct, Outcomes, Recent, period},
    queries::Asked,
    settings::Violations,
};
use crate::engine::Account;

/// Routes of a source that are followed.
const ROUTES: usize = 8;
/// An offence that was not seen for so long has ended; one that goes on is found again after so long, and is news again after so long.
const PAUSE_NS: u64 = 10 * SECOND_NS;
const FOUND_AGAIN_NS: u64 = SECOND_NS;
const NEWS_NS: u64 = 10 * SECOND_NS;
/// Bytes of the evidence.
const EVIDENCE: usize = 96;
/// Observations that are behind whatever is found: under load one of them stands for a thousand, and then says nothing about who it is of.
pub(super) const SAMPLES: u32 = 5;
/// Seconds over which activity counts.
pub(super) const ACTIVE_S: u32 = 60;
/// Seconds over which a rate is told.
pub(super) const RATE_S: u32 = 10;

/// A source: 320 bytes, and 104 for each route that is followed. Where it asks a route often, for queries, these are 536 more; where it asks for what does
/// not exist, 152.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) account: Account,
    /// Of the account that it was seen from last.
    pub(super) from: IpAddr,
    pub(super) last_ns: u64,
    pub(super) activity: Recent,
    pub(super) requests: Recent,
    pub(super) flood: Bucket,
    pub(super) routes: Vec<Used>,
    /// Answers, and those with 403 and 404.
    pub(super) answers: Outcomes,
    pub(super) missing: Option<Box<Missing>>,
    /// Milliseconds.
    pub(super) cost: Recent,
    /// Answers that cost something.
    pub(super) worked: Recent,
    pub(super) score: Recent,
    /// The same of what looks like an attempt to break in.
    pub(super) injected: Recent,
    /// Requests with flaws.
    pub(super) flawed: Recent,
    pub(super) streams: Recent,
    pub(super) resets: Recent,
    pub(super) hellos: Bucket,
    pub(super) hellos_seen: Recent,
    pub(super) left: Recent,
    pub(super) foreign: Recent,
    pub(super) heads: HeadsLook,
    pub(super) streaks: Vec<Streak>,
}

/// A route that a source asks for.
#[derive(Debug)]
pub(super) struct Used {
    /// A hash of service, method and route.
    pub(super) id: u64,
    pub(super) hits: Recent,
    pub(super) flood: Bucket,
    /// Answers to POST, and those that refused.
    pub(super) posts: Outcomes,
    pub(super) injected: Injected,
    pub(super) asked: Asked,
}

/// What looked like attempts to break in, in the period that runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Injected {
    period: u32,
    kinds: u8,
}

/// Targets that were answered 404 or 403, in the period that runs and in the one before.
#[derive(Debug)]
pub(super) struct Missing {
    period: u32,
    now: Distinct<16>,
    before: f64,
}

/// Heads under way, as they are told about once a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadsLook {
    pub(super) at_ns: u64,
    pub(super) many: u32,
    pub(super) few: u32,
}

/// Something that a source was found to do.
#[derive(Clone, Debug)]
pub(super) struct Streak {
    pub(super) offence: Offence,
    pub(super) port: u16,
    pub(super) since_ns: u64,
    pub(super) last_ns: u64,
    found_ns: Option<u64>,
    news_ns: Option<u64>,
    pub(super) count: u64,
    /// Of them those before it began.
    before: u64,
    pub(super) evidence: String,
}

/// What an observation is judged with.
pub(super) struct Case<'a> {
    pub(super) settings: &'a Settings,
    pub(super) at_ns: u64,
    /// Observations that this one stands for.
    pub(super) weight: u32,
    pub(super) port: u16,
    pub(super) found: &'a mut Vec<Finding>,
    pub(super) figures: &'a mut [u64; Offence::ALL.len()],
}

impl Case<'_> {
    /// What the observation counts for against `limit`: however many it stands for, no fewer than `SAMPLES` of them reach it.
    pub(super) fn weight_under(&self, limit: u32) -> u32 {
        self.weight.min((limit / SAMPLES).max(1))
    }

    /// Notes that `source` does `offence`, `count` times in `over_s` seconds, and finds it unless that was done a moment ago.
    pub(super) fn accuse(
        &mut self,
        source: &mut Source,
        offence: Offence,
        count: f64,
        over_s: u32,
        evidence: impl FnOnce() -> String,
    ) {
        let (now_ns, port) = (self.at_ns, self.port);
        let is_same = |streak: &Streak| streak.offence == offence && streak.port == port;
        let is_over = |streak: &Streak| now_ns.saturating_sub(streak.last_ns) > PAUSE_NS;
        source.streaks.retain(|streak| !is_over(streak));
        let index = match source.streaks.iter().position(is_same) {
            Some(index) => {
                let streak = &mut source.streaks[index];
                streak.count = streak.count.saturating_add(self.weight.into());
                index
            }
            None => {
                // Counts are small, and never below nought.
                let before = count.round() as u64;
                source.streaks.push(Streak {
                    offence,
                    port,
                    since_ns: now_ns,
                    last_ns: now_ns,
                    found_ns: None,
                    news_ns: None,
                    count: before,
                    before,
                    evidence: String::new(),
                });
                source.streaks.len() - 1
            }
        };
        let (account, from) = (source.account, source.from);
        let Some(streak) = source.streaks.get_mut(index) else {
            return;
        };
        streak.last_ns = now_ns;
        let was_within = |at: Option<u64>, ns| at.is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < ns);
        if was_within(streak.found_ns, FOUND_AGAIN_NS) {
            return;
        }
        streak.found_ns = Some(now_ns);
        let is_news = !was_within(streak.news_ns, NEWS_NS);
        if is_news {
            streak.news_ns = Some(now_ns);
        }
        let over_for_ns = now_ns.saturating_sub(streak.since_ns);
        let since_then = streak.count.saturating_sub(streak.before) as f64;
        let per_s = since_then * SECOND_NS as f64 / over_for_ns.max(SECOND_NS) as f64;
        let mut evidence = evidence();
        evidence.truncate(evidence.floor_char_boundary(EVIDENCE));
        streak.evidence.clone_from(&evidence);
        if let Some(index) = Offence::ALL.iter().position(|known| *known == offence) {
            self.figures[index] += 1;
        }
        self.found.push(Finding {
            account,
            source: from,
            port,
            offence,
            evidence,
            count: streak.count,
            per_s: per_s.max(count / f64::from(over_s.max(1))),
            over_for_ns,
            is_news,
        });
    }
}

impl Source {
    pub(super) fn new(account: Account, from: IpAddr) -> Self {
        Self {
            account,
            from,
            last_ns: 0,
            activity: Recent::default(),
            requests: Recent::default(),
            flood: Bucket::default(),
            routes: Vec::new(),
            answers: Outcomes::default(),
            missing: None,
            cost: Recent::default(),
            worked: Recent::default(),
            score: Recent::default(),
            injected: Recent::default(),
            flawed: Recent::default(),
            streams: Recent::default(),
            resets: Recent::default(),
            hellos: Bucket::default(),
            hellos_seen: Recent::default(),
            left: Recent::default(),
            foreign: Recent::default(),
            heads: HeadsLook::default(),
            streaks: Vec::new(),
        }
    }

    /// The score of what broke the protocol. A search for a line of SQL is no crime: such things are never enough by themselves.
    pub(super) fn score(&self, settings: &Violations, now_ns: u64) -> f64 {
        let injected = self.injected.count(settings.within_s, now_ns);
        self.score.count(settings.within_s, now_ns) + injected.min(0.9 * f64::from(settings.score))
    }

    /// How much it does; who was found to do something must not be pushed out by those who were not.
    pub(super) fn activity(&self, now_ns: u64) -> f64 {
        let is_accused = self
            .streaks
            .iter()
            .any(|streak| now_ns.saturating_sub(streak.last_ns) <= 6 * PAUSE_NS);
        if is_accused {
            f64::INFINITY
        } else {
            self.activity.count(ACTIVE_S, now_ns)
        }
    }

    /// The route `id`, in the place of the one that it asks for least if it is new.
    pub(super) fn used(&mut self, id: u64, now_ns: u64) -> Option<&mut Used> {
        if let Some(index) = self.routes.iter().position(|used| used.id == id) {
            return self.routes.get_mut(index);
        }
        let used = Used {
            id,
            hits: Recent::default(),
            flood: Bucket::default(),
            posts: Outcomes::default(),
            injected: Injected::default(),
            asked: Asked::default(),
        };
        if self.routes.len() < ROUTES {
            self.routes.push(used);
            return self.routes.last_mut();
        }
        let activity =
            |used: &Used| used.hits.count(RATE_S, now_ns) + 10.0 * used.posts.count(ACTIVE_S, now_ns).bad;
        let least = self
            .routes
            .iter_mut()
            .min_by(|a, b| activity(a).total_cmp(&activity(b)))?;
        *least = used;
        Some(least)
    }
}

impl Injected {
    /// Takes in something of `kind`, a bit; whether it is new in these ten seconds.
    pub(super) fn add(&mut self, kind: u8, now_ns: u64) -> bool {
        let (period, _) = period(RATE_S, now_ns);
        if period != self.period {
            *self = Self { period, kinds: 0 };
        }
        let is_new = self.kinds & kind == 0;
        self.kinds |= kind;
        is_new
    }
}

impl Missing {
    pub(super) const fn new() -> Self {
        Self {
            period: 0,
            now: Distinct::new(),
            before: 0.0,
        }
    }

    /// Takes in a target; how many there were within the time.
    pub(super) fn add(&mut self, target: u64, within_s: u32, now_ns: u64) -> f64 {
        let (period, left) = period(within_s, now_ns);
        if period > self.period {
            let is_next = period - self.period == 1;
            self.before = if is_next { self.now.estimate() } else { 0.0 };
            self.now = Distinct::new();
            self.period = period;
        }
        if !self.now.is_full() {
            self.now.insert(target);
        }
        self.now.estimate() + self.before * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_takes_as_much_memory_as_it_says() {
        let sizes = [size_of::<Source>(), size_of::<Used>(), size_of::<Missing>()];
        assert_eq!(sizes, [320, 104, 152]);
    }
}
