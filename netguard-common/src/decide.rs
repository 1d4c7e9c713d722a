//! The datapath as one total function: frame in, verdict out. Stages in order: parse, sanity, allow, control messages, own
//! source, block, ranges, signature, state, reflection, connections, limit of the source, closed ports, limit of its prefix and of the
//! service, cookie, DNS, telemetry, sample. A stage in shadow mode never ends the judgement: later stages still enforce.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict, apart, connection, cookie, dns, fragment, hint,
    layout::{Mode, Settings},
    level,
    limit::{self, Class},
    own, pace,
    parse::parse_into,
    ranges, reflection, rule, sample, sanity,
    signature::{self, Found},
    state,
    tables::Tables,
    telemetry, throttle,
    verdict::Action,
    view::View,
};

/// A busy CPU asks the limit of the source for one unwanted datagram in so many.
const UNWANTED_ASKED: u64 = 8;

/// The verdict on a packet, and whether it was only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The policy that gave the verdict is in shadow mode: the packet passes.
    pub shadow: bool,
}

impl Judgement {
    /// What happens to the packet.
    #[inline(always)]
    pub const fn action(self) -> Action {
        if self.shadow {
            Action::Pass
        } else {
            self.verdict.action()
        }
    }

    /// Index into the map `COUNTERS`: verdicts enforced, then verdicts in shadow.
    #[inline(always)]
    pub const fn counter(self) -> u32 {
        self.verdict.number() + if self.shadow { Verdict::COUNT } else { 0 }
    }

    /// The judgement whose counter is `index`; `None` beyond the last.
    pub fn from_counter(index: u32) -> Option<Self> {
        let verdict = Verdict::from_number(index % Verdict::COUNT)?;
        (index < 2 * Verdict::COUNT).then_some(Self {
            verdict,
            shadow: index >= Verdict::COUNT,
        })
    }
}

/// Judges one frame, counts it, and reports it when it was (or would have been) dropped.
#[inline(always)]
pub fn decide<V: View, T: Tables>(view: &V, tables: &T) -> Judgement {
    let Some(settings) = tables.settings() else {
        return counted(Verdict::Pass, false, view.measure(), tables);
    };
    let Some(mut packet) = tables.packet() else {
        return counted(Verdict::Pass, false, view.measure(), tables);
    };
    if let ControlFlow::Break(verdict) = parse_into(view, &mut packet) {
        let frame_len = view.measure();
        // A frame without a packet has no source: only the sanity stage has a say.
        return match (verdict.action(), Mode::from_number(settings.sanity)) {
            (Action::Drop, Mode::Off) => counted(Verdict::Pass, false, frame_len, tables),
            (Action::Drop, Mode::Shadow) => counted(verdict, true, frame_len, tables),
            _ => counted(verdict, false, frame_len, tables),
        };
    }
    // What lies behind an IP packet that ends in the first part of a frame is not counted: it is padding.
    let frame_len = view.len();
    let packet = view.forget(&mut packet);
    let mut shadow = Shadow::new(view);
    let outcome = stages(view, packet, settings, tables, &mut shadow);
    let verdict = match outcome {
        ControlFlow::Break(verdict) => verdict,
        ControlFlow::Continue(()) => Verdict::Pass,
    };
    let verdict = view.opaque_verdict(verdict);
    let packet = &*view.forget(packet);
    let limited = matches!(
        verdict,
        Verdict::LimitUdp | Verdict::LimitPrefix | Verdict::LimitService
    );
    let verdict = if limited && dns::check(view, packet, settings, tables) {
        Verdict::DnsTruncate
    } else {
        verdict
    };
    let verdict = view.opaque_verdict(verdict);
    let (verdict, shadow) = match (verdict.action(), shadow.first()) {
        (Action::Pass, Some(first)) => (first, true),
        _ => (verdict, false),
    };
    let judgement = counted(verdict, shadow, frame_len, tables);
    telemetry::count(view, packet, frame_len, judgement, settings, tables);
    if matches!(verdict.action(), Action::Drop) {
        sample::report(packet, frame_len, judgement, settings, tables);
    }
    judgement
}

/// The first verdict that a stage in shadow mode gave, as a number that hides from the kernel's verifier how it came about:
/// it would follow each way through a stage by itself from there on.
struct Shadow<'a, V> {
    view: &'a V,
    number: u32,
}

impl<'a, V: View> Shadow<'a, V> {
    #[inline(always)]
    fn new(view: &'a V) -> Self {
        Self {
            view,
            number: view.opaque(apart::NONE),
        }
    }

    #[inline(always)]
    const fn first(&self) -> Option<Verdict> {
        Verdict::from_number(self.number)
    }

    /// Applies `mode` to the outcome of a stage.
    #[inline(always)]
    fn rule(&mut self, mode: Mode, outcome: ControlFlow<Verdict>) -> ControlFlow<Verdict> {
        let number = self.view.opaque(apart::number(outcome));
        let Some(verdict) = Verdict::from_number(number) else {
            return ControlFlow::Continue(());
        };
        if !matches!(mode, Mode::Shadow) {
            return ControlFlow::Break(verdict);
        }
        if self.number == apart::NONE {
            self.number = number;
        }
        self.number = self.view.opaque(self.number);
        ControlFlow::Continue(())
    }
}

