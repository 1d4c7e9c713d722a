//! The chain: what is read of the datapath at a tick becomes a window, findings and decisions. The daemon and `netguard replay` run the
//! same one; it reads nothing itself, and the time is what its caller says that it is.

use netguard_common::{
    Action as PacketAction, Judgement,
    layout::{Counter, Sample, Sampler},
    shared::Field as _,
    telemetry::Telemetry,
};

use super::{
    Action, Decision, Divided, Enforced, Finding, FlooderSettings, Flooders, Guard, Opened, Reputation,
    RuleSink, TrafficWindow, Window, decide, enforce, observe, traffic::compare,
};

/// What is read of the datapath at a tick.
pub struct Readings {
    /// Monotonic.
    pub at_ns: u64,
    /// Packets and bytes by judgement since the maps were made, always in the same order.
    pub counters: Vec<(Judgement, Counter)>,
    pub sampler: Sampler,
    /// Those since the tick before.
    pub samples: Vec<Sample>,
    /// What was counted of the traffic since the maps were made, at the ticks at which that was read.
    pub telemetry: Option<Box<Telemetry>>,
    /// Connections that others opened with this machine since the maps were made, as far as anybody counts.
    pub opened: Option<u64>,
}

/// What a tick made of its readings.
pub struct Step {
    pub window: Window,
    /// What the traffic was like since telemetry was read before; `None` where it was not read, or for the first time.
    pub traffic: Option<TrafficWindow>,
    pub findings: Vec<Finding>,
    /// Whether services were asked so often that cookies were wanted for them.
    pub cookies_wanted: bool,
}

/// What is carried from tick to tick.
pub struct Chain {
    flooder: FlooderSettings,
    flooders: Flooders,
    divided: Divided,
    /// The reading before.
    before: Option<Before>,
    traffic_before: Option<TrafficReading>,
}

/// A reading of the traffic.
struct TrafficReading {
    at_ns: u64,
    telemetry: Box<Telemetry>,
    opened: Option<u64>,
}

struct Before {
    at_ns: u64,
    counters: Vec<(Judgement, Counter)>,
    sampler: Sampler,
}

impl Chain {
    pub fn new(flooder: FlooderSettings) -> Self {
        Self {
            flooder,
            flooders: Flooders::default(),
            divided: Divided::default(),
            before: None,
            traffic_before: None,
        }
    }

    /// Whose limits are divided from now on.
    pub fn divide(&mut self, divided: Divided) {
        self.divided = divided;
    }

    /// Observes and detects; `opened` says who opens connections. What was counted before the first reading is not news.
    pub fn step(&mut self, readings: Readings, opened: Opened<'_>) -> Step {
        let Readings {
            at_ns,
            counters,
            sampler,
            samples,
            telemetry,
            opened: opened_in_all,
        } = readings;
        let (mut window, cookies_wanted) = match &self.before {
            None => (observe(&counters, &counters, &samples, 0, at_ns, 0), false),
            Some(before) => {
                let lost = sampler.lost.saturating_sub(before.sampler.lost);
                let length_ns = at_ns.saturating_sub(before.at_ns);
                let window = observe(&before.counters, &counters, &samples, lost, at_ns, length_ns);
                (window, sampler.cookies_wanted != before.sampler.cookies_wanted)
            }
        };
        self.divided.spare(&mut window);
        self.before = Some(Before {
            at_ns,
            counters,
            sampler,
        });
        Step {
            traffic: telemetry.and_then(|now| {
                self.traffic(TrafficReading {
                    at_ns,
                    telemetry: now,
                    opened: opened_in_all,
                })
            }),
            findings: self.flooders.detect(&window, &self.flooder, opened),
            window,
            cookies_wanted,
        }
    }

    fn traffic(&mut self, now: TrafficReading) -> Option<TrafficWindow> {
        let window = self.traffic_before.as_ref().map(|then| TrafficWindow {
            opened: now
                .opened
                .zip(then.opened)
                .map(|(now, then)| now.wrapping_sub(then)),
            ..compare(
                &then.telemetry,
                &now.telemetry,
                now.at_ns.saturating_sub(then.at_ns),
            )
        });
        self.traffic_before = Some(now);
        window
    }

    /// Answers sent since the maps were made, as of the last reading.
    pub fn answered(&self) -> u64 {
        let counters = self.before.iter().flat_map(|before| &before.counters);
        let answers = counters.filter(|(judgement, _)| judgement.action() == PacketAction::Answer);
        answers.map(|(_, counter)| counter.packets).sum()
    }

    /// The sampler as of the last reading.
    pub fn sampler(&self) -> Sampler {
        self.before
            .as_ref()
            .map_or(Sampler::ZERO, |before| before.sampler)
    }
}

