//! [`Tables`] in ordinary memory: the datapath on the host, for tests, fuzzing and replay.

use core::{
    cell::{Cell, RefCell},
    ops::DerefMut,
    sync::atomic::AtomicU64,
};
use std::{
    boxed::Box,
    collections::{HashMap, HashSet},
    vec::Vec,
};

use crate::{
    Packet, hint,
    layout::{Counter, Mode, Question, Rate, Rule, Sample, Sampler, Settings},
    maps::{COUNTERS, LIMIT_CELLS},
    packet::Address,
    reflection::UdpSocket,
    shared::{Field, Shared as _},
    syn_ack::{Cookie, SynAck},
    tables::{LimitCell, Tables},
};

/// Prefixes of one family, by length and network; looked up from the longest.
type Prefixes<const N: usize> = HashMap<(u32, [u8; N]), Rule>;

/// Tables in memory. The fields are the state; tests set and read them directly.
pub struct Memory {
    pub settings: Settings,
    /// What [`Tables::now_ns`] answers.
    pub now_ns: Cell<u64>,
    packet: RefCell<Packet>,
    pub syn_ack: RefCell<SynAck>,
    /// What a socket answers that listens for everything; `None`: nothing listens.
    pub listener: Option<Option<Cookie>>,
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
    pub cells: Box<[AtomicU64]>,
    pub counters: RefCell<Vec<Counter>>,
    pub sampler: RefCell<Sampler>,
    pub samples: RefCell<Vec<Sample>>,
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
            cells: (0..LIMIT_CELLS).map(|_| AtomicU64::new(0)).collect(),
            counters: RefCell::new(std::vec![Counter::ZERO; COUNTERS]),
            sampler: RefCell::new(Sampler::ZERO),
            samples: RefCell::new(Vec::new()),
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
    fn cell(&self, index: u32) -> Option<impl LimitCell> {
        self.cells.get(index as usize)
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
}

/// `address` with all bits after the first `len` cleared.
pub fn network<const N: usize>(address: &[u8; N], len: u32) -> [u8; N] {
    let mut network = *address;
    for (index, byte) in network.iter_mut().enumerate() {
        let kept = len.saturating_sub(index as u32 * 8).min(8);
        *byte &= !(0xff_u32 >> kept) as u8;
    }
    network
}

fn longest<const N: usize>(prefixes: &Prefixes<N>, address: &[u8; N]) -> Option<Rule> {
    if prefixes.is_empty() {
        return None;
    }
    (0..=N as u32 * 8)
        .rev()
        .find_map(|len| prefixes.get(&(len, network(address, len))).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let rule = |reason| Rule {
            expires_at: 0,
            reason,
            origin: 0,
            proof: 0,
        };
        let prefixes = HashMap::from([((8, [10, 0, 0, 0]), rule(8)), ((20, [10, 1, 16, 0]), rule(20))]);
        assert_eq!(
            longest(&prefixes, &[10, 1, 31, 1]).map(|rule| rule.reason),
            Some(20)
        );
        assert_eq!(
            longest(&prefixes, &[10, 1, 32, 1]).map(|rule| rule.reason),
            Some(8)
        );
        assert_eq!(longest(&prefixes, &[11, 1, 32, 1]), None);
    }
}
