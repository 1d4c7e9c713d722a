//! Places that are held end in the table in force, without another in its place: all else that it says stays as it was.

use std::{collections::HashMap, fs, net::IpAddr, process};

use netguard::{
    bpf::{InstanceName, Judge, Pins, ROOM_FOR_TIME, Ranges, SettingsMap},
    config::{Config, Place},
    daemon::{Hold, Journal, Lists},
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

/// Runs `inside` with an instance that enforces, where nothing arrives.
fn with_instance(named: &str, inside: impl FnOnce(&InstanceName, &Instance, &mut Judge) + Send) {
    in_a_network_of_its_own(|| {
        let name: InstanceName = format!("kernel-rung-{named}-{}", process::id())
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
        inside(&name, &instance, &mut judge);
    });
}

/// Found in review: of the lines behind the marks, bounds and keys were overwritten that looked like policies that spare.
#[test]
fn what_ends_is_what_is_held_and_nothing_else_changes() {
    with_instance("ending", |_, instance, judge| {
        let mut table = Ranges::open(&instance.0).expect("lists are pinned");
        assert_eq!(table.end_sparing().expect("none is in force"), 0);
        let mut listings = lists();
        let install = |table: &mut Ranges, listings: &[Listing<'_>]| {
            let compiled = compile(listings, table.seed()).expect("there is room");
            table.install(&compiled).expect("the kernel takes it");
        };
        install(&mut table, &listings);
        let before = judged(judge, &listings);
        let blocked = before
            .iter()
            .filter(|(_, judgement)| judgement.verdict == Verdict::BlockCountry);
        assert_eq!(blocked.count(), 8 * LISTS);
        assert_eq!(table.end_sparing().expect("nobody is held"), 0);
        assert_eq!(judged(judge, &listings), before, "nobody is held");

        let lists = listings.clone();
        let held = [listing(held_country(), &HELD.map(str::to_owned))];
        listings.resize(POLICIES as usize - 16, listing(Effect::Spare, &[]));
        listings.extend(held.clone());
        install(&mut table, &listings);
        assert_eq!(judged(judge, &lists), before);
        assert_eq!(limited(judge, &held, Verdict::LimitCountry), 4);
        assert_eq!(table.end_sparing().expect("it can be ended"), 1);
        assert_eq!(judged(judge, &lists), before, "one was held");
        assert_eq!(limited(judge, &held, Verdict::LimitCountry), 0);
        assert_eq!(table.end_sparing().expect("it has ended"), 0);
    });
}

/// How many addresses at the bounds of `listings` meet `verdict`.
fn limited(judge: &mut Judge, listings: &[Listing<'_>], verdict: Verdict) -> usize {
    let judged = judged(judge, listings);
    let limited = judged
        .iter()
        .filter(|(_, judgement)| judgement.verdict == verdict);
    limited.count()
}

/// Found in review: while the lists could not be put in force, what was held because of an attack stayed so after it.
#[test]
fn what_is_held_is_let_go_also_while_the_lists_have_a_fault() {
    with_instance("letting-go", |name, instance, judge| {
        const MANY: usize = 100;
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: String| directory.path().join(name);
        let rows = (0..MANY).map(|asn| format!("20.{asn}.0.0/16,AS{}\n", 64_496 + asn));
        let database = file("asn.csv".to_owned());
        fs::write(&database, rows.collect::<String>()).expect("a file");
        // In shadow, so that each pair of a feed and a system is a mark of its own.
        let feed = |number: usize, differs: usize| {
            let lines = (0..MANY).map(|asn| format!("20.{asn}.{}.{}\n", differs, number * differs));
            let feed = file(format!("feed-{number}"));
            fs::write(&feed, lines.collect::<String>()).expect("a file");
            format!(
                "[[feed]]\nname = \"f{number}\"\nfile = \"{}\"\nmode = \"shadow\"\n",
                feed.display()
            )
        };
        let feeds: String = (0..MANY).map(|number| feed(number, 0)).collect();
        let asns: Vec<usize> = (64_496..64_496 + MANY).collect();
        let text = format!(
            "[geo]\nasn_database = \"{}\"\n[[geo.policy]]\nasns = {asns:?}\naction = \"block\"\n{feeds}",
            database.display()
        );
        let config = Config::parse("test", &text).expect("a configuration");
        let mut lists = Lists::of(&config, &instance.0, name).expect("lists are pinned");
        let journal = Journal::default();
        lists.follow(Vec::new(), true, &journal);
        assert_eq!(lists.faults(), [""; 0]);
        let place = Place::Country("AQ".parse().expect("a country"));
        let hold = Hold {
            place,
            rate_per_s: 1,
            shadow: false,
        };
        let held = listing(Effect::Spare, &HELD.map(str::to_owned));
        let prefixes = HashMap::from([(place, held.prefixes.to_vec())]);
        let now_ns = 1 << 40;
        lists.hold(&[hold], &prefixes, now_ns).expect("there is room");
        let held = [held];
        let refused = |judge: &mut Judge| {
            (0..8)
                .map(|_| limited(judge, &held, Verdict::LimitCountry))
                .sum::<usize>()
        };
        assert!(refused(judge) > 16);

        (0..MANY).for_each(|number| drop(feed(number, 1)));
        lists.follow(Vec::new(), true, &journal);
        let faults = lists.faults();
        assert!(faults[0].contains("different ways"), "{faults:?}");
        assert!(lists.hold(&[hold], &prefixes, now_ns).is_err());
        assert!(lists.holds(place) && refused(judge) > 16, "it stays as it was");
        lists
            .hold(&[], &HashMap::new(), now_ns)
            .expect("it can be let go");
        assert_eq!(refused(judge), 0);
        assert!(!lists.holds(place) && lists.held_packets().is_empty());
        // The lists that are in force stay so, and are exchanged when they can be.
        let blocked = [listing(Effect::Spare, &["20.7.0.0/16".to_owned()])];
        assert_eq!(limited(judge, &blocked, Verdict::BlockAsn), 4);
        (0..MANY).for_each(|number| drop(feed(number, 0)));
        lists.follow(Vec::new(), true, &journal);
        assert_eq!(lists.faults(), [""; 0]);
        assert_eq!(refused(judge), 0);
        lists.hold(&[hold], &prefixes, now_ns).expect("there is room");
        assert!(refused(judge) > 16, "it can be held again");
    });
}
