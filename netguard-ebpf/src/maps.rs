//! The BPF maps, declared as `netguard_common::maps::MAPS` lists them, lent to the datapath as [`Tables`].

use core::ops::DerefMut;

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, lpm_trie::Key},
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::btf_map,
};
use netguard_common::{
    Packet,
    hint::{HintLine, LINE, LINES},
    layout::{Counter, NetworkV4, Note, NoteKey, Question, Rule, Sample, Sampler, Settings},
    maps::{
        ALLOW_PREFIXES, BLOCK_ADDRESSES, BLOCK_PREFIXES, COUNTERS as COUNTERS_LEN, LIMIT_CELLS as CELLS,
        NOTES as NOTES_LEN, OWN as OWN_LEN, QUESTIONS as QUESTIONS_LEN, SAMPLES_BYTES,
    },
    packet::Address,
    reflection::UdpSocket,
    syn_ack::{Cookie, SynAck},
    tables::{LimitCell, Tables},
};

use crate::sockets;

/// Rule tables grow with their entries: an empty one costs no memory.
const GROWING: usize = BPF_F_NO_PREALLOC as usize;

/// User space writes the hints as memory: a list of a million prefixes takes no million system calls.
const MAPPABLE: usize = BPF_F_MMAPABLE as usize;

#[btf_map]
static LAYOUT: Array<u64, 1> = Array::new();
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static PACKET: PerCpuArray<Packet, 1> = PerCpuArray::new();
#[btf_map]
static SYN_ACK: PerCpuArray<SynAck, 1> = PerCpuArray::new();
#[btf_map]
static OWN: HashMap<Address, u32, OWN_LEN, GROWING> = HashMap::new();
#[btf_map]
static HINTS: Array<HintLine, { LINES as usize }, MAPPABLE> = Array::new();
#[btf_map]
static ALLOW_V4: LpmTrie<u32, Rule, ALLOW_PREFIXES> = LpmTrie::new();
#[btf_map]
static ALLOW_V6: LpmTrie<Address, Rule, ALLOW_PREFIXES> = LpmTrie::new();
#[btf_map]
static BLOCK_V4: HashMap<u32, Rule, BLOCK_ADDRESSES, GROWING> = HashMap::new();
#[btf_map]
static BLOCK_V6: HashMap<Address, Rule, BLOCK_ADDRESSES, GROWING> = HashMap::new();
#[btf_map]
static BLOCK_V6_NET64: HashMap<u64, Rule, BLOCK_ADDRESSES, GROWING> = HashMap::new();
#[btf_map]
static BLOCK_NET_V4: LpmTrie<u32, Rule, BLOCK_PREFIXES> = LpmTrie::new();
#[btf_map]
static BLOCK_WIDE_V4: HashMap<NetworkV4, Rule, BLOCK_PREFIXES, GROWING> = HashMap::new();
#[btf_map]
static BLOCK_NET_V6: LpmTrie<Address, Rule, BLOCK_PREFIXES> = LpmTrie::new();
#[btf_map]
static LIMIT_CELLS: Array<u64, CELLS> = Array::new();
#[btf_map]
static COUNTERS: PerCpuArray<Counter, COUNTERS_LEN> = PerCpuArray::new();
#[btf_map]
static SAMPLER: PerCpuArray<Sampler, 1> = PerCpuArray::new();
#[btf_map]
static SAMPLES: RingBuf<(), SAMPLES_BYTES> = RingBuf::new();
#[btf_map]
static NOTES: HashMap<NoteKey, Note, NOTES_LEN, GROWING> = HashMap::new();
#[btf_map]
static QUESTIONS: LruHashMap<Question, u64, QUESTIONS_LEN> = LruHashMap::new();

/// The maps above, and the sockets that the packet of `ctx` can reach.
pub(crate) struct KernelTables<'a, C> {
    pub(crate) ctx: &'a C,
}

