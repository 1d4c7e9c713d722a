//! Reads the start of what a TLS server says, up to the end of its ServerHello, in pieces of any length: one small step after the other, and
//! between two of them all that is known lies in [`Hello`]. It judges nothing.
//!
//! RFC 8446 sections 4.1.3 (ServerHello), 4.1.4 (HelloRetryRequest) and 5.1 (records); the same bytes mean the same in RFC 5246.

use crate::view::View;

crate::shared! {
    /// How far the start of a conversation was read, and what it said.
    pub struct Hello {
        /// The server's random, folded: enough to know that of a HelloRetryRequest.
        pub random: u64,
        /// Bytes that the record still has.
        pub record_left: u32,
        /// Bytes that the handshake message still has.
        pub message_left: u32,
        /// Bytes of a field that nobody needs, and that are still to come.
        pub skip: u32,
        /// The header of a record, as far as it came.
        pub header: u32,
        /// The field that is read, as far as it came.
        pub gathered: u32,
        /// The version that the server chose, as far as it is known: 0x0303 is TLS 1.2.
        pub version: u16,
        pub cipher: u16,
        /// A [`Progress`] as number.
        pub progress: u8,
        /// The field that is read: one of the numbers below.
        pub field: u8,
        /// How many bytes of the field, and of the header of a record, came.
        pub have: u8,
        pub header_have: u8,
        /// Bits of what was seen, see below.
        pub seen: u8,
        /// Words of the random that came.
        pub words: u8,
        pub reserved: [u8; 2],
    }

    /// A conversation that is being read: what of a frame belongs to it.
    pub struct Reading {
        /// Where the next byte lies in the frame, and where its bytes end.
        pub at: u32,
        pub end: u32,
        pub hello: Hello,
    }
}

/// How far a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read.
    Open = 0,
    /// The ServerHello ended.
    Whole = 1,
    /// This is no TLS handshake.
    Foreign = 2,
    /// A handshake that no client can follow.
    Broken = 3,
}

impl Progress {
    /// The progress that has `number`.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Whole,
            2 => Self::Foreign,
            _ => Self::Broken,
        }
    }
}

// The fields of a message, in their order.
const MESSAGE: u8 = 0;
const VERSION: u8 = 1;
const RANDOM: u8 = 2;
const SESSION: u8 = 3;
const CIPHER: u8 = 4;
const COMPRESSION: u8 = 5;
const EXTENSIONS: u8 = 6;
const EXTENSION: u8 = 7;
const SELECTED: u8 = 8;

// What was seen.
/// The extension that says which version is spoken.
pub(super) const CHOSEN: u8 = 1;
/// The server's share of a key: what was said cannot be read by whoever gets its long-lived keys later.
pub(super) const KEY_SHARE: u8 = 2;
/// A HelloRetryRequest: the ServerHello is still to come.
const RETRIED: u8 = 4;
/// The record is none of the handshake.
const BESIDE: u8 = 8;
/// What came first looks like the header of SSL 2.
const ANCIENT: u8 = 16;

// Types of records.
const CHANGE_CIPHER_SPEC: u32 = 20;
const ALERT: u32 = 21;
const HANDSHAKE: u32 = 22;
// Types of messages.
const HELLO_REQUEST: u32 = 0;
const SERVER_HELLO: u32 = 2;
// Types of extensions.
const SUPPORTED_VERSIONS: u32 = 0x002b;
const SHARE: u32 = 0x0033;

const RECORD_HEADER: u8 = 5;
const MAX_RECORD: u32 = 1 << 14;
const MAX_SESSION: u32 = 32;
/// Words of the random.
const WORDS: u8 = 8;
/// A ServerHello without session and extensions.
const LEAST_HELLO: u32 = 2 + 32 + 1 + 2 + 1;
const LATEST: u16 = 0x0304;
/// As SSL 2 writes itself.
const SSL_2: u16 = 0x0002;
/// What follows the length in the server's first message of SSL 2: its type (4), whether a session goes on, and the type of the certificate, both
/// 0 or 1 (Netscape, "The SSL Protocol", 1995).
const ANCIENT_HELLO: u32 = 0x0004_0000;
const ANCIENT_MASK: u32 = 0x00ff_fefe;

/// The random of every HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
pub const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
const RETRY: u64 = {
    let mut folded = 0;
    let mut at = 0;
    while at < RETRY_RANDOM.len() {
        let [a, b, c, d] = [at, at + 1, at + 2, at + 3];
        let word = [RETRY_RANDOM[a], RETRY_RANDOM[b], RETRY_RANDOM[c], RETRY_RANDOM[d]];
        folded = fold(folded, u32::from_be_bytes(word));
        at += 4;
    }
    folded
};

