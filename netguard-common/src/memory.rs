//! [`Tables`] in ordinary memory: the datapath on the host, for tests, fuzzing and replay.

mod connections;
mod lines;
mod overheard;
mod prefixes;

use core::{
    cell::{Cell, RefCell, RefMut},
    ops::DerefMut,
    sync::atomic::{AtomicU32, AtomicU64},
};
use std::{
    boxed::Box,
    collections::{HashMap, HashSet},
    sync::Arc,
    vec::Vec,
};

use crate::{
    Packet, bucket,
    connection::{Held, Holder, Ledger as _},
    head::Head,
    hint, known,
    layout::{Counter, Mode, Question, Rate, Rule, Sample, Sampler, Service, Settings},
    maps::{COUNTERS, FRAGMENT_CELLS, LIMIT_CELLS},
    pace::Pace,
    packet::Address,
    ranges::{Line, POLICIES},
    reflection::UdpSocket,
    shared::{Field, Shared as _},
    signature::{Features, SIGNATURES, Signature},
    state::{KINDS, Standing, Strays},
    syn_ack::{Cookie, SynAck, TCP_AT},
    tables::{ExactWords, Generation, LimitCell, Slots, Tables},
    telemetry::{GENERATIONS, Sketch, Telemetry},
    throttle::Throttle,
    tls::{self, Conversation, Handshake, Reading},
};

pub use connections::Connections;
pub use overheard::Overheard;
pub use prefixes::network;
use prefixes::{Prefixes, longest};

/// Tables in memory. The fields are the state; tests set and read them directly.
pub struct Memory {
    pub settings: Settings,
    /// What [`Tables::now_ns`] answers.
    pub now_ns: Cell<u64>,
    packet: RefCell<Packet>,
    pub syn_ack: RefCell<SynAck>,
    /// What a socket answers that listens for everything; `None`: nothing listens.
    pub listener: Option<Option<Cookie>>,
    pub strays: [RefCell<Strays>; KINDS as usize],
    /// What the table of sockets says about every segment.
    pub standing: Standing,
    /// Those with a mode are in force; all ports are flagged.
    pub signatures: Vec<Signature>,
    pub signature_hits: RefCell<Vec<Counter>>,
    features: RefCell<Features>,
    /// Addresses of this machine, IPv4 as IPv4-mapped IPv6.
    pub own: HashSet<[u8; 16]>,
    /// When each question was asked, by its bytes.
    pub questions: RefCell<HashMap<Vec<u8>, u64>>,
    /// UDP sockets by their own port, with the address and port that they are connected to.
    pub udp_sockets: HashMap<u16, Option<([u8; 16], u16)>>,
    pub allow_v4: Prefixes<4>,
    pub allow_v6: Prefixes<16>,
    pub block_v4: HashMap<[u8; 4], Rule>,
    pub block_v6: HashMap<[u8; 16], Rule>,
    pub block_v6_net64: HashMap<[u8; 8], Rule>,
    pub block_net_v4: Prefixes<4>,
    /// Of at most 24 bits, blocked for good.
    pub block_wide_v4: Prefixes<4>,
    pub block_net_v6: Prefixes<16>,
    /// The lines of the lists' generation.
    pub generation: Option<Arc<[Line]>>,
    pub policy_cells: Box<[AtomicU64]>,
    /// Packets by policy of the lists.
    pub policy_counters: RefCell<Vec<u64>>,
    /// Lines of buckets.
    pub buckets: Box<[[AtomicU64; 8]]>,
    pub cells: Box<[AtomicU64]>,
    pub fragments: Box<[AtomicU64]>,
    pub known: Box<[[AtomicU32; 8]]>,
    pub connections: Connections,
    /// Until when, by source key.
    pub proven: HashMap<u64, u64>,
    /// By source key.
    pub throttled: HashMap<u64, Throttle>,
    /// By slot, see [`crate::service::slot`].
    pub services: HashMap<u32, Service>,
    /// Of the connection that all frames belong to, if they belong to one.
    pub conversation: Option<RefCell<Conversation>>,
    reading: RefCell<Reading>,
    /// By [`tls::counter`].
    pub tls: RefCell<[u64; tls::COUNTERS]>,
    pub handshakes: RefCell<Vec<Handshake>>,
    pub pace: RefCell<Pace>,
    pub telemetry: RefCell<Box<Telemetry>>,
    pub sketches: [RefCell<Box<Sketch>>; GENERATIONS],
    /// Numbers of watched services, by slot.
    pub watched: HashMap<u32, u8>,
    pub counters: RefCell<Vec<Counter>>,
    pub sampler: RefCell<Sampler>,
    pub samples: RefCell<Vec<Sample>>,
    head: RefCell<Head>,
    pub heads: RefCell<Vec<Head>>,
    /// How many samples fit before [`Tables::emit`] refuses.
    pub samples_capacity: usize,
}

