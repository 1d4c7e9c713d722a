//! What the client says: requests one after another, frames, a hello, or what is none of them.

use super::{
    super::{
        first::{self, First},
        http::{self, Body},
    },
    *,
};

/// Bytes that are kept behind a hole.
const AHEAD: usize = 4_096;
/// Bytes of the body that a request announces, beyond which its end cannot be told by numbers.
const LONGEST: u64 = http::LONGEST_BODY;

impl Conversation {
    pub(super) fn take_client(&mut self, segment: &Segment<'_>, with: &mut With<'_>) {
        let ends = segment.ends;
        if segment.bytes.is_empty() && !segment.is_last {
            self.leave_out();
        }
        if !segment.bytes.is_empty() {
            match self.client.turn(segment.turn_start) {
                Turn::Old => return,
                Turn::Same => {}
                Turn::First => self.heads = 0,
                Turn::Onward => {
                    self.heads = 0;
                    self.answered();
                }
                Turn::Anew => {
                    self.heads = 0;
                    self.answered();
                    self.begin_anew();
                }
                Turn::Apart => {
                    self.heads = 0;
                    self.answered();
                    self.fell_apart();
                }
            }
            if !segment.is_whole && self.client.ready().is_empty() {
                self.is_certain = false;
            }
            self.weight = segment.weight.max(1);
            let most = with.limits.head_bytes.max(AHEAD);
            self.client
                .put(segment.sequence, segment.bytes, segment.payload_len, most);
            if self.client.is_heard() {
                self.read_client(ends, segment.at_ns, with);
            }
        }
        if self.client.has_ended() {
            self.client_ended(ends, segment.at_ns, with);
        }
    }

    /// The rest of this turn is not handed on, nor is the answer. A head that was under way still is.
    fn leave_out(&mut self) {
        self.client.close_turn();
        self.pending.clear();
        self.is_certain = false;
        if let Spoken::Chunks(_) = self.spoken {
            self.spoken = Spoken::Http;
        }
    }

    /// The client goes on after the server spoke.
    fn answered(&mut self) {
        if let Spoken::Handshake(Some(_)) = self.spoken {
            self.spoken = Spoken::Quiet;
        }
    }

    /// Something that the client said was not seen.
    fn fell_apart(&mut self) {
        self.begin_anew();
        match &mut self.spoken {
            Spoken::Http2(counted) => counted.is_certain = false,
            Spoken::Chunks(_) | Spoken::Http => {
                self.spoken = Spoken::Http;
                self.is_certain = false;
            }
            Spoken::Nothing => self.is_certain = false,
            Spoken::Hello(_) => self.spoken = Spoken::Quiet,
            Spoken::Handshake(_) | Spoken::Quiet => {}
        }
    }

    fn read_client(&mut self, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        if let Spoken::Nothing = self.spoken {
            self.decide(ends, now_ns, false, with);
        }
        match &mut self.spoken {
            Spoken::Http | Spoken::Chunks(_) => self.read_requests(ends, now_ns, with),
            Spoken::Http2(counted) => {
                h2::count(&mut self.client, &mut counted.frames, &mut counted.is_certain);
                if h2::total(&counted.frames) >= FRAMES {
                    self.tell_frames(ends, now_ns, with);
                }
            }
            Spoken::Hello(progress) => {
                let most = with.limits.head_bytes;
                match tls::message(self.client.ready(), progress, most) {
                    tls::Message::Partly => {}
                    tls::Message::Whole(message) => {
                        self.client.close_turn();
                        self.begin_anew();
                        let said = match tls::read(&message) {
                            Some(hello) => {
                                self.spoken = Spoken::Handshake(None);
                                Said::Hello(hello)
                            }
                            None => {
                                self.spoken = Spoken::Quiet;
                                Said::Foreign("broken tls")
                            }
                        };
                        self.say(ends, now_ns, said, with);
                    }
                    tls::Message::None => {
                        self.client.close_turn();
                        self.begin_anew();
                        self.spoken = Spoken::Quiet;
                        self.say(ends, now_ns, Said::Foreign("broken tls"), with);
                    }
                }
            }
            Spoken::Nothing => {}
            Spoken::Handshake(_) | Spoken::Quiet => self.client.close_turn(),
        }
    }

    /// Sees what is spoken from the first bytes. `is_all`: there are no more.
    fn decide(&mut self, ends: Ends, now_ns: u64, is_all: bool, with: &mut With<'_>) {
        let ready = self.client.ready();
        if ready.is_empty() {
            return;
        }
        let service = Self::service(ends, with);
        let first = match service {
            Some(Protocol::Other) => Some(First::Quiet),
            _ => first::recognise(ready, service, is_all || self.client.is_cut(), self.is_certain),
        };
        let Some(first) = first else {
            if self.head_ns == 0 {
                self.head_ns = now_ns;
                self.told_ns = now_ns;
            }
            return;
        };
        let foreign = match (first, service) {
            (First::Tls, Some(Protocol::Http)) => Some("tls"),
            (First::Http, Some(Protocol::Tls)) => Some("http"),
            (First::Http2, Some(Protocol::Tls)) => Some("http/2"),
            (First::Other(what), Some(Protocol::Http | Protocol::Tls)) => Some(what),
            _ => None,
        };
        if let First::Other(_) = first
            && !self.is_certain
        {
            // The middle of something: the next turn may begin anew.
            self.client.close_turn();
            self.begin_anew();
            return;
        }
        if let Some(what) = foreign {
            self.spoken = Spoken::Quiet;
            if self.is_certain {
                self.say(ends, now_ns, Said::Foreign(what), with);
            }
        } else {
            if self.head_ns == 0 {
                self.head_ns = now_ns;
                self.told_ns = now_ns;
            }
            self.spoken = match first {
                First::Http => Spoken::Http,
                First::Http2 => {
                    self.client.take(h2::PREFACE.len());
                    Spoken::Http2(Box::new(Frames {
                        is_certain: true,
                        ..Frames::default()
                    }))
                }
                First::Tls => Spoken::Hello(Box::default()),
                First::Quiet | First::Other(_) => Spoken::Quiet,
            };
        }
        match self.spoken {
            Spoken::Http | Spoken::Hello(_) => {}
            _ => self.begin_anew(),
        }
    }

