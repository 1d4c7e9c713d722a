//! Whatever a packet is wrapped in and whatever it carries: its source is found, and what holds for the source holds for it.

use netguard::clock::monotonic_ns;
use netguard_common::{
    Action, Verdict, decide,
    layout::{CLASSES, Mode, Rate},
    view::SliceView,
};
use netguard_tests::{
    frames::{Frame, frame},
    world::{PERMANENT, World},
};

use super::{judge, kernel};

type Wrap = (&'static str, fn(Frame) -> Frame);

const TAGS: [Wrap; 5] = [
    ("no tag", |frame| frame),
    ("a VLAN", |frame| frame.vlan(7)),
    ("a service tag", |frame| frame.tag(0x88a8, 7)),
    ("QinQ", |frame| frame.qinq(7, 8)),
    ("three tags", |frame| frame.qinq(7, 8).vlan(9)),
];

const OPTIONS: [Wrap; 3] = [
    ("no options", |frame| frame),
    ("a router alert", |frame| frame.ip_options(&[148, 4, 0, 0])),
    ("options to the brim", |frame| frame.ip_options(&[1; 40])),
];

const EXTENSIONS: [Wrap; 8] = [
    ("no extension", |frame| frame),
    ("hop-by-hop options", Frame::hop_by_hop),
    ("destination options", Frame::dest_options),
    ("a routing header without a way to go", |frame| {
        frame.routing(0, 0)
    }),
    ("a segment routing header", |frame| frame.routing(4, 0)),
    ("an authentication header", |frame| frame.extension(51, &[0; 10])),
    ("an atomic fragment", |frame| frame.fragment(0, false)),
    ("a chain", |frame| {
        frame.hop_by_hop().routing(0, 0).dest_options().fragment(0, false)
    }),
];

/// Every protocol has its numbers from the registry of IANA.
const CONTENTS: [Wrap; 15] = [
    ("a SYN", |frame| frame.tcp(1, 2).flags("S")),
    ("a segment", |frame| frame.tcp(1, 2).flags("A")),
    ("a datagram", |frame| frame.udp(1, 2)),
    ("IGMP", |frame| frame.protocol(2).payload(64)),
    ("IPv4 in IP", |frame| frame.protocol(4).payload(64)),
    ("DCCP", |frame| frame.protocol(33).payload(64)),
    ("IPv6 in IP", |frame| frame.protocol(41).payload(64)),
    ("GRE", |frame| frame.protocol(47).payload(64)),
    ("ESP", |frame| frame.protocol(50).payload(64)),
    ("no next header", |frame| frame.protocol(59)),
    ("OSPF", |frame| frame.protocol(89).payload(64)),
    ("L2TP", |frame| frame.protocol(115).payload(64)),
    ("SCTP", |frame| frame.protocol(132).payload(64)),
    ("UDP-Lite", |frame| frame.protocol(136).payload(64)),
    ("a protocol that nobody has", |frame| {
        frame.protocol(253).payload(64)
    }),
];

/// Sources of the populated world under each kind of rule.
const SOURCES_V4: [(&str, Verdict); 6] = [
    ("192.0.2.66", Verdict::BlockAddress),
    ("198.18.5.5", Verdict::BlockPrefix),
    ("192.0.2.72", Verdict::BlockFeed),
    ("198.51.100.9", Verdict::BlockCountry),
    ("198.18.7.1", Verdict::PassAllow),
    ("192.0.2.1", Verdict::Pass),
];
const SOURCES_V6: [(&str, Verdict); 7] = [
    ("2001:db8::66", Verdict::BlockAddress),
    ("2001:db8:bad::1", Verdict::BlockAddress),
    ("2001:db8:f000::1", Verdict::BlockPrefix),
    ("2001:db8:0:3::2", Verdict::BlockFeed),
    ("2001:db8:0:5::1", Verdict::BlockCountry),
    ("2001:db8:f000:7::1", Verdict::PassAllow),
    ("2001:db8::1", Verdict::Pass),
];

/// Each source in each wrapping with each content.
fn frames() -> impl Iterator<Item = (String, Vec<u8>, Verdict)> {
    let v4 = SOURCES_V4
        .iter()
        .flat_map(|source| OPTIONS.iter().map(move |wrap| (source, wrap)));
    let v6 = SOURCES_V6
        .iter()
        .flat_map(|source| EXTENSIONS.iter().map(move |wrap| (source, wrap)));
    v4.chain(v6).flat_map(|((source, verdict), (wrapped, wrap))| {
        TAGS.iter().flat_map(move |(tagged, tag)| {
            CONTENTS.iter().map(move |(content, fill)| {
                let start = tag(frame());
                let ip = match source.contains(':') {
                    true => start.ipv6(source, "2001:db8:1::1"),
                    false => start.ipv4(source, "198.51.100.1"),
                };
                let name = format!("{source}, {tagged}, {wrapped}, {content}");
                (name, fill(wrap(ip)).build(), *verdict)
            })
        })
    })
}

#[test]
fn nothing_hides_a_source() {
    let world = World::populated();
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    let memory = world.memory(monotonic_ns());
    let mut count = 0;
    for (name, frame, verdict) in frames() {
        count += 1;
        let judgement = judge(&program, &frame);
        assert_eq!((judgement.verdict, judgement.shadow), (verdict, false), "{name}");
        assert_eq!(decide(&SliceView(&frame), &memory), judgement, "{name}");
    }
    assert!(count > 5_000, "{count} frames");
}

/// What a service may not get, it gets in no wrapping, fragments that begin with its port among them.
#[test]
fn nothing_hides_a_port() {
    let first: Wrap = ("a first fragment", |frame| frame.fragment(0, true).fragment_id(9));
    let cut = |world: World, protocol| world.signature(Mode::Enforce, PERMANENT, &[protocol, "port=10000"]);
    let world = cut(cut(World::new(), "protocol=tcp"), "protocol=udp");
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    for protocol in ["tcp", "udp"] {
        let to = |ip: Frame, port: u16| match protocol {
            "tcp" => ip.tcp(1, port).flags("PA").payload(60),
            // As long as the other: fragments with one number are of one packet.
            _ => ip.udp(1, port).payload(72),
        };
        for (tagged, tag) in TAGS {
            let v4 = OPTIONS
                .iter()
                .chain([&first])
                .map(|wrap| (wrap, "192.0.2.1", "198.51.100.1"));
            let v6 = EXTENSIONS
                .iter()
                .chain([&first])
                .map(|wrap| (wrap, "2001:db8::1", "2001:db8:1::1"));
            for ((wrapped, wrap), source, destination) in v4.chain(v6) {
                let start = || match source.contains(':') {
                    true => wrap(tag(frame()).ipv6(source, destination)),
                    false => wrap(tag(frame()).ipv4(source, destination)),
                };
                let name = format!("{protocol} from {source}, {tagged}, {wrapped}");
                assert_eq!(
                    judge(&program, &to(start(), 10_000).build()).verdict,
                    Verdict::Signature,
                    "{name}"
                );
                assert_eq!(
                    judge(&program, &to(start(), 10_001).build()).verdict,
                    Verdict::Pass,
                    "{name}"
                );
            }
        }
    }
}

/// All wrappings of what a source sends are charged to one bucket.
#[test]
fn nothing_hides_from_a_limit() {
    // One packet an hour: the clock of the kernel cannot matter.
    let hourly = Rate {
        interval_ns: 3_600_000_000_000,
        tolerance_ns: 5 * 3_600_000_000_000,
    };
    let mut object = kernel(&World::new().limits([hourly; CLASSES]));
    let program = object.program("netguard_judge").expect("it loads");
    for (v6, wraps) in [(false, &OPTIONS[..]), (true, &EXTENSIONS)] {
        for (content, fill) in [CONTENTS[0], CONTENTS[2], CONTENTS[7]] {
            let frames = TAGS.iter().flat_map(|(_, tag)| {
                wraps.iter().map(move |(_, wrap)| match v6 {
                    true => fill(wrap(tag(frame()).ipv6("2001:db8::1", "2001:db8:1::1"))),
                    false => fill(wrap(tag(frame()).ipv4("192.0.2.1", "198.51.100.1"))),
                })
            });
            let passed = frames
                .filter(|frame| judge(&program, &frame.clone().build()).action() == Action::Pass)
                .count();
            assert_eq!(passed, 5, "{content}, IPv6 {v6}");
        }
    }
}