impl<C: EbpfContext> Tables for KernelTables<'_, C> {
    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        SETTINGS.get(0)
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper takes nothing and only reads a clock (CLOCK_MONOTONIC_COARSE, Linux 5.11).
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn packet(&self) -> Option<impl DerefMut<Target = Packet>> {
        // SAFETY: as for `count`.
        PACKET.get_ptr_mut(0).map(|packet| unsafe { &mut *packet })
    }

    #[inline(always)]
    fn hint(&self, slot: u32) -> u8 {
        let Some(line) = HINTS.get_ptr(slot / LINE) else {
            return 0;
        };
        // SAFETY: the byte lies in the line; a write of another meanwhile is no matter.
        unsafe { line.cast::<u8>().add((slot % LINE) as usize).read_volatile() }
    }

    #[inline(always)]
    fn allow_v4(&self, source: u32) -> Option<Rule> {
        ALLOW_V4.get(&Key::new(32, source)).copied()
    }

    #[inline(always)]
    fn allow_v6(&self, source: Address) -> Option<Rule> {
        ALLOW_V6.get(&Key::new(128, source)).copied()
    }

    #[inline(always)]
    fn block_v4(&self, source: u32) -> Option<Rule> {
        // SAFETY: the rule is copied at once; an entry replaced meanwhile is a rule of either version.
        unsafe { BLOCK_V4.get(source) }.copied()
    }

    #[inline(always)]
    fn block_net_v4(&self, source: u32) -> Option<Rule> {
        BLOCK_NET_V4.get(&Key::new(32, source)).copied()
    }

    #[inline(always)]
    fn block_v6(&self, source: Address) -> Option<Rule> {
        // SAFETY: as for `block_v4`.
        unsafe { BLOCK_V6.get(source) }.copied()
    }

    #[inline(always)]
    fn block_v6_net64(&self, network: u64) -> Option<Rule> {
        // SAFETY: as for `block_v4`.
        unsafe { BLOCK_V6_NET64.get(network) }.copied()
    }

    #[inline(always)]
    fn block_net_v6(&self, source: Address) -> Option<Rule> {
        BLOCK_NET_V6.get(&Key::new(128, source)).copied()
    }

    #[inline(always)]
    fn cell(&self, index: u32) -> Option<impl LimitCell> {
        LIMIT_CELLS.get_ptr_mut(index).map(Cell)
    }

    #[inline(always)]
    fn syn_ack(&self) -> Option<impl DerefMut<Target = SynAck>> {
        // SAFETY: as for `count`.
        SYN_ACK.get_ptr_mut(0).map(|answer| unsafe { &mut *answer })
    }

    #[inline(always)]
    fn is_own(&self, address: Address) -> bool {
        OWN.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn listener(&self, packet: &Packet, answer: &SynAck, tcp_len: u32) -> Option<Option<Cookie>> {
        sockets::listener(self.ctx, packet, answer, tcp_len)
    }

    #[inline(always)]
    fn asked(&self, question: &Question) -> Option<u64> {
        // SAFETY: the time is copied at once; that of a question which took the place meanwhile is as good a time.
        unsafe { QUESTIONS.get(question) }.copied()
    }

    #[inline(always)]
    fn remember(&self, question: &Question, now_ns: u64) {
        // Refused where another CPU changes the same bucket at this moment, or memory is short: then one answer is lost.
        let _ = QUESTIONS.insert(question, now_ns, 0);
    }

    #[inline(always)]
    fn udp_socket(&self, packet: &Packet) -> UdpSocket {
        sockets::udp(self.ctx, packet)
    }

    #[inline(always)]
    fn count(&self, index: u32, bytes: u32) {
        if let Some(counter) = COUNTERS.get_ptr_mut(index) {
            // SAFETY: the slot belongs to this CPU, and XDP programs are not preempted by one another there.
            let counter = unsafe { &mut *counter };
            counter.packets += 1;
            counter.bytes += u64::from(bytes);
        }
    }

    #[inline(always)]
    fn sampler(&self) -> Option<impl DerefMut<Target = Sampler>> {
        // SAFETY: as for `count`.
        SAMPLER.get_ptr_mut(0).map(|sampler| unsafe { &mut *sampler })
    }

    #[inline(always)]
    fn emit(&self, sample: &Sample) -> bool {
        // The daemon drains the ring each tick; a wake-up per record would cost 6 us.
        SAMPLES
            .output_untyped::<Sample>(*sample, u64::from(aya_ebpf::bindings::BPF_RB_NO_WAKEUP))
            .is_ok()
    }
}

/// An entry of `LIMIT_CELLS`. Volatile, because LLVM has no relaxed atomics for the BPF target's base CPU; an
/// aligned 8-byte access is one instruction all the same.
struct Cell(*mut u64);

impl LimitCell for Cell {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: array entries live as long as the map and are 8-aligned.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn store(&self, arrival_ns: u64) {
        // SAFETY: as for `load`.
        unsafe { self.0.write_volatile(arrival_ns) }
    }
}
