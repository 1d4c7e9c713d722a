//! The BPF maps, declared as `netguard_common::maps::MAPS` lists them.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{
        Array, ArrayOfMaps, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SkStorage,
    },
    macros::btf_map,
};
use netguard_common::{
    Packet,
    bucket::{BucketLine, LINES as BUCKET_LINES},
    connection::{HINTS as CONNECTION_HINTS_LEN, Held, Holder},
    exact::{ExactLine, LINES as EXACT_LINES},
    head::Head,
    hint::{HintLine, LINES},
    known::{KnownLine, LINES as KNOWN_LINES},
    l7::{Hearing, PieceRoom, Talk, TalkKey},
    layout::{Counter, NetworkV4, Note, NoteKey, Question, Rule, Sampler, Service, Settings},
    maps::{
        ALLOW_PREFIXES, BLOCK_ADDRESSES, BLOCK_PREFIXES, CORRECTIONS as CORRECTIONS_LEN,
        COUNTERS as COUNTERS_LEN, EXCESS_BYTES, FRAGMENT_CELLS, HANDSHAKES_BYTES, HEADS_BYTES, HOLDERS,
        LIMIT_CELLS as CELLS, NOTES as NOTES_LEN, OPENINGS as OPENINGS_LEN, OWN as OWN_LEN, PIECES_BYTES,
        PORT_WORDS, PROVEN as PROVEN_LEN, QUESTIONS as QUESTIONS_LEN, REDIRECTS as REDIRECTS_LEN,
        SAMPLES_BYTES, TALKS as TALKS_LEN, THROTTLED as THROTTLED_LEN,
    },
    own::{OwnSeen, SEEN},
    pace::Pace,
    packet::Address,
    ranges::{CHUNK, InForce, Line, POLICIES, RANGES as RANGES_LEN},
    service::{LINES as SERVICE_LINES_LEN, SERVICES as SERVICES_LEN, ServiceLine},
    signature::{Features, SIGNATURES as SIGNATURES_LEN, Signature},
    state::{KINDS, Strays},
    syn_ack::SynAck,
    telemetry::{GENERATIONS, Sketch, Telemetry},
    throttle::FILTER_WORDS,
    tls::{COUNTERS as TLS_COUNTERS, Conversation, Reading},
};

/// Rule tables grow with their entries: an empty one costs no memory.
const GROWING: usize = BPF_F_NO_PREALLOC as usize;
/// User space writes the hints as memory: a list of a million prefixes takes no million system calls.
const MAPPABLE: usize = BPF_F_MMAPABLE as usize;

/// A chunk of a generation of lists. All have one length: looks into arrays of any length are calls (`BPF_F_INNER_MAP`).
pub(crate) type Chunk = Array<Line, { CHUNK as usize }, MAPPABLE>;

