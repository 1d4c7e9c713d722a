//! Counts what is judged: by verdict, second and source. The sums by verdict are those of the kernel's counters, without a system call
//! for each.

use std::collections::{BTreeMap, HashMap};

use netguard_common::{Action, Judgement, Verdict, layout::Counter, maps::COUNTERS, shared::Field as _};

use super::report::{Second, Source, VerdictCount};
use crate::engine::Account;

/// Sources that are counted: those beyond are not, in a flood from forged ones.
const SOURCES: usize = 1 << 18;
/// Entries of the timeline; beyond, each is of twice as many seconds.
const ENTRIES: usize = 600;
/// Sources that are told.
const TOLD: usize = 10;
const SECOND_NS: u64 = 1_000_000_000;

/// What was judged until now.
pub(super) struct Tally {
    counters: Vec<Counter>,
    seconds: BTreeMap<u64, Second>,
    step_s: u64,
    sources: HashMap<Account, Losses>,
    pub(super) packets: u64,
}

struct Losses {
    packets: u64,
    dropped: BTreeMap<Verdict, u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            counters: vec![Counter::ZERO; COUNTERS],
            seconds: BTreeMap::new(),
            step_s: 1,
            sources: HashMap::new(),
            packets: 0,
        }
    }

    /// Counts a frame of `len` bytes, `since_ns` after the first.
    pub(super) fn count(&mut self, judgement: Judgement, len: usize, since_ns: u64, source: Option<Account>) {
        self.packets += 1;
        if let Some(counter) = self.counters.get_mut(judgement.counter() as usize) {
            counter.packets += 1;
            counter.bytes += len as u64;
        }
        let action = judgement.action();
        self.count_second(action, since_ns / SECOND_NS);
        let Some(source) = source else { return };
        if let Some(losses) = self.sources.get_mut(&source) {
            losses.packets += 1;
            if action == Action::Drop {
                *losses.dropped.entry(judgement.verdict).or_default() += 1;
            }
        } else if action == Action::Drop && self.sources.len() < SOURCES {
            // Packets from before its first loss are not counted: most sources lose none.
            let dropped = BTreeMap::from([(judgement.verdict, 1)]);
            self.sources.insert(source, Losses { packets: 1, dropped });
        }
    }

    fn count_second(&mut self, action: Action, at_s: u64) {
        let at_s = at_s - at_s % self.step_s;
        let second = self.seconds.entry(at_s).or_insert_with(|| Second {
            at_s,
            ..Second::default()
        });
        second.packets += 1;
        match action {
            Action::Pass => second.passed += 1,
            Action::Drop => second.dropped += 1,
            Action::Answer => second.answered += 1,
        }
        while self.seconds.len() > ENTRIES {
            self.step_s *= 2;
            for (_, second) in std::mem::take(&mut self.seconds) {
                let at_s = second.at_s - second.at_s % self.step_s;
                let sum = self.seconds.entry(at_s).or_insert_with(|| Second {
                    at_s,
                    ..Second::default()
                });
                sum.packets += second.packets;
                sum.passed += second.passed;
                sum.dropped += second.dropped;
                sum.answered += second.answered;
            }
        }
    }

    /// As the kernel's counters are read.
    pub(super) fn readings(&self) -> Vec<(Judgement, Counter)> {
        let judged = self.counters.iter().zip(0..);
        judged
            .filter_map(|(counter, index)| Some((Judgement::from_counter(index)?, *counter)))
            .collect()
    }

    pub(super) fn verdicts(&self) -> Vec<VerdictCount> {
        let counted = self.readings().into_iter();
        let counted = counted.filter(|(_, counter)| counter.packets > 0);
        counted
            .map(|(judgement, counter)| {
                let (name, action) = match judgement.shadow {
                    false => (
                        judgement.verdict.name().to_owned(),
                        judgement.verdict.action().name(),
                    ),
                    true => (format!("shadow-{}", judgement.verdict.name()), "shadow"),
                };
                VerdictCount {
                    name,
                    action: action.to_owned(),
                    packets: counter.packets,
                    bytes: counter.bytes,
                }
            })
            .collect()
    }

    /// The timeline, and of how many seconds each entry is.
    pub(super) fn timeline(&self) -> (u64, Vec<Second>) {
        (self.step_s, self.seconds.values().cloned().collect())
    }

    /// Who lost most, and what for.
    pub(super) fn top_sources(&self) -> Vec<Source> {
        let mut sources: Vec<(u64, &Account, &Losses)> = self
            .sources
            .iter()
            .map(|(account, losses)| (losses.dropped.values().sum(), account, losses))
            .collect();
        sources.sort_by_key(|(dropped, account, _)| (std::cmp::Reverse(*dropped), **account));
        let most = sources.into_iter().take(TOLD);
        most.map(|(dropped, account, losses)| Source {
            source: account.prefix(),
            packets: losses.packets,
            dropped,
            verdict: losses
                .dropped
                .iter()
                .max_by_key(|(verdict, count)| (**count, std::cmp::Reverse(verdict.number())))
                .map_or_else(String::new, |(verdict, _)| verdict.name().to_owned()),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: Judgement = Judgement {
        verdict: Verdict::Pass,
        shadow: false,
    };
    const DROP: Judgement = Judgement {
        verdict: Verdict::LimitUdp,
        shadow: false,
    };

    #[test]
    fn shadow_passes_and_bears_its_name() {
        let mut tally = Tally::new();
        tally.count(Judgement { shadow: true, ..DROP }, 60, 0, None);
        tally.count(DROP, 40, 1, None);
        let verdicts = tally.verdicts();
        let told: Vec<_> = verdicts
            .iter()
            .map(|row| (row.name.as_str(), row.action.as_str(), row.bytes))
            .collect();
        assert_eq!(
            told,
            [("limit-udp", "drop", 40), ("shadow-limit-udp", "shadow", 60)]
        );
        assert_eq!(tally.timeline().1[0].passed, 1);
    }

    #[test]
    fn a_long_timeline_gets_coarser_and_loses_nothing() {
        let mut tally = Tally::new();
        for second in 0..5_000 {
            tally.count(PASS, 60, second * SECOND_NS, None);
        }
        let (step_s, timeline) = tally.timeline();
        assert_eq!(step_s, 16);
        assert!(timeline.len() <= ENTRIES);
        assert_eq!(timeline.iter().map(|second| second.packets).sum::<u64>(), 5_000);
        assert!(timeline.iter().all(|second| second.at_s.is_multiple_of(16)));
    }

    #[test]
    fn sources_are_told_by_what_they_lost() {
        let mut tally = Tally::new();
        for host in 0..20_u8 {
            let source = Some(Account::of([192, 0, 2, host].into()));
            for _ in 0..=host {
                tally.count(DROP, 60, 0, source);
            }
            tally.count(PASS, 60, 0, source);
        }
        let sources = tally.top_sources();
        assert_eq!(sources.len(), TOLD);
        assert_eq!((sources[0].dropped, sources[0].packets), (20, 21));
        assert_eq!(sources[0].source.to_string(), "192.0.2.19/32");
        assert_eq!(sources[0].verdict, "limit-udp");
    }
}
