//! Attacks in a replay: what the controller of the daemon would have recognised, tick by tick. It learns as the daemon does, from what was known
//! before (`normal.rs`), or from nothing: then most captures are too short for it to believe what it learnt.

use std::{
    collections::{BTreeSet, HashSet},
    mem,
};

use netguard_common::telemetry::{ServiceTraffic, Traffic};

use super::{
    answers::Answers,
    campaigns::{self, Campaign},
    clock::BEGIN_NS,
    refusals::Refusals,
    report::Attack,
    response::Response,
};
use crate::{
    bpf::{BpfError, Telemetry},
    config::Config,
    daemon::database::{Databases, Reading},
    engine::{
        Account, Calm, Campaigns, Controller, Features, Learnt, Step, TrafficWindow, Window,
        campaign::{Scene, Target},
        detect::Class,
        sketch::distinct,
    },
};

const SECOND_NS: u64 = 1_000_000_000;
const HOUR_S: u64 = 3_600;

/// How many sources come in a second, as it goes on: many captures last no second.
#[derive(Default)]
pub(super) struct SourceCount {
    next_ns: u64,
    number: Option<f64>,
}

impl SourceCount {
    /// Counts at `now_ns`; the first time after a second begins anew.
    pub(super) fn look(&mut self, telemetry: &mut Telemetry, now_ns: u64) -> Result<(), BpfError> {
        // Nothing changes the generation here.
        const GENERATION: u32 = 0;
        self.number = Some(distinct(&telemetry.sketches(GENERATION)?).round());
        if now_ns >= self.next_ns {
            self.next_ns = now_ns.saturating_add(SECOND_NS);
            telemetry.empty(GENERATION)?;
        }
        Ok(())
    }

    pub(super) fn number(&self) -> Option<f64> {
        self.number
    }
}

/// What a replay knows of a tick beside what the kernel counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside<'a> {
    /// The capture's clock, seconds since 1970.
    pub(super) wall_s: Option<u64>,
    /// Services that are counted, with the numbers that telemetry has for them.
    pub(super) services: &'a [(String, usize)],
    /// Sources of the second that is under way.
    pub(super) sources: Option<f64>,
    /// What the server refused in this tick.
    pub(super) refused: Refusals,
}

/// What is followed.
pub(super) struct Attacks {
    controller: Controller,
    response: Response,
    /// The hour that was foreseen last.
    foreseen: Option<u64>,
    /// The ticks of the second that is under way.
    second: Vec<Window>,
    traffic: Option<TrafficWindow>,
    refused: Refusals,
    campaigns: Campaigns,
    asns: Reading,
    /// Sources that turned out to be some of many that probe, since the second before, and those that turned out to be none.
    suspects: Vec<Account>,
    cleared: Vec<Account>,
}

impl Attacks {
    /// With what was `learnt` before, if anything was.
    pub(super) fn new(
        mut response: Response,
        config: &Config,
        databases: &Databases,
        learnt: Option<Learnt>,
    ) -> Self {
        let geo = &config.geo;
        let asns = geo.asn_database.as_deref();
        let mut campaigns = Campaigns::default();
        let mut learnt = learnt.unwrap_or_else(|| Learnt::new(0));
        let calm = mem::take(&mut learnt.calm);
        if calm.is_learnt() {
            // What another version wrote otherwise is learnt anew, as in the daemon.
            response.recall(calm.packets, calm.places, geo.country_database.is_some());
            campaigns.recall(calm.ordinary.recalled(asns.is_some()), calm.probes);
        }
        Self {
            controller: Controller::new(learnt),
            response,
            foreseen: None,
            second: Vec::new(),
            traffic: None,
            refused: Refusals::default(),
            campaigns,
            // What cannot be read says nothing, as in the daemon.
            asns: asns.map(|file| databases.reading(file)).unwrap_or_default(),
            suspects: Vec::new(),
            cleared: Vec::new(),
        }
    }

    /// Takes in the tick that ended at `now_ns`, and responds to it; `beside` is what else is known of it, and
    /// `good` have an established connection; what is `begun` is served since the tick before. When it ends a second, the ticks of that and what was attacked in it.
    pub(super) fn tick(
        &mut self,
        step: &Step,
        now_ns: u64,
        beside: Beside<'_>,
        good: &HashSet<Account>,
        answers: &Answers,
        begun: &BTreeSet<Target>,
    ) -> Option<(Vec<Window>, Vec<Class>)> {
        let traffic = step.traffic.as_ref()?;
        self.follow_hour(beside.wall_s);
        let features = beside.with(Features::of(now_ns, traffic, [&step.window], beside.services));
        let features = self.response.of_carpet(features, &self.controller);
        self.refused.segments += beside.refused.segments;
        self.refused.datagrams += beside.refused.datagrams;
        let matched = self.response.matched(self.controller.tracker().attacks());
        let changes = self.controller.tick(&features, &step.window, &matched);
        let seen = self.response.tick(&features, &self.controller, good);
        self.campaigns.step(&Scene {
            now_ns,
            changes: &changes,
            attacks: self.controller.tracker().attacks(),
            responder: self.response.responder(),
            seen: &seen,
            passed: step.window.passed(),
            connected: good,
            is_calm: self.controller.is_calm(now_ns),
            is_served: &|seen| answers.is_served(seen),
            begun,
            asn: &|account| self.asns.asn(account.prefix().address()),
        });
        let cleared = self.campaigns.cleared();
        self.suspects.retain(|account| !cleared.contains(account));
        self.cleared.extend(cleared);
        self.suspects.extend(self.campaigns.suspects());
        self.second.push(step.window.clone());
        let sum = match self.traffic.take() {
            Some(sum) => joined(sum, traffic),
            None => traffic.clone(),
        };
        if sum.length_ns < SECOND_NS {
            self.traffic = Some(sum);
            return None;
        }
        let whole = Beside {
            refused: mem::take(&mut self.refused),
            ..beside
        };
        let second = whole.with(Features::of(now_ns, &sum, &self.second, beside.services));
        let second = self.response.of_carpet(second, &self.controller);
        self.controller.second(&second);
        let attacks = self.controller.tracker().attacks().iter();
        let going = attacks.filter(|attack| attack.is_going() && attack.class.is_attack());
        let attacked = going.map(|attack| attack.class).collect();
        Some((mem::take(&mut self.second), attacked))
    }

