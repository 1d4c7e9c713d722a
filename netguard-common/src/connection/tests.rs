//! The stage and the ledger together.

use super::*;
use crate::{
    memory::Memory,
    packet::{TcpFlags, Transport, protocol, tests::packet},
    view::SliceView,
};

const PORT: u16 = 443;
const SECOND: u64 = 1_000_000_000;
const CLIENT: [u8; 4] = [192, 0, 2, 1];
const NEIGHBOUR: [u8; 4] = [192, 0, 2, 2];

/// A source may hold 10 connections, a prefix 20.
fn memory() -> Memory {
    let mut memory = Memory::new(Memory::enforcing());
    memory.settings.connections = ConnectionLimits {
        mode: Mode::Enforce as u32,
        per_source: 10,
        per_prefix: 20,
        unhinted: 0,
        first_penalty_ns: SECOND,
        longest_penalty_ns: 5 * SECOND,
        namespace: 1,
        spared: [0; 8],
        spared_ports: [0; 4],
    };
    memory.own.insert(Address::v4([198, 51, 100, 1]).octets());
    memory.own.insert(Address::v6([0x20; 16]).octets());
    memory.now_ns.set(100 * SECOND);
    memory
}

/// Whether `source` may open one more.
fn may_open(memory: &Memory, family: Family, source: Address) -> bool {
    let tcp = Transport::Tcp {
        source_port: 40_000,
        destination_port: PORT,
        flags: TcpFlags(TcpFlags::SYN),
    };
    let packet = packet(family, source, protocol::TCP, tcp);
    check(&SliceView(&[]), &packet, &memory.settings, memory).is_continue()
}

fn may_open_v4(memory: &Memory, source: [u8; 4]) -> bool {
    may_open(memory, Family::V4, Address::v4(source))
}

fn open(memory: &Memory, source: [u8; 4], count: usize) -> Option<bool> {
    let source = Address::v4(source);
    (0..count)
        .map(|_| opened(Family::V4, source, PORT, &memory.settings, &memory.connections))
        .last()?
}

fn close(memory: &Memory, source: [u8; 4], count: usize) {
    for _ in 0..count {
        closed(
            Family::V4,
            Address::v4(source),
            &memory.settings,
            &memory.connections,
        );
    }
}

#[test]
fn one_more_than_may_be_is_refused_and_others_are_not() {
    let memory = memory();
    assert_eq!(open(&memory, CLIENT, 9), Some(false));
    assert!(may_open_v4(&memory, CLIENT));
    assert_eq!(open(&memory, CLIENT, 1), Some(false));
    assert!(!may_open_v4(&memory, CLIENT));
    assert!(may_open_v4(&memory, NEIGHBOUR));
    // One that was under way is in excess.
    assert_eq!(open(&memory, CLIENT, 1), Some(true));
}

#[test]
fn a_prefix_has_a_limit_of_its_own() {
    let memory = memory();
    for host in 1..=4 {
        open(&memory, [192, 0, 2, host], 5);
    }
    assert!(!may_open_v4(&memory, [192, 0, 2, 9]));
    assert!(may_open_v4(&memory, [192, 0, 3, 9]));
}

#[test]
fn ipv6_sources_are_networks() {
    let memory = memory();
    let host = |last: u8| {
        let mut octets = [0x20; 16];
        octets[15] = last;
        Address::v6(octets)
    };
    for last in 0..10 {
        opened(
            Family::V6,
            host(last),
            PORT,
            &memory.settings,
            &memory.connections,
        );
    }
    assert!(!may_open(&memory, Family::V6, host(77)));
    assert!(may_open(&memory, Family::V6, Address::v6([0x30; 16])));
}

