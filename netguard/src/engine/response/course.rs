//! The course of the response to one attack: the ladder, and the signatures beside it.

use std::collections::{BTreeSet, VecDeque};

use netguard_common::{Verdict, signature::Signature};

use super::{
    Moment, ResponseSettings, Turn,
    measure::{Measure, Mode, Standing, Taken, Why},
    volume,
};
use crate::engine::{
    Account, Attack,
    draft::{NoDraft, drafts},
    peace::Peace,
    seen::Seen,
};

/// How long more must pass than may before the next rung is tried.
const PATIENCE_NS: u64 = 300_000_000;
/// How long measures stand after anything last spoke for the attack; twice as long for each time that it came back, up to the cap.
const COOLDOWN_NS: u64 = 20_000_000_000;
const COOLDOWN_CAP_NS: u64 = 600_000_000_000;
/// Packets of an attack that are kept, the newest.
const SAMPLES: usize = 512;
/// How long a packet is one of the attack as it is now, of which signatures are drafted; and how long after something last spoke for
/// the attack packets are of it at all.
const CURRENT_NS: u64 = 5_000_000_000;
const SUSPECT_NS: u64 = 200_000_000;
/// A signature must fit so much of the attack, as it was at its peak: what fits less may be anybody.
const LEAST_FITTED: f64 = 0.01;
/// Packets that must be new before a signature is looked for again, and how long that takes at the least.
const FRESH: usize = 64;
const AGAIN_NS: u64 = 250_000_000;
/// Signatures against one attack, and how long one stands that fits nothing.
const SIGNATURES: usize = 8;
const UNMATCHED_NS: u64 = 30_000_000_000;
/// Measures that are remembered of a course; those that ended first go first.
const REMEMBERED: usize = 64;
/// Connected sources whose packets a signature may fit: so many, or this part of them. A flood may forge some.
const GOOD: usize = 3;
const GOOD_PART: f64 = 0.01;

/// How far up the ladder the response to an attack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    Alert,
    Limit,
    Challenge,
}

impl Rung {
    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Limit => "limit",
            Self::Challenge => "challenge",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Alert => Self::Limit,
            Self::Limit | Self::Challenge => Self::Challenge,
        }
    }
}

/// What is done about one attack, and was.
pub struct Course {
    /// The rung that was tried last.
    tried: Rung,
    /// Since when more passes than may on this rung.
    passing_since_ns: Option<u64>,
    pub taken: Vec<Taken>,
    /// Why there is no signature, if none was found.
    pub no_signature: Option<NoDraft>,
    /// Packets of the attack that were seen, the oldest first.
    pub samples: VecDeque<Seen>,
    fresh: usize,
    drafted_ns: u64,
    has_drafted: bool,
    /// Connected sources that signatures hit.
    hit: BTreeSet<Account>,
    /// Somebody took a signature back: that is their word.
    is_given: bool,
    is_over: bool,
}

