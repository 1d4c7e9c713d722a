//! Attacks in a replay: what the controller of the daemon would have recognised, tick by tick. It learns as the daemon does, from
//! nothing: most captures are too short for it to believe what it learnt.

use netguard_common::telemetry::Traffic;

use super::{clock::BEGIN_NS, report::Attack};
use crate::engine::{Controller, Features, Step, TrafficWindow, Window, detect::Class};

const SECOND_NS: u64 = 1_000_000_000;

/// What is followed.
#[derive(Default)]
pub(super) struct Attacks {
    controller: Controller,
    /// The ticks of the second that is under way.
    second: Vec<Window>,
    traffic: Option<TrafficWindow>,
}

impl Attacks {
    /// Takes in the tick that ended at `now_ns`; when it ends a second, the ticks of that and what was attacked in it.
    pub(super) fn tick(&mut self, step: &Step, now_ns: u64) -> Option<(Vec<Window>, Vec<Class>)> {
        let traffic = step.traffic.as_ref()?;
        let features = Features::of(now_ns, traffic, [&step.window], &[]);
        self.controller.tick(&features, &step.window);
        self.second.push(step.window.clone());
        let sum = match self.traffic.take() {
            Some(sum) => joined(sum, traffic),
            None => traffic.clone(),
        };
        if sum.length_ns < SECOND_NS {
            self.traffic = Some(sum);
            return None;
        }
        let second = Features::of(now_ns, &sum, &self.second, &[]);
        self.controller.second(&second);
        let attacks = self.controller.tracker().attacks().iter();
        let going = attacks.filter(|attack| attack.is_going() && attack.class.is_attack());
        let attacked = going.map(|attack| attack.class).collect();
        Some((std::mem::take(&mut self.second), attacked))
    }

    pub(super) fn told(&self) -> Vec<Attack> {
        let ms = |at_ns: u64| at_ns.saturating_sub(BEGIN_NS) / 1_000_000;
        let attacks = self.controller.tracker().attacks().iter();
        attacks
            .map(|attack| Attack {
                id: attack.id,
                class: attack.class,
                harmful: attack.class.is_attack(),
                began_ms: ms(attack.begun_ns),
                detected_after_ms: attack.detected_ns.saturating_sub(attack.begun_ns) / 1_000_000,
                ended_ms: attack.ended_ns.map(ms),
                pulses: attack.pulses,
                packets: attack.packets as u64,
                peak_packets_per_s: attack.peak as u64,
                evidence: attack.evidence.clone(),
            })
            .collect()
    }
}

/// Counts of both; how things varied is that of the newer, since histograms cannot be told from entropies.
fn joined(before: TrafficWindow, newer: &TrafficWindow) -> TrafficWindow {
    let mut sum = TrafficWindow {
        length_ns: before.length_ns.saturating_add(newer.length_ns),
        ..newer.clone()
    };
    let counts = sum.traffic.iter_mut().flatten();
    for (sum, before) in counts.zip(before.traffic.iter().flatten()) {
        *sum = Traffic {
            packets: sum.packets.wrapping_add(before.packets),
            bytes: sum.bytes.wrapping_add(before.bytes),
            dropped: sum.dropped.wrapping_add(before.dropped),
            ..*sum
        };
    }
    sum
}
