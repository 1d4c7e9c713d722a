//! What the server of a capture serves, by what it answered: who asks where it refuses asks where nobody is. A replay has no sockets to ask. What
//! was not answered is not known.

use std::collections::BTreeSet;

use netguard_common::{
    Packet,
    packet::{TcpFlags, Transport, protocol},
};

use super::handshakes::word;
use crate::{
    config::ServicePort,
    engine::{campaign::Target, seen::Seen},
};

/// The first port that Linux gives to sockets which ask for none; elsewhere they begin later still.
const FIRST_CLIENT_PORT: u16 = 32_768;

/// The ports of its answers.
#[derive(Default)]
pub(super) struct Answers {
    open: BTreeSet<(u8, u16)>,
    closed: BTreeSet<(u8, u16)>,
    /// What was refused before it was served, since somebody asked for it.
    begun: BTreeSet<Target>,
}

impl Answers {
    /// A frame that the server sent.
    pub(super) fn sent(&mut self, packet: &Packet, frame: &[u8]) {
        match packet.transport() {
            Transport::Tcp {
                source_port, flags, ..
            } if flags.has(TcpFlags::ACK) => {
                let port = (protocol::TCP, source_port);
                if flags.has(TcpFlags::SYN) {
                    self.open(port);
                }
                // RFC 9293 section 3.5.2: to a SYN where nobody is, a RST that has no number of its own.
                if flags.has(TcpFlags::RST) && word(packet, frame, 4) == Some(0) {
                    self.closed.insert(port);
                }
            }
            Transport::Udp { source_port, .. } => {
                self.open((protocol::UDP, source_port));
            }
            // Port unreachable, with the head of what it is about.
            Transport::Icmp { kind: 3, code: 3 } => self.closed.extend(unreachable_v4(packet, frame)),
            Transport::Icmp6 { kind: 1, code: 4 } => self.closed.extend(unreachable_v6(packet, frame)),
            _ => {}
        }
    }

    fn open(&mut self, (protocol, port): (u8, u16)) {
        if self.open.insert((protocol, port)) && self.closed.contains(&(protocol, port)) {
            self.begun.insert(Target { protocol, port });
        }
    }

    /// What began to be served since this was asked for last, and was refused before.
    pub(super) fn begun(&mut self) -> BTreeSet<Target> {
        std::mem::take(&mut self.begun)
    }

    /// How many ports are known to be served: they only become more.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// The ports at which it serves others. Of UDP those are left out that a machine takes when it asks itself: nobody says whether it did.
    pub(super) fn services(&self) -> BTreeSet<ServicePort> {
        let open = self.open.iter();
        let served = open.filter(|(protocol, port)| *protocol == protocol::TCP || *port < FIRST_CLIENT_PORT);
        served
            .filter_map(|(protocol, port)| ServicePort::new(*protocol, *port))
            .collect()
    }

    /// Whether the server serves what `seen` asks for, as far as it ever said so.
    pub(super) fn is_served(&self, seen: &Seen) -> Option<bool> {
        self.serves(seen.stratum.protocol, seen.stratum.port)
    }

    /// Whether it serves this port, as far as it ever said so.
    pub(super) fn serves(&self, protocol: u8, port: u16) -> Option<bool> {
        let port = (protocol, port);
        match (self.open.contains(&port), self.closed.contains(&port)) {
            // It began or ended meanwhile, and had clients.
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }
}

/// Eight bytes of ICMP come before the packet that it is about.
const ICMP_LEN: usize = 8;

fn unreachable_v4(packet: &Packet, frame: &[u8]) -> Option<(u8, u16)> {
    let about = frame.get(packet.transport_at() as usize + ICMP_LEN..)?;
    let header = usize::from(about.first()? & 0xf) * 4;
    port(*about.get(9)?, about.get(header..)?)
}

fn unreachable_v6(packet: &Packet, frame: &[u8]) -> Option<(u8, u16)> {
    let about = frame.get(packet.transport_at() as usize + ICMP_LEN..)?;
    port(*about.get(6)?, about.get(40..)?)
}

fn port(protocol: u8, header: &[u8]) -> Option<(u8, u16)> {
    let port = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
    (protocol == protocol::UDP).then_some((protocol, port))
}

#[cfg(test)]
mod tests {
    use netguard_common::{Verdict, head::Head, parse::parse, shared::Field as _, view::SliceView};

