//! First glance: what the source address and the protocol decide, before the rest of the headers is read. A flood from blocked
//! sources is dropped here, whatever else may be wrong with its packets.
//!
//! Left to the stages is whatever they judge earlier, or by more: sources that the allowlist or this machine's addresses can
//! hold, ICMP (control messages pass before the blocklist), TCP under a detector's rule (which spares connections), tries, and
//! blocklists in shadow. One packet in some, which may be sampled, is parsed all the same: then its verdict waits in the packet.

use core::ops::ControlFlow;

use crate::{
    Verdict, hint,
    layout::{Mode, Settings},
    packet::{Address, Family, protocol},
    rule, sample,
    tables::Tables,
    view::View,
};

/// What was found, kept in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The hints of the source.
    pub hints: u8,
    /// Number of the verdict, that of [`Verdict::Pass`] when nothing is decided.
    pub verdict: u16,
}

impl Glance {
    /// Of a packet at which nobody looked.
    pub const NOTHING: Self = Self { hints: 0, verdict: 0 };
}

/// Looks at the source of a packet; breaks when it is dropped without another look.
#[inline(always)]
pub fn glance<V: View, T: Tables>(
    view: &V,
    (family, source, protocol): (Family, Address, u8),
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict, Glance> {
    let hints = hint::of(family, source, settings.seed, tables);
    let enforced = settings.blocklist == Mode::Enforce as u32;
    let wanted = hints & (hint::ADDRESS | hint::BLOCKED) != 0 && hints & (hint::ALLOW | hint::OWN) == 0;
    let verdict = if enforced && wanted && is_plain(family, protocol) {
        rule::at_once(family, source, protocol, hints, tables)
    } else {
        Verdict::Pass
    };
    if !matches!(verdict, Verdict::Pass)
        && tables
            .sampler()
            .is_some_and(|mut sampler| sample::skips(&mut sampler))
    {
        return ControlFlow::Break(verdict);
    }
    ControlFlow::Continue(Glance {
        hints: view.opaque(u32::from(hints)) as u8,
        verdict: view.opaque(verdict.number()) as u16,
    })
}

/// Whether `protocol`, the first that the IP header names, is for sure no control message.
#[inline(always)]
const fn is_plain(family: Family, protocol: u8) -> bool {
    match family {
        Family::V4 => protocol != protocol::ICMP,
        // Any other may be an extension header.
        Family::V6 => matches!(protocol, protocol::TCP | protocol::UDP),
    }
}
