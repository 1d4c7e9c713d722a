//! Head stage: hands the beginning of some packets to user space, passed ones as well, for signatures to be built from and for
//! captures of an attack. It decides nothing.

use crate::{
    Judgement, Packet, Verdict,
    apart::Part,
    hint::mix,
    layout::{Rate, Settings},
    limit,
    tables::Tables,
    verdict::Action,
    view::View,
};

/// Bytes of a packet that are told at the most.
pub const HEAD_LEN: usize = 128;
/// Of the packets that the histograms see one in so many is considered: a power of two.
const ONE_IN: u64 = 1 << ONE_IN_BITS;
const ONE_IN_BITS: u32 = 3;
/// Heads a second and CPU at the most, and at once: of packets that passed, and of those that did not or would not have.
const PASSED: Rate = Rate::new(128, 128);
const REFUSED: Rate = Rate::new(256, 256);

crate::shared! {
    /// The beginning of one packet, told to user space through the ring buffer `HEADS`.
    pub struct Head {
        pub at_ns: u64,
        /// Length of the frame in bytes.
        pub frame_len: u32,
        /// A [`crate::Verdict`] as number.
        pub verdict: u16,
        /// 1: counted only, the packet passed.
        pub shadow: u8,
        /// How many of `bytes` are of the packet; what follows is of no meaning.
        pub captured: u8,
        /// From the Ethernet header on.
        pub bytes: [u8; 128],
    }
}

/// Tells the head of `packet` if it is its turn and the budget of this CPU allows. `taken`: how many packets the histograms saw.
#[inline(always)]
pub fn tell<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    taken: u64,
    judgement: Judgement,
    settings: &Settings,
    tables: &T,
) {
    if !is_turn(taken, settings.seed) {
        return;
    }
    if let Some(mut head) = tables.head() {
        head.verdict = judgement.verdict.number() as u16;
        head.shadow = u8::from(judgement.shadow);
    }
    tables.apart(Part::Head, view, packet, settings);
}

/// Whether it is the turn of the packet that is number `taken`, from 1 on: of each group one, and nobody outside can know which. With a fixed
/// place whoever counts its own packets on a quiet server decides which of them is seen.
#[inline(always)]
const fn is_turn(taken: u64, seed: u64) -> bool {
    let number = taken.wrapping_sub(1);
    let turn = mix(number >> ONE_IN_BITS, seed) >> (u64::BITS - ONE_IN_BITS);
    number % ONE_IN == turn
}

/// Whether the head was told whose verdict stands in [`Tables::head`].
#[inline(always)]
pub(crate) fn emit<V: View, T: Tables>(view: &V, tables: &T) -> bool {
    let (Some(mut sampler), Some(mut head)) = (tables.sampler(), tables.head()) else {
        return false;
    };
    let verdict = Verdict::from_number(u32::from(head.verdict));
    let passed = verdict.is_some_and(|verdict| matches!(verdict.action(), Action::Pass));
    let now_ns = tables.now_ns();
    let granted = if passed {
        limit::grant(&PASSED, &mut sampler.passed_head_due_ns, now_ns)
    } else {
        limit::grant(&REFUSED, &mut sampler.refused_head_due_ns, now_ns)
    };
    if !granted {
        return false;
    }
    head.at_ns = now_ns;
    head.frame_len = view.len();
    head.captured = view.load_head(&mut head.bytes) as u8;
    let is_told = tables.emit_head(&head);
    sampler.heads_lost += u64::from(!is_told);
    is_told
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;
    use crate::{memory::Memory, shared::Field as _, view::SliceView};

    const PASSED: Judgement = Judgement {
        verdict: Verdict::Pass,
        shadow: false,
    };

    fn told(frame: &[u8], judgement: Judgement, packets: u64) -> Vec<Head> {
        let memory = Memory::new(Memory::enforcing());
        memory.now_ns.set(1_000_000_000_000);
        for taken in 1..=packets {
            tell(
                &SliceView(frame),
                &Packet::ZERO,
                taken,
                judgement,
                &memory.settings,
                &memory,
            );
        }
        memory.heads.take()
    }

    #[test]
    fn one_in_eight_is_told_until_the_budget_is_used() {
        assert_eq!(told(&[7; 60], PASSED, 8).len(), 1);
        assert_eq!(told(&[7; 60], PASSED, 800).len(), 100);
        assert_eq!(told(&[7; 60], PASSED, 80_000).len(), 128);
        let verdict = Verdict::LimitUdp;
        for shadow in [false, true] {
            assert_eq!(told(&[7; 60], Judgement { verdict, shadow }, 80_000).len(), 256);
        }
    }

    /// Found in review: whoever sent seven others between what it wanted to hide was never seen.
    #[test]
    fn no_place_among_eight_is_never_seen_nor_always() {
        for seed in [0, 7, u64::MAX] {
            for place in 1..=ONE_IN {
                let packets = (0..8_000).map(|group| group * ONE_IN + place);
                let seen = packets.filter(|taken| is_turn(*taken, seed)).count();
                assert!((850..1_150).contains(&seen), "{seen} at {place}");
            }
            for group in 0..8_000 {
                let turns = (1..=ONE_IN).filter(|place| is_turn(group * ONE_IN + place, seed));
                assert_eq!(turns.count(), 1);
            }
        }
        let differ = (1..=8_000).filter(|taken| is_turn(*taken, 1) != is_turn(*taken, 2));
        assert!(differ.count() > 1_000, "it depends on what nobody outside knows");
    }

    #[test]
    fn no_more_than_the_beginning_is_told() {
        for (len, captured) in [(0, 0), (60, 60), (128, 128), (1500, 128)] {
            let heads = told(&vec![7; len], PASSED, 8);
            assert_eq!(
                (heads[0].frame_len, usize::from(heads[0].captured)),
                (len as u32, captured)
            );
            assert!(heads[0].bytes[..captured].iter().all(|byte| *byte == 7));
        }
    }
}
