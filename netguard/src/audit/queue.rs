//! What waits for the disk: bounded in number and in bytes, whatever happens meanwhile. It has no clock and no thread.

use std::collections::VecDeque;

use super::{Record, about::About};

/// Records and bytes that may wait.
const RECORDS: usize = 4_096;
const BYTES: usize = 4 * 1024 * 1024;
/// Events a second that strangers can cause at will and that are told one by one.
const STRANGERS_PER_S: u32 = 5;
const SECOND_NS: u64 = 1_000_000_000;

/// What an event is worth when there is little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Somebody decided something.
    Decision,
    /// It comes every second: gives way first.
    Summary,
    /// Strangers can cause it at will: a few a second, and the number of the others.
    Strangers,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Record, Worth)>,
    bytes: usize,
    /// Since that was last told.
    lost: u64,
    lost_ever: u64,
    /// The second that is counted.
    second_ns: u64,
    of_strangers: u32,
    left_out: u64,
    ending: bool,
}

impl Queue {
    /// Nothing more will come.
    pub(super) fn end(&mut self) {
        self.ending = true;
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    pub(super) fn push(&mut self, record: Record, worth: Worth, now_ns: u64) {
        if now_ns.saturating_sub(self.second_ns) >= SECOND_NS {
            (self.second_ns, self.of_strangers) = (now_ns, 0);
            self.tell_left_out();
        }
        if worth == Worth::Strangers {
            if self.of_strangers == STRANGERS_PER_S {
                self.left_out += 1;
                return;
            }
            self.of_strangers += 1;
        }
        if !self.has_room(&record) {
            self.lost += 1;
            self.lost_ever += 1;
            let summary = |(_, other): &(Record, Worth)| *other == Worth::Summary;
            let way = match worth {
                Worth::Summary => None,
                _ => self.waiting.iter().position(summary),
            };
            match way {
                Some(index) => self.remove(index),
                None => return,
            }
        } else {
            self.tell_lost();
        }
        self.add(record, worth);
    }

    /// The oldest `most` of what waits; the last ones with what was left out, if anything.
    pub(super) fn take(&mut self, most: usize) -> VecDeque<Record> {
        if self.waiting.len() < most {
            self.tell_lost();
            if self.ending {
                self.tell_left_out();
            }
        }
        let count = most.min(self.waiting.len());
        let taken: VecDeque<Record> = self.waiting.drain(..count).map(|(record, _)| record).collect();
        self.bytes -= taken.iter().map(Record::len).sum::<usize>();
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn lost_ever(&self) -> u64 {
        self.lost_ever
    }

    fn has_room(&self, record: &Record) -> bool {
        self.waiting.len() < RECORDS && self.bytes + record.len() <= BYTES
    }

    fn tell_lost(&mut self) {
        if self.lost > 0 {
            let count = std::mem::take(&mut self.lost);
            self.add(About::Lost { count }.record(), Worth::Decision);
        }
    }

    fn tell_left_out(&mut self) {
        if self.left_out > 0 && self.waiting.len() < RECORDS {
            let count = std::mem::take(&mut self.left_out);
            self.add(About::LeftOut { count }.record(), Worth::Decision);
        }
    }

    fn add(&mut self, record: Record, worth: Worth) {
        self.bytes += record.len();
        self.waiting.push_back((record, worth));
    }

    fn remove(&mut self, index: usize) {
        if let Some((record, _)) = self.waiting.remove(index) {
            self.bytes -= record.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::{Author, Head, encode};

    fn record(text: &str) -> Record {
        let event = json!({"event": "rule-added", "note": text});
        Record::new(String::new(), 0, Author::Daemon, &event)
    }

    fn texts(records: &VecDeque<Record>) -> Vec<String> {
        let line = |record| {
            let mut bytes = Vec::new();
            encode(record, Head::default(), &mut bytes);
            String::from_utf8(bytes).expect("text")
        };
        records.iter().map(line).collect()
    }

    #[test]
    fn memory_is_bounded_and_what_is_lost_is_told_in_its_place() {
        for (text, most) in [("x".to_owned(), RECORDS), ("x".repeat(30_000), BYTES / 30_000)] {
            let mut queue = Queue::default();
            for _ in 0..RECORDS + 50 {
                queue.push(record(&text), Worth::Decision, 0);
            }
            assert!(queue.len() <= most && queue.bytes <= BYTES);
            assert_eq!(queue.lost_ever() as usize, RECORDS + 50 - queue.len());
            let lost = queue.lost;
            let kept = queue.take(10);
            assert_eq!(kept.len(), 10);
            queue.push(record("later"), Worth::Decision, 0);
            let rest = texts(&queue.take(usize::MAX));
            let told = rest
                .iter()
                .position(|line| line.contains("audit-lost"))
                .expect("told");
            assert!(rest[told].contains(&format!("\"count\":{lost}")));
            assert!(rest[told + 1].contains("later") && rest.len() == told + 2);
            assert_eq!((queue.len(), queue.bytes), (0, 0));
        }
    }

    #[test]
    fn summaries_give_way_to_decisions() {
        let mut queue = Queue::default();
        for _ in 0..RECORDS {
            queue.push(record("summary"), Worth::Summary, 0);
        }
        queue.push(record("decision"), Worth::Decision, 0);
        queue.push(record("summary"), Worth::Summary, 0);
        assert_eq!((queue.len(), queue.lost_ever()), (RECORDS, 2));
        let all = texts(&queue.take(usize::MAX));
        assert!(all[RECORDS - 1].contains("decision"));
    }

    #[test]
    fn strangers_get_a_few_lines_a_second_and_a_number() {
        let mut queue = Queue::default();
        for millisecond in 0..3_000 {
            queue.push(record("withheld"), Worth::Strangers, millisecond * 1_000_000);
        }
        queue.push(record("operator"), Worth::Decision, 3_000_000_000);
        queue.end();
        let all = texts(&queue.take(usize::MAX));
        let of = |text: &str| all.iter().filter(|line| line.contains(text)).count();
        assert_eq!(
            (of("withheld"), of("operator")),
            (3 * STRANGERS_PER_S as usize, 1)
        );
        let left_out = 1_000 - u64::from(STRANGERS_PER_S);
        assert_eq!(of(&format!("\"audit-left-out\",\"count\":{left_out}")), 3);
    }
}
