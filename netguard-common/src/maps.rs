//! The catalogue of BPF maps: name, shape, size and purpose. The kernel object declares the same maps; a
//! kernel test holds the two against each other, and the layout fingerprint covers the list.

mod sizes;
mod spec;
mod table;

use crate::{
    Packet,
    bucket::{self, BucketLine},
    clock::Clock,
    connection::{self, Held, Holder},
    exact::{self, ExactLine},
    head::Head,
    hint::{HintLine, LINES},
    known::{self, KnownLine},
    l7::{Hearing, PieceRoom, Talk, TalkKey},
    layout::{Counter, NetworkV4, Note, NoteKey, Question, Rule, Sample, Sampler, Service, Settings},
    own::{self, OwnSeen},
    pace::Pace,
    packet::Address,
    ranges::{InForce, POLICIES, RANGES},
    service::{self, ServiceLine},
    signature::{Features, SIGNATURES, Signature},
    state::{self, Strays},
    syn_ack::SynAck,
    telemetry::{GENERATIONS, Sketch, Telemetry},
    throttle,
    tls::{self, Conversation, Reading},
};

pub use sizes::*;
use spec::{Lpm, of_each_cpu, ring, spec};
pub use spec::{MapKind, MapSpec};
pub use table::Table;

/// Every map of the kernel object.
pub const MAPS: &[MapSpec] = &[
    spec::<u32, u64>(
        "LAYOUT",
        MapKind::Array,
        1,
        "fingerprint of the layouts that the pinned maps were made with",
    ),
    spec::<u32, Settings>(
        "SETTINGS",
        MapKind::Array,
        1,
        "modes and limits, written by the daemon",
    ),
    of_each_cpu::<Packet>(
        "PACKET",
        "the packet that a CPU is judging: of no meaning afterwards",
    ),
    of_each_cpu::<Clock>("CLOCK", "the time that a CPU read last, and in which tick"),
    of_each_cpu::<Pace>("PACE", "how busy a CPU is"),
    of_each_cpu::<SynAck>(
        "SYN_ACK",
        "the answer that a CPU is making, and how many it may still make",
    ),
    spec::<u32, [u32; 2]>(
        "REDIRECTS",
        MapKind::DevMapHash,
        REDIRECTS,
        "interfaces (veth) that answers leave through by a redirect, which wakes the other end; by XDP_TX elsewhere",
    ),
    spec::<Address, u32>(
        "OWN",
        MapKind::Hash,
        OWN,
        "addresses of this machine, for which it may be answered",
    ),
    spec::<u32, OwnSeen>(
        "OWN_SEEN",
        MapKind::PerCpuArray,
        own::SEEN as usize,
        "addresses that a CPU found in OWN lately",
    ),
    spec::<u32, HintLine>(
        "HINTS",
        MapKind::Array,
        LINES as usize,
        "a byte for each IPv4 /24, and hashed ones for IPv6: which rule tables can know a source",
    ),
    spec::<Lpm<u32>, Rule>(
        "ALLOW_V4",
        MapKind::LpmTrie,
        ALLOW_PREFIXES,
        "IPv4 prefixes that always pass",
    ),
    spec::<Lpm<Address>, Rule>(
        "ALLOW_V6",
        MapKind::LpmTrie,
        ALLOW_PREFIXES,
        "IPv6 prefixes that always pass",
    ),
    spec::<u32, Rule>(
        "BLOCK_V4",
        MapKind::Hash,
        BLOCK_ADDRESSES,
        "blocked IPv4 addresses",
    ),
    spec::<Address, Rule>(
        "BLOCK_V6",
        MapKind::Hash,
        BLOCK_ADDRESSES,
        "blocked IPv6 addresses",
    ),
    spec::<u64, Rule>(
        "BLOCK_V6_NET64",
        MapKind::Hash,
        BLOCK_ADDRESSES,
        "blocked IPv6 /64 networks",
    ),
    spec::<Lpm<u32>, Rule>(
        "BLOCK_NET_V4",
        MapKind::LpmTrie,
        BLOCK_PREFIXES,
        "other blocked IPv4 prefixes: longer than /24, or for a time",
    ),
    spec::<NetworkV4, Rule>(
        "BLOCK_WIDE_V4",
        MapKind::Hash,
        BLOCK_PREFIXES,
        "IPv4 prefixes of /24 or shorter blocked for good; the datapath knows them from their hints",
    ),
    spec::<Lpm<Address>, Rule>(
        "BLOCK_NET_V6",
        MapKind::LpmTrie,
        BLOCK_PREFIXES,
        "blocked IPv6 prefixes other than /64 and /128",
    ),
    spec::<u32, u32>(
        "RANGES",
        MapKind::ArrayOfMaps,
        RANGES as usize,
        "feeds, countries and autonomous systems, compiled into one table that is exchanged as a whole",
    ),
    spec::<u32, InForce>(
        "GENERATION",
        MapKind::Array,
        1,
        "which of the two tables in RANGES is in force",
    ),
    spec::<u32, u64>(
        "POLICY_CELLS",
        MapKind::Array,
        POLICIES as usize,
        "theoretical arrival times (ns) of countries and autonomous systems that are limited",
    ),
    spec::<u32, u64>(
        "POLICY_COUNTERS",
        MapKind::PerCpuArray,
        POLICIES as usize,
        "packets that a feed, a country or an autonomous system was against, shadow ones included",
    ),
    spec::<u32, u64>(
        "LIMIT_CELLS",
        MapKind::Array,
        LIMIT_CELLS,
        "theoretical arrival times (ns) of the limits of services",
    ),
    spec::<u32, Counter>(
        "COUNTERS",
        MapKind::PerCpuArray,
        COUNTERS,
        "packets and bytes by verdict: enforced, then shadow",
    ),
    of_each_cpu::<Sampler>("SAMPLER", "budget of the samples, and how many were lost"),
    ring(
        "SAMPLES",
        SAMPLES_BYTES,
        "samples of dropped packets on their way to the daemon",
    ),
    of_each_cpu::<Head>(
        "HEAD",
        "the head of the packet that a CPU is telling: of no meaning afterwards",
    ),
    ring(
        "HEADS",
        HEADS_BYTES,
        "the first bytes of some packets on their way to the daemon",
    ),
    spec::<NoteKey, Note>(
        "NOTES",
        MapKind::Hash,
        NOTES,
        "operators' words about their rules; never read by the datapath",
    ),
    spec::<u32, u64>(
        "FRAGMENTS",
        MapKind::Array,
        FRAGMENT_CELLS,
        "what was seen of fragmented packets, a stretch of one in each cell",
    ),
    spec::<u32, Strays>(
        "STRAYS",
        MapKind::PerCpuArray,
        state::KINDS as usize,
        "TCP segments without a connection, and datagrams to closed ports: how many were looked for, and until when all are",
    ),
    spec::<u32, Signature>(
        "SIGNATURES",
        MapKind::Array,
        SIGNATURES as usize,
        "signatures of attacks: mask and value over a vector of header fields",
    ),
    spec::<u32, u64>(
        "SIGNATURE_PORTS",
        MapKind::Array,
        PORT_WORDS + 1,
        "a bit for each port that there are signatures for, and behind them one for each signature",
    ),
    spec::<u32, Counter>(
        "SIGNATURE_HITS",
        MapKind::PerCpuArray,
        SIGNATURES as usize,
        "packets and bytes that each signature fits",
    ),
    of_each_cpu::<Features>(
        "FEATURES",
        "the vector of the packet that a CPU is judging: of no meaning afterwards",
    ),
    spec::<u32, KnownLine>(
        "KNOWN",
        MapKind::Array,
        known::LINES as usize,
        "sources that UDP services know: fingerprint, whether it came again, when it was last seen",
    ),
    spec::<u64, u64>(
        "PROVEN",
        MapKind::Hash,
        PROVEN,
        "sources with an established TCP connection, and until when (ns) that counts",
    ),
    spec::<u64, u64>(
        "THROTTLED",
        MapKind::Hash,
        THROTTLED,
        "sources whose limits are divided: by what, and until when (ns)",
    ),
    spec::<u32, u64>(
        "THROTTLE_FILTER",
        MapKind::Array,
        throttle::FILTER_WORDS as usize,
        "a bit for each hash of a source in THROTTLED",
    ),
    spec::<u32, ServiceLine>(
        "SERVICE_LINES",
        MapKind::Array,
        service::LINES as usize,
        "a byte for each TCP and UDP port: the number of its entry in SERVICES, 0 for none",
    ),
    spec::<u32, Service>(
        "SERVICES",
        MapKind::Array,
        service::SERVICES as usize,
        "what holds for some services instead of the common limits",
    ),
    spec::<u32, ExactLine>(
        "EXACT",
        MapKind::Array,
        exact::LINES as usize,
        "blocked addresses again, in lines that are quickly looked at",
    ),
    spec::<u32, BucketLine>(
        "BUCKETS",
        MapKind::Array,
        bucket::LINES as usize,
        "what sources and prefixes have used of their limits: fingerprint and theoretical arrival time, by class",
    ),
    spec::<Question, u64>(
        "QUESTIONS",
        MapKind::LruHash,
        QUESTIONS,
        "when this machine asked whom (ns), written by what leaves it only",
    ),
    spec::<u32, ServiceLine>(
        "WATCHED",
        MapKind::Array,
        service::LINES as usize,
        "a byte for each TCP and UDP port: the number under which it is counted in TELEMETRY, 0 for others",
    ),
    of_each_cpu::<Telemetry>(
        "TELEMETRY",
        "packets by kind and by service, how sources, ports, sizes and TTLs are spread, and how long connections stood",
    ),
    spec::<u32, Sketch>(
        "SKETCHES",
        MapKind::PerCpuArray,
        GENERATIONS,
        "distinct sources and heavy ones, in two generations that are written in turn",
    ),
    spec::<Holder, Held>(
        "CONNECTIONS",
        MapKind::Hash,
        HOLDERS,
        "TCP connections that sources and prefixes hold, and how long who asked for too many is refused",
    ),
    spec::<u32, u64>(
        "CONNECTION_HINTS",
        MapKind::Array,
        connection::HINTS as usize,
        "hashed: how many of the sources and prefixes that share a word hold some connections",
    ),
    spec::<Holder, i32>(
        "CORRECTIONS",
        MapKind::Hash,
        CORRECTIONS,
        "by what the counts of CONNECTIONS are wrong: connections that stood before they were counted",
    ),
    spec::<i32, u64>(
        "COUNTED",
        MapKind::SkStorage,
        0,
        "a mark at each socket whose connection is counted: since when (ns) it stands",
    ),
    spec::<u32, u64>(
        "CONNECTION_SUMS",
        MapKind::PerCpuArray,
        2,
        "connections that were opened, and those not counted, since CONNECTIONS was full",
    ),
    ring(
        "EXCESS",
        EXCESS_BYTES,
        "connections above a limit on their way to the daemon, which ends them",
    ),
    spec::<u32, Conversation>(
        "CONVERSATIONS",
        MapKind::SkStorage,
        0,
        "how far the start of what a TLS service says in a connection was read, carried by its socket",
    ),
    of_each_cpu::<Reading>(
        "READING",
        "the conversation that a CPU reads: of no meaning afterwards",
    ),
    spec::<u32, u64>(
        "TLS",
        MapKind::PerCpuArray,
        tls::COUNTERS,
        "handshakes by what became of them: enforced, then shadow",
    ),
    ring(
        "HANDSHAKES",
        HANDSHAKES_BYTES,
        "handshakes that were refused, on their way to the daemon, which ends their connections",
    ),
    spec::<u32, u64>(
        "L7_PORTS",
        MapKind::Array,
        PORT_WORDS,
        "a bit for each TCP port whose conversations are listened to",
    ),
    spec::<TalkKey, Talk>("TALKS", MapKind::LruHash, TALKS, "how far conversations are"),
    spec::<u32, u64>(
        "OPENINGS",
        MapKind::Array,
        OPENINGS,
        "hashed: handshakes that a service answered, and nothing was said behind yet",
    ),
    of_each_cpu::<PieceRoom>("PIECE", "what a CPU is handing on: of no meaning afterwards"),
    of_each_cpu::<Hearing>(
        "HEARING",
        "turns of conversations that a CPU handed on and left out, and its budgets",
    ),
    ring(
        "PIECES",
        PIECES_BYTES,
        "what clients and services say, on its way to the daemon",
    ),
];

/// Size of one ring buffer record, in bytes.
pub const SAMPLE_SIZE: usize = size_of::<Sample>();