    /// Reads the requests that are whole.
    fn read_requests(&mut self, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        loop {
            if let Spoken::Chunks(at) = &mut self.spoken {
                match http::chunks(&mut self.client, at) {
                    // What does not come with this turn does not come at all.
                    None if self.client.is_cut() => self.lose_turn(),
                    None => return,
                    Some(true) => {}
                    Some(false) => self.lose_turn(),
                }
                self.spoken = Spoken::Http;
            }
            let ready = self.client.ready();
            let blank = ready
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            self.client.take(blank);
            if self.client.ready().is_empty() {
                self.begin_anew();
                return;
            }
            if self.head_ns == 0 {
                self.head_ns = now_ns;
                self.told_ns = now_ns;
            }
            if !self.is_certain {
                match first::request(self.client.ready(), self.client.is_cut()) {
                    None => return,
                    Some(true) => {}
                    Some(false) => {
                        self.lose_turn();
                        return;
                    }
                }
            }
            let most = self.client.ready().len().min(with.limits.head_bytes);
            let bytes = &self.client.ready()[..most];
            match http::head_end(bytes, &mut self.scanned) {
                Some(end) => self.end_head(end, true, ends, now_ns, with),
                None if most >= with.limits.head_bytes || self.client.is_cut() => {
                    self.end_head(most, false, ends, now_ns, with);
                }
                None => return,
            }
            if matches!(self.spoken, Spoken::Quiet) {
                return;
            }
        }
    }

    /// A head of `length` bytes is there; or that is all that there will be of it.
    fn end_head(&mut self, length: usize, is_whole: bool, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        let mut head = http::read(&self.client.ready()[..length], is_whole, with);
        head.request.head_ns = now_ns.saturating_sub(self.head_ns);
        self.client.take(length);
        self.begin_anew();
        self.heads = self.heads.saturating_add(1);
        let is_enough = usize::from(self.heads) >= IN_FLIGHT;
        if is_enough {
            self.weight = self.weight.saturating_mul(1 + self.request_lines());
        }
        if self.pending.len() < IN_FLIGHT {
            self.pending.push_back(Pending {
                method: head.request.method.clone(),
                route: head.request.route.clone(),
                target: head.target,
                done_ns: now_ns,
                weight: self.weight,
            });
        }
        self.is_certain = true;
        self.expects = head.expects;
        match head.body {
            Body::None => {}
            Body::Length(length) => match u32::try_from(length) {
                Ok(skipped) if length < LONGEST => self.client.skip(skipped),
                _ => {
                    self.client.lose();
                    self.is_certain = false;
                }
            },
            Body::Chunked => self.spoken = Spoken::Chunks(http::Chunks::Chunk),
            Body::Unknown => self.lose_turn(),
        }
        // Whether HTTP goes on is for the server to say.
        if head.upgrades || is_enough {
            self.lose_turn();
        }
        self.say(ends, now_ns, Said::Request(head.request), with);
    }

    /// Requests that seem to follow in this turn, which the last one that is read stands for.
    fn request_lines(&self) -> u32 {
        const VERSION: &[u8] = b" HTTP/1.";
        let ready = self.client.ready();
        let lines = ready.windows(VERSION.len()).filter(|bytes| *bytes == VERSION);
        u32::try_from(lines.count()).unwrap_or(u32::MAX - 1)
    }

    /// What is left of this turn cannot be read.
    fn lose_turn(&mut self) {
        self.client.close_turn();
        self.begin_anew();
        self.is_certain = false;
        self.spoken = Spoken::Http;
    }

    /// The server answers although a head is under way: it is not going to be whole.
    pub(super) fn give_up_head(&mut self, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        let length = self.client.ready().len().min(with.limits.head_bytes);
        let has_line = self.client.ready()[..length].contains(&b'\n');
        if has_line {
            self.end_head(length, false, ends, now_ns, with);
        }
        self.lose_turn();
    }

    /// The body that a request announced is not going to come.
    pub(super) fn give_up_body(&mut self) {
        if std::mem::take(&mut self.expects) {
            self.lose_turn();
        }
    }

    fn client_ended(&mut self, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        match self.spoken {
            Spoken::Nothing => {
                self.decide(ends, now_ns, true, with);
                self.client.close_turn();
            }
            Spoken::Hello(_) => self.leave_handshake(ends, now_ns, with),
            // Without an answer it is not the client who left.
            Spoken::Handshake(Some(_)) => self.leave_handshake(ends, now_ns, with),
            Spoken::Handshake(None) => self.spoken = Spoken::Quiet,
            Spoken::Http2(_) => self.tell_frames(ends, now_ns, with),
            Spoken::Http | Spoken::Chunks(_) | Spoken::Quiet => {}
        }
    }
}
