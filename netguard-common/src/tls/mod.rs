//! The floor of TLS: what a service of this machine answers to a ClientHello leaves only when it is new enough, encrypts with authentication
//! and has forward secrecy. Judged is the ServerHello, which decides all that, in what leaves.
//!
//! What a server says comes in segments of any length, some of them more than once: each connection has a [`Conversation`], which lives and
//! dies with its socket. Segments before the last byte of the ServerHello leave. The one with that byte and all behind it do not if it is
//! refused, however often they come: no client has a ServerHello then, and no handshake ends.

mod hello;
mod outcome;
mod suites;

use crate::{
    Packet,
    layout::{Mode, Service, Settings},
    packet::Address,
    tables::Tables,
    view::View,
};

pub use hello::{Hello, Progress, RETRY_RANDOM, Reading, STRUCTS as HELLO_STRUCTS, step};
pub use outcome::{COUNTERS, Outcome, counter, judge};

/// TLS 1.2 and 1.3 as they write themselves.
pub const TLS_1_2: u16 = 0x0303;
pub const TLS_1_3: u16 = 0x0304;

/// Steps that one segment is read by at the most; the longest ServerHello that servers send takes some fifty.
const STEPS: u32 = 256;
const TCP_MIN: u32 = 20;

crate::shared! {
    /// What is known of what a server says in one connection: its socket carries it, in the map `CONVERSATIONS`.
    pub struct Conversation {
        pub hello: Hello,
        /// Sequence number of the first byte that the server sends.
        pub first: u32,
        /// Bytes that were read, and may leave.
        pub read: u32,
        /// A [`Standing`] as number.
        pub standing: u8,
        /// Of one that is refused: an [`Outcome`] as number.
        pub outcome: u8,
        /// 1: user space knows of it.
        pub told: u8,
        pub reserved: [u8; 5],
    }

    /// A handshake that was refused, or would be, told to user space through the ring buffer `HANDSHAKES`.
    pub struct Handshake {
        pub at_ns: u64,
        /// What the kernel calls the socket; 0 where it does not say.
        pub cookie: u64,
        pub server: Address,
        pub client: Address,
        /// The number of the interface that it was to leave through.
        pub interface: u32,
        pub server_port: u16,
        pub client_port: u16,
        /// What the server chose, as far as it was read.
        pub version: u16,
        pub cipher: u16,
        /// An [`Outcome`] as number.
        pub outcome: u16,
        /// 1: counted only.
        pub shadow: u16,
    }
}

/// How a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is read.
    Open = 0,
    /// All of it leaves.
    Passed = 1,
    /// What was read leaves, and nothing behind it.
    Refused = 2,
}

/// What becomes of handshakes of `service` that are below the floor.
#[inline(always)]
pub const fn mode(settings: &Settings, service: &Service) -> Mode {
    Mode::from_number(service.tls as u32).at_most(Mode::from_number(settings.suspicion.tls))
}

/// Whether `packet`, which a service sends, must not leave. `service` says what holds for it.
#[inline(always)]
pub fn is_refused<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    service: &Service,
    tables: &T,
) -> bool {
    let mode = mode(settings, service);
    if matches!(mode, Mode::Off) {
        return false;
    }
    let Some(segment) = Segment::of(view, packet) else {
        return false;
    };
    let shadow = !matches!(mode, Mode::Enforce);
    let Some(mut conversation) = tables.conversation() else {
        tables.count_tls(counter(Outcome::Unseen, shadow));
        return false;
    };
    if conversation.standing == Standing::Passed as u8 {
        return false;
    }
    // Both counted from the first byte of the conversation on.
    let begin = segment.sequence.wrapping_sub(conversation.first);
    let end = begin.wrapping_add(segment.len);
    if !is_behind(end, conversation.read) {
        return false;
    }
    if conversation.standing == Standing::Open as u8 {
        let outcome = if is_behind(begin, conversation.read) {
            missed(&conversation)
        } else {
            let known = conversation.read.wrapping_sub(begin);
            let at = segment.at.wrapping_add(known);
            match read(view, at, &mut conversation, service, tables) {
                Some(outcome) => outcome,
                None => return false,
            }
        };
        tables.count_tls(counter(outcome, shadow));
        conversation.outcome = outcome as u8;
        conversation.standing = if outcome.is_refusal() && !shadow {
            Standing::Refused as u8
        } else {
            Standing::Passed as u8
        };
        if !outcome.is_refusal() {
            return false;
        }
    }
    if conversation.told == 0 {
        conversation.told = u8::from(tell(packet, &conversation, shadow, tables));
    }
    conversation.standing == Standing::Refused as u8
}

