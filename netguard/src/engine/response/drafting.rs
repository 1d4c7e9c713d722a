//! Signatures beside the ladder: when one is looked for, and how one that is not beyond doubt has to prove itself first. How they are made
//! is the business of `draft`.

use netguard_common::signature::Signature;

use super::{
    breaker::Next,
    climb::CURRENT_NS,
    course::{Course, Knowledge},
    measure::{self, Measure, Mode, Restraint, Standing, Taken, Why},
    volume,
};
use crate::engine::{
    Attack, Features,
    detect::Class,
    draft::{Draft, NoDraft, drafts},
    seen::Seen,
};

/// Packets that must be new before a signature is looked for again, and how long that takes at the least.
const FRESH: usize = 64;
const AGAIN_NS: u64 = 250_000_000;
/// Signatures against one attack.
const SIGNATURES: usize = 8;
/// How long one that is not beyond doubt only counts: three readings of what it fits.
const TRIAL_NS: u64 = 300_000_000;
/// and how long it may take until it has fitted: floods pause.
const TRIED_NS: u64 = 3_000_000_000;
/// So much of what it was drafted to fit it must fit then, of what comes.
const PROMISED: f64 = 0.3;
/// Drafts that did not: then the attack changes faster than it can be drafted.
const UNFIT: usize = 3;
/// Beyond doubt is what fits this part of the attack, and none of so many ordinary packets to the port or of others like them.
const CLEAR_PART: f64 = 0.5;
const CLEAR_OF: usize = 256;

impl Course {
    pub(super) fn draft(
        &mut self,
        attack: &Attack,
        now_ns: u64,
        knowledge: &Knowledge<'_>,
    ) -> Vec<(Measure, Mode)> {
        let mode = knowledge.settings.signatures;
        let wanted = self.taken.iter().filter(|taken| taken.is_wanted());
        let standing: Vec<&Signature> = wanted.filter_map(|taken| taken.measure.drafted()).collect();
        let drafted = self
            .taken
            .iter()
            .filter(|taken| taken.measure.drafted().is_some());
        let has_failed = measure::is_early(drafted, now_ns);
        let is_early = now_ns.saturating_sub(self.drafted_ns) < AGAIN_NS && self.has_drafted;
        if mode == Mode::Off
            || volume::kinds(attack.class).is_none()
            || standing.len() >= SIGNATURES
            || self.fresh < FRESH
            || is_early
            || has_failed
        {
            return Vec::new();
        }
        if self.is_given {
            self.no_signature = Some(NoDraft::Given);
            return Vec::new();
        }
        let ended = |why: Why| self.taken.iter().filter(move |taken| taken.ended_for(why));
        if ended(Why::Collateral).next().is_some() {
            self.no_signature = Some(NoDraft::Withdrawn);
            return Vec::new();
        }
        if ended(Why::Unfit).count() >= UNFIT {
            self.no_signature = Some(NoDraft::Unfit);
            return Vec::new();
        }
        let unfitted = self.samples.iter().filter(|seen| {
            let is_current = now_ns.saturating_sub(seen.head.at_ns) < CURRENT_NS;
            is_current && !standing.iter().any(|signature| signature.fits(&seen.vector))
        });
        let found = drafts(&unfitted.copied().collect::<Vec<Seen>>(), knowledge.peace);
        let room = SIGNATURES - standing.len();
        // Of what one leaves over there need be no other.
        self.no_signature = found.as_ref().err().copied().filter(|_| standing.is_empty());
        (self.fresh, self.drafted_ns, self.has_drafted) = (0, now_ns, true);
        found
            .unwrap_or_default()
            .into_iter()
            .take(room)
            .map(|draft| (Measure::Signature(draft), mode))
            .collect()
    }
}

