//! Figures that nobody but the daemon can count, since they are over as soon as they have happened: how long things took, and how often. To
//! count one costs nanoseconds, whether anybody asks or not.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::engine::{campaign::CampaignKind, detect::Class};

/// Seconds up to which things are told apart. A tick has 50 ms; an attack is noticed in the one after it began.
const TICKS: [f64; 9] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];
const DECISIONS: [f64; 8] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];
const DETECTIONS: [f64; 8] = [0.05, 0.1, 0.15, 0.2, 0.5, 1.0, 2.0, 5.0];

/// The class of an attack.
type ClassLabel = [(&'static str, &'static str); 1];
/// What a campaign is made of.
type KindLabel = [(&'static str, &'static str); 1];

/// What the daemon counted since it began.
#[derive(Debug)]
pub struct Figures {
    ticks: Histogram,
    missed: Counter,
    /// When the last tick began, monotonic ns; 0: there was none.
    last_tick_ns: AtomicU64,
    decisions: Histogram,
    detections: Histogram,
    begun: Family<ClassLabel, Counter>,
    resumed: Family<ClassLabel, Counter>,
    campaigns: Family<KindLabel, Counter>,
    events_missed: Counter,
}

impl Default for Figures {
    fn default() -> Self {
        let figures = Self {
            ticks: Histogram::new(TICKS),
            missed: Counter::default(),
            last_tick_ns: AtomicU64::new(0),
            decisions: Histogram::new(DECISIONS),
            detections: Histogram::new(DETECTIONS),
            begun: Family::default(),
            resumed: Family::default(),
            campaigns: Family::default(),
            events_missed: Counter::default(),
        };
        // A row that is there from the beginning shows the first of its class as a rise.
        for class in Class::ALL {
            for family in [&figures.begun, &figures.resumed] {
                let _there = family.get_or_create(&[("class", class.name())]);
            }
        }
        for kind in CampaignKind::ALL {
            let _there = figures.campaigns.get_or_create(&[("kind", kind.name())]);
        }
        figures
    }
}

impl Figures {
    /// A tick began and ended, of which one is due every `tick_ns`.
    pub(crate) fn ticked(&self, began_ns: u64, ended_ns: u64, tick_ns: u64) {
        self.ticks.observe(seconds(ended_ns.saturating_sub(began_ns)));
        let last_ns = self.last_tick_ns.swap(began_ns, Ordering::Relaxed);
        if last_ns > 0 {
            let late = began_ns.saturating_sub(last_ns).saturating_add(tick_ns / 2);
            self.missed.inc_by((late / tick_ns.max(1)).saturating_sub(1));
        }
    }

    /// Decisions were made and carried out so long after what they follow from was read.
    pub(crate) fn decided(&self, after_ns: u64) {
        self.decisions.observe(seconds(after_ns));
    }

    /// An attack, or a crowd, was recognised so long after it began.
    pub(crate) fn attack_begun(&self, class: Class, after_ns: u64) {
        self.begun.get_or_create(&[("class", class.name())]).inc();
        if class.is_attack() {
            self.detections.observe(seconds(after_ns));
        }
    }

    /// An attack that was over goes on.
    pub(crate) fn attack_resumed(&self, class: Class) {
        self.resumed.get_or_create(&[("class", class.name())]).inc();
    }

    /// A campaign was recognised.
    pub(crate) fn campaign_begun(&self, kind: CampaignKind) {
        self.campaigns.get_or_create(&[("kind", kind.name())]).inc();
    }

    /// A reader of the stream of events was too slow for so many.
    pub(crate) fn events_missed(&self, count: u64) {
        self.events_missed.inc_by(count);
    }

    /// Has `registry` tell all of it.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "netguard_tick_duration_seconds",
            "How long a tick of the daemon took, of which one is due every 0.05 s",
            self.ticks.clone(),
        );
        registry.register(
            "netguard_ticks_missed",
            "Ticks that were left out because the one before took too long",
            self.missed.clone(),
        );
        registry.register(
            "netguard_decision_duration_seconds",
            "How long after counters and samples were read the decisions that follow from them were in force",
            self.decisions.clone(),
        );
        registry.register(
            "netguard_attack_detection_seconds",
            "How long after the beginning of the window in which it began an attack was recognised",
            self.detections.clone(),
        );
        registry.register(
            "netguard_attacks_begun",
            "Attacks that were recognised, and crowds of honest clients (flash-crowd)",
            self.begun.clone(),
        );
        registry.register(
            "netguard_attacks_resumed",
            "Attacks that were over and went on under the same number",
            self.resumed.clone(),
        );
        registry.register(
            "netguard_campaigns_begun",
            "Campaigns that were recognised: attacks that belong together, many sources that each do hardly anything (probing), or both",
            self.campaigns.clone(),
        );
        registry.register(
            "netguard_events_missed",
            "Events that readers of `netguard events --follow` were too slow for",
            self.events_missed.clone(),
        );
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn told(figures: &Figures) -> String {
        let mut registry = Registry::default();
        figures.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("it is written to memory");
        text
    }

    #[test]
    fn ticks_that_were_left_out_are_counted() {
        let figures = Figures::default();
        let missed = |began_ms: u64, took_ms: u64| {
            let before = figures.missed.get();
            figures.ticked(began_ms * MS, (began_ms + took_ms) * MS, 50 * MS);
            figures.missed.get() - before
        };
        // The first, one in time, one a little late, one that comes after three were left out, and a clock that stands still.
        let ticks = [(1_000, 1), (1_050, 1), (1_115, 160), (1_315, 1), (1_315, 0)];
        assert_eq!(ticks.map(|(began, took)| missed(began, took)), [0, 0, 0, 3, 0]);
        let told = told(&figures);
        assert!(
            told.contains("netguard_tick_duration_seconds_count 5\n"),
            "{told}"
        );
        assert!(
            told.contains("netguard_tick_duration_seconds_bucket{le=\"0.001\"} 4\n"),
            "{told}"
        );
    }

    #[test]
    fn attacks_are_counted_by_class() {
        let figures = Figures::default();
        let quiet = told(&figures);
        for class in Class::ALL {
            let row = format!("netguard_attacks_begun_total{{class=\"{}\"}} 0\n", class.name());
            assert!(quiet.contains(&row), "{quiet}");
        }
        figures.attack_begun(Class::SynFlood, 100 * MS);
        figures.attack_begun(Class::SynFlood, 150 * MS);
        figures.attack_begun(Class::FlashCrowd, 50 * MS);
        figures.attack_resumed(Class::UdpFlood);
        let count = |family: &Family<ClassLabel, Counter>, class| {
            family.get(&[("class", class)]).map_or(0, |counter| counter.get())
        };
        assert_eq!(count(&figures.begun, "syn-flood"), 2);
        assert_eq!(count(&figures.begun, "udp-flood"), 0);
        assert_eq!(count(&figures.resumed, "udp-flood"), 1);
        let told = told(&figures);
        assert!(
            told.contains("netguard_attack_detection_seconds_bucket{le=\"0.1\"} 1\n"),
            "{told}"
        );
    }
}
