//! All conversations: bounded in number and in what they hold together; what is not looked at is counted.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

use super::{
    Ends, Limits, Observation, Segment, Side, With, conversation::Conversation, forgotten::Forgotten,
};

/// Where there is no room, conversations in which nothing was said for so long give way, and it is looked for them no more often than this.
const GIVES_WAY_NS: u64 = 10_000_000_000;
const LOOK_NS: u64 = 250_000_000;
/// Quiet conversations that wait to be left alone; more are listened to in vain.
const QUIET: usize = 4_096;

/// The conversations with this machine's services.
pub struct Conversations {
    limits: Limits,
    keys: RandomState,
    followed: HashMap<Ends, Box<Conversation>>,
    forgotten: Forgotten,
    /// Bytes that they hold together.
    buffered: usize,
    overflowed: u64,
    /// Those in which nothing more is read.
    quiet: Vec<Ends>,
    /// When room was looked for last.
    looked_ns: Option<u64>,
}

impl Conversations {
    pub fn new(limits: Limits) -> Self {
        Self::with_keys(limits, RandomState::new())
    }

    /// With hashes of queries and targets that others with the same keys have, too.
    pub fn with_keys(limits: Limits, keys: RandomState) -> Self {
        Self {
            limits,
            keys,
            followed: HashMap::new(),
            forgotten: Forgotten::default(),
            buffered: 0,
            overflowed: 0,
            quiet: Vec::new(),
            looked_ns: None,
        }
    }

    /// Takes in a segment, and says what is observed.
    pub fn take(&mut self, segment: &Segment<'_>, say: &mut impl FnMut(Observation)) {
        let mut with = With {
            limits: &self.limits,
            keys: &self.keys,
            say,
        };
        let known = self.followed.get(&segment.ends);
        let is_new = known
            .is_none_or(|conversation| !segment.bytes.is_empty() && conversation.is_over_before(segment));
        if is_new {
            // An end alone, or an answer to nothing, begins no conversation.
            let begins = !segment.bytes.is_empty() && (segment.from == Side::Client || segment.is_whole);
            let before = self.followed.remove(&segment.ends);
            if let Some(mut before) = before {
                self.buffered -= before.held();
                before.finish(segment.ends, segment.at_ns, &mut with);
            }
            if !begins {
                return;
            }
            let hash = self.keys.hash_one(segment.ends);
            if !self.has_room(segment.at_ns) {
                self.overflowed += u64::from(self.forgotten.insert(hash));
                return;
            }
            let is_certain = segment.is_whole && !self.forgotten.contains(hash);
            let conversation = Box::new(Conversation::new(is_certain, segment.is_whole));
            self.followed.insert(segment.ends, conversation);
        }
        let mut with = With {
            limits: &self.limits,
            keys: &self.keys,
            say,
        };
        let Some(conversation) = self.followed.get_mut(&segment.ends) else {
            return;
        };
        let others = self.buffered - conversation.held();
        conversation.take(segment, &mut with);
        if others + conversation.held() > self.limits.buffered_bytes {
            conversation.let_go();
            self.overflowed += 1;
        }
        self.buffered = others + conversation.held();
        if conversation.falls_quiet() && self.quiet.len() < QUIET {
            self.quiet.push(segment.ends);
        }
    }

    /// Conversations in which nothing more is read, since the last time: nobody needs to listen to them.
    pub fn take_quiet(&mut self) -> Vec<Ends> {
        std::mem::take(&mut self.quiet)
    }

    /// Says what time alone tells, and forgets conversations that are over; each second or so.
    pub fn tick(&mut self, now_ns: u64, say: &mut impl FnMut(Observation)) {
        let mut with = With {
            limits: &self.limits,
            keys: &self.keys,
            say,
        };
        self.followed.retain(|ends, conversation| {
            self.buffered -= conversation.held();
            let is_over = conversation.tick(*ends, now_ns, &mut with);
            if is_over {
                if !conversation.is_ending() {
                    self.forgotten.insert(self.keys.hash_one(ends));
                }
            } else {
                self.buffered += conversation.held();
            }
            !is_over
        });
    }

    /// Conversations that are followed.
    pub fn len(&self) -> usize {
        self.followed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }

