//! One number for all that kernel and user space must see alike.

use super::STRUCTS;
use crate::{
    connection, head, l7,
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
    let mut list = 0;
    while list < ALL_STRUCTS.len() {
        let mut i = 0;
        while i < ALL_STRUCTS[list].len() {
            hash = fnv1a(hash, &ALL_STRUCTS[list][i].1.to_le_bytes());
            i += 1;
        }
        list += 1;
    }
    let mut i = 0;
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

/// The shared structs of all modules, with their fingerprints.
const ALL_STRUCTS: [&[(&str, u64)]; 10] = [
    STRUCTS,
    connection::STRUCTS,
    head::STRUCTS,
    l7::STRUCTS,
    packet::STRUCTS,
    signature::STRUCTS,
    state::STRUCTS,
    telemetry::STRUCTS,
    tls::STRUCTS,
    tls::HELLO_STRUCTS,
];

/// Name of the ELF section of the kernel object that holds [`FINGERPRINT`], eight bytes little-endian.
pub const FINGERPRINT_SECTION: &str = ".netguard.layout";
