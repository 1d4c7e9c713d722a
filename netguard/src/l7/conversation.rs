//! A conversation: what is spoken, and what its ends say in turn. It knows no other conversation, and does not judge.

mod client;
mod server;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::{
    Ends, H2Frames, Observation, Protocol, Said, Segment, Side, With, h2,
    http::Chunks,
    stream::{Stream, Turn},
    tls,
};

const SECOND_NS: u64 = 1_000_000_000;
/// A conversation in which nothing is said is forgotten after so long,
const IDLE_NS: u64 = 600 * SECOND_NS;
/// one that was ended by one side, after so long, and by both: stragglers may come.
const HALF_ENDED_NS: u64 = 30 * SECOND_NS;
const ENDED_NS: u64 = 2 * SECOND_NS;
/// A handshake in which the client says nothing more for so long is left.
const HANDSHAKE_NS: u64 = 10 * SECOND_NS;
/// A head that is under way is told again after so long: once a look, if it is looked once a second.
const TOLD_AGAIN_NS: u64 = 950_000_000;
/// Requests that are in flight, and heads of a turn.
const IN_FLIGHT: usize = 16;
/// Observations that wait for a proof; more are forgotten.
const WAITING: usize = 4;
/// Frames that are told before the second is over.
const FRAMES: u32 = 64;

/// A conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    client: Stream,
    server: Stream,
    spoken: Spoken,
    /// Requests without an answer, the oldest first.
    pending: VecDeque<Pending>,
    /// What the answer is that is read.
    answer: Answer,
    /// Monotonic: when anything was said last, and when the head or hello that is under way began.
    last_ns: u64,
    head_ns: u64,
    told_ns: u64,
    /// Bytes of the head that were looked at.
    scanned: usize,
    answer_scanned: usize,
    /// Turns that the one that is read stands for.
    weight: u32,
    /// Heads of this turn.
    heads: u8,
    /// What begins the next turn is the beginning of something.
    is_certain: bool,
    /// The body that comes next is sent once the server says so.
    expects: bool,
    /// Whether the client was seen to complete a handshake, or the server has answered it: then nobody forged it.
    is_proven: bool,
    /// What is only said when that is so.
    waiting: Vec<Observation>,
    /// It was told that nothing more is read.
    is_quiet: bool,
}

/// What is spoken.
#[derive(Debug)]
enum Spoken {
    /// Not known yet.
    Nothing,
    Http,
    /// The chunks of the body of a request, then HTTP again.
    Chunks(Chunks),
    Http2(Box<Frames>),
    /// A hello is under way.
    Hello(Box<tls::Progress>),
    /// The server was told a hello; whether it has answered, and when.
    Handshake(Option<u64>),
    /// Nothing that is read.
    Quiet,
}

/// Frames of HTTP/2 that were not told.
#[derive(Debug, Default)]
struct Frames {
    frames: H2Frames,
    is_certain: bool,
}

/// A request without an answer.
#[derive(Debug)]
struct Pending {
    method: String,
    route: String,
    target: u64,
    done_ns: u64,
    weight: u32,
}

/// What of an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// An answer begins.
    Status,
    /// The rest of the head of an interim one.
    Interim,
    /// The rest of a head.
    Head {
        status: u16,
        was_head: bool,
    },
    Chunks(Chunks),
}

impl Conversation {
    /// `is_certain`: its first turn is the beginning of the connection. `is_proven`: the client completed its handshake.
    pub(super) fn new(is_certain: bool, is_proven: bool) -> Self {
        Self {
            client: Stream::default(),
            server: Stream::default(),
            spoken: Spoken::Nothing,
            pending: VecDeque::new(),
            answer: Answer::Status,
            last_ns: 0,
            head_ns: 0,
            told_ns: 0,
            scanned: 0,
            answer_scanned: 0,
            weight: 1,
            heads: 0,
            is_certain,
            expects: false,
            is_proven,
            waiting: Vec::new(),
            is_quiet: false,
        }
    }

    /// Whether nothing more is read, as was not known before.
    pub(super) fn falls_quiet(&mut self) -> bool {
        matches!(self.spoken, Spoken::Quiet) && !std::mem::replace(&mut self.is_quiet, true)
    }

    /// Takes in a segment. What is said in the name of a client that may be forged waits for the server's answer: forged segments have none, or a
    /// reset, which says nothing.
    pub(super) fn take(&mut self, segment: &Segment<'_>, with: &mut With<'_>) {
        if self.is_proven {
            return self.read(segment, with);
        }
        self.is_proven = segment.is_whole || segment.from == Side::Server && !segment.bytes.is_empty();
        if self.is_proven {
            std::mem::take(&mut self.waiting)
                .into_iter()
                .for_each(&mut *with.say);
            return self.read(segment, with);
        }
        let mut said = std::mem::take(&mut self.waiting);
        let mut wait = |observation| {
            if said.len() < WAITING {
                said.push(observation);
            }
        };
        let mut apart = With {
            limits: with.limits,
            keys: with.keys,
            say: &mut wait,
        };
        self.read(segment, &mut apart);
        self.waiting = said;
    }