/// The words of a random, mixed: no server comes upon the same by chance.
const fn fold(folded: u64, word: u32) -> u64 {
    (folded.rotate_left(25) ^ word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Reads a little more of `reading`; false when there is nothing more to read, or no need.
#[inline(always)]
pub fn step<V: View>(view: &V, reading: &mut Reading) -> bool {
    let (at, hello) = (reading.at, &mut reading.hello);
    let left = reading.end.wrapping_sub(at);
    if at >= reading.end || hello.progress != Progress::Open as u8 {
        return false;
    }
    let used = if hello.record_left == 0 {
        hello.read_header(view, at, left)
    } else if hello.seen & BESIDE != 0 {
        let used = left.min(hello.record_left);
        hello.record_left -= used;
        used
    } else {
        hello.read_field(view, at, left)
    };
    reading.at = at.wrapping_add(used);
    // What cannot be loaded is not there, and would be asked for again without end.
    used != 0 && hello.progress == Progress::Open as u8
}

impl Hello {
    /// The header of a record: its type, then version and length.
    #[inline(always)]
    fn read_header<V: View>(&mut self, view: &V, at: u32, left: u32) -> u32 {
        let (used, loaded) = load(view, at, if self.header_have == 1 { 4 } else { 1 }, left);
        if used == 0 {
            return 0;
        }
        if self.header_have == 0 {
            self.begin_record(loaded);
            self.header = 0;
        } else {
            self.header = append(self.header, used, loaded);
        }
        self.header_have = self.header_have.wrapping_add(used as u8);
        if self.header_have >= RECORD_HEADER && self.progress == Progress::Open as u8 {
            self.header_have = 0;
            self.record_left = self.header & 0xffff;
            let is_tls = self.header >> 24 == 3 && (1..=MAX_RECORD).contains(&self.record_left);
            if self.seen & ANCIENT != 0 && self.header & ANCIENT_MASK == ANCIENT_HELLO {
                self.version = SSL_2;
                self.progress = Progress::Whole as u8;
            } else if !is_tls || self.seen & ANCIENT != 0 {
                self.fail();
            }
        }
        used
    }

    /// An alert ends the handshake, or warns of something; before the second hello stands what old middleboxes want to see (RFC 8446
    /// appendix D.4). Neither may stand within a message.
    #[inline(always)]
    fn begin_record(&mut self, kind: u32) {
        let between = self.field == MESSAGE && self.have == 0;
        let beside = kind == ALERT || (kind == CHANGE_CIPHER_SPEC && self.seen & RETRIED != 0);
        self.seen &= !BESIDE;
        if beside && between {
            self.seen |= BESIDE;
        } else if kind & 0x80 != 0 && between && self.seen & RETRIED == 0 {
            self.seen |= ANCIENT;
        } else if kind != HANDSHAKE {
            self.fail();
        }
    }

    /// One field of a message, or a part of it.
    #[inline(always)]
    fn read_field<V: View>(&mut self, view: &V, at: u32, left: u32) -> u32 {
        let left = left.min(self.record_left);
        if self.skip != 0 {
            let used = left.min(self.skip);
            self.skip -= used;
            self.used(used);
            self.look_for_end();
            return used;
        }
        let want = width(self.field);
        if self.field != MESSAGE && self.have == 0 && self.message_left < want {
            self.fail();
            return 0;
        }
        let (used, loaded) = load(view, at, if self.have == 0 { want } else { 1 }, left);
        if used == 0 {
            return 0;
        }
        self.gathered = append(if self.have == 0 { 0 } else { self.gathered }, used, loaded);
        self.have = self.have.wrapping_add(used as u8);
        self.used(used);
        if u32::from(self.have) >= want {
            self.have = 0;
            self.take(self.gathered);
            self.look_for_end();
        }
        used
    }

    /// `bytes` of the message were read.
    #[inline(always)]
    fn used(&mut self, bytes: u32) {
        self.record_left = self.record_left.saturating_sub(bytes);
        if self.field != MESSAGE {
            self.message_left = self.message_left.saturating_sub(bytes);
        }
    }

    /// The field that is read is there: `value`.
    #[inline(always)]
    fn take(&mut self, value: u32) {
        match self.field {
            MESSAGE => self.begin_message(value >> 24, value & 0x00ff_ffff),
            VERSION => {
                self.version = value as u16;
                self.field = RANDOM;
            }
            RANDOM => {
                self.random = fold(self.random, value);
                self.words = self.words.wrapping_add(1);
                if self.words >= WORDS {
                    self.field = SESSION;
                }
            }
            SESSION if value <= MAX_SESSION && value <= self.message_left => {
                self.skip = value;
                self.field = CIPHER;
            }
            CIPHER => {
                self.cipher = value as u16;
                self.field = COMPRESSION;
            }
            COMPRESSION => self.field = EXTENSIONS,
            EXTENSIONS if value == self.message_left => self.field = EXTENSION,
            EXTENSION if value & 0xffff <= self.message_left => {
                self.begin_extension(value >> 16, value & 0xffff)
            }
            SELECTED => {
                self.version = value as u16;
                self.seen |= CHOSEN;
                self.field = EXTENSION;
            }
            _ => self.fail(),
        }
    }

    #[inline(always)]
    fn begin_message(&mut self, kind: u32, length: u32) {
        if kind == SERVER_HELLO && length >= LEAST_HELLO {
            self.message_left = length;
            self.field = VERSION;
            (self.random, self.words) = (0, 0);
        } else if kind != HELLO_REQUEST || length != 0 {
            self.fail();
        }
    }

    #[inline(always)]
    fn begin_extension(&mut self, kind: u32, length: u32) {
        if kind == SUPPORTED_VERSIONS {
            if length == 2 {
                self.field = SELECTED;
            } else {
                self.fail();
            }
            return;
        }
        if kind == SHARE {
            self.seen |= KEY_SHARE;
        }
        self.skip = length;
    }

    /// Whether the message is over, with the byte that was read last: nothing after it may be needed to know.
    #[inline(always)]
    fn look_for_end(&mut self) {
        if self.message_left != 0 || self.skip != 0 || self.field == MESSAGE {
            return;
        }
        if self.field != EXTENSIONS && self.field != EXTENSION {
            return self.fail();
        }
        if self.random != RETRY || self.seen & CHOSEN == 0 || self.version != LATEST {
            self.progress = Progress::Whole as u8;
        } else if self.seen & RETRIED != 0 {
            // No client takes a second one.
            self.progress = Progress::Broken as u8;
        } else {
            self.seen = RETRIED;
            self.field = MESSAGE;
        }
    }

    /// Once a hello has begun, whoever speaks otherwise than TLS breaks it; before, it is another protocol.
    #[inline(always)]
    fn fail(&mut self) {
        let begun = self.field != MESSAGE || self.seen & RETRIED != 0;
        self.progress = if begun {
            Progress::Broken
        } else {
            Progress::Foreign
        } as u8;
    }
}

/// Bytes of a field. (By bits: of a `match` LLVM makes a table in memory, which the kernel object has none of.)
#[inline(always)]
const fn width(field: u8) -> u32 {
    const FOUR: u32 = 1 << MESSAGE | 1 << RANDOM | 1 << EXTENSION;
    const TWO: u32 = 1 << VERSION | 1 << CIPHER | 1 << EXTENSIONS | 1 << SELECTED;
    let bit = 1 << (field & 31);
    if FOUR & bit != 0 {
        4
    } else if TWO & bit != 0 {
        2
    } else {
        1
    }
}

/// Loads `want` bytes as one number where as many are there, else one byte; tells how many it loaded.
#[inline(always)]
fn load<V: View>(view: &V, at: u32, want: u32, left: u32) -> (u32, u32) {
    if want == 4 && left >= 4 {
        return match view.load_payload::<[u8; 4]>(at) {
            Some(bytes) => (4, u32::from_be_bytes(bytes)),
            None => (0, 0),
        };
    }
    if want == 2 && left >= 2 {
        return match view.load_payload::<[u8; 2]>(at) {
            Some(bytes) => (2, u32::from(u16::from_be_bytes(bytes))),
            None => (0, 0),
        };
    }
    match view.load_payload::<[u8; 1]>(at) {
        Some([byte]) => (1, u32::from(byte)),
        None => (0, 0),
    }
}

/// `gathered` with `used` more bytes, of which four leave nothing of what was before.
#[inline(always)]
const fn append(gathered: u32, used: u32, loaded: u32) -> u32 {
    match used {
        4 => loaded,
        2 => gathered << 16 | loaded,
        _ => gathered << 8 | loaded,
    }
}

#[cfg(test)]
pub(super) mod tests;
