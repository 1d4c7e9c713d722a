//! Conversations: the kernel hands on the same of whatever arrives as the host does, byte for byte.

use netguard::bpf::TestObject;
use netguard_common::{
    l7::{HearingLimits, Link, Piece},
    memory::Overheard,
};
use netguard_tests::{
    frames::{Frame, frame},
    generate::any_frame,
    world::World,
};
use proptest::{
    collection::vec,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use super::{SHORTEST, kernel};

type Pieces = Vec<(Piece, Vec<u8>)>;

/// Kernel and host, which listen to the same ports.
struct Both {
    kernel: TestObject,
    host: Overheard,
}

impl Both {
    fn new(ports: &[u16]) -> Self {
        let mut world = World::new();
        world.settings.l7 = HearingLimits::new(1_000_000, 1_000_000);
        let mut kernel = kernel(&world);
        kernel
            .mind_ports(|port| ports.contains(&port))
            .expect("the ports can be written");
        Self {
            kernel,
            host: Overheard::new(world.settings, ports),
        }
    }

    /// What both hand on of a frame that arrives, without the time; `None` when the kernel does not run it: it wants whole IP headers.
    fn hear(&mut self, frame: &[u8]) -> Option<[Pieces; 2]> {
        self.kernel.hear(frame, 1).ok()?;
        let kernel = self.kernel.heard().expect("the ring buffer can be read");
        assert!(kernel.iter().all(|(piece, _)| piece.at_ns != 0));
        let ether_type = u16::from_be_bytes([frame[12], frame[13]]);
        let leaves = false;
        self.host.hear_as(&frame[14..], Link { ether_type, leaves });
        let host = self.host.pieces.take();
        Some([kernel, host].map(|mut pieces| {
            pieces.iter_mut().for_each(|(piece, _)| piece.at_ns = 0);
            pieces
        }))
    }
}

fn said(start: Frame, sequence: u32, bytes: &[u8]) -> Vec<u8> {
    start
        .tcp(40_000, 80)
        .flags("PA")
        .seq(sequence)
        .ack(7)
        .data(bytes)
        .build()
}

#[test]
fn what_clients_say_is_handed_on_whatever_it_comes_in() {
    let mut both = Both::new(&[80]);
    let bytes: Vec<u8> = (0..1400_u32).map(|index| (index * 7) as u8).collect();
    let (v4, v6) = (("192.0.2.1", "198.51.100.1"), ("2001:db8::1", "2001:db8::2"));
    let starts = [
        frame().ipv4(v4.0, v4.1),
        frame().ipv4(v4.0, v4.1).ip_options(&[1; 8]),
        frame().vlan(7).ipv4(v4.0, v4.1),
        frame().qinq(7, 8).ipv4(v4.0, v4.1),
        frame().ipv6(v6.0, v6.1),
        frame().ipv6(v6.0, v6.1).hop_by_hop().dest_options(),
        frame().tag(0x8100, 0x4007).ipv6(v6.0, v6.1),
    ];
    for (turn, start) in (0_u32..).zip(starts) {
        // One after the other, so that a connection goes on where it stood.
        for len in [1, 1400] {
            let sequence = turn * 1401 + if len == 1 { 0 } else { 1 };
            let frame = said(start.clone(), sequence, &bytes[..len]);
            let [kernel, host] = both.hear(&frame).expect("the kernel runs the frame");
            assert_eq!(kernel, host);
            let heard: Vec<u8> = kernel.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            assert_eq!(heard, bytes[..len], "{start:?}");
        }
    }
    let other = frame()
        .ipv4(v4.0, v4.1)
        .tcp(40_000, 81)
        .flags("PA")
        .payload(9)
        .build();
    assert_eq!(both.hear(&other), Some([Pieces::new(), Pieces::new()]));
}

#[test]
fn kernel_and_host_hear_the_same_of_any_frame() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let mut both = Both::new(&all);
    let mut runner = TestRunner::deterministic();
    let (mut heard, mut ran) = (0, 0);
    let frames = vec(any_frame(), 3000).new_tree(&mut runner).expect("frames");
    for frame in frames.current() {
        if frame.len() < SHORTEST {
            continue;
        }
        let Some([kernel, host]) = both.hear(&frame) else {
            continue;
        };
        assert_eq!(kernel, host, "{frame:02x?}");
        (heard, ran) = (heard + kernel.len(), ran + 1);
    }
    println!("{heard} pieces of {ran} frames");
    assert!(ran > 2000 && heard > 50, "{heard} pieces of {ran} frames");
}
