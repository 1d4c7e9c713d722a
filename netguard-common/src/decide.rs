//! The datapath as one total function: frame in, verdict out. Stages in order: parse, sanity, allow, control
//! messages, block, reflection, limit, cookie, sample. A stage in shadow mode never ends the judgement: later stages still
//! enforce.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict, cookie, hint,
    layout::{Mode, Settings},
    limit::{self, Class},
    parse::parse_into,
    reflection, rule, sample, sanity,
    tables::Tables,
    verdict::Action,
    view::View,
};

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
    let frame_len = view.len();
    let Some(settings) = tables.settings() else {
        return counted(Verdict::Pass, false, frame_len, tables);
    };
    let Some(mut packet) = tables.packet() else {
        return counted(Verdict::Pass, false, frame_len, tables);
    };
    if let ControlFlow::Break(verdict) = parse_into(view, &mut packet) {
        // A frame without a packet has no source: only the sanity stage has a say.
        return match (verdict.action(), Mode::from_number(settings.sanity)) {
            (Action::Drop, Mode::Off) => counted(Verdict::Pass, false, frame_len, tables),
            (Action::Drop, Mode::Shadow) => counted(verdict, true, frame_len, tables),
            _ => counted(verdict, false, frame_len, tables),
        };
    }
    let packet = view.forget(&mut packet);
    let mut shadow = Shadow(None);
    let outcome = stages(view, packet, settings, tables, &mut shadow);
    let verdict = match outcome {
        ControlFlow::Break(verdict) => view.opaque_verdict(verdict),
        ControlFlow::Continue(()) => Verdict::Pass,
    };
    let judgement = match (verdict.action(), shadow.0) {
        (Action::Pass, None) => return counted(verdict, false, frame_len, tables),
        (Action::Answer, _) => return counted(verdict, false, frame_len, tables),
        (Action::Pass, Some(first)) => counted(first, true, frame_len, tables),
        (Action::Drop, _) => counted(verdict, false, frame_len, tables),
    };
    sample::report(packet, frame_len, judgement, settings, tables);
    judgement
}

/// The first verdict that a stage in shadow mode gave.
struct Shadow(Option<Verdict>);

impl Shadow {
    /// Applies `mode` to the outcome of a stage.
    #[inline(always)]
    fn rule(&mut self, mode: Mode, outcome: ControlFlow<Verdict>) -> ControlFlow<Verdict> {
        match (outcome, mode) {
            (ControlFlow::Break(verdict), Mode::Shadow) => {
                self.0 = self.0.or(Some(verdict));
                ControlFlow::Continue(())
            }
            (outcome, _) => outcome,
        }
    }
}

#[inline(always)]
fn stages<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
    shadow: &mut Shadow,
) -> ControlFlow<Verdict> {
    let sanity_mode = Mode::from_number(settings.sanity);
    if !matches!(sanity_mode, Mode::Off) {
        shadow.rule(sanity_mode, sanity::check(packet))?;
        shadow.0 = shadow.0.map(|verdict| view.opaque_verdict(verdict));
    }
    let hints = hint::of(packet, settings.seed, tables);
    rule::allow(packet, hints, tables)?;

    let class = Class::of(packet);
    let limit_mode = Mode::from_number(settings.limit);
    if matches!(class, Some(Class::Control)) {
        if !matches!(limit_mode, Mode::Off) {
            shadow.rule(limit_mode, limit::check(Class::Control, packet, settings, tables))?;
        }
        return ControlFlow::Break(Verdict::PassControl);
    }

    let block_mode = Mode::from_number(settings.blocklist);
    if !matches!(block_mode, Mode::Off) {
        shadow.rule(block_mode, rule::block(packet, hints, tables))?;
    }
    let reflection_mode = Mode::from_number(settings.reflection.mode);
    if matches!(class, Some(Class::Udp)) && !matches!(reflection_mode, Mode::Off) {
        shadow.0 = shadow.0.map(|verdict| view.opaque_verdict(verdict));
        shadow.rule(reflection_mode, reflection::check(view, packet, settings, tables))?;
    }
    if let Some(class) = class
        && !matches!(limit_mode, Mode::Off)
    {
        shadow.rule(limit_mode, limit::check(class, packet, settings, tables))?;
    }
    match class {
        Some(Class::Syn) => cookie::check(view, packet, settings, tables),
        _ => ControlFlow::Continue(()),
    }
}

#[inline(always)]
fn counted<T: Tables>(verdict: Verdict, shadow: bool, frame_len: u32, tables: &T) -> Judgement {
    let judgement = Judgement { verdict, shadow };
    tables.count(judgement.counter(), frame_len);
    judgement
}
