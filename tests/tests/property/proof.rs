//! Laws of proof: what no sequence of forged packets can do to the packets of somebody else.
//!
//! A source's verdict rests on what lies under its own key. What many share (a prefix, a service, the look for strays) is
//! named by the verdict and ends with the flood; none of it is a block. Hashed lines that sources share are left out:
//! `bucket.rs` says what of them a source can meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netguard_common::{
    Verdict,
    bucket::{of_prefix, of_source},
    decide,
    layout::{CLASSES, Cookies, Mode, Rate},
    level::prefix_key,
    limit::{Class, source_key},
    memory::Memory,
    packet::Address,
    state::{Reach, Standing},
    syn_ack::Cookie,
    view::SliceView,
};
use netguard_tests::{
    frames::{Frame, frame},
    generate::any_frame,
    world::World,
};
use proptest::{collection::vec, prelude::*};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_000 * SECOND;
const OWN: (&str, &str) = ("198.51.100.1", "2001:db8:1::1");
/// What every limit grants at once.
const BURST: u32 = 40;
/// The packets that laws speak of, see [`packets`].
const SEGMENT: &str = "a segment";
const QUERY: &str = "a query";
const FRAGMENT: &str = "a fragment";

/// A frame, how often it comes, and the time before each.
#[derive(Clone, Debug)]
struct Volley {
    frame: Vec<u8>,
    times: usize,
    gap_ns: u64,
    /// Whether it is sent in the name of the source that the law is about, where the law lets it.
    in_its_name: bool,
}

/// Floods of whatever can be sent, whole, damaged or noise, at most 300,000 packets a second, for less than a second.
fn flood() -> impl Strategy<Value = Vec<Volley>> {
    let address = prop_oneof![any::<u32>(), (0_u32..256).prop_map(|host| 0xc612_0500 + host)];
    let source = (address, any::<u32>()).prop_map(|(v4, v6)| {
        let v6 = 0x2001_0db8_u128 << 96 | u128::from(v6) << 64;
        [Ipv4Addr::from(v4).into(), Ipv6Addr::from(v6).into()]
    });
    let volley = (
        any_frame(),
        source,
        1_usize..200,
        3_000_u64..30_000,
        any::<bool>(),
    );
    let volley = volley.prop_map(|(mut frame, sources, times, gap_ns, in_its_name)| {
        for source in sources {
            send_from(&mut frame, source);
        }
        Volley {
            frame,
            times,
            gap_ns,
            in_its_name,
        }
    });
    vec(volley, 1..60)
}

/// Lets `frame` go from `source` to this machine, if it has room for addresses of that family; netguard looks at no checksum.
fn send_from(frame: &mut [u8], source: IpAddr) {
    let Some((at, ether_type)) = network(frame) else {
        return;
    };
    let ip = &mut frame[at..];
    match source {
        IpAddr::V4(source) if ether_type == 0x0800 && ip.len() >= 20 => {
            ip[12..16].copy_from_slice(&source.octets());
            ip[16..20].copy_from_slice(&parsed::<Ipv4Addr>(OWN.0).octets());
        }
        IpAddr::V6(source) if ether_type == 0x86dd && ip.len() >= 40 => {
            ip[8..24].copy_from_slice(&source.octets());
            ip[24..40].copy_from_slice(&parsed::<Ipv6Addr>(OWN.1).octets());
        }
        _ => {}
    }
}

fn source_of(frame: &[u8]) -> Option<IpAddr> {
    let (at, ether_type) = network(frame)?;
    let ip = &frame[at..];
    match ether_type {
        0x0800 => Some(<[u8; 4]>::try_from(ip.get(12..16)?).ok()?.into()),
        0x86dd => Some(<[u8; 16]>::try_from(ip.get(8..24)?).ok()?.into()),
        _ => None,
    }
}

/// Where the network layer begins, and its Ethernet type.
fn network(frame: &[u8]) -> Option<(usize, u16)> {
    let mut at = 12;
    loop {
        let ether_type = u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]);
        match ether_type {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            _ => return Some((at + 2, ether_type)),
        }
    }
}

/// Somebody honest, outside of the networks that floods come from.
fn honest() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (16_u32 << 24..100 << 24).prop_map(|address| Ipv4Addr::from(address).into()),
        any::<u128>().prop_map(|address| Ipv6Addr::from(0x2a00_u128 << 112 | address >> 16).into()),
    ]
}

