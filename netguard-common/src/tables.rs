//! What the datapath asks of the world besides the frame: settings, clock, rule tables, cells, counters and
//! the ring buffer. The kernel crate answers from BPF maps, [`crate::memory`] from ordinary memory.

use core::{
    ops::DerefMut,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    Packet,
    apart::{self, Part},
    connection::{Held, Holder},
    head::Head,
    layout::{Question, Rule, Sample, Sampler, Service, Settings},
    pace::Pace,
    packet::Address,
    ranges::Line,
    reflection::UdpSocket,
    signature::{Features, Signature},
    state::{Standing, Strays},
    syn_ack::{Cookie, SynAck},
    telemetry::{Sketch, Telemetry},
    throttle::Throttle,
    tls::{self, Conversation, Handshake, Reading},
    view::View,
};

/// State and clock of the datapath. Look-ups answer `None` for absent entries.
pub trait Tables: Sized {
    /// The outcome of `part` of a stage for `packet`, which lies in [`Tables::packet`]: that of [`apart::run`].
    fn apart<V: View>(&self, part: Part, view: &V, packet: &Packet, settings: &Settings) -> u32 {
        apart::run(part, view, packet, settings, self)
    }

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

    /// Line `index` of blocked addresses; `None` where there are no lines.
    fn exact(&self, index: u32) -> Option<impl ExactWords>;

    /// The compiled lists, see [`crate::ranges`]; `None` when there never were any.
    fn generation(&self) -> Option<impl Generation>;
    /// The cell of a policy of the lists; `None` beyond [`crate::ranges::POLICIES`].
    fn policy_cell(&self, policy: u32) -> Option<impl LimitCell>;
    /// Counts a packet that a policy of the lists is against.
    fn count_policy(&self, policy: u32);

    /// Line `index` of the buckets of sources; `None` beyond [`crate::bucket::LINES`].
    fn buckets(&self, index: u32) -> Option<impl Slots<u64>>;
    /// Cell `index` of the limits of services; `None` beyond [`crate::maps::LIMIT_CELLS`].
    fn cell(&self, index: u32) -> Option<impl LimitCell>;
    /// Line `index` of the known sources; `None` beyond [`crate::known::LINES`].
    fn known(&self, index: u32) -> Option<impl Slots<u32>>;
    /// Until when (monotonic ns) the source with `key`, see [`crate::limit::source_key`], counts as proven.
    fn proven(&self, key: u64) -> Option<u64>;
    /// Word `index` of the filter before the throttled sources, see [`crate::throttle`].
    fn throttle_filter(&self, index: u32) -> u64;
    /// How the source with `key` is throttled, if it is.
    fn throttled(&self, key: u64) -> Option<Throttle>;
    /// What holds for the service at `slot`, see [`crate::service::slot`], instead of the common settings.
    fn service(&self, slot: u32) -> Option<&Service>;

    /// Cell `index` of the stretches of fragmented packets; `None` beyond [`crate::fragment::CELLS`].
    fn fragment_cell(&self, index: u32) -> Option<impl LimitCell>;

    /// Memory of this CPU for an answer.
    fn syn_ack(&self) -> Option<impl DerefMut<Target = SynAck>>;
    /// Whether `address` is one of this machine, so that connections to it end here.
    fn is_own(&self, address: Address) -> bool;
    /// The cookie of the socket that listens for `packet`, whose headers `answer` holds, a TCP header of `tcp_len` bytes
    /// among them; `None` when none does, and none inside when it wants to answer itself.
    fn listener(&self, packet: &Packet, answer: &SynAck, tcp_len: u32) -> Option<Option<Cookie>>;

    /// What this CPU found of strays of a kind; `None` beyond [`crate::state::KINDS`].
    fn strays(&self, kind: u32) -> Option<impl DerefMut<Target = Strays>>;
    /// What the table of sockets says about `packet`, which has a TCP header.
    fn standing(&self, packet: &Packet) -> Standing;

    /// How many holders that share the word `hint` of the hints hold some connections, see [`crate::connection`].
    fn holders(&self, hint: u32) -> u64;
    /// The connections of `holder`.
    fn held(&self, holder: &Holder) -> Option<Held>;
    /// By what user space found the count of `holder` to be wrong.
    fn correction(&self, holder: &Holder) -> i32;
    /// Has `holder` refused until `until_ns`, which is the `penalties`th time in a row.
    fn punish(&self, holder: &Holder, penalties: u32, until_ns: u64);

