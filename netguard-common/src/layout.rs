//! The structs that lie in BPF maps and ring buffers, and the fingerprint of them all.
//!
//! Addresses are in network byte order; all other integers in the byte order of the machine.

mod fingerprint;

#[cfg(doc)]
use crate::verdict::Verdict;
use crate::{connection::ConnectionLimits, l7::HearingLimits, packet::Address, shared::Field};

pub use fingerprint::{FINGERPRINT, FINGERPRINT_SECTION};

/// Room for limited traffic classes, see [`crate::limit::Class`]. A power of two: an index is masked, which LLVM and the
/// kernel's verifier see alike, unlike a bounds check.
pub const CLASSES: usize = 8;

crate::shared! {
    /// What the daemon tells the datapath; one entry of the map `SETTINGS`.
    pub struct Settings {
        /// Mode of the sanity stage: a [`Mode`] as number.
        pub sanity: u32,
        /// Mode of the block stage: a [`Mode`] as number.
        pub blocklist: u32,
        /// Mode of the limit stage: a [`Mode`] as number.
        pub limit: u32,
        /// When services are answered for: a [`Cookies`] as number.
        pub cookies: u32,
        /// Secret that spreads sources over lines and cells, so that nobody can aim at those of another.
        pub seed: u64,
        /// Samples per second and CPU, as the interval between two of them.
        pub sample: Rate,
        /// Limits by [`crate::limit::Class`].
        pub limits: [Rate; 8],
        /// Connection attempts at one service, from which on it is answered for.
        pub service_syn: Rate,
        /// Answers per second and CPU.
        pub answers: Rate,
        /// Ports that are not answered for; 0 for none.
        pub cookies_except: [u16; 16],
        pub suspicion: Suspicion,
        /// Limits of many sources together.
        pub levels: Levels,
        pub reflection: Reflection,
        pub telemetry: TelemetrySettings,
        pub offer: Offer,
        pub segments: Segments,
        pub connections: ConnectionLimits,
        pub l7: HearingLimits,
    }

    /// What becomes of packets that are well formed and yet belong to nobody.
    pub struct Suspicion {
        /// Mode of the state stage: a [`Mode`] as number.
        pub state: u32,
        /// Where it may refuse: a [`crate::state::Reach`] as number.
        pub reach: u32,
        /// Segments without a connection, and as many datagrams to closed ports, per second and CPU, that are left to the kernel.
        pub strays: Rate,
        /// Mode of the signature stage, above that of each signature: a [`Mode`] as number.
        pub signatures: u32,
        /// Mode of the floor of TLS, above that of each service: a [`Mode`] as number.
        pub tls: u32,
    }

    /// Limits of many sources together, see [`crate::level`], and what becomes of DNS queries over a limit.
    pub struct Levels {
        /// Limits of a prefix by [`crate::limit::Class`]; control messages have none.
        pub prefix: [Rate; 8],
        /// Packets to one UDP port that has no entry in `SERVICES`.
        pub service_udp: Rate,
        /// ICMP messages of all sources together that are no control messages.
        pub service_icmp: Rate,
        /// UDP ports whose queries over a limit are answered, see [`crate::dns`]; 0 for none.
        pub dns_ports: [u16; 4],
    }

    /// Whether traffic is described, see [`crate::telemetry`].
    pub struct TelemetrySettings {
        /// 0: it is not.
        pub on: u32,
        /// The entry of `SKETCHES` that is written.
        pub generation: u32,
    }

    /// What answers in the name of services may offer, see [`crate::offer`]: what the kernel's own settings let it take.
    pub struct Offer {
        /// 1: timestamps that can carry options. 0: neither these nor options.
        pub timestamps: u32,
        /// [`crate::offer::SACK`] and [`crate::offer::ECN`].
        pub allowed: u32,
        /// The window scale that sockets have here, or [`crate::offer::UNSCALED`].
        pub window_scale: u32,
        /// When all this ends, as that of a [`Rule`].
        pub expires_at: u32,
    }

    /// An entry of the map `SERVICES`: what holds for one service instead of the common settings. The first entry is
    /// that of no service.
    pub struct Service {
        /// TCP: connection attempts from which on it is answered for. UDP: packets.
        pub rate: Rate,
        pub port: u16,
        /// IP protocol number, 0 for an entry that is free.
        pub protocol: u8,
        /// When it is answered for, a [`Cookies`] as number; TCP only.
        pub cookies: u8,
        /// What becomes of handshakes below the floor, see [`crate::tls`]: a [`Mode`] as number; TCP only. In the first entry: whether any service
        /// has such a policy.
        pub tls: u8,
        /// 1: the common rate holds, and when the common settings say so it is answered for.
        pub common: u8,
        /// The lowest version of TLS that leaves; 0: that of TLS 1.3.
        pub tls_minimum: u16,
    }

    /// What the reflection stage goes by, see [`crate::reflection`].
    pub struct Reflection {
        /// Mode of the stage: a [`Mode`] as number.
        pub mode: u32,
        /// The first and the last port that the kernel chooses for who asks.
        pub asking_first: u16,
        pub asking_last: u16,
        /// A bit for each of `ports` modulo 256: most ports are none of them, and one look says so.
        pub hints: [u64; 4],
        /// Ports that reflectors answer from; 0 for none.
        pub ports: [u16; 32],
        /// Own ports that may be spoken to from such ports by who was not asked; 0 for none.
        pub services: [u16; 16],
        /// How long a question is remembered.
        pub remember_ns: u64,
        /// Until then, answers may come to questions that were asked before anybody remembered them.
        pub grace_until_ns: u64,
        /// Later fragments from all addresses together that were not asked.
        pub fragments: Rate,
    }

    /// The largest TCP segments that the protected interfaces can take, which no answer may ask for more than. 0: nobody knows.
    pub struct Segments {
        pub v4: u32,
        pub v6: u32,
    }

    /// A rate with a burst in the form that GCRA needs.
    pub struct Rate {
        /// 10^9 / rate per second; 0 means unlimited.
        pub interval_ns: u64,
        /// burst x interval.
        pub tolerance_ns: u64,
    }

    /// An entry of an allow or block table.
    pub struct Rule {
        /// When it ends, in units of 2^30 ns (1.07 s) of the monotonic clock; 0: never.
        pub expires_at: u32,
        /// A [`crate::rule::Reason`] as number.
        pub reason: u16,
        /// A [`crate::rule::Origin`] as number.
        pub origin: u8,
        /// A [`crate::rule::Proof`] as number.
        pub proof: u8,
    }

    /// Key of the map `BLOCK_WIDE_V4`.
    pub struct NetworkV4 {
        pub address: [u8; 4],
        /// Prefix length.
        pub bits: u32,
    }

    /// Packets and bytes of one verdict on one CPU.
    pub struct Counter {
        pub packets: u64,
        pub bytes: u64,
    }

    /// State of the sample stage on one CPU.
    pub struct Sampler {
        /// GCRA's theoretical arrival time of the next sample.
        pub due_ns: u64,
        /// Packets worth a sample since the last one that was sent.
        pub pending: u64,
        /// Samples handed to user space.
        pub sent: u64,
        /// Samples lost because the ring buffer was full.
        pub lost: u64,
        /// Connection attempts over the rate of their service.
        pub cookies_wanted: u64,
        /// When the next head may be told, as `due_ns`: of a packet that passed, and of one that did not.
        pub passed_head_due_ns: u64,
        pub refused_head_due_ns: u64,
        /// Heads lost because their ring buffer was full.
        pub heads_lost: u64,
    }

    /// One dropped (or shadow-dropped) packet, told to user space through the ring buffer `SAMPLES`.
    pub struct Sample {
        pub at_ns: u64,
        /// IPv4 as IPv4-mapped IPv6 (`::ffff:a.b.c.d`).
        pub source: [u8; 16],
        pub destination: [u8; 16],
        /// How many dropped packets this one stands for, itself included.
        pub weight: u32,
        /// Length of the frame in bytes.
        pub frame_len: u32,
        /// 0 where the packet has no ports.
        pub source_port: u16,
        pub destination_port: u16,
        /// A [`Verdict`] as number.
        pub verdict: u16,
        /// 1: counted only, the packet passed.
        pub shadow: u8,
        /// IP protocol number.
        pub protocol: u8,
        pub tcp_flags: u8,
        pub icmp_type: u8,
        pub icmp_code: u8,
        pub hop_limit: u8,
        pub reserved: [u8; 4],
    }

    /// Key of the map `NOTES`: the rule that a note explains.
    pub struct NoteKey {
        /// IPv4 as IPv4-mapped IPv6, with the prefix length counted in IPv6 bits.
        pub address: [u8; 16],
        pub prefix_len: u32,
        /// 0: allowlist, 1: blocklist.
        pub list: u32,
    }

    /// Why an operator made a rule, in their words: UTF-8, zero-filled.
    pub struct Note {
        pub text: [u8; 64],
    }

    /// Key of the map `QUESTIONS`: whom this machine asked, and from where.
    pub struct Question {
        /// All zero: everybody on the link, by a multicast or broadcast.
        pub peer: Address,
        pub own: Address,
        /// Both ports are 0 in the key by which later fragments of answers are known.
        pub peer_port: u16,
        pub own_port: u16,
        pub reserved: u32,
    }
}

