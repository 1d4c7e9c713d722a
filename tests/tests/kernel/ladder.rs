//! Whom the upper rungs of the ladder spare: a service that takes nobody new, and a country that is held at a rate.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
};

use netguard::clock::monotonic_ns;
use netguard_common::{
    Judgement, Verdict, decide,
    layout::{Mode, Question},
    memory::Memory,
    packet::Address,
    state::Standing,
    view::SliceView,
};
use netguard_tests::{
    datagrams::REFLECTORS,
    frames::{Frame, frame},
    world::{World, held_country},
};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket},
};

use super::{judge, kernel, reflection::in_a_network_of_its_own};

/// What host and kernel both make of `frame` in `world`.
fn judged(world: &World, frame: Frame) -> Verdict {
    judged_with(world, &world.memory(monotonic_ns()), frame)
}

/// The same, where the host has the sockets of `memory`.
fn judged_with(world: &World, memory: &Memory, frame: Frame) -> Verdict {
    let frame = frame.build();
    let mut object = kernel(world);
    let judgement: Judgement = judge(&object.program("netguard_judge").expect("it loads"), &frame);
    assert_eq!(decide(&SliceView(&frame), memory), judgement);
    judgement.verdict
}

fn syn(source: &str, flags: &str) -> Frame {
    let start = if source.contains(':') {
        frame().ipv6(source, "2001:db8:1::1")
    } else {
        frame().ipv4(source, "198.51.100.1")
    };
    start.tcp(1234, 80).flags(flags)
}

#[test]
fn a_service_that_takes_nobody_new_serves_who_has_proven_itself() {
    let world = || World::new().broken("tcp/80");
    for source in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(judged(&world(), syn(source, "S")), Verdict::Signature);
        assert_eq!(judged(&world().proven(source), syn(source, "S")), Verdict::Pass);
        assert_eq!(
            judged(&world().allow(source), syn(source, "S")),
            Verdict::PassAllow
        );
        // What opens nothing goes on, whosever it is: a cookie that is returned, too.
        for flags in ["A", "PA", "SA", "R"] {
            assert_eq!(judged(&world(), syn(source, flags)), Verdict::Pass, "{flags}");
        }
    }
    let other = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .tcp(1234, 443)
        .flags("S");
    assert_eq!(judged(&world(), other), Verdict::Pass);
    let udp = World::new().broken("udp/53");
    let query = || {
        frame()
            .ipv4("192.0.2.1", "198.51.100.1")
            .udp(1234, 53)
            .payload(30)
    };
    assert_eq!(judged(&udp, query()), Verdict::Signature);
    assert_eq!(judged(&udp.proven("192.0.2.1"), query()), Verdict::Pass);
}

#[test]
fn a_country_that_is_held_lets_pass_who_has_proven_itself() {
    for (country, source) in [("192.0.2.0/24", "192.0.2.1"), ("2001:db8::/48", "2001:db8::1")] {
        let world = || World::new().list(held_country(), &[country]);
        for flags in ["S", "PA"] {
            assert_eq!(
                judged(&world(), syn(source, flags)),
                Verdict::LimitCountry,
                "{flags}"
            );
            assert_eq!(judged(&world().proven(source), syn(source, flags)), Verdict::Pass);
        }
    }
}

/// Found in review: a mere flood in the name of a country cut the connections that this machine opened to it.
#[test]
fn a_country_that_is_held_lets_pass_what_this_machine_asked() {
    for (own, peer, country) in [
        ("198.51.100.1", "192.0.2.53", "192.0.2.0/24"),
        ("2001:db8:1::1", "2001:db8::53", "2001:db8::/48"),
    ] {
        in_a_network_of_its_own(|| asks(own, peer, country));
    }
}

fn asks(own: &str, peer: &str, country: &str) {
    const TCP: u16 = 39_000;
    const UDP: u16 = 41_000;
    let (own_ip, peer_ip): (IpAddr, IpAddr) = (
        own.parse().expect("an address"),
        peer.parse().expect("an address"),
    );
    let start = || match own_ip {
        IpAddr::V4(_) => frame().ipv4(peer, own),
        IpAddr::V6(_) => frame().ipv6(peer, own),
    };
    let mut world = World::new()
        .minding(Mode::Off, &REFLECTORS, &[own_ip])
        .list(held_country(), &[country]);
    world.settings.reflection.asking_first = 32_768;
    let question = Question {
        peer: Address::of(peer_ip).1,
        own: Address::of(own_ip).1,
        peer_port: 53,
        own_port: 40_000,
        reserved: 0,
    };
    let asked = world.clone().asked(question, u64::MAX);

    let _tcp = asking((own_ip, TCP).into(), (peer_ip, 80).into());
    let udp = UdpSocket::bind((own_ip, UDP)).expect("it can be bound");
    udp.connect((peer_ip, 9_999)).expect("it can be connected");
    let mut memory = world.memory(monotonic_ns());
    memory
        .udp_sockets
        .insert(UDP, Some((Address::of(peer_ip).1.octets(), 9_999)));
    // The answer to its SYN, and nobody else's; nor one that asks.
    for (port, flags, standing, expected) in [
        (TCP, "SA", Standing::Wanted, Verdict::Pass),
        (TCP, "R", Standing::Wanted, Verdict::Pass),
        (TCP, "S", Standing::Wanted, Verdict::LimitCountry),
        (TCP + 1, "SA", Standing::Unknown, Verdict::LimitCountry),
        (TCP + 1, "A", Standing::Unknown, Verdict::LimitCountry),
    ] {
        memory.standing = standing;
        let segment = start().tcp(80, port).flags(flags);
        assert_eq!(judged_with(&world, &memory, segment), expected, "{port} {flags}");
    }
    for (from, to, expected) in [
        (9_999, UDP, Verdict::Pass),
        (9_998, UDP, Verdict::LimitCountry),
        (53, 40_000, Verdict::LimitCountry),
    ] {
        let datagram = start().udp(from, to).payload(30);
        assert_eq!(judged_with(&world, &memory, datagram), expected, "{from} {to}");
    }
    for (to, expected) in [(40_000, Verdict::Pass), (40_001, Verdict::LimitCountry)] {
        let datagram = start().udp(53, to).payload(30);
        assert_eq!(judged(&asked, datagram), expected, "{to}");
    }
}

/// A socket that waits for the answer to its SYN.
fn asking(own: SocketAddr, peer: SocketAddr) -> OwnedFd {
    let family = if own.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let asking = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
    bind(asking.as_raw_fd(), &SockaddrStorage::from(own)).expect("it can be bound");
    let begun = connect(asking.as_raw_fd(), &SockaddrStorage::from(peer));
    assert_eq!(begun, Err(Errno::EINPROGRESS));
    asking
}
