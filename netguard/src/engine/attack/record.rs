//! What is remembered of an attack, in bounded memory.

use std::{cmp::Reverse, collections::BTreeMap};

use super::SourceSpread;
use crate::engine::{
    Account, Features,
    detect::{Class, Evidence, Suspicion},
};

/// Sources remembered of an attack; later ones are not begun.
const OFFENDERS: usize = 4_096;
/// Points of a timeline at the most: beyond, two become one, and points are twice as long from there on.
const POINTS: usize = 256;
/// The least length of a point.
const POINT_NS: u64 = 1_000_000_000;

/// An attack. Times are of the monotonic clock.
#[derive(Clone, Debug)]
pub struct Attack {
    pub id: u64,
    pub class: Class,
    /// When the stretch began in which it was noticed, and when that was.
    pub begun_ns: u64,
    pub detected_ns: u64,
    /// When something last spoke for it.
    pub last_ns: u64,
    /// When it was over; `None` while it goes on.
    pub ended_ns: Option<u64>,
    /// How often it began.
    pub pulses: u32,
    /// Packets, and packets a second at its peak.
    pub packets: f64,
    pub peak: f64,
    /// What spoke for it when it began, and at its peak.
    pub evidence: Vec<Evidence>,
    pub at_peak: Vec<Evidence>,
    /// Services that were sent most at its peak, with packets a second.
    pub services: Vec<(String, f64)>,
    pub timeline: Vec<Point>,
    /// The most distinct sources that all traffic had in a second of it, where they were counted.
    pub sources: Option<f64>,
    point_ns: u64,
    /// Packets of each, and samples: the few of a burst stand for many packets each, whosever they are.
    offenders: BTreeMap<Account, (u64, u32)>,
}

/// A stretch of the timeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When it began.
    pub at_ns: u64,
    /// Packets in it.
    pub packets: f64,
}

impl Attack {
    pub(super) fn new(id: u64, begun_ns: u64, detected_ns: u64, suspicion: &Suspicion) -> Self {
        Self {
            id,
            class: suspicion.class,
            begun_ns,
            detected_ns,
            last_ns: begun_ns,
            ended_ns: None,
            pulses: 1,
            packets: 0.0,
            peak: 0.0,
            evidence: suspicion.evidence.clone(),
            at_peak: Vec::new(),
            services: Vec::new(),
            timeline: Vec::new(),
            sources: None,
            point_ns: POINT_NS,
            offenders: BTreeMap::new(),
        }
    }

    pub fn is_going(&self) -> bool {
        self.ended_ns.is_none()
    }

    /// Takes in one more stretch.
    pub(super) fn go_on(
        &mut self,
        features: &Features,
        suspicion: &Suspicion,
        offenders: &[(Account, u64, u32)],
    ) {
        let packets = suspicion.packets * features.length_ns as f64 / 1e9;
        self.last_ns = self.last_ns.max(features.at_ns);
        self.packets += packets;
        if suspicion.packets > self.peak {
            self.peak = suspicion.packets;
            self.at_peak = suspicion.evidence.clone();
            self.services = busiest(features);
        }
        self.sources = match (self.sources, features.sources) {
            (Some(most), Some(now)) => Some(most.max(now)),
            (most, now) => most.or(now),
        };
        self.draw(features.at_ns.saturating_sub(features.length_ns), packets);
        self.take_offenders(offenders);
    }

    /// Takes in who was met: packets and samples of each.
    pub(super) fn take_offenders(&mut self, offenders: &[(Account, u64, u32)]) {
        for (account, count, samples) in offenders {
            if self.offenders.len() < OFFENDERS || self.offenders.contains_key(account) {
                let (sum, sampled) = self.offenders.entry(*account).or_default();
                *sum = sum.saturating_add(*count);
                *sampled = sampled.saturating_add(*samples);
            }
        }
    }

    /// How many it comes from, as far as that is known.
    pub fn spread(&self) -> Option<SourceSpread> {
        let samples = self.offenders.values().map(|(_, samples)| *samples);
        SourceSpread::of(samples.collect(), self.sources)
    }

    /// Puts `packets` that came from `at_ns` on into the timeline.
    fn draw(&mut self, at_ns: u64, packets: f64) {
        match self.timeline.last_mut() {
            Some(point) if at_ns.saturating_sub(point.at_ns) < self.point_ns => point.packets += packets,
            _ => self.timeline.push(Point { at_ns, packets }),
        }
        if self.timeline.len() > POINTS {
            let pairs = self.timeline.chunks(2).map(|pair| Point {
                at_ns: pair[0].at_ns,
                packets: pair.iter().map(|point| point.packets).sum(),
            });
            self.timeline = pairs.collect();
            self.point_ns *= 2;
        }
    }

    /// Sources of dropped packets.
    pub fn met(&self) -> impl Iterator<Item = Account> {
        self.offenders.keys().copied()
    }

    /// Sources of dropped packets, who sent most first, with the packets of theirs that samples stand for.
    pub fn offenders(&self) -> Vec<(Account, u64)> {
        let mut offenders: Vec<_> = self
            .offenders
            .iter()
            .map(|(account, (count, _))| (*account, *count))
            .collect();
        offenders.sort_by_key(|(account, count)| (Reverse(*count), *account));
        offenders
    }
}

/// The services that were sent most.
fn busiest(features: &Features) -> Vec<(String, f64)> {
    let named = features.services.iter().filter(|service| service.packets > 0.0);
    let mut services: Vec<_> = named
        .map(|service| (service.service.clone(), service.packets))
        .collect();
    services.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    services.truncate(5);
    services
}
