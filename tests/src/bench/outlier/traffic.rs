//! Made-up traffic with known truth: a server with its day, its crowds and its odd clients, and attacks of every strength. Each number
//! follows from a seed.

use fastrand::Rng;
use netguard::engine::{Features, detect::Class};
use netguard_common::{Verdict, telemetry::Kind};

const TICK_NS: u64 = 50_000_000;
/// Ticks in an hour.
pub(super) const HOUR: u64 = 72_000;

/// What a server gets, tick by tick.
pub(super) struct Traffic {
    random: Rng,
    tick: u64,
    /// How busy it is beside its day, a logarithm that wanders.
    mood: f64,
    event: Event,
    event_ends: u64,
}

/// What is odd and no attack.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    None,
    /// More clients, who behave as clients do.
    Crowd(f64),
    /// Somebody sends much by UDP, and nothing of it is over limits.
    Upload(f64),
    /// Clients over their limits; by strength of a suspicion.
    Greedy(f64),
    /// Somebody's broken stack; by strength.
    Broken(f64),
}

/// An attack: so many times the rate of refused packets (of a SYN flood, of attempts) that a detector minds.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    pub(super) class: Class,
    pub(super) strength: f64,
    /// Of sources that are forged one by one, or of a few.
    pub(super) spread: bool,
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            tick: 0,
            mood: 0.0,
            event: Event::None,
            event_ends: 0,
        }
    }

    /// The next tick, under `attack` or none.
    pub(super) fn next(&mut self, attack: Option<Attack>) -> Features {
        self.tick += 1;
        self.choose();
        self.mood = 0.999 * self.mood + 0.009 * self.normal();
        let day = (self.tick as f64 / (24.0 * HOUR as f64) * std::f64::consts::TAU).sin();
        let busy = (self.mood + 0.5 * day).exp();
        let mut rates = [0.0; Kind::ALL.len()];
        let mut verdicts = vec![0.0; Verdict::COUNT as usize];
        let mut size = 0.5;
        let crowd = if let Event::Crowd(times) = self.event {
            times
        } else {
            1.0
        };
        rates[Kind::Syn as usize] = 120.0 * busy * crowd;
        rates[Kind::Ack as usize] = 900.0 * busy * crowd;
        rates[Kind::Fin as usize] = 100.0 * busy * crowd;
        rates[Kind::Udp as usize] = 300.0 * busy;
        rates[Kind::Icmp as usize] = 3.0;
        rates[Kind::Fragment as usize] = 2.0;
        match self.event {
            Event::Upload(times) => {
                rates[Kind::Udp as usize] *= times;
                size = 0.3;
            }
            Event::Greedy(strength) => {
                rates[Kind::Udp as usize] += 700.0 * strength;
                verdicts[Verdict::LimitUdp.number() as usize] += 500.0 * strength;
            }
            Event::Broken(strength) => {
                rates[Kind::TcpOther as usize] += 100.0 * strength;
                verdicts[Verdict::TcpFlags.number() as usize] += 100.0 * strength;
            }
            Event::None | Event::Crowd(_) => {}
        }
        let calm: f64 = rates.iter().sum();
        let mut evenness = [0.80, 0.35, size, 0.40];
        if let Some(attack) = attack {
            let (kind, threshold, verdict) = of(attack.class);
            let rate = attack.strength * threshold;
            rates[kind as usize] += rate;
            verdicts[verdict.number() as usize] += 0.95 * rate;
            // Its packets are alike but for their sources; the more of them there are, the more that shows.
            let part = rate / (rate + calm);
            let own = if attack.spread {
                [0.98, 0.0, 0.0, 0.9]
            } else {
                [0.1, 0.0, 0.0, 0.0]
            };
            for (even, own) in evenness.iter_mut().zip(own) {
                *even += part * (own - *even);
            }
        }
        self.features(rates, verdicts, evenness)
    }

    fn features(
        &mut self,
        rates: [f64; Kind::ALL.len()],
        verdicts: Vec<f64>,
        evenness: [f64; 4],
    ) -> Features {
        let seconds = TICK_NS as f64 / 1e9;
        let mut counted = |rate: f64| {
            let count = rate * seconds;
            let noise = count.sqrt() * self.normal();
            (count + noise).round().max(0.0) / seconds
        };
        let kinds = rates.map(&mut counted);
        let verdicts: Vec<f64> = verdicts.into_iter().map(counted).collect();
        let mut refused = [0.0; Kind::ALL.len()];
        refused[0] = verdicts.iter().sum();
        let mean_size = 90.0 + 700.0 * kinds[Kind::Udp as usize] / kinds.iter().sum::<f64>().max(1.0);
        let [source, destination_port, size, ttl] =
            evenness.map(|even| Some((even + 0.02 * self.normal()).clamp(0.0, 1.0)));
        Features {
            at_ns: self.tick * TICK_NS,
            length_ns: TICK_NS,
            bytes: kinds.iter().sum::<f64>() * mean_size,
            kinds,
            refused,
            verdicts,
            source,
            destination_port,
            size,
            ttl,
            ..Features::default()
        }
    }

    /// Something odd begins about every two minutes and lasts half of one.
    fn choose(&mut self) {
        if self.tick >= self.event_ends && self.event != Event::None {
            self.event = Event::None;
        }
        if self.event == Event::None && self.random.u64(..2_400) == 0 {
            let strength = 0.3 + 0.45 * self.random.f64();
            self.event = match self.random.u8(..4) {
                0 => Event::Crowd(1.0 + 4.0 * strength),
                1 => Event::Upload(1.0 + 6.0 * strength),
                2 => Event::Greedy(strength),
                _ => Event::Broken(strength),
            };
            self.event_ends = self.tick + self.random.u64(200..1_000);
        }
    }

    /// A number of the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.random.f64(), self.random.f64());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// What an attack is made of, the rate that its detector minds, and what becomes of its packets.
fn of(class: Class) -> (Kind, f64, Verdict) {
    match class {
        Class::SynFlood => (Kind::Syn, 1_600.0, Verdict::LimitSyn),
        Class::SegmentFlood => (Kind::Ack, 300.0, Verdict::OutOfState),
        Class::Reflection => (Kind::Udp, 200.0, Verdict::Reflection),
        Class::IcmpFlood => (Kind::Icmp, 200.0, Verdict::LimitIcmp),
        Class::FragmentFlood => (Kind::Fragment, 100.0, Verdict::FragmentOverlap),
        Class::ProtocolFlood => (Kind::Other, 500.0, Verdict::LimitOther),
        Class::Malformed => (Kind::TcpOther, 100.0, Verdict::TcpFlags),
        _ => (Kind::Udp, 500.0, Verdict::LimitUdp),
    }
}
