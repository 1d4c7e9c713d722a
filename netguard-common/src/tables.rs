//! What the datapath asks of the world besides the frame: settings, clock, rule tables, cells, counters and
//! the ring buffer. The kernel crate answers from BPF maps, [`crate::memory`] from ordinary memory.

use core::{
    ops::DerefMut,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    Packet,
    layout::{Question, Rule, Sample, Sampler, Settings},
    packet::Address,
    reflection::UdpSocket,
    syn_ack::{Cookie, SynAck},
};

/// State and clock of the datapath. Look-ups answer `None` for absent entries.
pub trait Tables {
    fn settings(&self) -> Option<&Settings>;
    /// Memory of this CPU for the packet that is judged.
    fn packet(&self) -> Option<impl DerefMut<Target = Packet>>;
    /// Monotonic time in ns. Stages ask only when they need it: in the kernel a reading costs as much as a look-up.
    fn now_ns(&self) -> u64;

    /// Byte `slot` of the hints, see [`crate::hint`].
    fn hint(&self, slot: u32) -> u8;

    // IPv4 addresses and the upper halves of IPv6 addresses are words in network byte order.
    fn allow_v4(&self, source: u32) -> Option<Rule>;
    fn allow_v6(&self, source: Address) -> Option<Rule>;
    fn block_v4(&self, source: u32) -> Option<Rule>;
    fn block_net_v4(&self, source: u32) -> Option<Rule>;
    fn block_v6(&self, source: Address) -> Option<Rule>;
    fn block_v6_net64(&self, network: u64) -> Option<Rule>;
    fn block_net_v6(&self, source: Address) -> Option<Rule>;

    /// Cell `index` of the limiter; `None` beyond [`crate::maps::LIMIT_CELLS`].
    fn cell(&self, index: u32) -> Option<impl LimitCell>;

    /// Memory of this CPU for an answer.
    fn syn_ack(&self) -> Option<impl DerefMut<Target = SynAck>>;
    /// Whether `address` is one of this machine, so that connections to it end here.
    fn is_own(&self, address: Address) -> bool;
    /// The cookie of the socket that listens for `packet`, whose headers `answer` holds, a TCP header of `tcp_len` bytes
    /// among them; `None` when none does, and none inside when it wants to answer itself.
    fn listener(&self, packet: &Packet, answer: &SynAck, tcp_len: u32) -> Option<Option<Cookie>>;

    /// When `question` was asked, in ns; `None` when it was not, or is forgotten.
    fn asked(&self, question: &Question) -> Option<u64>;
    /// Remembers that `question` was asked at `now_ns`; the oldest ones make room.
    fn remember(&self, question: &Question, now_ns: u64);
    /// The socket that takes the datagram `packet`.
    fn udp_socket(&self, packet: &Packet) -> UdpSocket;

    /// Adds one packet of `bytes` to counter `index`, see [`crate::decide::Judgement::counter`].
    fn count(&self, index: u32, bytes: u32);
    /// The sampler of this CPU.
    fn sampler(&self) -> Option<impl DerefMut<Target = Sampler>>;
    /// Hands `sample` to user space; false when there was no room.
    fn emit(&self, sample: &Sample) -> bool;
}

/// One cell of the limiter, shared by all CPUs. Loads and stores are single instructions without ordering.
pub trait LimitCell {
    /// Theoretical arrival time of the next packet, in ns.
    fn load(&self) -> u64;
    fn store(&self, arrival_ns: u64);
}

impl LimitCell for &AtomicU64 {
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Relaxed)
    }
    fn store(&self, arrival_ns: u64) {
        AtomicU64::store(self, arrival_ns, Ordering::Relaxed);
    }
}