/// All policies on, and limits that a flood of a second exceeds.
fn world() -> World {
    let rate = Rate::new(100, BURST);
    let mut world = World::new().limits([rate; CLASSES]).own(OWN.0).own(OWN.1);
    let settings = &mut world.settings;
    settings.levels.prefix = [rate; CLASSES];
    settings.levels.service_udp = rate;
    settings.levels.dns_ports = [53, 0, 0, 0];
    settings.cookies = Cookies::Auto as u32;
    settings.service_syn = rate;
    settings.answers = Rate::new(1_000_000, 1_000_000);
    settings.suspicion.state = Mode::Enforce as u32;
    settings.suspicion.reach = Reach::All as u32;
    settings.suspicion.strays = rate;
    world
}

fn memory(world: &World) -> Memory {
    let mut memory = world.memory(START);
    for port in [53, 443] {
        memory.udp_sockets.insert(port, None);
    }
    memory.listener = Some(Some(Cookie {
        sequence: 7,
        mss: 1_440,
    }));
    memory
}

/// Sends the flood of everybody but `source`, in its name too if `forged`.
fn send(memory: &Memory, flood: &[Volley], source: IpAddr, forged: bool) {
    for volley in flood {
        let mut frame = volley.frame.clone();
        if forged && volley.in_its_name {
            send_from(&mut frame, source);
        } else if source_of(&frame).is_some_and(|other| share_a_line(other, source)) {
            continue;
        }
        for _ in 0..volley.times {
            memory.now_ns.set(memory.now_ns.get() + volley.gap_ns);
            decide(&SliceView(&frame), memory);
        }
    }
}

/// Whether a limit of `one` or of its prefix lies in a line of `other`.
fn share_a_line(one: IpAddr, other: IpAddr) -> bool {
    let seed = Memory::enforcing().seed;
    let lines = |address: IpAddr| -> Vec<u32> {
        let (family, address) = Address::of(address);
        let (key, prefix) = (source_key(family, address), prefix_key(family, address));
        let of_class = |class: &Class| {
            [
                of_source(*class, key, false, seed).line,
                of_source(*class, key, true, seed).line,
                of_prefix(*class, prefix, seed).line,
            ]
        };
        Class::ALL.iter().flat_map(of_class).collect()
    };
    let others = lines(other);
    lines(one).iter().any(|line| others.contains(line))
}

/// What an honest host sends: each kind that has a limit or a state.
fn packets(source: IpAddr) -> Vec<(&'static str, Vec<u8>)> {
    let v6 = source.is_ipv6();
    let ip = |start: Frame| match source {
        IpAddr::V4(source) => start.ipv4(&source.to_string(), OWN.0),
        IpAddr::V6(source) => start.ipv6(&source.to_string(), OWN.1),
    };
    let start = || ip(frame());
    let (ping, path_mtu) = match v6 {
        false => (start().icmp(8, 0), start().icmp(3, 4)),
        true => (start().icmp6(128, 0), start().icmp6(2, 0)),
    };
    let late = start().fragment(1_480, true).protocol(17);
    let frames = [
        (SEGMENT, start().tcp(40_000, 80).flags("PA").payload(99)),
        ("a SYN", start().tcp(40_000, 80).flags("S")),
        (QUERY, start().udp(40_000, 53).payload(40)),
        (
            "a tagged datagram",
            ip(frame().qinq(5, 6)).udp(40_000, 443).payload(40),
        ),
        ("a ping", ping.payload(56)),
        ("a path-MTU message", path_mtu.payload(48)),
        ("a tunnel's packet", start().protocol(47).payload(80)),
        (FRAGMENT, late.fragment_id(77).payload(1_480)),
    ];
    frames.map(|(name, frame)| (name, frame.build())).into()
}

fn key_of(source: IpAddr) -> u64 {
    let (family, address) = Address::of(source);
    source_key(family, address)
}