    /// Whether there are signatures for `port`; 0 where a packet has none.
    fn is_flagged(&self, port: u16) -> bool;
    /// A bit for each entry of the signatures that is not free.
    fn signatures_used(&self) -> u32;
    /// Entry `slot` of the signatures; `None` beyond [`crate::signature::SIGNATURES`].
    fn signature(&self, slot: u32) -> Option<&Signature>;
    /// Memory of this CPU for the vector of the packet that is judged.
    fn features(&self) -> Option<impl DerefMut<Target = Features>>;
    /// Adds one packet of `bytes` to those that signature `slot` fits.
    fn count_signature(&self, slot: u32, bytes: u32);
    /// When `question` was asked, in ns; `None` when it was not, or is forgotten.
    fn asked(&self, question: &Question) -> Option<u64>;
    /// Remembers that `question` was asked at `now_ns`; the oldest ones make room.
    fn remember(&self, question: &Question, now_ns: u64);
    /// The socket that takes the datagram `packet`.
    fn udp_socket(&self, packet: &Packet) -> UdpSocket;

    // Of what leaves, see `tls`.

    /// Whether any service has a policy for TLS.
    fn has_tls(&self) -> bool;
    /// What [`tls::is_refused`] says of `packet`, which lies in [`Tables::packet`].
    fn refuses<V: View>(&self, view: &V, packet: &Packet, settings: &Settings, service: &Service) -> bool {
        tls::is_refused(view, packet, settings, service, self)
    }
    /// What is known of the conversation that the frame belongs to, by its socket; `None` where it has none here.
    fn conversation(&self) -> Option<impl DerefMut<Target = Conversation>>;
    /// Memory of this CPU for a conversation that is read.
    fn reading(&self) -> Option<impl DerefMut<Target = Reading>>;
    /// [`tls::step`] in [`Tables::reading`].
    fn read_on<V: View>(&self, view: &V) -> bool {
        match self.reading() {
            Some(mut reading) => tls::step(view, &mut reading),
            None => false,
        }
    }
    /// What the kernel calls the socket that sends the frame, and the number of the interface that it leaves through; 0 for unknown.
    fn socket(&self) -> (u64, u32);
    /// Adds one to counter `index`, see [`tls::counter`].
    fn count_tls(&self, index: u32);
    /// Hands `handshake` to user space; false when there was no room.
    fn emit_handshake(&self, handshake: &Handshake) -> bool;

    /// How busy this CPU is.
    fn pace(&self) -> Option<impl DerefMut<Target = Pace>>;
    /// What this CPU counted of the traffic.
    fn telemetry(&self) -> Option<impl DerefMut<Target = Telemetry>>;
    /// What this CPU saw of the sources of a generation; `None` beyond [`crate::telemetry::GENERATIONS`].
    fn sketch(&self, generation: u32) -> Option<impl DerefMut<Target = Sketch>>;
    /// The number under which the service at `slot`, see [`crate::service::slot`], is counted; 0 for all others.
    fn watched(&self, slot: u32) -> u8;

    /// Adds one packet of `bytes` to counter `index`, see [`crate::decide::Judgement::counter`].
    fn count(&self, index: u32, bytes: u32);
    /// The sampler of this CPU.
    fn sampler(&self) -> Option<impl DerefMut<Target = Sampler>>;
    /// Hands `sample` to user space; false when there was no room.
    fn emit(&self, sample: &Sample) -> bool;
    /// Memory of this CPU for the head of the packet that is judged.
    fn head(&self) -> Option<impl DerefMut<Target = Head>>;
    /// Hands `head` to user space; false when there was no room.
    fn emit_head(&self, head: &Head) -> bool;
}

/// Lists compiled into one table; it stays what it is while a packet is judged.
pub trait Generation {
    /// Line `index`; `None` beyond the last.
    fn line(&self, index: u32) -> Option<&Line>;
}

/// One line of blocked addresses, see [`crate::exact`]. Indices count modulo 8.
pub trait ExactWords {
    fn word(&self, index: u32) -> u64;
}

/// One word in an array of cells, shared by all CPUs. Loads and stores are single instructions without ordering.
pub trait LimitCell {
    /// Of the limiter: theoretical arrival time of the next packet, in ns.
    fn load(&self) -> u64;
    fn store(&self, word: u64);
}

/// Slots of a line.
pub const SLOTS: u32 = 8;

/// One line of slots, of buckets or of known sources, shared by all CPUs as [`LimitCell`] is. Indices count modulo [`SLOTS`].
pub trait Slots<W> {
    fn load(&self, index: u32) -> W;
    fn store(&self, index: u32, slot: W);
}

impl LimitCell for &AtomicU64 {
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Relaxed)
    }
    fn store(&self, word: u64) {
        AtomicU64::store(self, word, Ordering::Relaxed);
    }
}
