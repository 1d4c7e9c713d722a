//! Handshakes: a service's answer to who opens a connection is noted in a hashed cell, which inserts nothing and needs no removal, so a flood of
//! SYNs leaves no entries behind. It displaces the notes of others, whose conversations are strangers' then.

use super::{Listener, Segment, TalkKey};
use crate::{hint::mix, tables::LimitCell as _};

/// Cells of notes, a power of two: 1 MiB.
pub const OPENINGS: u32 = 131_072;

/// A first segment farther from where its turn begins is none of this connection.
const FAR: u32 = 1 << 20;

/// Notes that a service answers to who opens a connection: `segment` is its SYN and ACK.
#[inline(always)]
pub(super) fn note<L: Listener>(segment: &Segment, seed: u64, listener: &L) {
    let hash = hash(&segment.key, seed);
    // The SYN takes a number.
    let fingerprint = fingerprint(hash, segment.sequence.wrapping_add(1), seed);
    if let Some(cell) = listener.opening(place(hash)) {
        cell.store(u64::from(fingerprint) << 32 | u64::from(segment.acknowledgement));
    }
}

/// Where what the client says begins, when `segment` is of its first words behind a handshake that was noted; the note is used up. The client
/// acknowledges the number that the service chose, which nobody knows who has not seen the answer.
#[inline(always)]
pub(super) fn take<L: Listener>(segment: &Segment, seed: u64, listener: &L) -> Option<u32> {
    let hash = hash(&segment.key, seed);
    let fingerprint = fingerprint(hash, segment.acknowledgement, seed);
    let cell = listener.opening(place(hash))?;
    let note = cell.load();
    let start = note as u32;
    if (note >> 32) as u32 != fingerprint || segment.sequence.wrapping_sub(start) >= FAR {
        return None;
    }
    cell.store(0);
    Some(start)
}

#[inline(always)]
fn hash(key: &TalkKey, seed: u64) -> u64 {
    let ports = u64::from(key.client_port) << 16 | u64::from(key.server_port);
    let mut hash = mix(key.client.high, seed);
    hash = mix(hash ^ key.client.low, seed);
    hash = mix(hash ^ key.server.high, seed);
    hash = mix(hash ^ key.server.low, seed);
    mix(hash ^ ports, seed)
}

#[inline(always)]
const fn place(hash: u64) -> u32 {
    hash as u32 & (OPENINGS - 1)
}

/// Never 0, which is no note.
#[inline(always)]
const fn fingerprint(hash: u64, server_first: u32, seed: u64) -> u32 {
    (mix(hash ^ server_first as u64, seed) >> 32) as u32 | 1
}

const _: () = assert!(OPENINGS.is_power_of_two());
