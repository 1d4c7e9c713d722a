//! One number for all that kernel and user space must see alike.

use super::STRUCTS;
use crate::{
    head,
    maps::MAPS,
    packet, ranges,
    shared::{FNV_START, fnv1a},
    signature, state, telemetry, tls,
    verdict::Verdict,
};

/// Fingerprint of every shared struct, map and verdict, and of a generation of lists. The kernel object and the daemon carry it; an
/// object or a pinned map with another one is refused.
pub const FINGERPRINT: u64 = {
    let mut hash = FNV_START;
    let mut i = 0;
    while i < STRUCTS.len() {
        hash = fnv1a(hash, &STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < head::STRUCTS.len() {
        hash = fnv1a(hash, &head::STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < packet::STRUCTS.len() {
        hash = fnv1a(hash, &packet::STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < signature::STRUCTS.len() {
        hash = fnv1a(hash, &signature::STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < state::STRUCTS.len() {
        hash = fnv1a(hash, &state::STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < telemetry::STRUCTS.len() {
        hash = fnv1a(hash, &telemetry::STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < tls::STRUCTS.len() {
        hash = fnv1a(hash, &tls::STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < tls::HELLO_STRUCTS.len() {
        hash = fnv1a(hash, &tls::HELLO_STRUCTS[i].1.to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < MAPS.len() {
        hash = MAPS[i].fold(hash);
        i += 1;
    }
    i = 0;
    while i < ranges::layout::FINGERPRINT.len() {
        hash = fnv1a(hash, &ranges::layout::FINGERPRINT[i].to_le_bytes());
        i += 1;
    }
    i = 0;
    while i < Verdict::ALL.len() {
        hash = fnv1a(hash, Verdict::ALL[i].name().as_bytes());
        i += 1;
    }
    hash
};

/// Name of the ELF section of the kernel object that holds [`FINGERPRINT`], eight bytes little-endian.
pub const FINGERPRINT_SECTION: &str = ".netguard.layout";
