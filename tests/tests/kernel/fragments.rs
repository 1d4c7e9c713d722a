//! Fragments in order, out of order, twice and over each other: the kernel remembers what the host does.

use netguard_common::{Judgement, Verdict, decide, layout::Mode, view::SliceView};
use netguard_tests::{
    frames::{Frame, frame},
    world::World,
};

use super::{judge, kernel};

/// First byte, length, whether more follow.
type Piece = (u16, usize, bool);

const WHOLE: [Piece; 3] = [(0, 1480, true), (1480, 1480, true), (2960, 700, false)];

/// Each with the next number, as a host counts.
struct Sender {
    id: u32,
    v6: bool,
}

impl Sender {
    fn packet(&mut self, pieces: &[Piece]) -> Vec<Vec<u8>> {
        self.id += 1;
        pieces.iter().map(|piece| self.frame(*piece).build()).collect()
    }

    fn frame(&self, (offset, len, more): Piece) -> Frame {
        if !self.v6 {
            let ip = frame().ipv4("192.0.2.1", "198.51.100.1").fragment_id(self.id);
            return if offset == 0 {
                ip.fragment(offset, more)
                    .udp(1, 2)
                    .udp_len(3_660)
                    .payload(len - 8)
            } else {
                ip.fragment(offset, more).protocol(17).payload(len)
            };
        }
        let ip = frame().ipv6("2001:db8::1", "2001:db8:1::1").hop_by_hop();
        let ip = ip.fragment(offset, more).fragment_id(self.id);
        // Only the first fragment shows what follows the destination options.
        if offset == 0 {
            ip.dest_options().udp(1, 2).udp_len(3_652).payload(len - 16)
        } else {
            ip.protocol(60).payload(len)
        }
    }
}

/// What becomes of `frames`, one after another, on host and kernel alike.
fn judged(world: &World, frames: &[Vec<u8>]) -> Vec<Judgement> {
    let mut object = kernel(world);
    let program = object.program("netguard_judge").expect("it loads");
    let memory = world.memory(netguard::clock::monotonic_ns());
    let judged = frames.iter().map(|frame| {
        let judgement = judge(&program, frame);
        assert_eq!(judgement, decide(&SliceView(frame), &memory));
        judgement
    });
    judged.collect()
}

#[test]
fn honest_fragments_pass_in_any_order_and_twice() {
    for v6 in [false, true] {
        let mut sender = Sender { id: 7, v6 };
        let mut frames = Vec::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let pieces = order.map(|at: usize| WHOLE[at]);
            frames.extend(sender.packet(&pieces));
            frames.extend(sender.packet(&[pieces, pieces].concat()));
        }
        for judgement in judged(&World::new(), &frames) {
            assert_eq!(judgement.verdict, Verdict::Pass);
        }
    }
}

#[test]
fn overlaps_are_refused() {
    let overlaps: [&[Piece]; 5] = [
        &[(0, 1480, true), (24, 4, false)],
        &[(0, 1480, true), (1472, 16, false)],
        &[(1472, 16, false), (0, 1480, true)],
        &[(0, 1480, true), (1480, 1480, true), (1000, 1480, true)],
        &[(32, 1448, true), (0, 40, true)],
    ];
    for v6 in [false, true] {
        for pieces in overlaps {
            let mut sender = Sender { id: 7, v6 };
            let verdicts: Vec<_> = judged(&World::new(), &sender.packet(pieces))
                .into_iter()
                .map(|judgement| judgement.verdict)
                .collect();
            let mut expected = vec![Verdict::Pass; pieces.len()];
            *expected.last_mut().expect("an overlap") = Verdict::FragmentOverlap;
            assert_eq!(verdicts, expected, "{pieces:?}");
        }
    }
}

#[test]
fn shadow_counts_and_passes() {
    let world = World::new().in_modes([Mode::Shadow, Mode::Enforce, Mode::Enforce]);
    let mut sender = Sender { id: 7, v6: false };
    let overlap = sender.packet(&[(0, 1480, true), (24, 4, false)]);
    let last = judged(&world, &overlap).pop().expect("two judgements");
    assert_eq!((last.verdict, last.shadow), (Verdict::FragmentOverlap, true));
}