fn parsed<A: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> A {
    text.parse().expect("an address")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whoever has proven its address loses nothing to others while it stays within a quarter of a service's burst. A
    /// connection that it asks for is answered with a cookie where the service is asked too often.
    #[test]
    fn a_proven_source_is_judged_as_if_it_were_alone(flood in flood(), source in honest()) {
        let (mut alone, mut crowded) = (memory(&world()), memory(&world()));
        for memory in [&mut alone, &mut crowded] {
            memory.proven.insert(key_of(source), START + 600 * SECOND);
        }
        send(&crowded, &flood, source, false);
        alone.now_ns.set(crowded.now_ns.get());
        for memory in [&mut alone, &mut crowded] {
            memory.standing = Standing::Wanted;
        }
        for (name, frame) in packets(source) {
            for _ in 0..BURST / 4 - 1 {
                let (alone, crowded) = (judged(&alone, &frame), judged(&crowded, &frame));
                let asked_to_prove = alone == Verdict::Pass && crowded == Verdict::SynCookie;
                prop_assert!(crowded == alone || asked_to_prove, "{name}: {crowded:?}, not {alone:?}");
            }
        }
    }

    /// An operator's word holds whatever is sent, in the source's own name, too; but for fragments, since forged ones can
    /// overlap those that it sends.
    #[test]
    fn an_allowed_source_always_passes(flood in flood(), source in honest()) {
        let memory = memory(&world().allow(&source.to_string()));
        send(&memory, &flood, source, true);
        for (name, frame) in packets(source) {
            let verdict = judged(&memory, &frame);
            prop_assert!(verdict == Verdict::PassAllow || name == FRAGMENT, "{name}: {verdict:?}");
        }
    }

    /// The kernel's table of sockets vouches for the segments of a connection: no flood cuts it, not in its own name either,
    /// nor what a detector makes of such a flood.
    #[test]
    fn a_connection_goes_on(flood in flood(), source in honest(), found in any::<bool>()) {
        let world = if found { world().block_flooder(&source.to_string()) } else { world() };
        let mut memory = memory(&world);
        send(&memory, &flood, source, true);
        memory.standing = Standing::Wanted;
        let (_, segment) = packets(source).remove(0);
        for _ in 0..10 * BURST {
            prop_assert_eq!(judged(&memory, &segment), Verdict::Pass);
        }
    }

    /// Whom a UDP service knew before the flood it serves as before, up to half of its burst.
    #[test]
    fn a_known_client_is_served_as_before(flood in flood(), source in honest()) {
        let memory = memory(&world());
        let packets = packets(source);
        let (_, query) = packets.iter().find(|(name, _)| *name == QUERY).expect("a query");
        for _ in 0..2 {
            prop_assert_eq!(judged(&memory, query), Verdict::Pass);
            memory.now_ns.set(memory.now_ns.get() + 9 * SECOND);
        }
        send(&memory, &flood, source, false);
        for _ in 0..BURST / 2 - 1 {
            prop_assert_eq!(judged(&memory, query), Verdict::Pass);
        }
    }

    /// A stranger shares what is left with the flood, and its own limits with whoever forges its address. It is never
    /// blocked, and soon after the flood it is judged as ever.
    #[test]
    fn a_stranger_is_never_blocked_and_soon_judged_as_ever(
        flood in flood(), source in honest(), forged in any::<bool>(),
    ) {
        let crowded = memory(&world());
        send(&crowded, &flood, source, forged);
        for (name, frame) in packets(source) {
            let (alone, verdict) = (judged(&memory(&world()), &frame), judged(&crowded, &frame));
            let of_its_own = match name {
                FRAGMENT => forged && verdict == Verdict::FragmentOverlap,
                _ => false,
            } || forged && Class::ALL.iter().any(|class| class.verdict() == verdict);
            let of_all = matches!(
                verdict,
                Verdict::LimitPrefix | Verdict::LimitService | Verdict::DnsTruncate | Verdict::SynCookie
            ) || name == SEGMENT && verdict == Verdict::OutOfState;
            prop_assert!(verdict == alone || of_all || of_its_own, "{name}: {verdict:?}, not {alone:?}");
        }
        crowded.now_ns.set(crowded.now_ns.get() + 20 * SECOND);
        for (name, frame) in packets(source) {
            prop_assert_eq!(judged(&crowded, &frame), judged(&memory(&world()), &frame), "{}", name);
        }
    }
}

fn judged(memory: &Memory, frame: &[u8]) -> Verdict {
    decide(&SliceView(frame), memory).verdict
}