    /// Bytes that they hold of heads and hellos that are under way.
    pub const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Conversations that were not looked at, or not any further, for want of room.
    pub const fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Makes room for another conversation, if there is any to be made.
    fn has_room(&mut self, now_ns: u64) -> bool {
        let is_full =
            |conversations: &Self| conversations.followed.len() >= conversations.limits.conversations;
        let is_due = self
            .looked_ns
            .is_none_or(|looked| now_ns.saturating_sub(looked) >= LOOK_NS);
        if is_full(self) && is_due {
            self.looked_ns = Some(now_ns);
            self.followed.retain(|ends, conversation| {
                let gives_way = conversation.is_ending() || conversation.is_idle(now_ns, GIVES_WAY_NS);
                if gives_way {
                    self.buffered -= conversation.held();
                    self.forgotten.insert(self.keys.hash_one(ends));
                }
                !gives_way
            });
        }
        !is_full(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::Said;

    const SECOND: u64 = 1_000_000_000;

    fn segment(client: u16, at_ns: u64, sequence: u32, bytes: &[u8]) -> Segment<'_> {
        Segment {
            at_ns,
            ends: Ends {
                client: ([192, 0, 2, 1], client).into(),
                server: ([198, 51, 100, 1], 80).into(),
            },
            from: Side::Client,
            sequence,
            turn_start: 1,
            bytes,
            payload_len: bytes.len() as u32,
            is_whole: true,
            is_last: false,
            weight: 1,
        }
    }

    fn limits(conversations: usize, buffered_bytes: usize) -> Limits {
        Limits {
            conversations,
            buffered_bytes,
            ..Limits::default()
        }
    }

    #[test]
    fn room_is_bounded_and_who_is_idle_gives_way() {
        let mut conversations = Conversations::new(limits(2, 1 << 20));
        let mut said = Vec::new();
        let mut say = |observation: Observation| said.push(observation);
        for client in 1..=3 {
            conversations.take(&segment(client, SECOND, 1, b"GET / HTTP/1.0\r\n\r\n"), &mut say);
        }
        // The same one again is counted once.
        conversations.take(&segment(3, SECOND, 1, b"GET / HTTP/1.0\r\n\r\n"), &mut say);
        assert_eq!((conversations.len(), conversations.overflowed()), (2, 1));
        // Requests without an answer stay; what has ended does not.
        for client in 1..=2 {
            let end = Segment {
                is_last: true,
                ..segment(client, 2 * SECOND, 19, b"")
            };
            conversations.take(&end, &mut say);
        }
        conversations.take(&segment(3, 20 * SECOND, 1, b"GET / HTTP/1.0\r\n\r\n"), &mut say);
        assert_eq!((conversations.len(), conversations.buffered()), (1, 0));
        conversations.tick(700 * SECOND, &mut say);
        assert!(conversations.is_empty());
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn what_is_held_together_is_bounded() {
        let mut conversations = Conversations::new(limits(100, 10_000));
        let head = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 980]].concat();
        for client in 1..=50 {
            conversations.take(&segment(client, SECOND, 1, &head), &mut |_| {});
            assert!(conversations.buffered() <= 10_000);
        }
        assert!(conversations.buffered() > 5_000);
        assert!(conversations.overflowed() >= 40);
        conversations.tick(1_000 * SECOND, &mut |_| {});
        assert_eq!((conversations.buffered(), conversations.len()), (0, 0));
    }

    #[test]
    fn who_was_forgotten_goes_on_in_the_middle() {
        let services = HashMap::from([(80, crate::l7::Protocol::Http)]);
        let mut conversations = Conversations::new(Limits {
            services,
            ..Limits::default()
        });
        let mut said = Vec::new();
        let mut say = |observation: Observation| said.push(observation.said);
        conversations.take(&segment(1, SECOND, 1, b"GET / HTTP/1.0\r\n\r\n"), &mut say);
        conversations.tick(1_000 * SECOND, &mut say);
        assert!(conversations.is_empty());
        // Not foreign: it may be anything.
        conversations.take(
            &segment(1, 1_001 * SECOND, 1, b"\x00\x01\x02\x03\x04\x05\x06\x07"),
            &mut say,
        );
        conversations.take(
            &segment(2, 1_001 * SECOND, 1, b"\x00\x01\x02\x03\x04\x05\x06\x07"),
            &mut say,
        );
        assert_eq!(said.len(), 2);
        assert!(matches!(said[0], Said::Request(_)));
        assert_eq!(said[1], Said::Foreign("binary"));
    }

    /// Found in review: one forged segment was enough to have whoever was connected blocked for what it said.
    #[test]
    fn what_may_be_forged_is_said_when_the_server_has_answered() {
        let mut conversations = Conversations::new(Limits::default());
        let mut said = Vec::new();
        let mut say = |observation: Observation| said.push(observation);
        let forged = Segment {
            is_whole: false,
            ..segment(1, SECOND, 1, b"GET / HTTP/1.0\r\n\r\n")
        };
        conversations.take(&forged, &mut say);
        let reset = Segment {
            from: Side::Server,
            is_whole: false,
            is_last: true,
            ..segment(1, SECOND, 1, b"")
        };
        conversations.take(&reset, &mut say);
        conversations.tick(2 * SECOND, &mut say);
        let open = Segment {
            is_whole: false,
            ..segment(2, SECOND, 1, b"GET / HTTP/1.0\r\n\r\n")
        };
        conversations.take(&open, &mut say);
        let answer = Segment {
            from: Side::Server,
            is_whole: false,
            ..segment(2, SECOND, 1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        };
        conversations.take(&answer, &mut say);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|observation| observation.ends.client.port() == 2));
    }

    #[test]
    fn the_same_ends_may_meet_again() {
        let mut conversations = Conversations::new(Limits::default());
        let mut count = 0;
        for sequence in [1, 100_000, 50_000] {
            let get = Segment {
                is_last: true,
                turn_start: sequence,
                ..segment(1, SECOND, sequence, b"GET / HTTP/1.0\r\n\r\n")
            };
            conversations.take(&get, &mut |_| count += 1);
        }
        // A number a little before is one of an old segment.
        assert_eq!((count, conversations.len()), (2, 1));
    }

    #[test]
    fn an_idle_conversation_takes_little() {
        assert!(size_of::<Conversation>() <= 330, "{}", size_of::<Conversation>());
    }
}