#[btf_map]
pub(crate) static LAYOUT: Array<u64, 1> = Array::new();
#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub(crate) static PACKET: PerCpuArray<Packet, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static PACE: PerCpuArray<Pace, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SYN_ACK: PerCpuArray<SynAck, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static REDIRECTS: DevMapHash<REDIRECTS_LEN> = DevMapHash::new();
#[btf_map]
pub(crate) static OWN: HashMap<Address, u32, OWN_LEN, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static OWN_SEEN: PerCpuArray<OwnSeen, { SEEN as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static HINTS: Array<HintLine, { LINES as usize }, MAPPABLE> = Array::new();
#[btf_map]
pub(crate) static ALLOW_V4: LpmTrie<u32, Rule, ALLOW_PREFIXES> = LpmTrie::new();
#[btf_map]
pub(crate) static ALLOW_V6: LpmTrie<Address, Rule, ALLOW_PREFIXES> = LpmTrie::new();
#[btf_map]
pub(crate) static BLOCK_V4: HashMap<u32, Rule, BLOCK_ADDRESSES, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static BLOCK_V6: HashMap<Address, Rule, BLOCK_ADDRESSES, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static BLOCK_V6_NET64: HashMap<u64, Rule, BLOCK_ADDRESSES, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static BLOCK_NET_V4: LpmTrie<u32, Rule, BLOCK_PREFIXES> = LpmTrie::new();
#[btf_map]
pub(crate) static BLOCK_WIDE_V4: HashMap<NetworkV4, Rule, BLOCK_PREFIXES, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static BLOCK_NET_V6: LpmTrie<Address, Rule, BLOCK_PREFIXES> = LpmTrie::new();
#[btf_map]
pub(crate) static RANGES: ArrayOfMaps<Chunk, { RANGES_LEN as usize }> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static GENERATION: Array<InForce, 1> = Array::new();
#[btf_map]
pub(crate) static POLICY_CELLS: Array<u64, { POLICIES as usize }> = Array::new();
#[btf_map]
pub(crate) static POLICY_COUNTERS: PerCpuArray<u64, { POLICIES as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static LIMIT_CELLS: Array<u64, CELLS> = Array::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counter, COUNTERS_LEN> = PerCpuArray::new();
#[btf_map]
pub(crate) static SAMPLER: PerCpuArray<Sampler, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SAMPLES: RingBuf<(), SAMPLES_BYTES> = RingBuf::new();
#[btf_map]
pub(crate) static HEAD: PerCpuArray<Head, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static HEADS: RingBuf<(), HEADS_BYTES> = RingBuf::new();
#[btf_map]
pub(crate) static NOTES: HashMap<NoteKey, Note, NOTES_LEN, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static FRAGMENTS: Array<u64, FRAGMENT_CELLS> = Array::new();
#[btf_map]
pub(crate) static STRAYS: PerCpuArray<Strays, { KINDS as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static SIGNATURES: Array<Signature, { SIGNATURES_LEN as usize }> = Array::new();
#[btf_map]
pub(crate) static SIGNATURE_PORTS: Array<u64, { PORT_WORDS + 1 }> = Array::new();
#[btf_map]
pub(crate) static SIGNATURE_HITS: PerCpuArray<Counter, { SIGNATURES_LEN as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static FEATURES: PerCpuArray<Features, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static KNOWN: Array<KnownLine, { KNOWN_LINES as usize }> = Array::new();
#[btf_map]
pub(crate) static PROVEN: HashMap<u64, u64, PROVEN_LEN, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static THROTTLED: HashMap<u64, u64, THROTTLED_LEN, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static THROTTLE_FILTER: Array<u64, { FILTER_WORDS as usize }> = Array::new();
#[btf_map]
pub(crate) static SERVICE_LINES: Array<ServiceLine, { SERVICE_LINES_LEN as usize }> = Array::new();
#[btf_map]
pub(crate) static SERVICES: Array<Service, { SERVICES_LEN as usize }> = Array::new();
#[btf_map]
pub(crate) static WATCHED: Array<ServiceLine, { SERVICE_LINES_LEN as usize }> = Array::new();
#[btf_map]
pub(crate) static TELEMETRY: PerCpuArray<Telemetry, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SKETCHES: PerCpuArray<Sketch, GENERATIONS> = PerCpuArray::new();
#[btf_map]
pub(crate) static EXACT: Array<ExactLine, { EXACT_LINES as usize }, MAPPABLE> = Array::new();
#[btf_map]
pub(crate) static BUCKETS: Array<BucketLine, { BUCKET_LINES as usize }> = Array::new();
#[btf_map]
pub(crate) static QUESTIONS: LruHashMap<Question, u64, QUESTIONS_LEN> = LruHashMap::new();
#[btf_map]
pub(crate) static CONNECTIONS: HashMap<Holder, Held, HOLDERS, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static CONNECTION_HINTS: Array<u64, { CONNECTION_HINTS_LEN as usize }> = Array::new();
#[btf_map]
pub(crate) static CORRECTIONS: HashMap<Holder, i32, CORRECTIONS_LEN, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static COUNTED: SkStorage<u64> = SkStorage::new();
#[btf_map]
pub(crate) static CONNECTION_SUMS: PerCpuArray<u64, 2> = PerCpuArray::new();
#[btf_map]
pub(crate) static EXCESS: RingBuf<(), EXCESS_BYTES> = RingBuf::new();
#[btf_map]
pub(crate) static CONVERSATIONS: SkStorage<Conversation> = SkStorage::new();
#[btf_map]
pub(crate) static READING: PerCpuArray<Reading, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static TLS: PerCpuArray<u64, TLS_COUNTERS> = PerCpuArray::new();
#[btf_map]
pub(crate) static HANDSHAKES: RingBuf<(), HANDSHAKES_BYTES> = RingBuf::new();
#[btf_map]
pub(crate) static L7_PORTS: Array<u64, PORT_WORDS> = Array::new();
#[btf_map]
pub(crate) static TALKS: LruHashMap<TalkKey, Talk, TALKS_LEN> = LruHashMap::new();
#[btf_map]
pub(crate) static OPENINGS: Array<u64, OPENINGS_LEN> = Array::new();
#[btf_map]
pub(crate) static PIECE: PerCpuArray<PieceRoom, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static HEARING: PerCpuArray<Hearing, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static PIECES: RingBuf<(), PIECES_BYTES> = RingBuf::new();