/// The bytes that a segment carries.
struct Segment {
    sequence: u32,
    /// Where they begin in the frame.
    at: u32,
    len: u32,
}

impl Segment {
    /// `None` where there are none.
    #[inline(always)]
    fn of<V: View>(view: &V, packet: &Packet) -> Option<Self> {
        let header = packet.transport_at();
        let [_, _, _, _, a, b, c, d, _, _, _, _, offset, _] = view.load::<[u8; 14]>(header)?;
        let header_len = u32::from(offset >> 4) * 4;
        let at = header.wrapping_add(header_len);
        let len = view.len().saturating_sub(at);
        (header_len >= TCP_MIN && len != 0).then_some(Self {
            sequence: u32::from_be_bytes([a, b, c, d]),
            at,
            len,
        })
    }
}

/// What becomes of a conversation of which a part was not seen: of one that nothing was seen of, nobody knows how it began.
#[inline(always)]
fn missed(conversation: &Conversation) -> Outcome {
    if conversation.read == 0 {
        Outcome::Unseen
    } else {
        Outcome::Broken
    }
}

/// Reads what of the frame begins at `at`. When that decides, what did may not leave: `read` is put before it.
#[inline(always)]
fn read<V: View, T: Tables>(
    view: &V,
    at: u32,
    conversation: &mut Conversation,
    service: &Service,
    tables: &T,
) -> Option<Outcome> {
    let end = view.len();
    {
        let mut reading = tables.reading()?;
        (reading.at, reading.end) = (at, end);
        reading.hello = conversation.hello;
    }
    let mut steps = 0;
    while steps < STEPS && tables.read_on(view) {
        steps += 1;
    }
    let reading = tables.reading()?;
    let hello = reading.hello;
    let until = reading.at;
    conversation.hello = hello;
    let used = until.wrapping_sub(at);
    let outcome = match Progress::from_number(hello.progress) {
        Progress::Open if until >= end => {
            conversation.read = conversation.read.wrapping_add(used);
            return None;
        }
        // No hello has so many fields.
        Progress::Open => Outcome::Broken,
        _ => judge(&hello, service.tls_minimum),
    };
    conversation.read = conversation.read.wrapping_add(used.saturating_sub(1));
    Some(outcome)
}

/// Tells user space; false when there was no room.
#[inline(always)]
fn tell<T: Tables>(packet: &Packet, conversation: &Conversation, shadow: bool, tables: &T) -> bool {
    let (cookie, interface) = tables.socket();
    let told = tables.emit_handshake(&Handshake {
        at_ns: tables.now_ns(),
        cookie,
        server: packet.source,
        client: packet.destination,
        interface,
        server_port: packet.source_port,
        client_port: packet.destination_port,
        version: conversation.hello.version,
        cipher: conversation.hello.cipher,
        outcome: u16::from(conversation.outcome),
        shadow: u16::from(shadow),
    });
    if !told {
        tables.count_tls(counter(Outcome::Untold, shadow));
    }
    told
}

/// Whether sequence number `one` is behind `other`.
#[inline(always)]
const fn is_behind(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

#[cfg(test)]
mod tests;
