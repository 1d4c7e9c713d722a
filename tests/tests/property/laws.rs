//! Laws of judging: who wins, what does not matter, and that no source's packets change another's verdict.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netguard_common::{
    Action, Verdict,
    bucket::of_source,
    decide,
    layout::Rule,
    layout::{CLASSES, Mode, Rate},
    limit::{Class, source_key},
    packet::{Address, Family},
    rule::{EXPIRY_SHIFT, Proof},
    view::SliceView,
};
use netguard_tests::{
    generate::{Extension, Net, Shape, any_frame, extension, shape, source_v4, source_v6, tags, transport},
    world::World,
};
use proptest::{collection::vec, prelude::*};

fn verdict(world: &World, frame: &[u8]) -> Verdict {
    decide(&SliceView(frame), &world.memory(1 << 40)).verdict
}

fn modes() -> impl Strategy<Value = [Mode; 3]> {
    let mode = || prop_oneof![Just(Mode::Off), Just(Mode::Shadow), Just(Mode::Enforce)];
    [mode(), mode(), mode()]
}

/// Ordinary addresses: nothing for the sanity stage to object to.
fn ordinary(shape: &mut Shape) {
    let martian = |source: &IpAddr| match source {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_loopback() || ip.octets()[0] >= 224,
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_loopback() || ip.is_multicast(),
    };
    match &mut shape.net {
        Net::V4 {
            source, destination, ..
        } if martian(&(*source).into()) || source == destination => {
            (*source, *destination) = (Ipv4Addr::new(192, 0, 2, 66), Ipv4Addr::new(198, 51, 100, 1));
        }
        Net::V6 {
            source, destination, ..
        } if martian(&(*source).into()) || source == destination => {
            *source = "2001:db8::66".parse().expect("an address");
            *destination = "2001:db8:1::1".parse().expect("an address");
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn tags_do_not_matter(mut shape in shape(), tags in tags()) {
        shape.tags = Vec::new();
        shape.pad = 0;
        let bare = verdict(&World::populated(), &shape.build());
        shape.tags = tags;
        prop_assert_eq!(verdict(&World::populated(), &shape.build()), bare);
    }

    /// A blocked source is dropped whatever it sends; only messages that the network cannot do without pass.
    #[test]
    fn a_blocked_source_gets_nothing_through(
        source in source_v6(), transport in transport(), extensions in vec(extension(), 0..4), tags in tags(),
    ) {
        let mut shape = Shape {
            tags,
            net: Net::V6 {
                source,
                destination: "2001:db8:1::1".parse().expect("an address"),
                hop_limit: 64,
                extensions,
            },
            id: 1,
            transport,
            payload: 20,
            pad: 0,
        };
        ordinary(&mut shape);
        let Net::V6 { source, .. } = shape.net else { unreachable!("the shape is IPv6") };
        let world = World::new().block(&source.to_string());
        let judgement = decide(&SliceView(&shape.build()), &world.memory(1 << 40));
        let control = judgement.verdict == Verdict::PassControl;
        prop_assert!(judgement.action() == Action::Drop || control, "{judgement:?} for {shape:?}");
    }

    #[test]
    fn allow_wins_over_block(mut shape in shape(), first in any::<bool>()) {
        ordinary(&mut shape);
        let source = match &shape.net {
            Net::V4 { source, .. } => source.to_string(),
            Net::V6 { source, .. } => source.to_string(),
            Net::Arp | Net::Other(_) => return Ok(()),
        };
        let world = World::new();
        let world = if first { world.allow(&source).block(&source) } else { world.block(&source).allow(&source) };
        let with = verdict(&world, &shape.build());
        let without = verdict(&World::new(), &shape.build());
        match without {
            // It came as far as the rules.
            Verdict::Pass | Verdict::PassControl => prop_assert_eq!(with, Verdict::PassAllow),
            // It did not: malformed, or tagged so deep that it is not IP to us.
            _ => prop_assert_eq!(with, without),
        }
    }

    /// What shadow policies say changes nothing for the enforced ones, and shadow alone drops nothing.
    #[test]
    fn shadow_is_off_as_far_as_packets_feel(frame in any_frame(), modes in modes(), limited in any::<bool>()) {
        let world = |modes: [Mode; 3]| {
            let world = World::populated().still_limits().in_modes(modes);
            if limited { world.exhausted(&frame) } else { world }
        };
        let off = modes.map(|mode| if mode == Mode::Shadow { Mode::Off } else { mode });
        let shadowed = decide(&SliceView(&frame), &world(modes).memory(1 << 40));
        let plain = decide(&SliceView(&frame), &world(off).memory(1 << 40));
        prop_assert_eq!(shadowed.action(), plain.action(), "{:?} against {:?}", shadowed, plain);
        // Each list has a mode of its own.
        let listed = [Verdict::BlockFeed, Verdict::BlockCountry].contains(&shadowed.verdict);
        if modes.iter().all(|mode| *mode != Mode::Enforce) && !listed {
            prop_assert_eq!(shadowed.action(), Action::Pass);
        }
    }

    #[test]
    fn rules_end_when_they_should(now_s in 0u64..10_000_000, ttl_s in 1u64..10_000_000) {
        const SECOND: u64 = 1_000_000_000;
        let (now, ttl) = (now_s * SECOND, ttl_s * SECOND);
        let rule = Rule { expires_at: Rule::expiry(now, ttl), reason: 0, origin: 0, proof: Proof::None as u8 };
        prop_assert!(!rule.expired(now) && !rule.expired(now + ttl - 1));
        prop_assert!(rule.expired(now + ttl + (2 << EXPIRY_SHIFT)));
    }

    /// Whatever others send, in whatever number and under whatever forged address: a source that shares no line
    /// of buckets with them is judged as if they were not there.
    #[test]
    fn no_packet_changes_the_verdict_on_another_source(
        others in vec(source_v4(), 1..200), mine in source_v4(), packets in 1usize..5,
    ) {
        let mut world = World::populated().limits([Rate::new(1, 3); CLASSES]);
        world.settings.seed = 7;
        let line = |source: Ipv4Addr| {
            of_source(Class::Udp, source_key(Family::V4, Address::v4(source.octets())), false, 7).line
        };
        let distinct = |other: &Ipv4Addr| line(*other) != line(mine);
        let frame = |source: Ipv4Addr| {
            netguard_tests::frames::frame().ipv4(&source.to_string(), "198.51.100.1").udp(1, 2).build()
        };
        let alone = world.memory(1 << 40);
        let crowded = world.memory(1 << 40);
        for other in others.iter().filter(|other| **other != mine && distinct(other)) {
            decide(&SliceView(&frame(*other)), &crowded);
        }
        for _ in 0..packets {
            let frame = frame(mine);
            prop_assert_eq!(decide(&SliceView(&frame), &crowded), decide(&SliceView(&frame), &alone));
        }
    }

    /// All addresses of a /64 are one source; another /64 is another. fe80::/10 is the link, on which every
    /// neighbour is a source of its own.
    #[test]
    fn a_slash_64_is_one_source(low in any::<u64>(), other in any::<u64>(), network in any::<u64>()) {
        let on_link = |network: u64| network >> 54 == 0xfe80 >> 6;
        prop_assume!(!on_link(network) && !on_link(network ^ 1));
        let key = |network: u64, host: u64| {
            let address = Ipv6Addr::from(u128::from(network) << 64 | u128::from(host));
            source_key(Family::V6, Address::v6(address.octets()))
        };
        prop_assert_eq!(key(network, low), key(network, other));
        prop_assert_ne!(key(network, low), key(network ^ 1, low));
    }

    /// Whatever address is forged, short of a multicast source (which the sanity stage drops): no IPv6 network and
    /// no neighbour has the key of an IPv4 address.
    #[test]
    fn families_share_no_key(v4 in any::<[u8; 4]>(), near in any::<bool>(), mut v6 in any::<[u8; 16]>()) {
        let v4_key = source_key(Family::V4, Address::v4(v4));
        if near {
            // The network whose bytes are those of the key: the closest that anybody can come.
            v6[..8].copy_from_slice(&v4_key.to_ne_bytes());
            v6[0] = 0x20;
        }
        prop_assume!(v6[0] != 0xff);
        prop_assert_ne!(v4_key, source_key(Family::V6, Address::v6(v6)));
        let aimed = [v4[0], v4[1], v4[2], v4[3], 0, 0, 0xff, 0xff];
        v6[..8].copy_from_slice(&aimed);
        prop_assume!(v6[0] != 0xff);
        prop_assert_ne!(v4_key, source_key(Family::V6, Address::v6(v6)));
    }

    #[test]
    fn fragments_do_not_hide_a_source(offset in 1u16..8_000, more in any::<bool>(), protocol in any::<u8>()) {
        let later = |net: Net| Shape {
            tags: Vec::new(),
            net,
            id: 1,
            transport: netguard_tests::generate::Transport::Other(protocol),
            payload: 8,
            pad: 0,
        };
        let v4 = later(Net::V4 {
            source: Ipv4Addr::new(192, 0, 2, 66),
            destination: Ipv4Addr::new(198, 51, 100, 1),
            ttl: 64,
            options: Vec::new(),
            fragment: Some((offset * 8, more)),
        });
        let v6 = later(Net::V6 {
            source: "2001:db8:bad::1".parse().expect("an address"),
            destination: "2001:db8:1::1".parse().expect("an address"),
            hop_limit: 64,
            extensions: vec![Extension::Fragment(offset * 8, more)],
        });
        prop_assert_eq!(verdict(&World::populated(), &v4.build()), Verdict::BlockAddress);
        prop_assert_eq!(verdict(&World::populated(), &v6.build()), Verdict::BlockAddress);
    }
}
