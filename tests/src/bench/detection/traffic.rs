//! Made-up captures with known truth: honest clients of a server, crowds of them, and floods. Each frame follows from a seed; what the server
//! answers is in the capture, as far as a replay looks at it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use fastrand::Rng;

use super::plots::Attack;
use crate::{
    frames::{Frame, frame},
    pcap::{ETHERNET, Writer},
};

pub(super) const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// The server.
pub(super) const SERVERS: [&str; 2] = ["198.51.100.1", "2001:db8:1::1"];
/// Where all honest sources are, and no attacker.
pub(super) const HONEST: [&str; 2] = ["60.0.0.0/8", "2a00:60::/32"];
/// What is kept of a frame: its headers.
const KEPT: usize = 96;
/// Linux sends no more messages a second that tell of closed ports (`net.ipv4.icmp_msgs_per_sec`).
const UNREACHABLE_EVERY: u64 = MS;
/// Clients were there before somebody began to look: they did not all come at once.
const UNSEEN: u64 = 200 * MS;
/// A pulse, and from one to the next.
const PULSE: u64 = 100 * MS;
const PULSES_EVERY: u64 = 500 * MS;

/// A capture that is being made up.
pub(super) struct Scene {
    pub(super) random: Rng,
    pub(super) is_v6: bool,
    frames: Vec<(u64, Vec<u8>)>,
}

impl Scene {
    pub(super) fn new(seed: u64, is_v6: bool) -> Self {
        Self {
            random: Rng::with_seed(seed),
            is_v6,
            frames: Vec::new(),
        }
    }

    /// Writes it in the order of time, but for its very beginning.
    pub(super) fn write(mut self, path: &Path) -> io::Result<()> {
        self.frames.sort_by_key(|(at_ns, _)| *at_ns);
        let mut writer = Writer::create(path, ETHERNET)?;
        for (at_ns, frame) in self.frames.iter().filter(|(at_ns, _)| *at_ns >= UNSEEN) {
            writer.cut(*at_ns, frame, KEPT)?;
        }
        writer.end()
    }

    /// Honest clients, so many connections a second from `users` sources.
    pub(super) fn clients(&mut self, from: u64, to: u64, per_second: u64, users: u32) {
        for number in 0..(to - from) * per_second / SECOND {
            let jitter = self.random.u64(0..SECOND / per_second);
            let client = self.honest(users);
            self.connection(from + number * SECOND / per_second + jitter, &client);
            if number.is_multiple_of(10) {
                self.question(from + number * SECOND / per_second);
            }
        }
    }

    /// A page is asked for, and got; some ping before, and some talk QUIC beside.
    fn connection(&mut self, at: u64, client: &str) {
        let port = self.random.u16(1_024..);
        let (ours, theirs) = (self.random.u32(..), self.random.u32(..));
        let to = |scene: &Self, flags: &str, seq: u32, ack: u32| {
            scene
                .arriving(client)
                .tcp(port, 443)
                .flags(flags)
                .seq(theirs.wrapping_add(seq))
                .ack(ours.wrapping_add(ack))
        };
        let back = |scene: &Self, flags: &str, seq: u32, ack: u32| {
            scene
                .leaving(client)
                .tcp(443, port)
                .flags(flags)
                .seq(ours.wrapping_add(seq))
                .ack(theirs.wrapping_add(ack))
        };
        let trip = self.random.u64(5 * MS..60 * MS);
        self.at(at, to(self, "S", 0, 0).tcp_options(&[2, 4, 5, 180]));
        self.at(at + MS / 5, back(self, "SA", 0, 1).tcp_options(&[2, 4, 5, 180]));
        self.at(at + trip, to(self, "A", 1, 1));
        self.at(at + trip + MS / 10, to(self, "PA", 1, 1).payload(300));
        self.at(at + trip + 5 * MS, back(self, "PA", 1, 301).payload(1_200));
        self.at(at + 2 * trip + 5 * MS, to(self, "A", 301, 1_201));
        self.at(at + 2 * trip + 6 * MS, to(self, "FA", 301, 1_201));
        self.at(at + 2 * trip + 7 * MS, back(self, "FA", 1_201, 302));
        self.at(at + 3 * trip + 7 * MS, to(self, "A", 302, 1_202));
        if self.random.u8(..) < 25 {
            self.at(at, self.echo(client));
        }
        for datagram in 0..self.random.u64(0..8) / 4 * 6 {
            let quic = self.arriving(client).udp(port, 443).payload(600);
            self.at(at + datagram * 7 * MS, quic);
        }
    }

