//! What happened lately, for `netguard events`: a bounded memory and a live stream. All of it goes to the audit trail, too,
//! which keeps it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::sync::broadcast;

use super::{Event, EventKind};
use crate::{
    audit::{AuditState, Author, Recorder},
    clock::wall_clock_text,
};

/// Events remembered.
const REMEMBERED: usize = 1_000;
/// Events that a slow reader of the stream may lag behind before it misses some (it is told how many).
const STREAM_BUFFER: usize = 1_024;

/// Remembers and streams events.
#[derive(Debug)]
pub struct Journal {
    recent: Mutex<VecDeque<Event>>,
    stream: broadcast::Sender<Event>,
    audit: Option<Recorder>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            recent: Mutex::default(),
            stream: broadcast::channel(STREAM_BUFFER).0,
            audit: None,
        }
    }
}

impl Journal {
    /// A journal of which all goes to this trail, too.
    pub(super) fn with_trail(audit: Option<Recorder>) -> Self {
        Self {
            audit,
            ..Self::default()
        }
    }

    /// How the audit trail stands; `None`: there is none.
    pub fn audit(&self) -> Option<AuditState> {
        self.audit.as_ref().map(Recorder::state)
    }

    /// Waits until the trail is written, if that does not take long.
    pub(super) fn finish(&self) {
        if let Some(audit) = &self.audit {
            audit.finish();
        }
    }

    /// Records that `kind` happened now, by who does such things.
    pub fn record(&self, kind: EventKind) {
        let author = kind.author();
        self.record_by(author, kind);
    }

    /// Records that `author` did `kind` now.
    pub fn record_by(&self, author: Author, kind: EventKind) {
        let event = Event {
            at: wall_clock_text(),
            author,
            kind,
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= REMEMBERED {
            // Under attack summaries come every second: decisions are worth more.
            let summary = recent
                .iter()
                .position(|event| matches!(event.kind, EventKind::Dropped { .. }));
            recent.remove(summary.unwrap_or(0));
        }
        recent.push_back(event.clone());
        // Under the lock: in the trail stands what happened in the same order.
        if let Some(audit) = &self.audit {
            let (at, author) = (event.at.clone(), event.author.clone());
            audit.record(at, author, &event.kind, event.kind.worth());
        }
        // Nobody listens most of the time: that is no error.
        let _listeners = self.stream.send(event);
    }

    /// The last `limit` events, oldest first.
    pub fn recent(&self, limit: usize) -> Vec<Event> {
        self.follow(limit).0
    }

    /// The last `limit` events, oldest first, and those from now on: each is among the former or the latter.
    pub fn follow(&self, limit: usize) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = recent.len().saturating_sub(limit);
        let events = recent.iter().skip(skipped).cloned().collect();
        (events, self.stream.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let journal = Journal::default();
        for count in 0..1_500 {
            journal.record(EventKind::SamplesLost { count });
        }
        let recent = journal.recent(usize::MAX);
        assert_eq!(recent.len(), REMEMBERED);
        assert_eq!(recent[999].kind, EventKind::SamplesLost { count: 1_499 });
        assert_eq!(journal.recent(2).len(), 2);
    }

    /// Found in review: what happened while somebody began to follow could be told twice.
    #[test]
    fn whoever_follows_hears_each_event_once() {
        const EVENTS: u64 = 50;
        for _ in 0..200 {
            let journal = Journal::default();
            let (mut heard, mut live) = std::thread::scope(|scope| {
                let recorder = scope.spawn(|| {
                    for count in 0..EVENTS {
                        journal.record(EventKind::SamplesLost { count });
                    }
                });
                while journal.recent(1).is_empty() && !recorder.is_finished() {
                    std::hint::spin_loop();
                }
                journal.follow(usize::MAX)
            });
            heard.extend(std::iter::from_fn(|| live.try_recv().ok()));
            let told: Vec<EventKind> = heard.into_iter().map(|event| event.kind).collect();
            let all: Vec<EventKind> = (0..EVENTS)
                .map(|count| EventKind::SamplesLost { count })
                .collect();
            assert_eq!(told, all);
        }
    }

    #[test]
    fn summaries_are_forgotten_before_decisions() {
        let journal = Journal::default();
        let removed = EventKind::RuleRemoved {
            list: "block".into(),
            prefix: "192.0.2.1/32".into(),
        };
        journal.record(removed.clone());
        for packets_per_s in 0..2_000 {
            let verdict = "limit-syn".into();
            let action = "drop".into();
            journal.record(EventKind::Dropped {
                verdict,
                action,
                packets_per_s,
                top_source: None,
            });
        }
        assert_eq!(journal.recent(usize::MAX)[0].kind, removed);
    }
}