#[inline(always)]
fn stages<V: View, T: Tables>(
    view: &V,
    packet: &mut Packet,
    settings: &Settings,
    tables: &T,
    shadow: &mut Shadow<'_, V>,
) -> ControlFlow<Verdict> {
    let sanity_mode = Mode::from_number(settings.sanity);
    if !matches!(sanity_mode, Mode::Off) {
        shadow.rule(sanity_mode, sanity::check(packet))?;
        shadow.rule(sanity_mode, fragment::check(packet, settings.seed, tables))?;
    }
    let packet = view.forget(packet);
    packet.hash_source(settings.seed);
    let hints = hint::of(packet, settings.seed, tables);
    rule::allow(packet, hints, tables)?;

    // What a stage found out is of no matter to the next ones, and must not multiply the paths through them: here and below.
    let packet = view.forget(packet);
    let class = Class::of(packet).map_or(Class::NONE, |class| class as u32);
    let class = view.opaque(class);
    if class == Class::Control as u32 {
        let limit_mode = Mode::from_number(settings.limit);
        if !matches!(limit_mode, Mode::Off) {
            shadow.rule(
                limit_mode,
                limit::check(view, Class::Control, 1, packet, settings, tables.now_ns(), tables),
            )?;
        }
        return ControlFlow::Break(Verdict::PassControl);
    }
    if !matches!(sanity_mode, Mode::Off) {
        shadow.rule(sanity_mode, own::check(packet, hints, tables))?;
    }

    let block_mode = Mode::from_number(settings.blocklist);
    if !matches!(block_mode, Mode::Off) {
        shadow.rule(block_mode, rule::block(packet, hints, settings.seed, tables))?;
    }
    // What the limits need comes into the cache while the lists are searched.
    let is_searched = hints & hint::RANGE != 0;
    let mut looks = 0;
    let mut divisor = 1;
    if class != Class::NONE {
        divisor = throttle::divisor(packet, settings.seed, tables);
    }
    let divisor = view.opaque(divisor);
    if is_searched {
        count_pace(class, packet, settings, tables);
        looks = look(view, class, divisor, packet, settings, tables);
        let (first, outcome) = ranges::check(view, packet, settings, tables);
        if let Some(verdict) = first {
            shadow.rule(Mode::Shadow, ControlFlow::Break(verdict))?;
        }
        shadow.rule(Mode::Enforce, outcome)?;
    }
    let packet = view.forget(packet);
    if !matches!(Mode::from_number(settings.suspicion.signatures), Mode::Off) {
        let found = signature::check(view, packet, settings, tables);
        let mode = Mode::from_number(view.opaque(settings.suspicion.signatures));
        match found {
            Found::Nothing => {}
            Found::Shadow => shadow.rule(Mode::Shadow, ControlFlow::Break(Verdict::Signature))?,
            Found::Enforce => shadow.rule(mode, ControlFlow::Break(Verdict::Signature))?,
        }
    }
    let packet = view.forget(packet);
    let state_mode = Mode::from_number(settings.suspicion.state);
    if !matches!(state_mode, Mode::Off) {
        shadow.rule(state_mode, state::check(view, packet, settings, tables))?;
    }
    let packet = view.forget(packet);
    let class = view.opaque(class);
    let reflection_mode = Mode::from_number(view.opaque(settings.reflection.mode));
    if class == Class::Udp as u32 && !matches!(reflection_mode, Mode::Off) {
        shadow.rule(reflection_mode, reflection::check(view, packet, settings, tables))?;
    }
    let packet = view.forget(packet);
    let class = view.opaque(class);
    let connection_mode = Mode::from_number(view.opaque(settings.connections.mode));
    if class == Class::Syn as u32 && !matches!(connection_mode, Mode::Off) {
        shadow.rule(connection_mode, connection::check(view, packet, settings, tables))?;
    }
    let packet = view.forget(packet);
    // Asked before the limits, and told after that of the source, which knows more of a flood from a single one. A busy CPU asks
    // that for some of them: they are dropped anyway, and each of a thousand forged sources has a line in memory to wait for.
    let unwanted = class == Class::Udp as u32
        && !matches!(state_mode, Mode::Off)
        && state::is_unwanted(view, packet, settings, tables);
    let unwanted = view.opaque(u32::from(unwanted));
    let packet = view.forget(packet);
    if unwanted != 0 {
        count_pace(class, packet, settings, tables);
    }
    let class = view.opaque(class);
    let limit_mode = Mode::from_number(view.opaque(settings.limit));
    let limited = Class::from_number(class).filter(|_| !matches!(limit_mode, Mode::Off));
    if unwanted != 0 {
        // In shadow they are not: then the limit holds for each.
        let is_chosen = !matches!(state_mode, Mode::Enforce) || packet.chance.is_multiple_of(UNWANTED_ASKED);
        looks = if is_chosen {
            level::SOURCE | level::PREFIX
        } else {
            0
        };
    } else if !is_searched {
        looks = look(view, class, divisor, packet, settings, tables);
    }
    let looks = view.opaque(looks);
    if let Some(class) = limited.filter(|_| looks & level::SOURCE != 0) {
        let outcome = limit::check(view, class, divisor, packet, settings, tables.now_ns(), tables);
        shadow.rule(limit_mode, outcome)?;
    }
    if view.opaque(unwanted) != 0 {
        let state_mode = Mode::from_number(view.opaque(settings.suspicion.state));
        shadow.rule(state_mode, ControlFlow::Break(Verdict::ClosedPort))?;
    }
    let packet = view.forget(packet);
    let class = view.opaque(class);
    count_pace(class, packet, settings, tables);
    let limit_mode = Mode::from_number(view.opaque(settings.limit));
    let limited = Class::from_number(class).filter(|_| !matches!(limit_mode, Mode::Off));
    if let Some(class) = limited {
        let places = level::Places::of(class, packet, settings);
        let looks = looks & level::PREFIX != 0;
        let outcome = level::check(view, class, packet, places, looks, settings, tables);
        shadow.rule(limit_mode, outcome)?;
    }
    if class != Class::Syn as u32 {
        return ControlFlow::Continue(());
    }
    match cookie::check(view, packet, settings, tables) {
        // What is not answered is over a limit, and limits have their mode.
        ControlFlow::Break(Verdict::LimitService) if matches!(limit_mode, Mode::Off) => {
            ControlFlow::Continue(())
        }
        ControlFlow::Break(Verdict::LimitService) => {
            shadow.rule(limit_mode, ControlFlow::Break(Verdict::LimitService))
        }
        outcome => outcome,
    }
}

