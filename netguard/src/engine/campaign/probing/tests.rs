//! Who is found to probe, and who is not. What the daemon makes of it, the tests of campaigns say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::engine::{
    campaign::{JOINS, LinkKind, link::score},
    seen::{
        Seen,
        tests::{head, syn},
    },
};
use netguard_common::Verdict;

const SECOND: u64 = 1_000_000_000;

fn look(window: u16) -> Look {
    Look::of(&Seen::of(&head(&syn(1, 60, window, 0), Verdict::Pass)).expect("a packet"))
}

/// The source of this number, each in a /16 of its own.
fn source(number: u32) -> Account {
    Account::of(Ipv4Addr::from(0x0b00_0000 + number * 65_536).into())
}

fn attempt(at_s: u64, source: Account, port: u16, window: u16) -> Attempt {
    Attempt {
        at_ns: at_s * SECOND,
        source,
        target: Target { protocol: 6, port },
        look: look(window),
        is_proven: false,
    }
}

/// Looks each second, from `from_s` to `to_s`.
pub(super) fn wait(probing: &mut Probing, from_s: u64, to_s: u64) -> Option<Group> {
    let ordinary = Ordinary::default();
    (from_s..to_s)
        .map(|at_s| probing.look(at_s * SECOND, &ordinary, &|_| None, true))
        .last()
        .flatten()
}

/// `sources` that ask for these ports in turn, `each` times, within a minute.
pub(super) fn asked(sources: u32, each: u32, ports: &[u16]) -> Probing {
    let mut probing = Probing::default();
    for number in 0..sources * each {
        let port = ports[(number + number / sources) as usize % ports.len()];
        let at_s = 1_000 + u64::from(60 * number / (sources * each));
        probing.take(&attempt(at_s, source(number % sources), port, 64_240));
    }
    probing
}

#[test]
fn many_that_ask_little_of_several_services_are_found() {
    let group = wait(&mut asked(100, 1, &[22, 25, 443]), 1_060, 1_061).expect("they belong together");
    assert_eq!(
        (group.members.len(), group.attempts, group.targets.len()),
        (100, 100, 3)
    );
    let kinds: Vec<LinkKind> = group.links.iter().map(|link| link.kind).collect();
    assert_eq!(kinds, [LinkKind::Time, LinkKind::Behaviour, LinkKind::Services]);
    assert!(score(&group.links) >= JOINS && score(&group.links[..2]) < JOINS);
}

#[test]
fn few_sources_and_what_is_usual_are_nothing() {
    for (sources, each, ports, why) in [
        (9, 30, &[22, 25, 443][..], "few, however much they ask"),
        (40, 1, &[22, 25, 443], "before anything is usual"),
        (300, 2, &[25], "a worm, or a service that is gone"),
        (300, 2, &[80, 443], "a service with two ports that is gone"),
    ] {
        assert_eq!(
            wait(&mut asked(sources, each, ports), 1_060, 1_061),
            None,
            "{why}"
        );
    }
    let every: Vec<u16> = (1_000..1_300).collect();
    assert_eq!(
        wait(&mut asked(300, 1, &every), 1_060, 1_061),
        None,
        "all different"
    );
}

/// A single host with an IPv6 /48, or an IPv4 /24, is not many.
#[test]
fn one_network_is_few_sources_however_many_addresses_it_has() {
    let v4 = |number: u32| IpAddr::from(Ipv4Addr::from(0x0b00_0000 + number));
    let v6 = |number: u32| {
        IpAddr::from(Ipv6Addr::from(
            (0x2001_0db8_u128 << 96) | (u128::from(number) << 64),
        ))
    };
    for address in [&v4 as &dyn Fn(u32) -> IpAddr, &v6] {
        let mut probing = Probing::default();
        for number in 0..256 {
            let port = [22, 25, 443][number as usize % 3];
            probing.take(&attempt(1_000, Account::of(address(number)), port, 64_240));
        }
        assert_eq!(probing.len(), OF_A_NETWORK);
        assert_eq!(wait(&mut probing, 1_001, 1_002), None);
    }
}

