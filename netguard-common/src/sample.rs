//! Sample stage: tells user space about dropped packets, at most so many a second. What was not sent is
//! carried as the weight of the next sample; what the ring buffer refused is counted.

use crate::{
    Packet,
    decide::Judgement,
    layout::{Rate, Sample, Sampler, Settings},
    limit,
    tables::Tables,
};

/// After that many packets without a sample the clock is read for one in so many; a power of two.
const UNHURRIED: u64 = 8;

/// Reports `packet` if the budget of this CPU allows. Called for packets that were or would be dropped.
#[inline(always)]
pub fn report<T: Tables>(
    packet: &Packet,
    frame_len: u32,
    judgement: Judgement,
    settings: &Settings,
    tables: &T,
) {
    let Some(mut sampler) = tables.sampler() else {
        return;
    };
    sampler.pending = sampler.pending.saturating_add(1);
    // The clock costs as much as all else here: under a flood it is read for every eighth packet, which then stands for all.
    if sampler.pending > UNHURRIED && sampler.pending % UNHURRIED != 0 {
        return;
    }
    let now_ns = tables.now_ns();
    if !due(&mut sampler, &settings.sample, now_ns) {
        return;
    }
    let weight = u32::try_from(sampler.pending).unwrap_or(u32::MAX);
    if tables.emit(&sample(packet, frame_len, judgement, weight, now_ns)) {
        sampler.sent += 1;
        sampler.pending = 0;
    } else {
        sampler.lost += 1;
    }
}

/// Whether the budget has room; no budget sends nothing.
#[inline(always)]
fn due(sampler: &mut Sampler, rate: &Rate, now_ns: u64) -> bool {
    rate.interval_ns != 0 && limit::grant(rate, &mut sampler.due_ns, now_ns)
}

#[inline(always)]
fn sample(packet: &Packet, frame_len: u32, judgement: Judgement, weight: u32, at_ns: u64) -> Sample {
    Sample {
        at_ns,
        source: packet.source.octets(),
        destination: packet.destination.octets(),
        weight,
        frame_len,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        verdict: judgement.verdict.number() as u16,
        shadow: u8::from(judgement.shadow),
        protocol: packet.protocol,
        tcp_flags: packet.tcp_flags().0,
        icmp_type: packet.icmp_type,
        icmp_code: packet.icmp_code,
        hop_limit: packet.hop_limit,
        reserved: [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Field as _;

    #[test]
    fn the_budget_is_a_rate_with_a_burst() {
        let mut sampler = Sampler::ZERO;
        let rate = Rate::new(1_000, 10);
        let sent = (0..100).filter(|_| due(&mut sampler, &rate, 5)).count();
        assert_eq!(sent, 10);
        assert!(due(&mut sampler, &rate, 5 + 1_000_000));
    }

    #[test]
    fn no_budget_sends_nothing() {
        assert!(!due(&mut { Sampler::ZERO }, &Rate::UNLIMITED, 5));
    }
}