#[test]
fn nothing_is_left_of_what_closed() {
    let memory = memory();
    open(&memory, CLIENT, 30);
    close(&memory, CLIENT, 30);
    assert!(
        memory
            .connections
            .held
            .borrow()
            .values()
            .all(|held| held.count == 0)
    );
    assert!(memory.connections.hints.borrow().iter().all(|hint| *hint == 0));
    // Nor does a count go below nothing.
    close(&memory, CLIENT, 1);
    assert_eq!(open(&memory, CLIENT, 10), Some(false));
}

#[test]
fn penalties_double_up_to_the_longest_and_are_forgotten() {
    let memory = memory();
    open(&memory, CLIENT, 10);
    let mut lengths = std::vec::Vec::new();
    for _ in 0..5 {
        assert!(!may_open_v4(&memory, CLIENT));
        let (holder, _) = Holder::of(Family::V4, Address::v4(CLIENT));
        let until_ns = memory.held(&holder).unwrap().until_ns;
        lengths.push((until_ns - memory.now_ns.get()) / SECOND);
        memory.now_ns.set(until_ns);
    }
    assert_eq!(lengths, [1, 2, 4, 5, 5]);
    assert!(!may_open_v4(&memory, CLIENT));
    // During a penalty nothing is admitted although some were closed; after it all is well.
    close(&memory, CLIENT, 2);
    assert!(!may_open_v4(&memory, CLIENT));
    memory.now_ns.set(memory.now_ns.get() + 5 * SECOND);
    assert!(may_open_v4(&memory, CLIENT));
    memory
        .now_ns
        .set(memory.now_ns.get() + 5 * SECOND * FORGOTTEN_PENALTIES);
    open(&memory, CLIENT, 2);
    assert!(!may_open_v4(&memory, CLIENT));
    memory.now_ns.set(memory.now_ns.get() + SECOND);
    close(&memory, CLIENT, 1);
    assert!(may_open_v4(&memory, CLIENT), "the first again");
}

#[test]
fn what_is_only_counted_has_no_consequences() {
    let mut memory = memory();
    memory.settings.connections.mode = Mode::Shadow as u32;
    assert_eq!(open(&memory, CLIENT, 11), Some(false), "nothing is ended");
    assert!(!may_open_v4(&memory, CLIENT));
    close(&memory, CLIENT, 2);
    assert!(may_open_v4(&memory, CLIENT));
}

#[test]
fn who_is_spared_and_what_passes_through_are_left_alone() {
    let mut memory = memory();
    open(&memory, CLIENT, 10);
    memory.settings.connections.spared[7] = source_key(Family::V4, Address::v4(CLIENT));
    assert!(may_open_v4(&memory, CLIENT));
    assert_eq!(open(&memory, CLIENT, 1), Some(false));
    memory.settings.connections.spared = [0; 8];
    assert!(!may_open_v4(&memory, CLIENT));
    memory.settings.connections.spared_ports[3] = PORT;
    assert!(may_open_v4(&memory, CLIENT), "people log in there");
    assert_eq!(open(&memory, CLIENT, 1), Some(false));
    memory.settings.connections.spared_ports = [0; 4];
    memory.own.clear();
    assert!(may_open_v4(&memory, CLIENT));
}

#[test]
fn what_stood_before_counts_by_its_correction() {
    let mut memory = memory();
    let (holder, _) = Holder::of(Family::V4, Address::v4(CLIENT));
    memory
        .connections
        .corrections
        .insert((holder.key, holder.level), 7);
    memory.settings.connections.unhinted = 1;
    assert_eq!(open(&memory, CLIENT, 2), Some(false));
    assert!(may_open_v4(&memory, CLIENT));
    assert_eq!(open(&memory, CLIENT, 1), Some(false));
    assert!(!may_open_v4(&memory, CLIENT));
    assert_eq!(open(&memory, CLIENT, 1), Some(true));
}

#[test]
fn who_finds_no_room_is_not_counted() {
    let mut memory = memory();
    memory.connections.capacity = 0;
    assert_eq!(open(&memory, CLIENT, 1), None);
    assert!(may_open_v4(&memory, CLIENT));
}
