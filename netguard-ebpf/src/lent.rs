//! What lies in maps of a single entry.

use netguard_common::{Packet, layout::Settings};

use crate::maps::{PACKET, SETTINGS};

/// The settings.
#[inline(always)]
pub(crate) fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

/// The packet that this CPU judges.
#[inline(always)]
pub(crate) fn packet() -> Option<&'static mut Packet> {
    // SAFETY: the entry belongs to this CPU, and XDP programs are not preempted by one another there.
    PACKET.get_ptr_mut(0).map(|packet| unsafe { &mut *packet })
}
