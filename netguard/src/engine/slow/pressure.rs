//! Whether a service suffers from its connections.

use std::collections::HashMap;

use super::{Look, Paced};
use crate::engine::Account;

/// Connections that wait to be accepted, from which on a quarter of the queue is much.
const WAITING: u32 = 16;
/// Connections that are stuck, from which on they are told as pressure where they are half of all.
const STUCK: usize = 256;
/// How long a queue that fills up may be a burst of clients.
const BURST_NS: u64 = 1_000_000_000;
/// How long a service counts as under pressure after it was seen to be.
const LASTS_NS: u64 = 10_000_000_000;

/// The connections of a service that never said enough to be answered, or take nothing of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stuck {
    /// All connections of the service, those that are stuck, and the most of these that one source has.
    pub(super) all: usize,
    pub(super) stuck: usize,
    pub(super) of_one: usize,
    /// Whether the service answers others: some never answer anybody.
    pub(super) is_unusual: bool,
}

impl Stuck {
    /// That of `flows`. Answers that nobody takes count where one source has most of them: a line may be down, also that of this machine.
    pub(super) fn of(flows: &[Paced<'_>]) -> Self {
        let of_sources = |is_meant: fn(&Paced<'_>) -> bool| {
            let mut sources: HashMap<Account, usize> = HashMap::new();
            for paced in flows.iter().filter(|paced| is_meant(paced)) {
                *sources.entry(Account::of(paced.flow.peer)).or_default() += 1;
            }
            let (sum, most) = (sources.values().sum(), sources.values().copied().max());
            (sum, most.unwrap_or(0))
        };
        let (silent, of_one): (usize, usize) = of_sources(|paced| paced.is_silent());
        let (stuck, most): (usize, usize) = of_sources(|paced| paced.is_stuck());
        let (stuck, of_one) = if most * 2 >= stuck {
            (stuck, most)
        } else {
            (silent, of_one)
        };
        Self {
            all: flows.len(),
            stuck,
            of_one,
            is_unusual: false,
        }
    }

    fn is_much(&self) -> bool {
        let is_many = self.stuck >= STUCK && self.stuck * 2 >= self.all;
        is_many && (self.is_unusual || self.of_one * 2 >= self.stuck)
    }
}

/// Services under pressure.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Until when, by port.
    until_ns: HashMap<u16, u64>,
    /// Since when queues show signs of it: a burst of clients is soon accepted.
    suspected: HashMap<u16, u64>,
}

impl Pressure {
    /// Looks at the queues, and at what is stuck of each service.
    pub(super) fn look(&mut self, look: &Look, stuck: impl Fn(u16) -> Stuck) {
        self.until_ns.retain(|_, until_ns| *until_ns > look.now_ns);
        let mut suspected = HashMap::new();
        for queue in &look.queues {
            let is_full = queue.waiting > 1 && queue.waiting >= queue.backlog;
            let fills_up =
                queue.waiting >= WAITING && u64::from(queue.waiting) * 4 >= u64::from(queue.backlog);
            let mut is_no_burst = false;
            if is_full || fills_up {
                let since_ns = self.suspected.get(&queue.port).copied().unwrap_or(look.now_ns);
                suspected.insert(queue.port, since_ns);
                is_no_burst = look.now_ns.saturating_sub(since_ns) >= BURST_NS;
            }
            // What is stuck has been so for a while.
            if is_no_burst || stuck(queue.port).is_much() {
                self.until_ns
                    .insert(queue.port, look.now_ns.saturating_add(LASTS_NS));
            }
        }
        self.suspected = suspected;
    }

    pub(super) fn is_on(&self, port: u16, now_ns: u64) -> bool {
        self.until_ns
            .get(&port)
            .is_some_and(|until_ns| *until_ns > now_ns)
    }

    pub(super) fn ports(&self, now_ns: u64) -> Vec<u16> {
        let on = |port: &u16| self.is_on(*port, now_ns);
        let mut ports: Vec<u16> = self.until_ns.keys().copied().filter(on).collect();
        ports.sort_unstable();
        ports
    }
}