    /// So many connections that are made at first and stand, with so many segments a second by which clients send something.
    pub(super) fn connected(&mut self, from: u64, to: u64, connections: u32, per_second: u64) {
        let ends: Vec<(String, u16, u32, u32)> = (0..connections)
            .map(|_| {
                let (port, ours, theirs) =
                    (self.random.u16(1_024..), self.random.u32(..), self.random.u32(..));
                (self.honest(connections), port, ours, theirs)
            })
            .collect();
        for (client, port, ours, theirs) in &ends {
            let to = self.arriving(client).tcp(*port, 443);
            let back = self.leaving(client).tcp(443, *port);
            self.at(from, to.clone().flags("S").seq(*theirs));
            let answer = back.flags("SA").seq(*ours).ack(theirs.wrapping_add(1));
            self.at(from + MS / 5, answer);
            let acknowledgement = to
                .flags("A")
                .seq(theirs.wrapping_add(1))
                .ack(ours.wrapping_add(1));
            self.at(from + 10 * MS, acknowledgement);
        }
        for number in 0..(to - from) * per_second / SECOND {
            let at = from + 20 * MS + number * SECOND / per_second;
            let Some((client, port, ours, theirs)) = ends.get(self.random.usize(0..ends.len())) else {
                return;
            };
            let segment = self.arriving(client).tcp(*port, 443).flags("PA");
            // As far as anybody looks, the same is sent again.
            let segment = segment.seq(theirs.wrapping_add(1)).ack(ours.wrapping_add(1));
            self.at(at, segment.payload(100));
        }
    }

    /// For datagrams each of so many services is asked so often, by a few honest sources whom the server answers, or by forged ones.
    pub(super) fn asked(&mut self, from: u64, to: u64, services: u16, each_per_s: u64, is_calm: bool) {
        for number in 0..(to - from) * each_per_s / SECOND {
            let at = from + number * SECOND / each_per_s;
            for service in 0..services {
                let source = match is_calm {
                    true => self.honest(20),
                    false => self.attacker(Attack::SynForged),
                };
                let port = self.random.u16(1_024..);
                let question = self.arriving(&source).udp(port, 2_000 + service);
                self.at(at, question.payload(30));
                if is_calm {
                    let answer = self.leaving(&source).udp(2_000 + service, port);
                    self.at(at + MS, answer.payload(60));
                }
            }
        }
    }

    /// The server asks its name server, which answers.
    fn question(&mut self, at: u64) {
        let port = self.random.u16(32_768..);
        let server = ["60.9.9.9", "2a00:60::9"][usize::from(self.is_v6)];
        self.at(at, self.leaving(server).udp(port, 53).payload(40));
        self.at(at + 9 * MS, self.arriving(server).udp(53, port).payload(200));
    }

    /// A flood; in the capture from `start` on.
    pub(super) fn flood(&mut self, attack: Attack, start: u64, end: u64, per_second: u64) {
        let mut told_until = 0;
        for number in 0..(end - start) * per_second / SECOND {
            let mut since = number * SECOND / per_second;
            if attack == Attack::Pulse {
                let within = since % PULSES_EVERY;
                since = since - within + within * PULSE / PULSES_EVERY;
            }
            let (at, source) = (start + since, self.attacker(attack));
            let port = self.random.u16(1_024..);
            let arriving = self.arriving(&source);
            let flood = match attack {
                Attack::SynForged | Attack::SynFixed | Attack::Pulse => {
                    let syn = arriving.tcp(port, 443).flags("S").seq(self.random.u32(..));
                    syn.tcp_options(&[2, 4, 5, 180])
                }
                Attack::Ack => {
                    // No connection has it: the server says so.
                    let reset = self.leaving(&source).tcp(443, port).flags("R");
                    self.at(at + MS / 20, reset);
                    arriving.tcp(port, 443).flags("A").ack(self.random.u32(..))
                }
                Attack::SynAck => {
                    let reset = self.leaving(&source).tcp(port, 443).flags("R");
                    self.at(at + MS / 20, reset);
                    let answer = arriving.tcp(443, port).flags("SA");
                    answer.seq(self.random.u32(..)).ack(self.random.u32(..))
                }
                Attack::Udp => {
                    if at >= told_until {
                        told_until = at + UNREACHABLE_EVERY;
                        self.at(at + MS / 20, self.unreachable(&source));
                    }
                    arriving.udp(port, 9_999).payload(64)
                }
                Attack::Icmp => self.echo(&source),
                Attack::Fragments => {
                    let offset = 8 * self.random.u16(1..8);
                    arriving.fragment(offset, true).protocol(17).payload(24)
                }
                Attack::Dns => arriving.udp(53, port).payload(1_200),
                Attack::Ntp => arriving.udp(123, port).payload(440),
                Attack::Malformed => arriving.tcp(port, 443).flags("SF").seq(self.random.u32(..)),
            };
            self.at(at, flood);
        }
    }