/// Whether a policy is off, only counted, or enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    Off = 0,
    Shadow = 1,
    Enforce = 2,
}

/// When a SYN is answered with a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cookies {
    Off = 0,
    /// When the service is asked faster than its rate.
    Auto = 1,
    Always = 2,
}

impl Cookies {
    /// The member with `number`; unknown numbers are `Off`.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Auto,
            2 => Self::Always,
            _ => Self::Off,
        }
    }
}

impl Mode {
    /// The one of both that does less.
    #[inline(always)]
    pub const fn at_most(self, most: Self) -> Self {
        if (self as u32) < most as u32 { self } else { most }
    }

    /// The mode with `number`; unknown numbers are `Off`: what nobody asked for is not enforced.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Shadow,
            2 => Self::Enforce,
            _ => Self::Off,
        }
    }
}

/// Whether `wanted` is one of `places`, of which those that are free hold 0.
#[inline(always)]
pub(crate) fn contains<T: Field + PartialEq, const N: usize>(places: &[T; N], wanted: T) -> bool {
    let mut index = 0;
    while index < N {
        if places[index] == wanted {
            return wanted != T::ZERO;
        }
        index += 1;
    }
    false
}

/// Rates are kept in multiples of this, see [`crate::bucket`].
pub const UNIT_NS: u64 = 4;

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self::ZERO;

    /// `per_second` packets with bursts of `burst`; 0 per second means unlimited.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        if per_second == 0 {
            return Self::UNLIMITED;
        }
        let interval_ns = (1_000_000_000 / per_second as u64) & !(UNIT_NS - 1);
        let interval_ns = if interval_ns == 0 { UNIT_NS } else { interval_ns };
        Self {
            interval_ns,
            tolerance_ns: interval_ns * burst as u64,
        }
    }

    /// Packets per second; 0 means unlimited.
    pub const fn per_second(&self) -> u64 {
        match 1_000_000_000_u64.checked_div(self.interval_ns) {
            Some(rate) => rate,
            None => 0,
        }
    }

    /// Packets that may come at once; 0 means unlimited.
    pub const fn burst(&self) -> u64 {
        match self.tolerance_ns.checked_div(self.interval_ns) {
            Some(burst) => burst,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_keeps_its_burst() {
        assert_eq!(
            Rate::new(50, 200),
            Rate {
                interval_ns: 20_000_000,
                tolerance_ns: 4_000_000_000
            }
        );
        assert_eq!(
            (Rate::new(50, 200).per_second(), Rate::new(50, 200).burst()),
            (50, 200)
        );
        assert_eq!(Rate::new(0, 7), Rate::UNLIMITED);
    }

    #[test]
    fn an_unknown_mode_enforces_nothing() {
        assert_eq!(Mode::from_number(2), Mode::Enforce);
        assert_eq!(Mode::from_number(77), Mode::Off);
    }
}
