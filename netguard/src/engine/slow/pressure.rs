//! Whether a service suffers from its connections.

use std::collections::HashMap;

use super::Look;

/// Connections that never said enough to be answered, from which on they are told as pressure where they are half of all.
const SILENT: usize = 256;
/// How long a service counts as under pressure after it was seen to be.
const LASTS_NS: u64 = 10_000_000_000;

/// Until when services count as under pressure, by port.
#[derive(Debug, Default)]
pub(super) struct Pressure(HashMap<u16, u64>);

impl Pressure {
    /// Looks at the queues, and at how many connections each service has and how many of them are `silent`.
    pub(super) fn look(&mut self, look: &Look, silent: impl Fn(u16) -> (usize, usize)) {
        self.0.retain(|_, until_ns| *until_ns > look.now_ns);
        for queue in &look.queues {
            // A quarter of the queue: who accepts as they come leaves none, and a burst is accepted in milliseconds.
            let fills_up = queue.waiting > 1 && u64::from(queue.waiting) * 4 >= u64::from(queue.backlog);
            let (all, silent) = silent(queue.port);
            if fills_up || (silent >= SILENT && silent * 2 >= all) {
                self.0.insert(queue.port, look.now_ns.saturating_add(LASTS_NS));
            }
        }
    }

    pub(super) fn is_on(&self, port: u16, now_ns: u64) -> bool {
        self.0.get(&port).is_some_and(|until_ns| *until_ns > now_ns)
    }

    pub(super) fn ports(&self, now_ns: u64) -> Vec<u16> {
        let mut ports: Vec<u16> = self
            .0
            .keys()
            .copied()
            .filter(|port| self.is_on(*port, now_ns))
            .collect();
        ports.sort_unstable();
        ports
    }
}