impl Memory {
    /// Empty tables under `settings`, at time 0.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            now_ns: Cell::new(0),
            packet: RefCell::new(Packet::ZERO),
            syn_ack: RefCell::new(SynAck::ZERO),
            listener: None,
            strays: [const { RefCell::new(Strays::ZERO) }; KINDS as usize],
            standing: Standing::Unknown,
            signatures: std::vec![Signature::ZERO; SIGNATURES as usize],
            signature_hits: RefCell::new(std::vec![Counter::ZERO; SIGNATURES as usize]),
            features: RefCell::new(Features::ZERO),
            own: HashSet::new(),
            questions: RefCell::new(HashMap::new()),
            udp_sockets: HashMap::new(),
            allow_v4: HashMap::new(),
            allow_v6: HashMap::new(),
            block_v4: HashMap::new(),
            block_v6: HashMap::new(),
            block_v6_net64: HashMap::new(),
            block_net_v4: HashMap::new(),
            block_wide_v4: HashMap::new(),
            block_net_v6: HashMap::new(),
            generation: None,
            policy_cells: (0..POLICIES).map(|_| AtomicU64::new(0)).collect(),
            policy_counters: RefCell::new(std::vec![0; POLICIES as usize]),
            buckets: (0..bucket::LINES).map(|_| Default::default()).collect(),
            cells: (0..LIMIT_CELLS).map(|_| AtomicU64::new(0)).collect(),
            fragments: (0..FRAGMENT_CELLS).map(|_| AtomicU64::new(0)).collect(),
            known: (0..known::LINES).map(|_| Default::default()).collect(),
            connections: Connections::default(),
            proven: HashMap::new(),
            throttled: HashMap::new(),
            services: HashMap::new(),
            conversation: None,
            reading: RefCell::new(Reading::ZERO),
            tls: RefCell::default(),
            handshakes: RefCell::default(),
            pace: RefCell::new(Pace::ZERO),
            telemetry: RefCell::new(Box::new(Telemetry::ZERO)),
            sketches: [(); GENERATIONS].map(|()| RefCell::new(Box::new(Sketch::ZERO))),
            watched: HashMap::new(),
            counters: RefCell::new(std::vec![Counter::ZERO; COUNTERS]),
            sampler: RefCell::new(Sampler::ZERO),
            samples: RefCell::new(Vec::new()),
            head: RefCell::new(Head::ZERO),
            heads: RefCell::default(),
            samples_capacity: usize::MAX,
        }
    }

    /// All policies enforced, no limits, no samples: what tests start from.
    pub fn enforcing() -> Settings {
        Settings {
            sanity: Mode::Enforce as u32,
            blocklist: Mode::Enforce as u32,
            limit: Mode::Enforce as u32,
            seed: 0x6e65_7467_7561_7264,
            sample: Rate::UNLIMITED,
            ..Settings::ZERO
        }
    }
}

