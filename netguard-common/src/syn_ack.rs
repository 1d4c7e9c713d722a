//! An answer made from the headers of the packet that it answers: here a SYN-ACK, in [`crate::dns`] another.

use crate::packet::{Family, TcpFlags, protocol};

/// Where the TCP header begins in [`SynAck::headers`]; the IP header ends there.
pub const TCP_AT: usize = 40;
/// Longest TCP header.
pub const TCP_LEN: usize = 60;
const TCP_MIN: u32 = 20;
const MSS_OPTION: u32 = 4;
/// The window that we promise: no sender fills it before it hears from the real socket.
const WINDOW: u16 = 32_768;
const TTL: u8 = 64;

crate::shared! {
    /// The answer that a CPU is making, in the map `SYN_ACK`.
    pub struct SynAck {
        /// First the headers of the SYN, then of the answer: an IP header that ends at [`TCP_AT`], a TCP header from there.
        pub headers: [u8; 104],
        /// GCRA's theoretical arrival time of the next answer.
        pub due_ns: u64,
        /// Bytes of the answer's headers from [`TCP_AT`] on.
        pub transport_len: u32,
        /// Bytes of the packet behind its headers that stay.
        pub rest_len: u32,
    }
}

/// What the kernel makes for a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The sequence number of the answer.
    pub sequence: u32,
    /// The maximum segment size that it stands for.
    pub mss: u16,
}

impl SynAck {
    /// Takes the IP header of the SYN.
    #[inline(always)]
    pub(crate) fn take<const N: usize>(&mut self, header: &[u8; N]) {
        let mut index = 0;
        while index < N {
            self.headers[TCP_AT - N + index] = header[index];
            index += 1;
        }
    }

    /// Turns the headers of a SYN, whose TCP header has `tcp_len` bytes, into those of the answer: never more bytes than
    /// arrived.
    #[inline(always)]
    pub(crate) fn turn(&mut self, family: Family, cookie: Cookie, tcp_len: u32) {
        self.transport_len = if tcp_len >= TCP_MIN + MSS_OPTION {
            TCP_MIN + MSS_OPTION
        } else {
            TCP_MIN
        };
        self.rest_len = 0;
        let payload_len = self.transport_len as u16;
        match family {
            Family::V4 => self.turn_v4(payload_len, protocol::TCP),
            Family::V6 => self.turn_v6(payload_len, protocol::TCP),
        }
        self.turn_tcp(family, cookie);
    }

    #[inline(always)]
    pub(crate) fn turn_v4(&mut self, payload_len: u16, protocol: u8) {
        const AT: usize = TCP_AT - 20;
        self.put(AT, [0x45, 0]);
        self.put(AT + 2, payload_len.wrapping_add(20).to_be_bytes());
        // Unidentified, not to be fragmented.
        self.put(AT + 4, [0, 0]);
        self.put(AT + 6, [0x40, 0]);
        self.put(AT + 8, [TTL, protocol]);
        self.put(AT + 10, [0, 0]);
        self.swap::<4>(AT + 12, AT + 16);
        let sum = self.sum::<20>(AT);
        self.put(AT + 10, (!folded(sum)).to_be_bytes());
    }

    #[inline(always)]
    pub(crate) fn turn_v6(&mut self, payload_len: u16, protocol: u8) {
        self.put(0, [0x60, 0]);
        self.put(2, [0, 0]);
        self.put(4, payload_len.to_be_bytes());
        self.put(6, [protocol, TTL]);
        self.swap::<16>(8, 24);
    }

    #[inline(always)]
    fn turn_tcp(&mut self, family: Family, cookie: Cookie) {
        self.swap::<2>(TCP_AT, TCP_AT + 2);
        let asked = u32::from_be_bytes([
            self.headers[TCP_AT + 4],
            self.headers[TCP_AT + 5],
            self.headers[TCP_AT + 6],
            self.headers[TCP_AT + 7],
        ]);
        let [a, b, c, d] = cookie.sequence.to_be_bytes();
        self.put(TCP_AT + 4, [a, b]);
        self.put(TCP_AT + 6, [c, d]);
        let [a, b, c, d] = asked.wrapping_add(1).to_be_bytes();
        self.put(TCP_AT + 8, [a, b]);
        self.put(TCP_AT + 10, [c, d]);
        let words = (self.transport_len / 4) as u8;
        self.put(TCP_AT + 12, [words << 4, TcpFlags::SYN | TcpFlags::ACK]);
        self.put(TCP_AT + 14, WINDOW.to_be_bytes());
        self.put(TCP_AT + 16, [0, 0]);
        self.put(TCP_AT + 18, [0, 0]);
        let mut sum = self.sum::<20>(TCP_AT) + self.transport_len + 6;
        if self.transport_len > TCP_MIN {
            self.put(TCP_AT + 20, [2, MSS_OPTION as u8]);
            self.put(TCP_AT + 22, cookie.mss.to_be_bytes());
            sum += self.sum::<4>(TCP_AT + 20);
        }
        // The pseudo header begins with both addresses, in either order.
        sum += match family {
            Family::V4 => self.sum::<8>(TCP_AT - 8),
            Family::V6 => self.sum::<32>(8),
        };
        self.put(TCP_AT + 16, (!folded(sum)).to_be_bytes());
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, at: usize, [first, second]: [u8; 2]) {
        self.headers[at] = first;
        self.headers[at + 1] = second;
    }

    #[inline(always)]
    pub(crate) fn swap<const N: usize>(&mut self, first: usize, second: usize) {
        let mut index = 0;
        while index < N {
            self.headers.swap(first + index, second + index);
            index += 1;
        }
    }

    /// The sum of the 16-bit words of `N` bytes (RFC 1071).
    #[inline(always)]
    fn sum<const N: usize>(&self, at: usize) -> u32 {
        let mut sum = 0;
        let mut index = 0;
        while index < N {
            let word = [self.headers[at + index], self.headers[at + index + 1]];
            sum += u32::from(u16::from_be_bytes(word));
            index += 2;
        }
        sum
    }
}

#[inline(always)]
pub(crate) const fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
}
