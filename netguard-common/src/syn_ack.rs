//! An answer made from the headers of the packet that it answers: here a SYN-ACK, in [`crate::dns`] another.

use crate::{
    offer::{ECN, SACK, Timestamps, UNSCALED},
    packet::{Family, TcpFlags, protocol},
};

/// Where the TCP header begins in [`SynAck::headers`], in words; the IP header ends there.
pub const TCP_AT: usize = 10;
/// Longest TCP header, in bytes.
pub const TCP_LEN: usize = 60;
/// Words of an IP header.
pub(crate) const V4_WORDS: usize = 5;
pub(crate) const V6_WORDS: usize = 10;
/// Length of a TCP header that has no options, or room for a maximum segment size, for timestamps and SACK, and for a window
/// scale, too.
pub const WITHOUT_OPTIONS: u32 = 20;
pub const WITH_MSS: u32 = 24;
pub const WITH_TIMESTAMPS: u32 = 36;
pub const WITH_ALL: u32 = 40;
/// The window that we promise: no sender fills it before it hears from the real socket.
const WINDOW: u32 = 32_768;
const TTL: u32 = 64;

crate::shared! {
    /// The answer that a CPU is making, in the map `SYN_ACK`.
    pub struct SynAck {
        /// First the headers of the SYN, then of the answer: an IP header that ends at [`TCP_AT`], a TCP header from there. In
        /// words whose bytes lie as in the packet: bytes would be read and written one by one.
        pub headers: [u32; 26],
        /// GCRA's theoretical arrival time of the next answer.
        pub due_ns: u64,
        /// Bytes of the answer's headers from [`TCP_AT`] on.
        pub transport_len: u32,
        /// Bytes of the packet behind its headers that stay.
        pub rest_len: u32,
        /// The cookie for a SYN: the sequence number of the answer.
        pub cookie: u32,
        /// The maximum segment size that it stands for.
        pub mss: u32,
        /// Bytes of the SYN's TCP header.
        pub asked_len: u32,
        /// When it came, in milliseconds as the kernel counts them.
        pub now_ms: u32,
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
    /// `N` words of the headers.
    #[inline(always)]
    pub fn words<const N: usize>(&self, at: usize) -> Option<&[u32; N]> {
        self.headers.get(at..)?.first_chunk()
    }

    /// Takes the IP header of the packet.
    #[inline(always)]
    pub(crate) fn take<const N: usize>(&mut self, header: &[u32; N]) {
        let mut index = 0;
        while index < N {
            self.headers[TCP_AT - N + index] = header[index];
            index += 1;
        }
    }

    /// Puts the options of the answer, and its flags, in the place of those of the SYN: never more bytes, and as many where that
    /// can be, so that the frame keeps its length. They always lie where Linux has them in a SYN; behind the last one are zeros,
    /// which end the list.
    #[inline(always)]
    pub(crate) fn put_options(&mut self, timestamps: Timestamps) {
        let mut flags = TcpFlags::SYN | TcpFlags::ACK;
        let mut options = [0; 5];
        let len = match self.asked_len {
            WITH_ALL.. => WITH_ALL,
            WITH_TIMESTAMPS.. => WITH_TIMESTAMPS,
            WITH_MSS.. => WITH_MSS,
            _ => WITHOUT_OPTIONS,
        };
        if len >= WITH_MSS {
            options[0] = 0x0204_0000 | self.mss;
        }
        if timestamps.are_some() {
            // Two bytes of padding, or SACK.
            options[1] = 0x0101_080a ^ ((0x0101_080a ^ 0x0402_080a) * ((timestamps.options / SACK) & 1));
            options[2] = timestamps.value;
            options[3] = u32::from_be(timestamps.echo);
            if len == WITH_ALL {
                options[4] = match timestamps.options & UNSCALED {
                    UNSCALED => 0x0101_0101,
                    _ => 0x0103_0300 | timestamps.window_scale,
                };
            }
            flags |= TcpFlags::ECE * ((timestamps.options / ECN) & 1) as u8;
        }
        let mut index = 0;
        while index < options.len() {
            self.put(TCP_AT + 5 + index, options[index]);
            index += 1;
        }
        self.put(TCP_AT + 3, (len / 4) << 28 | u32::from(flags) << 16 | WINDOW);
        self.transport_len = len;
        self.rest_len = 0;
    }

    /// Turns the headers of a SYN into those of the answer, after [`SynAck::put_options`].
    #[inline(always)]
    pub(crate) fn turn(&mut self, family: Family) {
        let len = self.transport_len;
        match family {
            Family::V4 => self.turn_v4(len, protocol::TCP),
            Family::V6 => self.turn_v6(len, protocol::TCP),
        }
        self.turn_ports();
        let asked = u32::from_be(self.headers[TCP_AT + 1]);
        self.put(TCP_AT + 1, self.cookie);
        self.put(TCP_AT + 2, asked.wrapping_add(1));
        self.put(TCP_AT + 4, 0);
        // The pseudo header begins with both addresses, in either order, and ends with protocol and length.
        let mut sum = u64::from((len + u32::from(protocol::TCP)).to_be());
        sum += self.sum::<{ WITH_ALL as usize / 4 }>(TCP_AT);
        sum += match family {
            Family::V4 => self.sum::<2>(TCP_AT - 2),
            Family::V6 => self.sum::<8>(TCP_AT - 8),
        };
        self.headers[TCP_AT + 4] = checksum(sum);
    }

    #[inline(always)]
    pub(crate) fn turn_v4(&mut self, payload_len: u32, protocol: u8) {
        const AT: usize = TCP_AT - V4_WORDS;
        self.put(AT, 0x4500_0000 | ((payload_len + 20) & 0xffff));
        // Unidentified, not to be fragmented.
        self.put(AT + 1, 0x4000);
        self.put(AT + 2, TTL << 24 | u32::from(protocol) << 16);
        self.headers.swap(AT + 3, AT + 4);
        // The checksum lies in the second half of its word.
        let sum = self.sum::<V4_WORDS>(AT);
        self.headers[AT + 2] |= (checksum(sum).to_be() >> 16).to_be();
    }

    #[inline(always)]
    pub(crate) fn turn_v6(&mut self, payload_len: u32, protocol: u8) {
        self.put(0, 0x6000_0000);
        self.put(1, payload_len << 16 | u32::from(protocol) << 8 | TTL);
        let mut index = 2;
        while index < 6 {
            self.headers.swap(index, index + 4);
            index += 1;
        }
    }

    #[inline(always)]
    pub(crate) const fn turn_ports(&mut self) {
        self.headers[TCP_AT] = self.headers[TCP_AT].rotate_left(16);
    }

    /// Puts a word in the byte order of the network.
    #[inline(always)]
    pub(crate) const fn put(&mut self, at: usize, word: u32) {
        self.headers[at] = word.to_be();
    }

    /// The sum of `N` words, which [`checksum`] ends: as they lie in memory, since the order of bytes does not matter before
    /// the end (RFC 1071 section 2).
    #[inline(always)]
    fn sum<const N: usize>(&self, at: usize) -> u64 {
        let mut sum = 0;
        let mut index = 0;
        while index < N {
            sum += u64::from(self.headers[at + index]);
            index += 1;
        }
        sum
    }
}

/// The checksum of data with this `sum` of words, in the first bytes of a word.
#[inline(always)]
const fn checksum(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let [first, second] = (!folded(sum as u32)).to_ne_bytes();
    u32::from_ne_bytes([first, second, 0, 0])
}

#[inline(always)]
pub(crate) const fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
}