    /// What this hour of the week has us expect, once an hour as in the daemon. Hours that were learnt later than the capture are none of its past.
    fn follow_hour(&mut self, wall_s: Option<u64>) {
        let Some(wall_s) = wall_s else { return };
        let hour = Some(wall_s / HOUR_S);
        if self.foreseen == hour {
            return;
        }
        let baselines = self.controller.baselines_mut();
        if self.foreseen.is_none() {
            baselines.forget_after(wall_s);
        }
        let forecasts = baselines.series().forecasts();
        baselines.foresee(forecasts);
        self.foreseen = hour;
    }

    /// What was learnt by now, to be kept; of what is served a capture says too little.
    pub(super) fn learnt(&self) -> Learnt {
        let (packets, places) = self.response.responder().calm();
        Learnt {
            calm: Calm {
                packets,
                places,
                ordinary: self.campaigns.ordinary().clone(),
                probes: self.campaigns.usual().clone(),
                ..Calm::default()
            },
            ..self.controller.learnt().clone()
        }
    }

    pub(super) const fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Those who became suspicious.
    pub(super) fn suspects(&mut self) -> Vec<Account> {
        mem::take(&mut self.suspects)
    }

    /// Those who are not any more, since what they asked for is served.
    pub(super) fn cleared(&mut self) -> Vec<Account> {
        mem::take(&mut self.cleared)
    }

    pub(super) fn campaigns(&self) -> Vec<Campaign> {
        self.campaigns.all().iter().map(campaigns::told).collect()
    }

    pub(super) fn told(&self) -> Vec<Attack> {
        let ms = |at_ns: u64| at_ns.saturating_sub(BEGIN_NS) / 1_000_000;
        let attacks = self.controller.tracker().attacks().iter();
        attacks
            .map(|attack| (attack, self.response.told(attack.id)))
            .map(|(attack, told)| Attack {
                measures: told.measures,
                no_signature: told.no_signature,
                withheld: told.withheld,
                id: attack.id,
                class: attack.class,
                harmful: attack.class.is_attack(),
                began_ms: ms(attack.begun_ns),
                detected_after_ms: attack.detected_ns.saturating_sub(attack.begun_ns) / 1_000_000,
                ended_ms: attack.ended_ns.map(ms),
                pulses: attack.pulses,
                packets: attack.packets as u64,
                peak_packets_per_s: attack.peak as u64,
                spread: attack.spread(),
                evidence: attack.evidence.clone(),
                campaign: self.campaigns.of_attack(attack.id).map(|campaign| campaign.id),
            })
            .collect()
    }
}

impl Beside<'_> {
    /// `features` with what is known beside.
    fn with(self, features: Features) -> Features {
        let per_second = |count: u64| match features.length_ns {
            0 => 0.0,
            length_ns => count as f64 * SECOND_NS as f64 / length_ns as f64,
        };
        Features {
            wall_s: self.wall_s,
            sources: self.sources,
            reset: per_second(self.refused.segments),
            unreachable: per_second(self.refused.datagrams),
            ..features
        }
    }
}

/// Counts of both; how things varied is that of the newer, since histograms cannot be told from entropies.
fn joined(before: TrafficWindow, newer: &TrafficWindow) -> TrafficWindow {
    let mut sum = TrafficWindow {
        opened: before
            .opened
            .zip(newer.opened)
            .map(|(before, newer)| before.saturating_add(newer)),
        length_ns: before.length_ns.saturating_add(newer.length_ns),
        ..newer.clone()
    };
    let counts = sum.traffic.iter_mut().flatten();
    for (sum, before) in counts.zip(before.traffic.iter().flatten()) {
        *sum = Traffic {
            packets: sum.packets.wrapping_add(before.packets),
            bytes: sum.bytes.wrapping_add(before.bytes),
            dropped: sum.dropped.wrapping_add(before.dropped),
            cut: sum.cut.wrapping_add(before.cut),
        };
    }
    for (sum, before) in sum.services.iter_mut().zip(&before.services) {
        *sum = ServiceTraffic {
            packets: sum.packets.wrapping_add(before.packets),
            bytes: sum.bytes.wrapping_add(before.bytes),
            opening: sum.opening.wrapping_add(before.opening),
            dropped: sum.dropped.wrapping_add(before.dropped),
        };
    }
    sum
}