#[test]
fn noise_of_every_hour_is_learnt_and_four_times_as_much_is_not() {
    // Ten sources a minute, of ports that all like: more than a server is asked by strangers.
    let noise = |probing: &mut Probing, from_s: u64, to_s: u64, per_minute: u64| {
        let mut told = 0;
        for at_s in from_s..to_s {
            if at_s % 60 < per_minute {
                let number = (at_s % 7_919) as u32;
                let port = [23, 22, 8_080, 3_389, 445][number as usize % 5];
                probing.take(&attempt(at_s, source(number), port, 1_024));
            }
            told += usize::from(wait(probing, at_s, at_s + 1).is_some());
        }
        told
    };
    let mut probing = Probing::default();
    assert_eq!(noise(&mut probing, 1_000, 5_600, 6), 0, "thirty in five minutes");
    assert!(probing.usual.len() >= 10, "{:?}", probing.usual);
    assert_eq!(
        noise(&mut probing, 5_600, 7_000, 10),
        0,
        "a little more than usual"
    );
    assert!(noise(&mut probing, 10_000, 10_600, 60) > 0);
}

#[test]
fn it_goes_on_with_half_and_is_over_a_minute_after_the_last_packet() {
    let mut probing = asked(100, 1, &[22, 25, 443]);
    assert!(wait(&mut probing, 1_060, 1_119).is_some());
    assert_eq!(wait(&mut probing, 1_119, 1_120), None);
    assert!(probing.is_empty(), "whoever comes again is counted anew");
    let ask = |probing: &mut Probing, from: u32, count: u32, at_s: u64| {
        for number in from..from + count {
            let port = [22, 25, 443][number as usize % 3];
            probing.take(&attempt(at_s, source(number), port, 64_240));
        }
    };
    ask(&mut probing, 0, 30, 1_121);
    assert_eq!(wait(&mut probing, 1_121, 1_122), None, "it takes 48 again");
    ask(&mut probing, 30, 30, 1_150);
    assert!(wait(&mut probing, 1_150, 1_200).is_some());
    // Of the first thirty nobody is left, and half of 48 of the others.
    ask(&mut probing, 30, 26, 1_420);
    assert!(wait(&mut probing, 1_422, 1_470).is_some());
}

/// Found in review: a few packets to other ports, or of another look, hid what hundreds of sources did together.
#[test]
fn what_each_does_beside_hides_nothing() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut probing = Probing::default();
    let mut group = None;
    for at_s in 1_000..1_100 {
        for number in 0..300 {
            // Each in its turn sends three that tell, among sixty.
            let port = match (at_s + u64::from(number)) % 20 {
                0 => [3_389, 5_900, 8_443][random.usize(..3)],
                _ => random.u16(1..2_000),
            };
            let window = if random.bool() { 1_024 } else { random.u16(..) };
            probing.take(&attempt(at_s, source(number), port, window));
        }
        group = probing.look(at_s * SECOND, &Ordinary::default(), &|_| None, true);
    }
    let group = group.expect("they belong together");
    let told: BTreeSet<u16> = group.targets[..3].iter().map(|(target, _)| target.port).collect();
    assert_eq!(told, BTreeSet::from([3_389, 5_900, 8_443]), "{:?}", group.targets);
    assert!(group.targets.iter().take(3).all(|(_, count)| *count > 200));
    assert!(
        probing
            .sources
            .values()
            .all(|prober| prober.targets.iter().count() <= TARGETS && prober.looks.iter().count() <= LOOKS)
    );
}

/// Found in review: a target counted only if a tenth of all sources asked for it, those included that were silent.
#[test]
fn a_larger_group_that_is_silent_hides_no_smaller_one_and_many_ports_are_no_veil() {
    let eleven: Vec<u16> = (0..11).map(|number| 1_000 + 97 * number).collect();
    assert!(
        wait(&mut asked(300, 1, &eleven), 1_060, 1_061).is_some(),
        "one a source"
    );
    for is_silent in [false, true] {
        let mut probing = asked(3_000, 1, &[22, 25, 443]);
        assert!(wait(&mut probing, 1_060, 1_061).is_some());
        let from_s = if is_silent { 1_120 } else { 1_062 };
        wait(&mut probing, 1_061, from_s);
        for number in 0..300_u32 {
            let port = eleven[number as usize % eleven.len()];
            probing.take(&attempt(from_s, source(5_000 + number), port, 64_240));
        }
        let group = wait(&mut probing, from_s, from_s + 1).expect("they ask");
        let members = if is_silent { 300 } else { 3_300 };
        assert_eq!(group.members.len(), members, "two at once are one");
    }
}

