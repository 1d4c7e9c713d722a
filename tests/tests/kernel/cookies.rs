//! The SYN-ACK that the compiled program makes of a SYN, for a socket that listens in a network namespace of the test's own; behind
//! VLAN tags, too, which no laboratory here has.

use std::{fs, net::TcpListener, thread};

use etherparse::{NetSlice, SlicedPacket, TcpHeader, TcpOptionElement, TransportSlice};
use netguard_common::{
    layout::{Cookies, Offer, Rate, Segments},
    offer::{ECN, SACK},
};
use netguard_tests::{
    frames::{Frame, frame},
    world::World,
};
use nix::sched::{CloneFlags, unshare};

use super::{XDP_TX, kernel};

const OWN: [&str; 2] = ["203.0.113.10", "2001:db8:3::10"];
const SOURCE: [&str; 2] = ["192.0.2.1", "2001:db8:1::1"];
const LINUX: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 9];

fn world(timestamps: u32) -> World {
    let mut world = OWN.into_iter().fold(World::new(), World::own);
    world.settings.cookies = Cookies::Always as u32;
    world.settings.answers = Rate::new(1_000_000, 1_000_000);
    world.settings.offer = Offer {
        timestamps,
        allowed: SACK | ECN,
        window_scale: 7,
        expires_at: 0,
    };
    world
}

/// A SYN of either family behind no tag, one or two.
fn syns(options: &[u8]) -> Vec<Frame> {
    let links = [frame(), frame().vlan(7), frame().qinq(5, 7)];
    let all = links
        .into_iter()
        .flat_map(|link| [link.clone().ipv4(SOURCE[0], OWN[0]), link.ipv6(SOURCE[1], OWN[1])]);
    all.map(|frame| frame.tcp(1234, 80).flags("S").seq(77).tcp_options(options))
        .collect()
}

/// Runs `inside` where something listens on port 80 and takes cookies.
fn listening(inside: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may have a network namespace");
            fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").expect("it can be set up");
            let _listener = TcpListener::bind(("::", 80)).expect("nobody else listens here");
            inside();
        });
        done.join().expect("what is inside did not panic");
    });
}

/// The TCP header of `answer`, whose tags are those of `asked` and whose checksums are right.
fn answer(asked: &[u8], answer: &[u8]) -> TcpHeader {
    assert_eq!(answer[..6], asked[6..12]);
    assert_eq!(answer[6..12], asked[..6]);
    let (then, now) = (
        SlicedPacket::from_ethernet(asked).unwrap(),
        SlicedPacket::from_ethernet(answer).unwrap(),
    );
    assert_eq!(now.vlan_ids(), then.vlan_ids());
    let Some(TransportSlice::Tcp(tcp)) = now.transport else {
        panic!("no segment: {answer:02x?}");
    };
    let header = tcp.to_header();
    assert!(tcp.payload().is_empty());
    let checksum = match now.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header().to_header();
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert_eq!(ip.source, [203, 0, 113, 10]);
            header.calc_checksum_ipv4(&ip, &[])
        }
        NetSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), &[]),
        NetSlice::Arp(_) => panic!("no answer"),
    };
    assert_eq!(Ok(header.checksum), checksum);
    assert!(header.syn && header.ack && !header.rst && !header.fin);
    assert_eq!((header.source_port, header.destination_port), (80, 1234));
    assert_eq!(header.acknowledgment_number, 78);
    header
}

#[test]
fn an_answer_has_the_options_of_its_question() {
    use TcpOptionElement::{
        MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale,
    };
    listening(|| {
        let world = world(1);
        let mut object = kernel(&world);
        let program = object.program("netguard_xdp").expect("it loads");
        for syn in syns(&LINUX) {
            let syn = syn.build();
            let (action, made) = program.rewrite(&syn).expect("it runs");
            assert_eq!((action, made.len()), (XDP_TX, syn.len()));
            let header = answer(&syn, &made);
            let options: Vec<_> = header.options_iterator().map(Result::unwrap).collect();
            let [
                MaximumSegmentSize(_),
                SelectiveAcknowledgementPermitted,
                Timestamp(value, 0x0102_0304),
                Noop,
                WindowScale(7),
            ] = options[..]
            else {
                panic!("{options:?}");
            };
            assert_eq!(value & 0x3f, SACK | 9);
            assert!(!header.ece);
            let now_ms = (netguard::clock::monotonic_ns() / 1_000_000) as u32;
            assert!(
                now_ms.wrapping_sub(value) < 10_000,
                "{value} is in the future of {now_ms}"
            );
        }
        // The flags of RFC 3168.
        let (_, made) = program
            .rewrite(&syns(&LINUX)[0].clone().flags("SEC").build())
            .expect("it runs");
        assert!(made[14 + 20 + 13] & 0x40 != 0 && made[14 + 20 + 31] & 0x20 != 0);
    });
}

