//! What the traffic of a window was like, from two readings of the kernel's telemetry: counts by kind and service, and how much
//! sources, ports, sizes and TTLs varied.

use netguard_common::telemetry::{Ended, ServiceTraffic, Telemetry, Traffic};

/// How much something varied, in bits: 0 when it was always the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entropy {
    pub bits: f64,
    /// The most that could have been found: all buckets, or all packets that were seen, alike.
    pub most: f64,
}

impl Entropy {
    /// From 0, always the same, to 1, as different as can be.
    pub fn evenness(self) -> f64 {
        if self.most > 0.0 {
            self.bits / self.most
        } else {
            0.0
        }
    }
}

/// The entropy of a histogram that `seen` packets went into; packets may have weighed more than one.
///
/// Few packets in many buckets look less even than they are: Miller and Madow's correction takes that off, and leaves about
/// `buckets / (12 seen)` bits (for 1024 buckets and 4096 packets 0.02).
pub fn entropy(buckets: &[u32], seen: u64) -> Entropy {
    let total: f64 = buckets.iter().map(|count| f64::from(*count)).sum();
    if total <= 0.0 || seen == 0 {
        return Entropy::default();
    }
    let used = buckets.iter().filter(|count| **count > 0);
    let parts = used.clone().map(|count| f64::from(*count) / total);
    let plain: f64 = parts.map(|part| -part * part.log2()).sum();
    let seen = seen as f64;
    let missing = (used.count() as f64 - 1.0) / (2.0 * std::f64::consts::LN_2 * seen);
    let most = (buckets.len() as f64).min(seen).log2();
    Entropy {
        bits: (plain + missing).min(most).max(0.0),
        most,
    }
}

/// What was counted between two readings.
#[derive(Clone, Debug)]
pub struct TrafficWindow {
    pub length_ns: u64,
    /// By family, then by [`netguard_common::telemetry::Kind`].
    pub traffic: [[Traffic; 16]; 2],
    /// By number of the service.
    pub services: Vec<ServiceTraffic>,
    /// Likewise, and nothing but noughts where nobody counts, as in a replay.
    pub ended: Vec<Ended>,
    /// Of networks, an IPv4 /24 or an IPv6 /48.
    pub source: Entropy,
    pub source_port: Entropy,
    pub destination_port: Entropy,
    pub size: Entropy,
    pub ttl: Entropy,
    /// Connections that came about, as far as anybody counts.
    pub opened: Option<u64>,
}

/// Compares two readings, `length_ns` apart.
pub fn compare(before: &Telemetry, after: &Telemetry, length_ns: u64) -> TrafficWindow {
    let mut traffic = after.traffic;
    for (now, then) in traffic.iter_mut().flatten().zip(before.traffic.iter().flatten()) {
        now.packets = now.packets.wrapping_sub(then.packets);
        now.bytes = now.bytes.wrapping_sub(then.bytes);
        now.dropped = now.dropped.wrapping_sub(then.dropped);
        now.cut = now.cut.wrapping_sub(then.cut);
    }
    let services = after.services.iter().zip(&before.services);
    let ended = after.ended.iter().zip(&before.ended);
    let packets: u64 = traffic.iter().flatten().map(|kind| kind.packets).sum();
    let taken = after.taken.wrapping_sub(before.taken);
    let spread = |now: &[u32], then: &[u32]| {
        let grown: Vec<u32> = now
            .iter()
            .zip(then)
            .map(|(now, then)| now.wrapping_sub(*then))
            .collect();
        let counted: u64 = grown.iter().copied().map(u64::from).sum();
        // As many of the packets that were looked at as have this field at all.
        let seen = (u128::from(taken) * u128::from(counted)).checked_div(u128::from(packets.max(counted)));
        entropy(&grown, seen.unwrap_or(0) as u64)
    };
    TrafficWindow {
        length_ns,
        traffic,
        services: services.map(|(now, then)| service_growth(now, then)).collect(),
        ended: ended.map(|(now, then)| ended_since(now, then)).collect(),
        source: spread(&after.source, &before.source),
        source_port: spread(&after.source_port, &before.source_port),
        destination_port: spread(&after.destination_port, &before.destination_port),
        size: spread(&after.size, &before.size),
        ttl: spread(&after.ttl, &before.ttl),
        opened: None,
    }
}

/// What a service was sent between two readings.
pub fn service_growth(now: &ServiceTraffic, then: &ServiceTraffic) -> ServiceTraffic {
    ServiceTraffic {
        packets: now.packets.wrapping_sub(then.packets),
        bytes: now.bytes.wrapping_sub(then.bytes),
        opening: now.opening.wrapping_sub(then.opening),
        dropped: now.dropped.wrapping_sub(then.dropped),
    }
}

fn ended_since(now: &Ended, then: &Ended) -> Ended {
    Ended {
        connections: now.connections.wrapping_sub(then.connections),
        milliseconds: now.milliseconds.wrapping_sub(then.milliseconds),
    }
}

/// `count` in `length_ns`, a second.
pub fn per_second(count: u64, length_ns: u64) -> u64 {
    let scaled = u128::from(count) * 1_000_000_000;
    let rate = scaled.checked_div(u128::from(length_ns)).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;

    #[test]
    fn the_same_has_no_entropy_and_all_different_has_the_most() {
        assert_eq!(entropy(&[0, 900, 0, 0], 900).bits, 0.0);
        let even = entropy(&[250; 4], 1000);
        assert!((even.bits - 2.0).abs() < 0.01 && even.most == 2.0, "{even:?}");
        assert!((even.evenness() - 1.0).abs() < 0.01);
        assert_eq!(entropy(&[0; 4], 10), Entropy::default());
        assert_eq!(entropy(&[1; 4], 0), Entropy::default());
    }

    /// Without the correction 1000 packets in 1024 even buckets would make about 9.3 bits.
    #[test]
    fn few_packets_do_not_look_alike() {
        let mut buckets = [0; 1024];
        let mut state = 1_u32;
        for _ in 0..1000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            buckets[(state >> 22) as usize] += 1;
        }
        let told = entropy(&buckets, 1000);
        assert!(told.bits > 9.6 && told.bits <= told.most, "{told:?}");
    }

    #[test]
    fn counters_that_wrapped_are_compared() {
        let (mut before, mut after) = (Telemetry::ZERO, Telemetry::ZERO);
        before.ttl[64] = u32::MAX;
        (after.ttl[64], after.ttl[128]) = (99, 100);
        after.taken = 200;
        after.traffic[0][0].packets = 200;
        after.services[3].packets = 20;
        before.ended[3].milliseconds = u64::MAX;
        (after.ended[3].connections, after.ended[3].milliseconds) = (2, 2_999);
        let window = compare(&before, &after, 500_000_000);
        assert!((window.ttl.bits - 1.0).abs() < 0.01, "{:?}", window.ttl);
        assert_eq!(window.services[3].packets, 20);
        let ended = window.ended[3];
        assert_eq!((ended.connections, ended.milliseconds), (2, 3_000));
        assert_eq!(per_second(20, 500_000_000), 40);
        assert_eq!(per_second(20, 0), 0);
    }
}
