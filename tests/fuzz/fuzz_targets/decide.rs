//! The datapath under any frame, any modes, any limits and a rule for any source: one judgement, one count,
//! and a shadow never drops.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netguard_common::{
    Action, decide,
    layout::{CLASSES, Rate, Rule, Settings},
    memory::{Memory, network},
    view::SliceView,
};

fuzz_target!(|input: (&[u8], [u8; 8])| {
    let (frame, [modes, list, bits, expiry, rate, burst, hour, address]) = input;
    let settings = Settings {
        sanity: u32::from(modes & 3),
        blocklist: u32::from(modes >> 2 & 3),
        limit: u32::from(modes >> 4 & 3),
        limits: [Rate::new(u32::from(rate), u32::from(burst)); CLASSES],
        sample: Rate::new(u32::from(burst), u32::from(rate)),
        ..Memory::enforcing()
    };
    let enforcing = [settings.sanity, settings.blocklist, settings.limit].contains(&2);
    let mut memory = Memory::new(settings);
    memory.now_ns.set(u64::from(hour) << 40);
    add_rule(&mut memory, frame, list, bits, address, u32::from(expiry) << 8);

    for seen in 1..=3 {
        let judgement = decide(&SliceView(frame), &memory);
        let counters = memory.counters.borrow();
        let total: u64 = counters.iter().map(|counter| counter.packets).sum();
        assert_eq!(total, seen, "each packet is counted once");
        assert!(counters[judgement.counter() as usize].packets > 0);
        assert_eq!(
            counters.iter().map(|counter| counter.bytes).sum::<u64>(),
            seen * frame.len() as u64
        );
        if !enforcing {
            assert_eq!(judgement.action(), Action::Pass, "{judgement:?}");
        }
        if judgement.shadow {
            assert_eq!(
                judgement.verdict.action(),
                Action::Drop,
                "only what would drop has a shadow"
            );
        }
    }
});

/// A rule for an address that is likely the source of the frame: four or sixteen bytes of it.
fn add_rule(memory: &mut Memory, frame: &[u8], list: u8, bits: u8, at: u8, expires_at: u32) {
    let rule = Rule {
        expires_at,
        reason: 0,
        origin: 0,
        proof: 0,
    };
    let at = usize::from(at % 64);
    let v4 = frame
        .get(at..at + 4)
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let v6 = frame
        .get(at..at + 16)
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let bits = u32::from(bits);
    if let Some(address) = v4 {
        let key = (bits % 33, network(&address, bits % 33));
        match list % 3 {
            0 => {
                memory.allow_v4.insert(key, rule);
            }
            1 => {
                memory.block_net_v4.insert(key, rule);
            }
            _ => {
                memory.block_v4.insert(address, rule);
            }
        }
    }
    if let Some(address) = v6 {
        let key = (bits % 129, network(&address, bits % 129));
        match list % 3 {
            0 => {
                memory.allow_v6.insert(key, rule);
            }
            1 => {
                memory.block_net_v6.insert(key, rule);
            }
            _ => {
                memory.block_v6.insert(address, rule);
            }
        }
    }
}
