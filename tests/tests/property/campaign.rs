//! Campaigns of sources that ask where nobody is: the order in which they come says nothing, few sources are none whatever they do, memory
//! is bounded, and no clock does harm.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netguard::engine::{
    Account,
    campaign::{Attempt, Group, Look, Ordinary, Probing, Sources, Target, Traits, links, score},
    seen::Seen,
};
use netguard::lists::{Atlas, Of};
use netguard_common::{Verdict, head::Head, shared::Field as _};
use netguard_tests::{frames::frame, mmdb::systems};
use proptest::{collection::vec, prelude::*};

const SECOND: u64 = 1_000_000_000;

/// An attempt: network and host of its source, what it asks for, what it looks like, and when it comes.
type Drawn = (u16, u8, bool, u8, u8, u64);

fn drawn(networks: u16, times: impl Strategy<Value = u64>) -> impl Strategy<Value = Drawn> {
    (0..networks, any::<u8>(), any::<bool>(), 0_u8..6, 0_u8..3, times)
}

fn look(kind: u8) -> Look {
    let packet = frame().ipv4("192.0.2.1", "198.51.100.1").ttl(60 << (kind % 2));
    let bytes = packet
        .tcp(4_000, 80)
        .flags("S")
        .data(&vec![0; kind.into()])
        .build();
    let mut head = Head {
        frame_len: bytes.len() as u32,
        verdict: Verdict::Pass.number() as u16,
        captured: bytes.len() as u8,
        ..Head::ZERO
    };
    head.bytes[..bytes.len()].copy_from_slice(&bytes);
    Look::of(&Seen::of(&head).expect("a packet"))
}

/// Of either family: an IPv4 /24 or an IPv6 /48, and a host or a /64 in it.
fn source(network: u16, host: u8, is_v6: bool) -> Account {
    let [a, b] = network.to_be_bytes();
    let address = match is_v6 {
        true => IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, network, host.into(), 0, 0, 0, 1)),
        false => IpAddr::from(Ipv4Addr::new(11, a, b, host)),
    };
    Account::of(address)
}

fn attempt(drawn: &Drawn, looks: &[Look]) -> Attempt {
    let (network, host, is_v6, port, kind, at_ns) = *drawn;
    Attempt {
        at_ns,
        source: source(network, host, is_v6),
        target: Target {
            protocol: 6,
            port: 20 + u16::from(port),
        },
        look: looks[usize::from(kind)],
        is_proven: host == 7,
    }
}

fn found(attempts: &[Drawn], at_ns: u64) -> Option<Group> {
    let looks = [0, 1, 2].map(look);
    let mut probing = Probing::default();
    attempts
        .iter()
        .for_each(|drawn| probing.take(&attempt(drawn, &looks)));
    probing.look(at_ns, &Ordinary::default(), &|_| None, true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_sources_says_nothing(
        attempts in vec(drawn(400, 1_000 * SECOND..1_200 * SECOND), 60..400),
        seed in any::<u64>(),
    ) {
        let mut shuffled = attempts.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let group = found(&attempts, 1_200 * SECOND);
        prop_assert_eq!(&found(&shuffled, 1_200 * SECOND), &group);
        if let Some(group) = group {
            prop_assert!(group.members.len() >= 48 && group.targets.len() >= 3, "{:?}", group);
            prop_assert!(score(&group.links) >= 70);
        }
    }

    /// Two IPv4 and two IPv6 networks, with all that is in them.
    #[test]
    fn few_networks_are_none_whatever_they_do(
        attempts in vec(drawn(2, 1_000 * SECOND..1_200 * SECOND), 0..3_000),
    ) {
        prop_assert_eq!(found(&attempts, 1_200 * SECOND), None);
    }

    #[test]
    fn memory_is_bounded_and_no_clock_does_harm(
        attempts in vec(drawn(u16::MAX, any::<u64>()), 0..400),
        clocks in vec(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 1..40),
        is_calm in any::<bool>(),
    ) {
        let looks = [0, 1, 2].map(look);
        let mut probing = Probing::default();
        let mut rest = attempts.iter().cycle();
        for now_ns in clocks {
            for drawn in rest.by_ref().take(attempts.len().min(20)) {
                probing.take(&attempt(drawn, &looks));
            }
            probing.look(now_ns, &Ordinary::default(), &|_| None, is_calm);
            prop_assert!(probing.len() <= attempts.len().min(8_192));
        }
        // What came in the future is over, too, once the time is right.
        probing.look(0, &Ordinary::default(), &|_| None, is_calm);
        let left = attempts.iter().filter(|(.., at_ns)| *at_ns == 0).count();
        prop_assert!(probing.len() <= left);
    }

    /// Whoever is compared first, and in whatever order: the same speaks for two.
    #[test]
    fn what_links_two_links_them_both_ways(
        ours in vec((0_u16..40, any::<u8>(), any::<bool>()), 0..200),
        theirs in vec((0_u16..40, any::<u8>(), any::<bool>()), 0..200),
        turns in [vec(any::<u64>(), 0..9), vec(any::<u64>(), 0..9)],
    ) {
        let traits = |sources: &[(u16, u8, bool)], turns: &[u64]| {
            let sources = sources.iter().map(|(network, host, is_v6)| (source(*network, *host, *is_v6), host % 2 == 0));
            let mut turns_ns = turns.to_vec();
            turns_ns.sort_unstable();
            Traits { sources: sources.collect::<Sources>(), turns_ns, ..Traits::default() }
        };
        let (one, other) = (traits(&ours, &turns[0]), traits(&theirs, &turns[1]));
        let ordinary = Ordinary::default();
        prop_assert_eq!(score(&links(&one, &other, &ordinary)), score(&links(&other, &one, &ordinary)));
    }
}

#[test]
fn networks_are_autonomous_systems_where_a_database_says() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("asn.mmdb");
    let entries = [("192.0.2.0", 24, 64_496), ("2001:db8::", 32, 64_497)];
    std::fs::write(&file, systems(&entries))?;
    let database = Atlas::read(&file, &[Of::Asns])?;
    for (address, system) in [
        ("192.0.2.7", Some(64_496)),
        ("2001:db8:1::7", Some(64_497)),
        ("198.51.100.1", None),
    ] {
        assert_eq!(database.asn(address.parse()?), system, "{address}");
    }
    // Found in review: it was taken for a database of countries.
    let refused = Atlas::read(&file, &[Of::Countries])
        .err()
        .map(|error| error.to_string());
    assert!(refused.is_some_and(|why| why.contains("asn.mmdb says of no address which country")));
    Ok(())
}