/// Found in review: whoever asked for one port or two at the same time, in four times the number, hid all others.
#[test]
fn a_crowd_that_asks_for_a_port_or_two_hides_no_probe_beside_it() {
    for crowd in [&[23][..], &[80, 443]] {
        let crowded = |probe: &[u16]| {
            let mut probing = asked(2_000, 2, crowd);
            for number in 0..300_u32 {
                // Each asks for what the crowd does, and for one of its own.
                let own = probe.get(number as usize % probe.len().max(1));
                for port in own.into_iter().chain(crowd) {
                    probing.take(&attempt(1_059, source(10_000 + number), *port, 64_240));
                }
            }
            wait(&mut probing, 1_060, 1_061)
        };
        let group = crowded(&[22, 25, 3_389, 5_900]).expect("they belong together");
        assert_eq!(group.members.len(), 300, "and the crowd is none of them");
        let services = group.links.iter().find(|link| link.kind == LinkKind::Services);
        let said = &services.expect("it is what they have in common").what;
        assert!(
            said.contains("100 %") && said.contains("tcp/3389") && !said.contains("tcp/443"),
            "{said}"
        );
        assert_eq!(crowded(&[]), None, "a crowd alone");
        assert_eq!(crowded(&[8_080]), None, "clients of one port more");
        assert_eq!(crowded(&[8_080, 8_443]), None, "and of another");
    }
}

/// Found in review: who asks once a minute since last week had a probe that began now told as begun last week.
#[test]
fn it_begins_when_they_come_and_not_when_somebody_did_who_always_does() {
    let mut probing = Probing::default();
    for at_s in (1_000..4_000).step_by(60) {
        for number in 0..5 {
            probing.take(&attempt(at_s, source(number), 22, 64_240));
        }
        assert_eq!(wait(&mut probing, at_s, at_s + 1), None);
    }
    let mut begun_ns = BTreeSet::new();
    for at_s in 4_000..4_500 {
        for number in 0..8 {
            let port = [22, 25, 443][number as usize % 3];
            let number = 10 + number + 8 * at_s as u32;
            probing.take(&attempt(at_s, source(number), port, 64_240));
        }
        let group = wait(&mut probing, at_s, at_s + 1);
        begun_ns.extend(group.map(|group| group.begun_ns / SECOND));
    }
    let begun_s: Vec<u64> = begun_ns.into_iter().collect();
    assert!(
        matches!(begun_s[..], [4_000..4_005]),
        "once, whoever is forgotten since: {begun_s:?}"
    );
}

/// What a crowd asks for all day is not what is usual of those that ask for several things.
#[test]
fn a_crowd_that_stays_does_not_move_what_it_takes() {
    let mut probing = Probing::default();
    for at_s in 1_000..2_500 {
        for number in 0..2 {
            probing.take(&attempt(
                at_s,
                source(2 * (at_s as u32 % 300) + number),
                23,
                64_240,
            ));
        }
        assert_eq!(wait(&mut probing, at_s, at_s + 1), None);
    }
    assert!(
        probing.usual.len() > usual::LEARNT && probing.usual.threshold() == usual::FLOOR,
        "{probing:?}"
    );
    for number in 0..60_u32 {
        let port = [22, 25, 443, 3_389][number as usize % 4];
        probing.take(&attempt(2_500, source(1_000 + number), port, 64_240));
    }
    let group = wait(&mut probing, 2_500, 2_501).expect("they belong together");
    assert_eq!(group.members.len(), 60);
}

