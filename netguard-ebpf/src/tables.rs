//! The maps and the kernel's own tables, lent to the datapath as [`Tables`].

use core::{cell::Cell, ops::DerefMut};

use aya_ebpf::{EbpfContext, btf_maps::lpm_trie::Key};
use netguard_common::{
    Packet,
    apart::Part,
    connection::{Held, Holder},
    head::Head,
    hint::LINE,
    layout::{Question, Rule, Sample, Sampler, Service, Settings},
    maps::SIGNATURES_USED_AT,
    own::OwnSeen,
    pace::Pace,
    packet::Address,
    reflection::UdpSocket,
    service::LINE as SERVICE_LINE,
    signature::{Features, Signature},
    state::{Standing, Strays},
    syn_ack::{Cookie, SynAck},
    tables::{ExactWords, Generation, LimitCell, Slots, Tables},
    telemetry::{Sketch, Telemetry},
    throttle::Throttle,
    tls::{Conversation, Handshake, Reading},
    view::View,
};

use crate::{
    apart,
    cells::{self, SlotLine, add, byte, own},
    clock, connections, leaving,
    lent::{packet, settings},
    maps::*,
    sockets,
    time_cell::TimeCell,
    view::Zero,
};

/// The maps, the sockets that the packet of `ctx` can reach, and the time at which it is judged.
pub(crate) struct KernelTables<'a, C> {
    ctx: &'a C,
    zero: Zero,
    /// 0 until a stage asks: the clock is read at most once for a packet.
    now_ns: Cell<u64>,
}

impl<'a, C: EbpfContext> KernelTables<'a, C> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a C, zero: Zero) -> Self {
        Self::at(0, ctx, zero)
    }

    /// For a packet that is judged at `now_ns`, which is 0 while nobody has read the clock.
    #[inline(always)]
    pub(crate) fn at(now_ns: u64, ctx: &'a C, zero: Zero) -> Self {
        Self {
            ctx,
            zero,
            // Opaque: to the verifier a clock that was read and one that was not are two ways through all stages.
            now_ns: Cell::new(zero.hide(now_ns)),
        }
    }
}

