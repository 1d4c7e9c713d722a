//! What leaves: each frame is parsed once for all that mind it, questions that are remembered and the floor of TLS.

use crate::{
    Packet, layout::Mode, packet::protocol, parse::parse_into, reflection, tables::Tables, view::View,
};

/// Looks at a frame that this machine is about to send; tells whether it may leave.
#[inline(always)]
pub fn leave<V: View, T: Tables>(view: &V, tables: &T) -> bool {
    let Some(settings) = tables.settings() else {
        return true;
    };
    // Who minds what is found out again below: to the verifier each answer would be a way of its own through all of the parser.
    if matches!(Mode::from_number(settings.reflection.mode), Mode::Off) && !tables.has_tls() {
        return true;
    }
    let Some(mut packet) = tables.packet() else {
        return true;
    };
    if parse_into(view, &mut packet).is_break() {
        return true;
    }
    let packet: &Packet = view.forget(&mut packet);
    if !packet.is_of(protocol::TCP) {
        reflection::remember(view, packet, settings, tables);
        return true;
    }
    match tables.service(u32::from(packet.source_port)) {
        Some(service) if service.tls != 0 => !tables.refuses(view, packet, settings, service),
        _ => true,
    }
}