/// Found in review: one IPv6 /48 that asks for one port filled the memory, and whoever came later was not taken in.
#[test]
fn who_fills_the_memory_hides_nobody_who_comes_later() {
    let v6 = |number: u32| Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(number) << 64));
    for of_one_network in [true, false] {
        let mut probing = Probing::default();
        for number in 0..20_000 {
            let source = match of_one_network {
                true => Account::of(v6(number).into()),
                false => source(number),
            };
            probing.take(&attempt(1_000 + u64::from(number) / 100, source, 23, 64_240));
        }
        if of_one_network {
            let left: Vec<u32> = (0..20_000)
                .filter(|number| probing.sources.contains_key(&Account::of(v6(*number).into())))
                .collect();
            assert_eq!(left, (19_992..20_000).collect::<Vec<u32>>(), "the newest");
        }
        assert!(probing.len() <= SOURCES);
        for number in 0..300 {
            let port = [22, 25, 3_389][number as usize % 3];
            probing.take(&attempt(1_200, source(30_000 + number), port, 64_240));
        }
        let group = wait(&mut probing, 1_200, 1_201).expect("they belong together");
        // Eight who ask for one port more are few beside them, and a crowd is taken out.
        let beside = if of_one_network { OF_A_NETWORK } else { 0 };
        assert_eq!(group.members.len(), 300 + beside);
    }
}

#[test]
fn what_is_served_since_is_taken_back() {
    let mut probing = asked(100, 2, &[22, 25, 443]);
    assert!(wait(&mut probing, 1_060, 1_061).is_some());
    let target = |port| Target { protocol: 6, port };
    probing.take(&attempt(1_060, source(500), 25, 64_240));
    let early = probing.withdraw(&BTreeSet::from([target(25), target(80)]));
    // All others asked for two.
    let one = (BTreeSet::from([target(25)]), BTreeSet::from([source(500)]));
    assert_eq!((early.targets, early.sources), one);
    assert_eq!(wait(&mut probing, 1_061, 1_062), None, "two ports are a service");
    let early = probing.withdraw(&BTreeSet::from([22, 443].map(target)));
    assert!(probing.is_empty() && early.sources.len() == 100);
}

/// Ports by chance, and a program that ordinary clients do not have.
#[test]
fn what_looks_alike_and_like_nobody_else_belongs_together_whatever_it_asks_for() {
    let mut ordinary = Ordinary::default();
    let client = Seen::of(&head(&syn(1, 60, 64_240, 5), Verdict::Pass)).expect("a packet");
    (0..500).for_each(|_| ordinary.learn(&client, &|_| None));
    for (window, is_found) in [(1_024, true), (0, false)] {
        let mut probing = Probing::default();
        for number in 0..200_u16 {
            let window = if window == 0 { number } else { window };
            probing.take(&attempt(1_000, source(number.into()), 2_000 + number, window));
        }
        let group = probing.look(1_001 * SECOND, &ordinary, &|_| None, true);
        assert_eq!(group.is_some(), is_found, "{group:?}");
    }
}

#[test]
fn networks_that_nobody_else_is_in_tell_as_well() {
    let mut ordinary = Ordinary::default();
    let client = Seen::of(&head(&syn(1, 60, 64_240, 5), Verdict::Pass)).expect("a packet");
    (0..500).for_each(|_| ordinary.learn(&client, &|_| None));
    let mut probing = Probing::default();
    for number in 0..200_u16 {
        probing.take(&attempt(
            1_000,
            source(number.into()),
            2_000 + number,
            100 + number,
        ));
    }
    let one_system = |_: Account| Some(64_496);
    let group = probing
        .look(1_001 * SECOND, &ordinary, &one_system, true)
        .expect("of one system");
    assert_eq!(group.links[2].kind, LinkKind::Network);
    assert!(group.links[2].what.contains("AS64496"), "{:?}", group.links);
}

#[test]
fn memory_is_bounded_and_clocks_may_jump() {
    let mut probing = Probing::default();
    for number in 0..20_000 {
        probing.take(&attempt(1_000, source(number), number as u16, 1));
    }
    assert!((SOURCES - GIVE_WAY..=SOURCES).contains(&probing.len()));
    probing.take(&Attempt {
        at_ns: u64::MAX,
        ..attempt(0, source(1), 1, 1)
    });
    for now_ns in [u64::MAX, 0, 5, u64::MAX, 2_000 * SECOND] {
        probing.look(now_ns, &Ordinary::default(), &|_| None, true);
    }
    assert!(probing.is_empty());
    assert!(
        asked(100, 1, &[22, 25, 443])
            .look(1_060 * SECOND, &Ordinary::default(), &|_| None, false)
            .is_some()
    );
}