    fn at(&mut self, at_ns: u64, frame: Frame) {
        self.frames.push((at_ns, frame.build()));
    }

    fn arriving(&self, source: &str) -> Frame {
        if self.is_v6 {
            frame().ipv6(source, SERVERS[1])
        } else {
            frame().ipv4(source, SERVERS[0])
        }
    }

    fn leaving(&self, client: &str) -> Frame {
        if self.is_v6 {
            frame().ipv6(SERVERS[1], client)
        } else {
            frame().ipv4(SERVERS[0], client)
        }
    }

    fn echo(&self, source: &str) -> Frame {
        let frame = self.arriving(source);
        let echo = if self.is_v6 {
            frame.icmp6(128, 0)
        } else {
            frame.icmp(8, 0)
        };
        echo.payload(56)
    }

    fn unreachable(&self, source: &str) -> Frame {
        let frame = self.leaving(source);
        let told = if self.is_v6 {
            frame.icmp6(1, 4)
        } else {
            frame.icmp(3, 3)
        };
        told.payload(60)
    }

    /// One of `users` honest sources.
    fn honest(&mut self, users: u32) -> String {
        let user = 256 + self.random.u32(0..users);
        match self.is_v6 {
            true => format!("2a00:60:0:{user:x}::7"),
            false => Ipv4Addr::from((60 << 24) + user).to_string(),
        }
    }

    /// Anybody, or one of those that `attack` comes from.
    fn attacker(&mut self, attack: Attack) -> String {
        let number = match attack.sources() {
            Some(sources) => self.random.u32(0..sources) * 0x0001_3579,
            None => self.random.u32(..),
        };
        if self.is_v6 {
            let network = (0x2a01 << 112) | (u128::from(number) << 64) | 0x1234;
            return Ipv6Addr::from(network).to_string();
        }
        // 64/2, where nobody honest is and no address is reserved but 100.64/10 and 127/8.
        let address = (1 << 30) | (number >> 2);
        let reserved = address >> 24 == 127;
        Ipv4Addr::from(if reserved { address - (1 << 24) } else { address }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is_v6: bool) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut scene = Scene::new(7, is_v6);
        scene.clients(0, SECOND, 50, 100);
        for attack in Attack::ALL {
            scene.flood(attack, SECOND / 2, SECOND, 1_000);
        }
        scene.write(file.path()).unwrap();
        std::fs::read(file.path()).unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_capture() {
        assert_eq!(written(false), written(false));
        assert_eq!(written(true), written(true));
        assert!(written(true) != written(false));
    }

    #[test]
    fn a_pulse_pauses_and_no_attacker_is_honest() {
        let early = |attack| {
            let mut scene = Scene::new(1, false);
            scene.flood(attack, 0, SECOND, 1_000);
            let early = scene.frames.iter().filter(|(at, _)| *at < PULSE);
            (early.count(), scene.frames.len())
        };
        assert_eq!(early(Attack::SynForged), (100, 1_000));
        assert_eq!(early(Attack::Pulse), (500, 1_000));
        let mut scene = Scene::new(2, false);
        for _ in 0..10_000 {
            let address: Ipv4Addr = scene.attacker(Attack::SynForged).parse().unwrap();
            let [first, ..] = address.octets();
            assert!((64..127).contains(&first), "{address}");
        }
    }
}