/// Counts `packet`, which is of `class`, among those that limits can be for: by its chance it stands for others.
#[inline(always)]
fn count_pace<T: Tables>(class: u32, packet: &mut Packet, settings: &Settings, tables: &T) {
    if class != Class::NONE {
        pace::count(packet, settings, tables);
    }
}

/// Which buckets of its limits a packet of `class` has to look into, see [`level::Places::look`]; their lines are fetched.
#[inline(always)]
fn look<V: View, T: Tables>(
    view: &V,
    class: u32,
    divisor: u32,
    packet: &mut Packet,
    settings: &Settings,
    tables: &T,
) -> u32 {
    let limit_mode = Mode::from_number(view.opaque(settings.limit));
    let Some(class) = Class::from_number(class).filter(|_| !matches!(limit_mode, Mode::Off)) else {
        return 0;
    };
    let places = level::Places::of(class, packet, settings);
    let looks = places.look(view, class, divisor, packet, settings, tables);
    // On a CPU that is not busy, or that has not counted the packet yet, it is fetched when it is needed.
    if pace::is_busy(packet.chance) {
        places.fetch_known(class, packet, settings, tables);
    }
    looks
}

#[inline(always)]
fn counted<T: Tables>(verdict: Verdict, shadow: bool, frame_len: u32, tables: &T) -> Judgement {
    let judgement = Judgement { verdict, shadow };
    tables.count(judgement.counter(), frame_len);
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layout::Rate,
        memory::Memory,
        pace::{BUSY, Pace},
        packet::Address,
        shared::Field as _,
        state::Reach,
        view::SliceView,
    };

    const SECOND: u64 = 1_000_000_000;

    /// A datagram from 192.0.2.1 to 198.51.100.1, port 9.
    const DATAGRAM: [u8; 42] = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1,
        198, 51, 100, 1, 16, 0, 0, 9, 0, 8, 0, 0,
    ];

    /// A busy CPU whose sources may send ten datagrams, and which may find 16 strays.
    fn busy(state: Mode) -> Memory {
        let mut memory = Memory::new(Memory::enforcing());
        let settings = &mut memory.settings;
        settings.limits[Class::Udp as usize] = Rate::new(1, 10);
        settings.suspicion.state = state as u32;
        settings.suspicion.reach = Reach::All as u32;
        settings.suspicion.strays = Rate::new(1, 16);
        memory.own.insert(Address::v4([198, 51, 100, 1]).octets());
        memory.now_ns.set(100 * SECOND);
        *memory.pace.borrow_mut() = Pace {
            begun_ns: 100 * SECOND,
            packets: BUSY,
            ..Pace::ZERO
        };
        memory
    }

    fn limited(memory: &Memory) -> usize {
        (0..1_000)
            .filter(|_| decide(&SliceView(&DATAGRAM), memory).verdict == Verdict::LimitUdp)
            .count()
    }

    #[test]
    fn a_busy_cpu_asks_the_limit_of_few_datagrams_that_nobody_wants() {
        let asked = limited(&busy(Mode::Enforce));
        assert!((20..300).contains(&asked), "{asked}");
    }

    /// Found in review: seven of eight datagrams over the limit of their source passed.
    #[test]
    fn the_limit_holds_for_all_of_them_where_they_are_only_counted() {
        assert!(limited(&busy(Mode::Shadow)) > 900);
    }
}