impl<C: EbpfContext> Tables for KernelTables<'_, C> {
    /// Only what arrives is judged: the context is that of an XDP program.
    #[inline(always)]
    fn apart<V: View>(&self, part: Part, view: &V, _: &Packet, _: &Settings) -> u32 {
        if let Some(packet) = packet() {
            packet.judged_at_ns = self.now_ns.get();
            packet.frame_len = u64::from(view.len());
        }
        apart::call(part, self.ctx.as_ptr().cast())
    }

    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        settings()
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        if self.now_ns.get() == 0 {
            self.now_ns.set(clock::now_ns());
        }
        // Nor may it matter who read it, and what a stage found out about its copy.
        self.now_ns.set(self.zero.hide(self.now_ns.get()));
        self.zero.hide(self.now_ns.get())
    }

    #[inline(always)]
    fn packet(&self) -> Option<impl DerefMut<Target = Packet>> {
        packet()
    }

    #[inline(always)]
    fn hint(&self, slot: u32) -> u8 {
        HINTS
            .get_ptr(slot / LINE)
            .map_or(0, |line| byte(line, slot % LINE))
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
    fn generation(&self) -> Option<impl Generation> {
        GENERATION
            .get(0)
            .filter(|in_force| in_force.lines != 0)
            .map(|in_force| cells::Compiled(*in_force))
    }

    #[inline(always)]
    fn policy_cell(&self, policy: u32) -> Option<impl LimitCell> {
        POLICY_CELLS.get_ptr_mut(policy).map(TimeCell)
    }

    #[inline(always)]
    fn count_policy(&self, policy: u32) {
        cells::count(POLICY_COUNTERS.get_ptr_mut(policy));
    }

    #[inline(always)]
    fn buckets(&self, index: u32) -> Option<impl Slots<u64>> {
        BUCKETS.get_ptr_mut(index).map(|line| SlotLine(line.cast()))
    }

    #[inline(always)]
    fn cell(&self, index: u32) -> Option<impl LimitCell> {
        LIMIT_CELLS.get_ptr_mut(index).map(TimeCell)
    }

    #[inline(always)]
    fn exact(&self, index: u32) -> Option<impl ExactWords> {
        EXACT.get_ptr(index).map(|line| cells::Line(line.cast()))
    }

    #[inline(always)]
    fn known(&self, index: u32) -> Option<impl Slots<u32>> {
        KNOWN.get_ptr_mut(index).map(|line| SlotLine(line.cast()))
    }

    #[inline(always)]
    fn proven(&self, key: u64) -> Option<u64> {
        // SAFETY: as for `block_v4`.
        unsafe { PROVEN.get(key) }.copied()
    }

    #[inline(always)]
    fn throttle_filter(&self, index: u32) -> u64 {
        THROTTLE_FILTER.get(index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn throttled(&self, key: u64) -> Option<Throttle> {
        // SAFETY: as for `block_v4`.
        unsafe { THROTTLED.get(key) }.copied().map(Throttle)
    }

    #[inline(always)]
    fn service(&self, slot: u32) -> Option<&Service> {
        match byte(SERVICE_LINES.get_ptr(slot / SERVICE_LINE)?, slot % SERVICE_LINE) {
            0 => None,
            entry => SERVICES.get(u32::from(entry)),
        }
    }

    #[inline(always)]
    fn fragment_cell(&self, index: u32) -> Option<impl LimitCell> {
        FRAGMENTS.get_ptr_mut(index).map(TimeCell)
    }

    #[inline(always)]
    fn syn_ack(&self) -> Option<impl DerefMut<Target = SynAck>> {
        own(SYN_ACK.get_ptr_mut(0))
    }

    #[inline(always)]
    fn is_own(&self, address: Address) -> bool {
        let look = || OWN.get_ptr(address).is_some();
        match OWN_SEEN.get_ptr_mut(OwnSeen::slot(address)) {
            // SAFETY: as for `add`.
            Some(seen) => unsafe { &mut *seen }.is_own(address, self.now_ns(), look),
            None => look(),
        }
    }

    #[inline(always)]
    fn listener(&self, packet: &Packet, answer: &SynAck, tcp_len: u32) -> Option<Option<Cookie>> {
        sockets::listener(self.ctx, packet, answer, tcp_len)
    }

    #[inline(always)]
    fn strays(&self, kind: u32) -> Option<impl DerefMut<Target = Strays>> {
        own(STRAYS.get_ptr_mut(kind))
    }

    #[inline(always)]
    fn standing(&self, packet: &Packet) -> Standing {
        sockets::standing(self.ctx, packet)
    }

    #[inline(always)]
    fn holders(&self, hint: u32) -> u64 {
        CONNECTION_HINTS.get(hint).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn held(&self, holder: &Holder) -> Option<Held> {
        // SAFETY: as for `block_v4`.
        unsafe { CONNECTIONS.get(holder) }.copied()
    }

    #[inline(always)]
    fn correction(&self, holder: &Holder) -> i32 {
        connections::correction(holder)
    }

    #[inline(always)]
    fn punish(&self, holder: &Holder, penalties: u32, until_ns: u64) {
        connections::punish(holder, penalties, until_ns);
    }

    #[inline(always)]
    fn is_flagged(&self, port: u16) -> bool {
        let word = SIGNATURE_PORTS.get(u32::from(port) / 64);
        word.is_some_and(|word| word >> (port % 64) & 1 != 0)
    }

    #[inline(always)]
    fn signatures_used(&self) -> u32 {
        SIGNATURE_PORTS
            .get(SIGNATURES_USED_AT as u32)
            .map_or(0, |used| *used as u32)
    }

    #[inline(always)]
    fn signature(&self, slot: u32) -> Option<&Signature> {
        SIGNATURES.get(slot)
    }

    #[inline(always)]
    fn features(&self) -> Option<impl DerefMut<Target = Features>> {
        own(FEATURES.get_ptr_mut(0))
    }

    #[inline(always)]
    fn count_signature(&self, slot: u32, bytes: u32) {
        add(SIGNATURE_HITS.get_ptr_mut(slot), bytes);
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
    fn has_tls(&self) -> bool {
        SERVICES.get(0).is_some_and(|none| none.tls != 0)
    }

    /// Only in what leaves: the context is that of a classifier, here and below.
    #[inline(always)]
    fn refuses<V: View>(&self, _: &V, _: &Packet, _: &Settings, _: &Service) -> bool {
        leaving::netguard_tls(self.ctx.as_ptr().cast()) != 0
    }

    #[inline(always)]
    fn conversation(&self) -> Option<impl DerefMut<Target = Conversation>> {
        leaving::conversation(self.ctx.as_ptr().cast())
    }

    #[inline(always)]
    fn reading(&self) -> Option<impl DerefMut<Target = Reading>> {
        leaving::reading()
    }

    #[inline(always)]
    fn read_on<V: View>(&self, _: &V) -> bool {
        leaving::netguard_tls_step(self.ctx.as_ptr().cast()) != 0
    }

    #[inline(always)]
    fn socket(&self) -> (u64, u32) {
        leaving::names(self.ctx.as_ptr().cast())
    }

    #[inline(always)]
    fn count_tls(&self, index: u32) {
        leaving::count(index);
    }

    #[inline(always)]
    fn emit_handshake(&self, handshake: &Handshake) -> bool {
        leaving::tell(handshake)
    }

    #[inline(always)]
    fn pace(&self) -> Option<impl DerefMut<Target = Pace>> {
        own(PACE.get_ptr_mut(0))
    }

    #[inline(always)]
    fn telemetry(&self) -> Option<impl DerefMut<Target = Telemetry>> {
        own(TELEMETRY.get_ptr_mut(0))
    }

    #[inline(always)]
    fn sketch(&self, generation: u32) -> Option<impl DerefMut<Target = Sketch>> {
        own(SKETCHES.get_ptr_mut(generation))
    }

    #[inline(always)]
    fn watched(&self, slot: u32) -> u8 {
        cells::watched(slot)
    }

    #[inline(always)]
    fn count(&self, index: u32, bytes: u32) {
        add(COUNTERS.get_ptr_mut(index), bytes);
    }

    #[inline(always)]
    fn sampler(&self) -> Option<impl DerefMut<Target = Sampler>> {
        own(SAMPLER.get_ptr_mut(0))
    }

    #[inline(always)]
    fn emit(&self, sample: &Sample) -> bool {
        // The daemon drains the ring each tick; a wake-up per record would cost 6 us.
        SAMPLES
            .output_untyped::<Sample>(*sample, u64::from(aya_ebpf::bindings::BPF_RB_NO_WAKEUP))
            .is_ok()
    }

    #[inline(always)]
    fn head(&self) -> Option<impl DerefMut<Target = Head>> {
        own(HEAD.get_ptr_mut(0))
    }

    #[inline(always)]
    fn emit_head(&self, head: &Head) -> bool {
        // By reference: the stack has no room for it.
        HEADS
            .output_untyped::<Head>(head, u64::from(aya_ebpf::bindings::BPF_RB_NO_WAKEUP))
            .is_ok()
    }
}