impl Tables for Memory {
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }
    fn packet(&self) -> Option<impl DerefMut<Target = Packet>> {
        Some(self.packet.borrow_mut())
    }
    /// All tables are asked, whatever lies in them: hints must change nothing but what is blocked by one.
    fn hint(&self, slot: u32) -> u8 {
        let network = (slot << 8).to_be_bytes();
        if slot < hint::V4_BYTES && longest(&self.block_wide_v4, &network).is_some() {
            u8::MAX
        } else {
            !hint::BLOCKED
        }
    }
    fn allow_v4(&self, source: u32) -> Option<Rule> {
        longest(&self.allow_v4, &source.to_ne_bytes())
    }
    fn allow_v6(&self, source: Address) -> Option<Rule> {
        longest(&self.allow_v6, &source.octets())
    }
    fn block_v4(&self, source: u32) -> Option<Rule> {
        self.block_v4.get(&source.to_ne_bytes()).copied()
    }
    fn block_net_v4(&self, source: u32) -> Option<Rule> {
        longest(&self.block_net_v4, &source.to_ne_bytes())
    }
    fn block_v6(&self, source: Address) -> Option<Rule> {
        self.block_v6.get(&source.octets()).copied()
    }
    fn block_v6_net64(&self, network: u64) -> Option<Rule> {
        self.block_v6_net64.get(&network.to_ne_bytes()).copied()
    }
    fn block_net_v6(&self, source: Address) -> Option<Rule> {
        longest(&self.block_net_v6, &source.octets())
    }
    fn generation(&self) -> Option<impl Generation> {
        self.generation.as_deref()
    }
    fn policy_cell(&self, policy: u32) -> Option<impl LimitCell> {
        self.policy_cells.get(policy as usize)
    }
    fn count_policy(&self, policy: u32) {
        self.policy_counters.borrow_mut()[policy as usize] += 1;
    }
    fn buckets(&self, index: u32) -> Option<impl Slots<u64>> {
        self.buckets.get(index as usize)
    }
    fn cell(&self, index: u32) -> Option<impl LimitCell> {
        self.cells.get(index as usize)
    }
    fn fragment_cell(&self, index: u32) -> Option<impl LimitCell> {
        self.fragments.get(index as usize)
    }
    /// There are none here: what they say is what the hashes say.
    fn exact(&self, _: u32) -> Option<impl ExactWords> {
        None::<lines::NoWords>
    }
    fn known(&self, index: u32) -> Option<impl Slots<u32>> {
        self.known.get(index as usize)
    }
    fn proven(&self, key: u64) -> Option<u64> {
        self.proven.get(&key).copied()
    }
    /// All are asked for: a filter must change nothing.
    fn throttle_filter(&self, _: u32) -> u64 {
        u64::MAX
    }
    fn throttled(&self, key: u64) -> Option<Throttle> {
        self.throttled.get(&key).copied()
    }
    fn service(&self, slot: u32) -> Option<&Service> {
        self.services.get(&slot)
    }
    fn syn_ack(&self) -> Option<impl DerefMut<Target = SynAck>> {
        Some(self.syn_ack.borrow_mut())
    }
    fn is_own(&self, address: Address) -> bool {
        self.own.contains(&address.octets())
    }
    fn listener(&self, _: &Packet, _: &SynAck, _: u32) -> Option<Option<Cookie>> {
        self.listener
    }
    fn strays(&self, kind: u32) -> Option<impl DerefMut<Target = Strays>> {
        Some(self.strays.get(kind as usize)?.borrow_mut())
    }
    fn standing(&self, _: &Packet) -> Standing {
        self.standing
    }
    fn holders(&self, hint: u32) -> u64 {
        self.connections.hints.borrow()[hint as usize]
    }
    fn held(&self, holder: &Holder) -> Option<Held> {
        self.connections.get(holder)
    }
    fn correction(&self, holder: &Holder) -> i32 {
        self.connections.correction(holder)
    }
    fn punish(&self, holder: &Holder, penalties: u32, until_ns: u64) {
        self.connections.punish(holder, penalties, until_ns);
    }
    fn is_flagged(&self, _: u16) -> bool {
        true
    }
    fn signatures_used(&self) -> u32 {
        u32::MAX
    }
    fn signature(&self, slot: u32) -> Option<&Signature> {
        self.signatures.get(slot as usize)
    }
    fn features(&self) -> Option<impl DerefMut<Target = Features>> {
        Some(self.features.borrow_mut())
    }
    fn count_signature(&self, slot: u32, bytes: u32) {
        let counter = &mut self.signature_hits.borrow_mut()[slot as usize];
        counter.packets += 1;
        counter.bytes += u64::from(bytes);
    }
    fn asked(&self, question: &Question) -> Option<u64> {
        self.questions.borrow().get(question.as_bytes()).copied()
    }
    fn remember(&self, question: &Question, now_ns: u64) {
        self.questions
            .borrow_mut()
            .insert(question.as_bytes().to_vec(), now_ns);
    }
    fn udp_socket(&self, packet: &Packet) -> UdpSocket {
        match self.udp_sockets.get(&packet.destination_port) {
            None => UdpSocket::None,
            Some(None) => UdpSocket::Bound,
            Some(Some(peer)) if *peer == (packet.source.octets(), packet.source_port) => UdpSocket::Connected,
            Some(Some(_)) => UdpSocket::None,
        }
    }
    fn has_tls(&self) -> bool {
        self.services.values().any(|service| service.tls != 0)
    }
    fn conversation(&self) -> Option<impl DerefMut<Target = Conversation>> {
        self.conversation.as_ref().map(RefCell::borrow_mut)
    }
    fn reading(&self) -> Option<impl DerefMut<Target = Reading>> {
        Some(self.reading.borrow_mut())
    }
    fn socket(&self) -> (u64, u32) {
        (0, 0)
    }
    fn count_tls(&self, index: u32) {
        self.tls.borrow_mut()[index as usize] += 1;
    }
    fn emit_handshake(&self, handshake: &Handshake) -> bool {
        let mut handshakes = self.handshakes.borrow_mut();
        let room = handshakes.len() < self.samples_capacity;
        if room {
            handshakes.push(*handshake);
        }
        room
    }
    fn pace(&self) -> Option<impl DerefMut<Target = Pace>> {
        Some(self.pace.borrow_mut())
    }
    fn telemetry(&self) -> Option<impl DerefMut<Target = Telemetry>> {
        Some(RefMut::map(self.telemetry.borrow_mut(), Box::as_mut))
    }
    fn sketch(&self, generation: u32) -> Option<impl DerefMut<Target = Sketch>> {
        let sketch = self.sketches.get(generation as usize)?;
        Some(RefMut::map(sketch.borrow_mut(), Box::as_mut))
    }
    fn watched(&self, slot: u32) -> u8 {
        self.watched.get(&slot).copied().unwrap_or(0)
    }
    fn count(&self, index: u32, bytes: u32) {
        let counter = &mut self.counters.borrow_mut()[index as usize];
        counter.packets += 1;
        counter.bytes += u64::from(bytes);
    }
    fn sampler(&self) -> Option<impl DerefMut<Target = Sampler>> {
        Some(self.sampler.borrow_mut())
    }
    fn emit(&self, sample: &Sample) -> bool {
        let mut samples = self.samples.borrow_mut();
        if samples.len() >= self.samples_capacity {
            return false;
        }
        samples.push(*sample);
        true
    }

    fn head(&self) -> Option<impl DerefMut<Target = Head>> {
        Some(self.head.borrow_mut())
    }

    fn emit_head(&self, head: &Head) -> bool {
        self.heads.borrow_mut().push(*head);
        true
    }
}

/// The headers of `answer` as bytes: that of IP, which has `ip_words`, and that of the transport.
pub fn headers(answer: &SynAck, ip_words: usize) -> (Vec<u8>, Vec<u8>) {
    let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let end = TCP_AT + answer.transport_len as usize / 4;
    (
        bytes(&answer.headers[TCP_AT - ip_words..TCP_AT]),
        bytes(&answer.headers[TCP_AT..end]),
    )
}
