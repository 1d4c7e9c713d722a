//! What the server says: the status of each answer, in the order of the requests. Of a handshake it only matters that it answered.

use super::{
    super::http::{self, Body, Status},
    *,
};

/// Bytes of the head of an answer.
const HEAD: usize = 8_192;

impl Conversation {
    pub(super) fn take_server(&mut self, segment: &Segment<'_>, with: &mut With<'_>) {
        let (ends, now_ns) = (segment.ends, segment.at_ns);
        if !segment.bytes.is_empty() {
            self.server_spoke(segment, with);
        } else if !segment.is_last {
            // What is left of its answer is not handed on.
            self.pending.clear();
            self.skip_answer();
        }
        if self.server.has_ended() {
            if let Spoken::Handshake(_) | Spoken::Hello(_) = self.spoken {
                // Whom the server sends away did not leave.
                self.spoken = Spoken::Quiet;
                self.begin_anew();
                self.client.close_turn();
            }
            self.tell_frames(ends, now_ns, with);
        }
    }

    fn server_spoke(&mut self, segment: &Segment<'_>, with: &mut With<'_>) {
        let (ends, now_ns) = (segment.ends, segment.at_ns);
        match self.server.turn(segment.turn_start) {
            Turn::Old => return,
            Turn::Same | Turn::First | Turn::Onward | Turn::Anew => {}
            Turn::Apart => {
                self.answer = Answer::Status;
                self.answer_scanned = 0;
                // Answers in between were not seen: only the last request is sure to be without one.
                let answered = self.pending.len().saturating_sub(1);
                self.pending.drain(..answered);
            }
        }
        match self.spoken {
            // Who is spoken to first speaks neither HTTP nor TLS.
            Spoken::Nothing if !self.client.has_begun() && self.is_certain => self.spoken = Spoken::Quiet,
            // The middle of something, and it was answered.
            Spoken::Nothing if !self.is_certain => {
                self.client.close_turn();
                self.begin_anew();
            }
            Spoken::Handshake(None) => {
                let is_handshake =
                    segment.sequence == segment.turn_start && segment.bytes.first() == Some(&22);
                if is_handshake {
                    self.spoken = Spoken::Handshake(Some(now_ns));
                }
            }
            // What of the hello is missing was lost on the way here, and not on the way to the server.
            Spoken::Hello(_) => {
                self.spoken = Spoken::Quiet;
                self.begin_anew();
                self.client.close_turn();
            }
            Spoken::Http | Spoken::Chunks(_) => {
                self.server
                    .put(segment.sequence, segment.bytes, segment.payload_len, HEAD);
                let is_head = self.head_ns != 0 && matches!(self.spoken, Spoken::Http);
                if is_head && self.pending.is_empty() && self.server.is_at_turn() {
                    match http::status(self.server.ready()) {
                        None => return,
                        Some(Status::Code(_)) => self.give_up_head(ends, now_ns, with),
                        Some(Status::None) => {}
                    }
                }
                self.read_answers(ends, now_ns, with);
                return;
            }
            _ => {}
        }
        self.server.close_turn();
    }

    fn read_answers(&mut self, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        loop {
            if self.pending.is_empty() || matches!(self.spoken, Spoken::Quiet) {
                self.pending.clear();
                self.skip_answer();
                return;
            }
            let ready = self.server.ready();
            match self.answer {
                Answer::Status => match http::status(ready) {
                    None => return,
                    Some(Status::None) => {
                        self.pending.clear();
                        self.skip_answer();
                    }
                    Some(Status::Code(status)) => self.status(status, ends, now_ns, with),
                },
                Answer::Interim | Answer::Head { .. } => {
                    let Some(end) = http::head_end(ready, &mut self.answer_scanned) else {
                        if ready.len() >= HEAD || self.server.is_cut() {
                            // Where the next one begins is not known.
                            self.pending.clear();
                            self.skip_answer();
                        }
                        return;
                    };
                    let body = match self.answer {
                        Answer::Head { status, was_head } => http::framing(&ready[..end], status, was_head),
                        _ => Body::None,
                    };
                    self.server.take(end);
                    self.answer_scanned = 0;
                    self.answer = Answer::Status;
                    match body {
                        Body::None => {}
                        Body::Length(length) => match u32::try_from(length) {
                            Ok(skipped) if length < http::LONGEST_BODY => self.server.skip(skipped),
                            _ => self.pending.clear(),
                        },
                        Body::Chunked => self.answer = Answer::Chunks(http::Chunks::Chunk),
                        Body::Unknown => self.pending.clear(),
                    }
                }
                Answer::Chunks(mut at) => {
                    let ended = http::chunks(&mut self.server, &mut at);
                    self.answer = Answer::Chunks(at);
                    match ended {
                        None => return,
                        Some(true) => self.answer = Answer::Status,
                        Some(false) => self.pending.clear(),
                    }
                }
            }
        }
    }

    /// An answer with `status` begins.
    fn status(&mut self, status: u16, ends: Ends, now_ns: u64, with: &mut With<'_>) {
        if matches!(status, 100 | 102..=199) {
            self.answer = Answer::Interim;
            return;
        }
        let Some(pending) = self.pending.pop_front() else {
            return;
        };
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
        self.answer = Answer::Head {
            status,
            was_head: pending.method == "HEAD",
        };
        if status == 101 {
            // What follows is another protocol.
            self.spoken = Spoken::Quiet;
            self.begin_anew();
            self.client.close_turn();
        } else if self.pending.is_empty() && status >= 300 {
            self.give_up_body();
        }
        (with.say)(Observation {
            at_ns: now_ns,
            ends,
            weight: pending.weight,
            said: Said::Response(super::super::Response {
                status,
                latency_ns: now_ns.saturating_sub(pending.done_ns),
                method: pending.method,
                route: pending.route,
                target: pending.target,
            }),
        });
    }

    /// The rest of the turn is of no interest.
    fn skip_answer(&mut self) {
        self.server.close_turn();
        self.answer = Answer::Status;
        self.answer_scanned = 0;
    }
}
