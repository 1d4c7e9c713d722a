//! Lists: what was compiled says of every address what the prefixes say one by one, at each bound and beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netguard::{
    prefix::Prefix,
    ranges::{Compiled, Effect, Listing, compile},
};
use netguard_common::{
    Judgement, Verdict, decide,
    hint::{coarse, fine},
    layout::{Mode, Rate, Settings},
    memory::Memory,
    packet::Address,
    ranges::{Policy, Subject},
    view::SliceView,
};
use netguard_tests::frames::frame;
use proptest::{collection::vec, prelude::*};

const SEED: u64 = 7;

fn effect(shadow: bool) -> Effect {
    Effect::Feed {
        policy: Policy {
            subject: Subject::Feed,
            expires_at: 0,
            rate: Rate::UNLIMITED,
            spares: false,
        },
        shadow,
    }
}

/// Addresses that lie together: in few groups, /23s and /64s, and at both ends of all.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        6 => (0x0a00_0000_u32..0x0a01_0000).boxed(),
        2 => (0x0a00_0000_u32..0x0a00_0040).boxed(),
        1 => Just(0).boxed(),
        1 => Just(u32::MAX).boxed(),
        1 => any::<u32>().boxed(),
    ];
    let v6 = prop_oneof![
        4 => (0_u128..64, 0_u128..4).prop_map(|(high, low)| (0x2001_0db8 << 96) | high << 64 | low).boxed(),
        2 => (0_u128..64).prop_map(|low| (0x2001_0db8 << 96) | low).boxed(),
        1 => Just(0).boxed(),
        1 => Just(u128::MAX).boxed(),
        1 => any::<u128>().boxed(),
    ];
    prop_oneof![
        v4.prop_map(|address| Ipv4Addr::from(address).into()),
        v6.prop_map(|address| Ipv6Addr::from(address).into()),
    ]
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), prop_oneof![3 => 0_u8..=8, 1 => 0_u8..=128]).prop_map(|(address, host_bits)| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        Prefix::truncated(address, width - host_bits.min(width)).expect("no more bits than there are")
    })
}

fn holds(prefix: &Prefix, address: IpAddr) -> bool {
    let same = prefix.address().is_ipv4() == address.is_ipv4();
    same && Prefix::truncated(address, prefix.bits()) == Some(*prefix)
}

/// Addresses beside which something may change.
fn beside(prefix: &Prefix) -> Vec<IpAddr> {
    match prefix.address() {
        IpAddr::V4(first) => {
            let first = u32::from(first);
            let last = first | u32::MAX.checked_shr(prefix.bits().into()).unwrap_or(0);
            [first, first.wrapping_sub(1), last, last.wrapping_add(1)]
                .map(|address| Ipv4Addr::from(address).into())
                .to_vec()
        }
        IpAddr::V6(first) => {
            let first = u128::from(first);
            let last = first | u128::MAX.checked_shr(prefix.bits().into()).unwrap_or(0);
            [first, first.wrapping_sub(1), last, last.wrapping_add(1)]
                .map(|address| Ipv6Addr::from(address).into())
                .to_vec()
        }
    }
}

/// What becomes of a packet from `source`.
fn judged(compiled: &Compiled, source: IpAddr) -> Judgement {
    let mut memory = Memory::new(Settings {
        sanity: Mode::Off as u32,
        limit: Mode::Off as u32,
        ..Memory::enforcing()
    });
    memory.generation = Some(compiled.lines.clone());
    let start = match source {
        IpAddr::V4(source) => frame().ipv4(&source.to_string(), "198.51.100.1"),
        IpAddr::V6(source) => frame().ipv6(&source.to_string(), "2001:db8:ffff::1"),
    };
    decide(&SliceView(&start.udp(1, 2).build()), &memory)
}

/// Whether the hints send a packet from `source` to the lists: the coarse ones, and for IPv6 the fine ones, too.
fn is_announced(compiled: &Compiled, source: IpAddr) -> bool {
    let (family, address) = Address::of(source);
    let is_set = |slot: u32| compiled.slots.words()[(slot / 64) as usize] >> (slot % 64) & 1 == 1;
    let everywhere = coarse(family, address, 0, SEED).any(is_set);
    if source.is_ipv4() {
        return coarse(family, address, 32, SEED).any(is_set);
    }
    let somewhere = [48, 32]
        .iter()
        .any(|bits| fine(family, address, *bits, SEED).any(is_set));
    everywhere || coarse(family, address, 128, SEED).any(is_set) && somewhere
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn lists_say_what_their_prefixes_say(
        enforced in vec(prefix(), 0..60), shadow in vec(prefix(), 0..20), spared in vec(prefix(), 0..10),
        others in vec(address(), 0..40),
    ) {
        let listing = |effect, prefixes: &Vec<Prefix>| Listing { effect, prefixes: prefixes.clone().into() };
        let listings = [
            listing(effect(false), &enforced),
            listing(effect(true), &shadow),
            listing(Effect::Spare, &spared),
        ];
        let compiled = compile(&listings, SEED).expect("there is room");
        let all = enforced.iter().chain(&shadow).chain(&spared);
        let addresses: Vec<IpAddr> = all.flat_map(beside).chain(others).collect();
        for address in addresses {
            // IPv4-mapped ones are judged as what they hold.
            if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
                continue;
            }
            let on = |list: &[Prefix]| list.iter().any(|prefix| holds(prefix, address));
            let wanted = match (on(&spared), on(&enforced), on(&shadow)) {
                (false, true, _) => (Verdict::BlockFeed, false),
                (false, false, true) => (Verdict::BlockFeed, true),
                _ => (Verdict::Pass, false),
            };
            let found = judged(&compiled, address);
            prop_assert_eq!((found.verdict, found.shadow), wanted, "{}", address);
            prop_assert!(wanted.0 == Verdict::Pass || is_announced(&compiled, address), "{} has no hint", address);
        }
    }
}
