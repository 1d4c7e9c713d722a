//! Places that are held end in the table in force, without another in its place: all else that it says stays as it was.

use std::{net::IpAddr, process};

use netguard::{
    bpf::{InstanceName, Judge, Pins, ROOM_FOR_TIME, Ranges, SettingsMap},
    prefix::Prefix,
    ranges::{Effect, Listing, compile},
};
use netguard_common::{Judgement, Verdict, layout::Settings, memory::Memory, ranges::POLICIES};
use netguard_tests::{
    frames::frame,
    world::{DEFAULT_SIZES, country, held_country},
};

use super::reflection::in_a_network_of_its_own;

/// So many have marks whose numbers need a ninth bit.
const LISTS: usize = 300;
const HELD: [&str; 2] = ["192.0.2.0/24", "2001:db9:101::/48"];

/// Maps of an instance of its own, which are gone with it.
struct Instance(Pins);

impl Drop for Instance {
    fn drop(&mut self) {
        let _gone = self.0.remove();
    }
}

fn listing(effect: Effect, prefixes: &[String]) -> Listing<'static> {
    let prefixes: Vec<Prefix> = prefixes
        .iter()
        .map(|text| text.parse().expect("a prefix"))
        .collect();
    let prefixes = prefixes.into();
    Listing { effect, prefixes }
}

/// Lists of a country each, of four prefixes: their bounds and keys have every bit that a policy has.
fn lists() -> Vec<Listing<'static>> {
    let list = |number: usize| {
        let (high, low) = (number / 256, number % 256);
        let prefixes = [
            format!("10.{high}.{low}.0/26"),
            format!("11.{high}.{low}.128/25"),
            format!("2001:1{low:02x}:{number:x}::/48"),
            format!("2a01:{low:x}:{number:x}:1::{low:x}00/120"),
        ];
        listing(country(), &prefixes)
    };
    (0..LISTS).map(list).collect()
}

/// What the kernel makes of a packet of each first and last address of `listings`, and of those beside them.
fn judged(judge: &mut Judge, listings: &[Listing<'_>]) -> Vec<(IpAddr, Judgement)> {
    let ready = judge.ready().expect("a program");
    let prefixes = listings.iter().flat_map(|listing| listing.prefixes.iter());
    let addresses = prefixes.flat_map(|prefix| match prefix.address() {
        IpAddr::V4(first) => {
            let (first, last) = (u32::from(first), u32::from(first) | u32::MAX >> prefix.bits());
            [first - 1, first, last, last + 1].map(|address| IpAddr::V4(address.into()))
        }
        IpAddr::V6(first) => {
            let (first, last) = (u128::from(first), u128::from(first) | u128::MAX >> prefix.bits());
            [first - 1, first, last, last + 1].map(|address| IpAddr::V6(address.into()))
        }
    });
    addresses
        .map(|source| {
            let start = match source {
                IpAddr::V4(_) => frame().ipv4(&source.to_string(), "198.51.100.1"),
                IpAddr::V6(_) => frame().ipv6(&source.to_string(), "2001:db8:ffff::1"),
            };
            let mut bytes = vec![0; ROOM_FOR_TIME];
            bytes.extend(start.udp(1_234, 4_321).payload(30).build());
            (source, ready.judge(&mut bytes, 1 << 40).expect("it is judged"))
        })
        .collect()
}

/// Found in review: of the lines behind the marks, bounds and keys were overwritten that looked like policies that spare.
#[test]
fn what_ends_is_what_is_held_and_nothing_else_changes() {
    in_a_network_of_its_own(|| {
        let name: InstanceName = format!("kernel-rung-ending-{}", process::id())
            .parse()
            .expect("an instance's name");
        let instance = Instance(Pins::of(&name));
        let mut judge =
            Judge::load(&instance.0, DEFAULT_SIZES).expect("the kernel rung needs root and bpffs");
        let mut settings = SettingsMap::open(&instance.0).expect("settings are pinned");
        let seed = settings.read().expect("settings").seed;
        let enforcing = Memory::enforcing();
        settings
            .write(&Settings { seed, ..enforcing })
            .expect("they can be written");
        let mut table = Ranges::open(&instance.0).expect("lists are pinned");
        assert_eq!(table.end_sparing().expect("none is in force"), 0);

        let mut listings = lists();
        let install = |table: &mut Ranges, listings: &[Listing<'_>]| {
            let compiled = compile(listings, table.seed()).expect("there is room");
            table.install(&compiled).expect("the kernel takes it");
        };
        install(&mut table, &listings);
        let before = judged(&mut judge, &listings);
        let blocked = before
            .iter()
            .filter(|(_, judgement)| judgement.verdict == Verdict::BlockCountry);
        assert_eq!(blocked.count(), 8 * LISTS);
        assert_eq!(table.end_sparing().expect("nobody is held"), 0);
        assert_eq!(judged(&mut judge, &listings), before, "nobody is held");

        let lists = listings.clone();
        let held = [listing(held_country(), &HELD.map(str::to_owned))];
        listings.resize(POLICIES as usize - 16, listing(Effect::Spare, &[]));
        listings.extend(held.clone());
        install(&mut table, &listings);
        let limited = |judge: &mut Judge| {
            let judged = judged(judge, &held);
            let limited = judged
                .iter()
                .filter(|(_, judgement)| judgement.verdict == Verdict::LimitCountry);
            limited.count()
        };
        assert_eq!(
            (judged(&mut judge, &lists) == before, limited(&mut judge)),
            (true, 4)
        );
        assert_eq!(table.end_sparing().expect("it can be ended"), 1);
        assert_eq!(judged(&mut judge, &lists), before, "one was held");
        assert_eq!(limited(&mut judge), 0);
        assert_eq!(table.end_sparing().expect("it has ended"), 0);
    });
}