    fn read(&mut self, segment: &Segment<'_>, with: &mut With<'_>) {
        self.last_ns = self.last_ns.max(segment.at_ns);
        if segment.is_last {
            let end = segment.sequence.wrapping_add(segment.payload_len);
            match segment.from {
                Side::Client => self.client.end_at(end),
                Side::Server => self.server.end_at(end),
            }
        }
        match segment.from {
            Side::Client => self.take_client(segment, with),
            Side::Server => self.take_server(segment, with),
        }
    }

    /// What is told as time passes; whether the conversation is over.
    pub(super) fn tick(&mut self, ends: Ends, now_ns: u64, with: &mut With<'_>) -> bool {
        let quiet_ns = now_ns.saturating_sub(self.last_ns);
        if let Spoken::Handshake(Some(since_ns)) = self.spoken
            && now_ns.saturating_sub(since_ns) >= HANDSHAKE_NS
        {
            self.leave_handshake(ends, now_ns, with);
        }
        if let Spoken::Hello(_) = self.spoken
            && now_ns.saturating_sub(self.head_ns) >= HANDSHAKE_NS
        {
            self.leave_handshake(ends, now_ns, with);
        }
        self.tell_frames(ends, now_ns, with);
        let is_head = match self.spoken {
            Spoken::Http => true,
            // Elsewhere it may be anything that is waited for.
            Spoken::Nothing => self.is_certain && Self::service(ends, with) == Some(Protocol::Http),
            _ => false,
        };
        let is_under_way = self.head_ns != 0 && is_head && self.is_proven;
        let has_ended = self.client.is_ending() || self.server.is_ending();
        if is_under_way && !has_ended && now_ns.saturating_sub(self.told_ns) >= TOLD_AGAIN_NS {
            self.told_ns = now_ns;
            let since_ns = now_ns.saturating_sub(self.head_ns);
            self.say(ends, now_ns, Said::HeadUnfinished { since_ns }, with);
        }
        quiet_ns
            >= match (self.client.is_ending(), self.server.is_ending()) {
                (true, true) => ENDED_NS,
                (false, false) => IDLE_NS,
                _ => HALF_ENDED_NS,
            }
    }

    /// How long nothing was said, and whether that matters to nobody.
    pub(super) fn is_idle(&self, now_ns: u64, idle_ns: u64) -> bool {
        self.head_ns == 0 && self.pending.is_empty() && now_ns.saturating_sub(self.last_ns) >= idle_ns
    }

    /// Whether either side has ended it.
    pub(super) const fn is_ending(&self) -> bool {
        self.client.is_ending() || self.server.is_ending()
    }

    /// Whether a segment is of another connection between the same ends.
    pub(super) fn is_over_before(&self, segment: &Segment<'_>) -> bool {
        let stream = match segment.from {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        stream.is_of_another(segment.turn_start)
    }

    /// Bytes that it holds for what is under way.
    pub(super) fn held(&self) -> usize {
        self.client.held() + self.server.held() + self.waiting.len() * size_of::<Observation>()
    }

    /// Lets go of them, and of the turn that they are of. A head that was under way still is.
    pub(super) fn let_go(&mut self) {
        self.client.close_turn();
        self.server.close_turn();
        self.is_certain = false;
        match self.spoken {
            Spoken::Chunks(_) => self.spoken = Spoken::Http,
            Spoken::Nothing | Spoken::Hello(_) => {
                self.spoken = Spoken::Quiet;
                self.begin_anew();
            }
            _ => {}
        }
    }

    /// What remains to be told of a conversation that is not followed any more.
    pub(super) fn finish(&mut self, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        self.tell_frames(ends, now_ns, with);
    }

    /// The last head is done with, or lost.
    fn begin_anew(&mut self) {
        self.head_ns = 0;
        self.scanned = 0;
    }

    fn say(&self, ends: Ends, at_ns: u64, said: Said, with: &mut With<'_>) {
        (with.say)(Observation {
            at_ns,
            ends,
            weight: self.weight,
            said,
        });
    }

    fn leave_handshake(&mut self, ends: Ends, at_ns: u64, with: &mut With<'_>) {
        self.spoken = Spoken::Quiet;
        self.begin_anew();
        self.client.close_turn();
        self.say(ends, at_ns, Said::HandshakeLeft, with);
    }

    /// Tells the frames that were counted.
    fn tell_frames(&mut self, ends: Ends, at_ns: u64, with: &mut With<'_>) {
        if let Spoken::Http2(counted) = &mut self.spoken
            && h2::total(&counted.frames) > 0
        {
            let frames = std::mem::take(&mut counted.frames);
            self.say(ends, at_ns, Said::H2(frames), with);
        }
    }

    fn service(ends: Ends, with: &With<'_>) -> Option<Protocol> {
        with.limits.services.get(&ends.server.port()).copied()
    }
}