impl Course {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            tried: Rung::Alert,
            passing_since_ns: None,
            taken: Vec::new(),
            no_signature: None,
            samples: VecDeque::new(),
            fresh: 0,
            drafted_ns: now_ns,
            has_drafted: false,
            hit: BTreeSet::new(),
            is_given: false,
            is_over: false,
        }
    }

    pub(super) fn step(
        &mut self,
        attack: &Attack,
        moment: &Moment<'_>,
        settings: &ResponseSettings,
        peace: &Peace,
        number: &mut dyn FnMut() -> u64,
    ) -> Vec<Turn> {
        let now_ns = moment.now_ns;
        let mut turns = self.end_what_ended(attack, moment);
        if !attack.is_going() {
            return turns;
        }
        self.is_over = false;
        self.look(attack, moment);
        let climbed = self.climb(attack, moment, settings);
        let drafted = self.draft(attack, now_ns, settings.signatures, peace);
        for (measure, mode) in climbed.into_iter().chain(drafted) {
            let taken = Taken::new(number(), measure, mode, now_ns);
            turns.push(Turn::Begin {
                attack: attack.id,
                taken: taken.clone(),
            });
            self.taken.push(taken);
        }
        if self.taken.len() > REMEMBERED
            && let Some(oldest) = self.taken.iter().position(|taken| !taken.is_wanted())
        {
            self.taken.remove(oldest);
        }
        turns
    }

    /// Ends measures whose time is over, and signatures that fit nothing, or too many.
    fn end_what_ended(&mut self, attack: &Attack, moment: &Moment<'_>) -> Vec<Turn> {
        let now_ns = moment.now_ns;
        let cooldown_ns = COOLDOWN_NS
            .saturating_mul(1 << attack.pulses.saturating_sub(1).min(16))
            .min(COOLDOWN_CAP_NS);
        let over = attack
            .ended_ns
            .is_some_and(|ended_ns| now_ns.saturating_sub(ended_ns) >= cooldown_ns);
        let too_many = (moment.good.len() as f64 * GOOD_PART).max(GOOD as f64);
        let is_collateral = self.hit.len() as f64 >= too_many;
        let mut turns = Vec::new();
        let least = attack.peak * LEAST_FITTED;
        for taken in self.taken.iter_mut().filter(|taken| taken.is_wanted()) {
            let is_signature = taken.measure.signature().is_some();
            if is_signature && taken.packets_per_s > 0.0 && taken.packets_per_s >= least {
                taken.last_ns = now_ns;
            }
            let why = match &taken.standing {
                _ if over => Why::Over,
                Standing::Failed(_) => Why::Given,
                _ if is_signature && is_collateral => Why::Collateral,
                _ if is_signature && now_ns.saturating_sub(taken.last_ns) >= UNMATCHED_NS => Why::Unmatched,
                _ => continue,
            };
            taken.end(now_ns, why);
            self.is_given |= is_signature && why == Why::Given;
            turns.push(Turn::End {
                attack: attack.id,
                taken: taken.clone(),
            });
        }
        if over {
            self.is_over = true;
            (self.tried, self.passing_since_ns) = (Rung::Alert, None);
        }
        turns
    }

    pub(super) fn stop(&mut self, attack: u64, now_ns: u64) -> Vec<Turn> {
        let mut turns = Vec::new();
        for taken in self.taken.iter_mut().filter(|taken| taken.is_wanted()) {
            taken.end(now_ns, Why::Stopped);
            turns.push(Turn::End {
                attack,
                taken: taken.clone(),
            });
        }
        turns
    }

    /// Remembers packets of the attack, and whom signatures hit.
    fn look(&mut self, attack: &Attack, moment: &Moment<'_>) {
        let (features, baselines) = (moment.features, moment.baselines);
        let is_suspect = moment.now_ns.saturating_sub(attack.last_ns) < SUSPECT_NS;
        let is_passing =
            volume::passing(attack.class, features, baselines).is_some_and(|(passing, may)| passing > may);
        for seen in moment.seen {
            let fitted = self
                .in_force()
                .filter_map(|taken| taken.measure.signature())
                .any(|signature| signature.fits(&seen.vector));
            let account = Account::of(seen.source);
            // Who is known by now was spared.
            if fitted && seen.verdict == Verdict::Signature && moment.good.contains(&account) {
                self.hit.insert(account);
            }
            if is_suspect && volume::is_of(attack.class, seen, is_passing, features, baselines) {
                if self.samples.len() >= SAMPLES {
                    self.samples.pop_front();
                }
                self.samples.push_back(*seen);
                self.fresh += usize::from(!fitted);
            }
        }
    }

    /// Climbs when more passes than may, and says what the rung asks for.
    fn climb(
        &mut self,
        attack: &Attack,
        moment: &Moment<'_>,
        settings: &ResponseSettings,
    ) -> Option<(Measure, Mode)> {
        let passing = volume::passing(attack.class, moment.features, moment.baselines);
        if passing.is_none_or(|(passing, may)| passing <= may) {
            self.passing_since_ns = None;
            return None;
        }
        let since_ns = *self.passing_since_ns.get_or_insert(moment.now_ns);
        let patience_ns = if self.tried == Rung::Alert { 0 } else { PATIENCE_NS };
        if moment.now_ns.saturating_sub(since_ns) < patience_ns {
            return None;
        }
        let (service, rate_per_s) = volume::target(attack.class, moment.features, moment.baselines)?;
        self.passing_since_ns = Some(moment.now_ns);
        self.tried = self.tried.next();
        let (measure, mode) = if self.tried == Rung::Challenge && service.starts_with("tcp/") {
            (Measure::Challenge { service }, settings.challenge)
        } else {
            (Measure::Limit { service, rate_per_s }, settings.limits)
        };
        // Nor again where somebody took it back: that is their word.
        let stands = |taken: &Taken| {
            (taken.is_wanted() || taken.ended_for(Why::Given))
                && taken.measure.name() == measure.name()
                && taken.measure.service() == measure.service()
        };
        (mode != Mode::Off && !self.taken.iter().any(stands)).then_some((measure, mode))
    }

    /// Signatures for what is not fitted by those in force.
    fn draft(&mut self, attack: &Attack, now_ns: u64, mode: Mode, peace: &Peace) -> Vec<(Measure, Mode)> {
        let wanted = self.taken.iter().filter(|taken| taken.is_wanted());
        let standing: Vec<&Signature> = wanted.filter_map(|taken| taken.measure.signature()).collect();
        let is_early = now_ns.saturating_sub(self.drafted_ns) < AGAIN_NS && self.has_drafted;
        if mode == Mode::Off
            || volume::kinds(attack.class).is_none()
            || standing.len() >= SIGNATURES
            || self.fresh < FRESH
            || is_early
        {
            return Vec::new();
        }
        if self.is_given {
            self.no_signature = Some(NoDraft::Given);
            return Vec::new();
        }
        if self.taken.iter().any(|taken| taken.ended_for(Why::Collateral)) {
            self.no_signature = Some(NoDraft::Withdrawn);
            return Vec::new();
        }
        (self.fresh, self.drafted_ns, self.has_drafted) = (0, now_ns, true);
        let unfitted = self.samples.iter().filter(|seen| {
            let is_current = now_ns.saturating_sub(seen.head.at_ns) < CURRENT_NS;
            is_current && !standing.iter().any(|signature| signature.fits(&seen.vector))
        });
        let found = drafts(&unfitted.copied().collect::<Vec<Seen>>(), peace);
        // Of what one leaves over there need be no other.
        self.no_signature = found.as_ref().err().copied().filter(|_| standing.is_empty());
        found
            .unwrap_or_default()
            .into_iter()
            .take(SIGNATURES - standing.len())
            .map(|draft| (Measure::Signature(draft), mode))
            .collect()
    }

    /// How far up the ladder what is wanted now is.
    pub fn rung(&self) -> Rung {
        let rungs = self.wanted().map(|taken| match taken.measure {
            Measure::Challenge { .. } => Rung::Challenge,
            Measure::Limit { .. } => Rung::Limit,
            Measure::Signature(_) => Rung::Alert,
        });
        rungs.max().unwrap_or(Rung::Alert)
    }

    /// Measures that are wanted now.
    pub fn wanted(&self) -> impl Iterator<Item = &Taken> {
        self.taken.iter().filter(|taken| taken.is_wanted())
    }

    pub(super) fn in_force(&self) -> impl Iterator<Item = &Taken> {
        self.wanted().filter(|taken| taken.standing == Standing::InForce)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Taken> {
        self.taken.iter_mut()
    }

    /// Whether the attack is over, and nothing is wanted any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn forget_samples(&mut self) {
        self.samples = VecDeque::new();
    }
}