/// The restraint that `taken` begins with: a signature that might be wrong counts before it drops. Whoever waits for proof in a clear case
/// only lets the flood through.
pub(super) fn trial(taken: &Taken) -> Option<Restraint> {
    match &taken.measure {
        Measure::Signature(draft) if taken.mode == Mode::Enforce && !is_clear(draft) => {
            Some(Restraint::Trial)
        }
        _ => None,
    }
}

fn is_clear(draft: &Draft) -> bool {
    let known = draft.collateral.of + draft.elsewhere.of;
    draft.covers.part() >= CLEAR_PART
        && draft.collateral.hits + draft.elsewhere.hits == 0
        && known >= CLEAR_OF
}

/// What becomes of a signature that is on trial; of others nothing.
pub(super) fn tried(taken: &Taken, class: Class, features: &Features, now_ns: u64) -> Next {
    let Measure::Signature(draft) = &taken.measure else {
        return Next::Stands;
    };
    let is_early = now_ns.saturating_sub(taken.phase_ns) < TRIAL_NS;
    if taken.restraint != Some(Restraint::Trial) || is_early || taken.standing != Standing::InForce {
        return Next::Stands;
    }
    let (comes, much) =
        volume::kinds(class).map_or((0.0, 0.0), |(kinds, _, much)| (features.of_kinds(kinds), much));
    // While the flood pauses nothing can be told.
    let is_fit = taken.packets_per_s > 0.0 && taken.packets_per_s >= PROMISED * draft.covers.part() * comes;
    if is_fit && comes >= much {
        Next::Closes
    } else if now_ns.saturating_sub(taken.phase_ns) >= TRIED_NS {
        Next::Ends(Why::Unfit)
    } else {
        Next::Stands
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{shared::Field as _, telemetry::Kind};

    use super::*;
    use crate::engine::{feature::tests::second, peace::Share};

    const MS: u64 = 1_000_000;

    fn taken(hits: usize, of: usize) -> Taken {
        let draft = Draft {
            signature: Signature::ZERO,
            covers: Share { hits: 80, of: 100 },
            collateral: Share { hits, of },
            elsewhere: Share { hits: 0, of: 100 },
        };
        let mut taken = Taken::new(1, Measure::Signature(draft), Mode::Enforce, 0);
        taken.restraint = trial(&taken);
        taken.standing = Standing::InForce;
        taken
    }

    #[test]
    fn a_clear_case_loses_no_time() {
        assert_eq!(taken(0, 300).restraint, None);
        assert_eq!(taken(1, 3_000).restraint, Some(Restraint::Trial));
        assert_eq!(taken(0, 150).restraint, Some(Restraint::Trial));
        assert_eq!(taken(0, 150).mode_now(), Mode::Shadow);
    }

    #[test]
    fn what_keeps_its_promise_goes_on_and_what_does_not_ends() {
        // Of 10,000 a second it promises 8,000.
        let features = second(&[(Kind::Udp, 10_000)], &[]);
        let mut taken = taken(0, 150);
        let after = |taken: &Taken, ms: u64| tried(taken, Class::UdpFlood, &features, ms * MS);
        taken.packets_per_s = 7_000.0;
        assert_eq!(after(&taken, 250), Next::Stands);
        assert_eq!(after(&taken, 300), Next::Closes);
        taken.packets_per_s = 2_000.0;
        assert_eq!(after(&taken, 300), Next::Stands);
        assert_eq!(after(&taken, 3_000), Next::Ends(Why::Unfit));
        // Found in review: the pause of a flood that pulses was taken for a bad draft.
        let pause = second(&[(Kind::Udp, 20)], &[]);
        taken.packets_per_s = 7_000.0;
        assert_eq!(tried(&taken, Class::UdpFlood, &pause, 400 * MS), Next::Stands);
        assert_eq!(after(&taken, 500), Next::Closes);
        taken.standing = Standing::Wanted;
        assert_eq!(after(&taken, 300), Next::Stands, "nobody has counted yet");
        taken.restraint = None;
        assert_eq!(after(&taken, 9_000), Next::Stands);
    }
}
