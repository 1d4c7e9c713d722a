//! Parts of stages that few packets reach. The kernel's verifier follows each way through the datapath; these it judges once,
//! as functions of their own, and not along every way that leads to them. That keeps the common path short, too.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict, connection, cookie, dns, head, layout::Settings, level, reflection, signature, state,
    tables::Tables, view::View,
};

/// A part of a stage that runs apart from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `signature::find`, for ports that signatures are for.
    Signature,
    /// `state::is_stray`, for packets that are looked up.
    State,
    /// `reflection::is_unasked`, for what can be an answer.
    Reflection,
    /// `cookie::ask`, for what asks a service too often.
    Cookie,
    /// `dns::truncate`, for queries over a limit.
    Truncate,
    /// `head::emit`, for packets whose turn it is.
    Head,
    /// `connection::is_over`, for who asks for a connection and may hold many.
    Connection,
    /// `level::is_trusted`, for what is over the limit of a place that spares who is known.
    Trusted,
}

impl Part {
    /// The number of the outcome that nothing was found.
    pub const fn nothing(self) -> u32 {
        match self {
            Self::Cookie => NONE,
            Self::Signature
            | Self::State
            | Self::Reflection
            | Self::Truncate
            | Self::Head
            | Self::Connection
            | Self::Trusted => 0,
        }
    }
}

/// Runs `part` for `packet`: the number of its outcome.
#[inline(always)]
pub fn run<V: View, T: Tables>(
    part: Part,
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> u32 {
    match part {
        Part::Signature => signature::find(view, packet, settings, tables) as u32,
        Part::State => u32::from(state::is_stray(view, packet, settings, tables)),
        Part::Reflection => u32::from(reflection::is_unasked(view, packet, settings, tables)),
        Part::Cookie => number(cookie::ask(view, packet, settings, tables)),
        Part::Head => u32::from(head::emit(view, tables)),
        Part::Connection => u32::from(connection::is_over(packet, settings, tables)),
        Part::Trusted => u32::from(level::is_trusted(view, packet, settings, tables)),
        Part::Truncate => u32::from(dns::truncate(view, packet, settings, tables)),
    }
}

/// No verdict has this number.
pub(crate) const NONE: u32 = Verdict::COUNT;

/// The outcome of a stage as a number.
#[inline(always)]
pub(crate) const fn number(outcome: ControlFlow<Verdict>) -> u32 {
    match outcome {
        ControlFlow::Break(verdict) => verdict.number(),
        ControlFlow::Continue(()) => NONE,
    }
}

/// The outcome that has `number`.
#[inline(always)]
pub(crate) const fn outcome(number: u32) -> ControlFlow<Verdict> {
    match Verdict::from_number(number) {
        Some(verdict) => ControlFlow::Break(verdict),
        None => ControlFlow::Continue(()),
    }
}