/// Found in review: a frame of several parts is longer than the first of them.
#[test]
fn an_answer_to_a_padded_question_has_no_padding() {
    listening(|| {
        let world = world(1);
        let mut object = kernel(&world);
        let program = object.program("netguard_xdp").expect("it loads");
        for syn in syns(&LINUX) {
            let short = syn.clone().build().len();
            for len in [100, 1_500, 4_000, 9_000] {
                let (action, made) = program.rewrite(&syn.clone().pad(len).build()).expect("it runs");
                assert_eq!((action, made.len()), (XDP_TX, short), "{len}");
            }
        }
    });
}

#[test]
fn an_answer_without_timestamps_has_a_segment_size_if_there_is_room() {
    use TcpOptionElement::MaximumSegmentSize;
    listening(|| {
        let (with, without) = (world(1), world(0));
        // The daemon that made this offer is long dead.
        let mut ended = world(1);
        ended.settings.offer.expires_at = 1;
        // The answer is as long as the SYN where it has no other options than Linux.
        for (world, options, answered, sizes) in [
            (&without, &LINUX[..], 40, 1),
            (&ended, &LINUX[..], 40, 1),
            (&with, &[2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2], 24, 1),
            (&with, &[2, 4, 5, 180], 24, 1),
            (&with, &[], 20, 0),
        ] {
            let mut object = kernel(world);
            let program = object.program("netguard_xdp").expect("it loads");
            for syn in syns(options) {
                let syn = syn.build();
                let (action, made) = program.rewrite(&syn).expect("it runs");
                assert_eq!(action, XDP_TX);
                assert_eq!(made.len() + 20 + options.len(), syn.len() + answered);
                let header = answer(&syn, &made);
                let options: Vec<_> = header.options_iterator().map(Result::unwrap).collect();
                assert!(matches!(options[..], [MaximumSegmentSize(_)] | []), "{options:?}");
                assert_eq!(options.len(), sizes);
            }
        }
    });
}

/// Found in review: a client with large frames was told to send such ones, whatever the link of this machine carries.
#[test]
fn an_answer_asks_for_no_larger_segments_than_the_link_carries() {
    use TcpOptionElement::MaximumSegmentSize;
    listening(|| {
        // As the client has it, as its cookie does, and what the answer says where the link carries this.
        for (asked, link, answered) in [
            (1_460, [0, 0], [1_460, 1_440]),
            (8_960, [0, 0], [1_460, 8_940]),
            (8_960, [1_460, 1_440], [1_460, 1_440]),
            (1_460, [1_360, 1_340], [1_360, 1_340]),
            (1_400, [8_960, 8_940], [1_300, 1_220]),
        ] {
            let mut world = world(0);
            let [v4, v6] = link;
            world.settings.segments = Segments { v4, v6 };
            let mut object = kernel(&world);
            let program = object.program("netguard_xdp").expect("it loads");
            let [high, low] = u16::to_be_bytes(asked);
            for (syn, wanted) in syns(&[2, 4, high, low])
                .into_iter()
                .zip(answered.into_iter().cycle())
            {
                let syn = syn.build();
                let (action, made) = program.rewrite(&syn).expect("it runs");
                assert_eq!(action, XDP_TX);
                let header = answer(&syn, &made);
                let options: Vec<_> = header.options_iterator().map(Result::unwrap).collect();
                assert_eq!(options, [MaximumSegmentSize(wanted)], "{asked} {link:?}");
            }
        }
    });
}