    use super::*;
    use crate::replay::refusals::tests::ipv4;

    /// From `from` to `to`, with this number and flags.
    fn segment(from: u16, to: u16, number: u32, flags: u8) -> Vec<u8> {
        let mut header = [0; 20];
        header[..2].copy_from_slice(&from.to_be_bytes());
        header[2..4].copy_from_slice(&to.to_be_bytes());
        header[4..8].copy_from_slice(&number.to_be_bytes());
        (header[12], header[13]) = (0x50, flags);
        ipv4(6, &header)
    }

    fn datagram(from: u16, to: u16) -> Vec<u8> {
        let [a, b, c, d] = [from.to_be_bytes(), to.to_be_bytes()].concat()[..] else {
            unreachable!("four bytes");
        };
        ipv4(17, &[a, b, c, d, 0, 8, 0, 0])
    }

    /// Port unreachable, about `frame`.
    fn unreachable(frame: &[u8]) -> Vec<u8> {
        ipv4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &frame[14..]].concat())
    }

    fn asked(frame: &[u8]) -> Seen {
        let mut head = Head {
            frame_len: frame.len() as u32,
            verdict: Verdict::Pass.number() as u16,
            captured: frame.len() as u8,
            ..Head::ZERO
        };
        head.bytes[..frame.len()].copy_from_slice(frame);
        Seen::of(&head).unwrap()
    }

    #[test]
    fn what_is_refused_is_not_served_and_what_was_answered_is() {
        let mut answers = Answers::default();
        let sent = [
            segment(80, 4_000, 7, TcpFlags::SYN | TcpFlags::ACK),
            segment(23, 4_000, 0, TcpFlags::RST | TcpFlags::ACK),
            // A connection that is given up.
            segment(22, 4_000, 9, TcpFlags::RST | TcpFlags::ACK),
            segment(80, 4_000, 0, TcpFlags::RST | TcpFlags::ACK),
            datagram(53, 4_000),
            unreachable(&datagram(4_000, 161)),
            unreachable(&segment(4_000, 99, 0, TcpFlags::SYN)),
        ];
        for frame in sent {
            answers.sent(&parse(&SliceView(&frame)).continue_value().unwrap(), &frame);
        }
        let syn = |port| asked(&segment(4_000, port, 0, TcpFlags::SYN));
        let served = [80, 23, 22, 99].map(|port| answers.is_served(&syn(port)));
        assert_eq!(served, [Some(true), Some(false), None, None]);
        let served = [53, 161, 162].map(|port| answers.is_served(&asked(&datagram(4_000, port))));
        assert_eq!(served, [Some(true), Some(false), None]);
        answers.sent(
            &parse(&SliceView(&datagram(40_000, 53))).continue_value().unwrap(),
            &datagram(40_000, 53),
        );
        let services: Vec<String> = answers.services().iter().map(ServicePort::to_string).collect();
        assert_eq!(services, ["tcp/80", "udp/53"], "who asks serves nobody");
    }

    #[test]
    fn a_message_that_is_cut_says_nothing() {
        let whole = unreachable(&datagram(4_000, 161));
        for len in 34..whole.len() - 4 {
            let mut answers = Answers::default();
            if let Some(packet) = parse(&SliceView(&whole[..len])).continue_value() {
                answers.sent(&packet, &whole[..len]);
            }
            assert!(answers.closed.is_empty(), "{len}");
        }
    }
}