/// Decides on `findings` at `now_ns` and carries the decisions out; each with what became of it. `reputation` knows who has an
/// established connection now.
pub fn conclude<S: RuleSink>(
    findings: Vec<Finding>,
    guard: &Guard,
    reputation: &mut Reputation,
    now_ns: u64,
    sink: &mut S,
) -> Vec<(Decision, Enforced<S::Error>)> {
    let decisions = decide(findings, guard, reputation, now_ns);
    let outcomes = enforce(&decisions, now_ns, sink);
    for (decision, outcome) in decisions.iter().zip(&outcomes) {
        if let (Action::Block { prefix, .. }, Enforced::Failed(_)) = (&decision.action, outcome) {
            reputation.spare(decision.finding.account, prefix, decision.before, now_ns);
        }
    }
    decisions.into_iter().zip(outcomes).collect()
}

#[cfg(test)]
mod tests {
    use netguard_common::{Verdict, layout::Rule};

    use super::*;
    use crate::{
        engine::{reputation::Settings, window::tests::sample},
        prefix::Prefix,
    };

    const SETTINGS: FlooderSettings = FlooderSettings {
        over_for_ns: 1_000_000_000,
        min_dropped_per_s: 100,
        count_shadow: false,
    };
    const LIMITED: Judgement = Judgement {
        verdict: Verdict::LimitSyn,
        shadow: false,
    };

    fn readings(tick: u64, dropped: u64) -> Readings {
        let bytes = dropped * 60;
        Readings {
            at_ns: 10_000_000_000 + tick * 100_000_000,
            counters: vec![(
                LIMITED,
                Counter {
                    packets: dropped,
                    bytes,
                },
            )],
            sampler: Sampler {
                lost: 7 + tick,
                cookies_wanted: tick / 2,
                ..Sampler::ZERO
            },
            samples: vec![sample([192, 0, 2, 1], Verdict::LimitSyn, 50)],
            telemetry: tick.is_multiple_of(10).then(|| {
                let mut telemetry = Box::new(Telemetry::ZERO);
                telemetry.traffic[0][0].packets = dropped;
                telemetry
            }),
            opened: Some((u64::MAX - 5).wrapping_add(tick)),
        }
    }

    fn nobody(_: std::net::IpAddr) -> Option<u32> {
        None
    }

    #[test]
    fn the_first_reading_is_where_counting_begins() {
        let mut chain = Chain::new(SETTINGS);
        let first = chain.step(readings(0, 900), &nobody);
        assert!(first.window.verdicts.is_empty() && first.traffic.is_none() && !first.cookies_wanted);
        assert_eq!((first.window.samples_lost, first.window.length_ns), (0, 0));
        let second = chain.step(readings(1, 950), &nobody);
        assert_eq!(second.window.verdicts[0].1.packets, 50);
        assert_eq!(
            (second.window.samples_lost, second.window.length_ns),
            (1, 100_000_000)
        );
        assert!(!second.cookies_wanted && second.traffic.is_none());
        assert!(chain.step(readings(2, 950), &nobody).cookies_wanted);
        let traffic = chain
            .step(readings(10, 990), &nobody)
            .traffic
            .expect("it was read twice");
        assert_eq!(
            (traffic.length_ns, traffic.traffic[0][0].packets),
            (1_000_000_000, 90)
        );
        assert_eq!(traffic.opened, Some(10));
        assert_eq!(chain.sampler().lost, 17);
    }

    struct Memory(Vec<(Prefix, Rule)>);

    impl RuleSink for Memory {
        type Error = &'static str;

        fn block(&mut self, prefix: Prefix, rule: Rule) -> Result<(), Self::Error> {
            self.0.push((prefix, rule));
            Ok(())
        }
    }

    #[test]
    fn a_flooder_is_found_and_blocked_once_it_is_proven() {
        for proven in [false, true] {
            let (mut chain, mut memory) = (Chain::new(SETTINGS), Memory(Vec::new()));
            let mut concluded = Vec::new();
            let mut reputation = Reputation::new(Settings::default(), 0, 0);
            let account = std::net::IpAddr::from([192, 0, 2, 1]);
            reputation.connect(proven.then_some((account, 1)).into_iter().collect(), 0);
            for tick in 0..=10 {
                let step = chain.step(readings(tick, tick * 50), &nobody);
                let now_ns = step.window.at_ns;
                let findings = step.findings;
                concluded.extend(conclude(
                    findings,
                    &Guard::new([]),
                    &mut reputation,
                    now_ns,
                    &mut memory,
                ));
            }
            assert_eq!(concluded.len(), 1);
            assert_eq!(matches!(concluded[0].0.action, Action::Block { .. }), proven);
            assert_eq!(memory.0.len(), usize::from(proven));
        }
    }
}
