//! Who has proven its address in a capture: a source that acknowledged the number which the server chose for their connection. Whoever
//! forges an address never saw that number, and a SYN, or an ACK without the SYN-ACK before it, proves nothing. So a
//! capture of what arrives only proves nobody.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
};

use netguard_common::{
    Packet,
    packet::{TcpFlags, Transport},
};

use crate::engine::Account;

/// Answers of the server that are remembered: a flood from forged sources takes no more memory than this.
const WAITING: usize = 1 << 18;
/// Connections that are followed; of those beyond nobody is proven.
const OPEN: usize = 1 << 20;

/// A connection: client, its port, server, its port.
type Connection = ([u8; 16], u16, [u8; 16], u16);

/// The connections of a capture.
#[derive(Default)]
pub(super) struct Handshakes {
    /// By the number that the client has to acknowledge.
    waiting: HashMap<Connection, u32>,
    /// In their order; some are waited for no more.
    order: VecDeque<Connection>,
    open: HashMap<Connection, IpAddr>,
    /// How many connections each source has, which has any.
    established: BTreeMap<IpAddr, u32>,
    /// How many each source opened that ever had one, and all of them.
    opened: HashMap<Account, u32>,
    opened_in_all: u64,
}

impl Handshakes {
    /// A segment that the server sent.
    pub(super) fn sent(&mut self, packet: &Packet, frame: &[u8]) {
        let Some((flags, [from, to])) = segment(packet) else {
            return;
        };
        let connection = (packet.destination.octets(), to, packet.source.octets(), from);
        if flags.has(TcpFlags::RST) {
            return self.close(&connection);
        }
        if flags.has(TcpFlags::SYN)
            && flags.has(TcpFlags::ACK)
            && let Some(number) = word(packet, frame, 4)
        {
            while self.order.len() >= WAITING {
                if let Some(oldest) = self.order.pop_front() {
                    self.waiting.remove(&oldest);
                }
            }
            if self.waiting.insert(connection, number.wrapping_add(1)).is_none() {
                self.order.push_back(connection);
            }
        }
    }

    /// A segment for the server that passed.
    pub(super) fn arrived(&mut self, packet: &Packet, frame: &[u8]) {
        if self.waiting.is_empty() && self.open.is_empty() {
            return;
        }
        let Some((flags, [from, to])) = segment(packet) else {
            return;
        };
        let connection = (packet.source.octets(), from, packet.destination.octets(), to);
        if flags.has(TcpFlags::RST) || flags.has(TcpFlags::FIN) {
            // Anybody may say so: it takes proof away, and gives none.
            return self.close(&connection);
        }
        if flags.has(TcpFlags::SYN) || !flags.has(TcpFlags::ACK) || self.waiting.is_empty() {
            return;
        }
        if let Some(wanted) = self.waiting.get(&connection)
            && word(packet, frame, 8) == Some(*wanted)
        {
            self.waiting.remove(&connection);
            self.establish(connection);
        }
    }

    fn establish(&mut self, connection: Connection) {
        if self.open.len() >= OPEN || self.open.contains_key(&connection) {
            return;
        }
        let source = IpAddr::from(Ipv6Addr::from(connection.0)).to_canonical();
        self.open.insert(connection, source);
        *self.established.entry(source).or_default() += 1;
        self.opened_in_all += 1;
        let account = Account::of(source);
        if self.opened.len() < OPEN || self.opened.contains_key(&account) {
            let opened = self.opened.entry(account).or_default();
            *opened = opened.wrapping_add(1);
        }
    }

    fn close(&mut self, connection: &Connection) {
        self.waiting.remove(connection);
        let Some(source) = self.open.remove(connection) else {
            return;
        };
        if let Some(connections) = self.established.get_mut(&source) {
            *connections -= 1;
            if *connections == 0 {
                self.established.remove(&source);
            }
        }
    }

    /// Whether the account of `source` has a connection now.
    pub(super) fn is_proven(&self, source: IpAddr) -> bool {
        let account = Account::of(source).prefix();
        let mut from = self.established.range(account.address()..);
        from.next().is_some_and(|(next, _)| account.contains(*next))
    }

    /// How many sources ever had a connection.
    pub(super) fn ever(&self) -> u64 {
        self.opened.len() as u64
    }

    /// How many connections the account of `source` has opened so far.
    pub(super) fn opened_by(&self, source: IpAddr) -> u32 {
        self.opened.get(&Account::of(source)).copied().unwrap_or(0)
    }

    /// How many all together have.
    pub(super) fn opened(&self) -> u64 {
        self.opened_in_all
    }

    /// Who has how many connections now.
    pub(super) fn connections(&self) -> HashMap<IpAddr, u32> {
        let established = self.established.iter();
        established
            .map(|(source, connections)| (*source, *connections))
            .collect()
    }

    /// Sources that have a connection now, in their order.
    pub(super) fn established(&self) -> impl Iterator<Item = IpAddr> {
        self.established.keys().copied()
    }
}

fn segment(packet: &Packet) -> Option<(TcpFlags, [u16; 2])> {
    match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => Some((flags, [source_port, destination_port])),
        _ => None,
    }
}

/// The word that lies `at` bytes into the TCP header.
pub(super) fn word(packet: &Packet, frame: &[u8], at: usize) -> Option<u32> {
    let bytes = frame.get(packet.transport_at() as usize + at..)?;
    bytes.first_chunk().map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use netguard_common::{parse::parse, view::SliceView};

    use super::*;

    const CLIENT: [u8; 4] = [192, 0, 2, 7];
    const SERVER: [u8; 4] = [198, 51, 100, 1];

    fn frame(from: [u8; 4], to: [u8; 4], ports: [u16; 2], flags: u8, numbers: [u32; 2]) -> Vec<u8> {
        let mut frame = vec![0; 54];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
        frame[26..30].copy_from_slice(&from);
        frame[30..34].copy_from_slice(&to);
        for (at, port) in [34, 36].into_iter().zip(ports) {
            frame[at..at + 2].copy_from_slice(&port.to_be_bytes());
        }
        for (at, number) in [38, 42].into_iter().zip(numbers) {
            frame[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        (frame[46], frame[47]) = (0x50, flags);
        frame
    }

    #[derive(Default)]
    struct Both(Handshakes);

    impl Both {
        fn client(&mut self, flags: u8, acknowledged: u32) -> bool {
            let frame = frame(CLIENT, SERVER, [4000, 80], flags, [8, acknowledged]);
            self.0
                .arrived(&parse(&SliceView(&frame)).continue_value().unwrap(), &frame);
            self.0.is_proven(CLIENT.into())
        }

        fn server(&mut self, flags: u8, number: u32) -> bool {
            let frame = frame(SERVER, CLIENT, [80, 4000], flags, [number, 8]);
            self.0
                .sent(&parse(&SliceView(&frame)).continue_value().unwrap(), &frame);
            self.0.is_proven(CLIENT.into())
        }
    }

    const SYN: u8 = TcpFlags::SYN;
    const ACK: u8 = TcpFlags::ACK;
    const FIN: u8 = TcpFlags::FIN;
    const RST: u8 = TcpFlags::RST;

    #[test]
    fn only_who_saw_the_servers_number_is_proven_and_while_it_is_connected() {
        let mut both = Both::default();
        assert!(
            !both.client(SYN, 0) && !both.client(ACK, 501),
            "one direction proves nothing"
        );
        assert!(!both.server(SYN | ACK, 500) && !both.client(ACK, 500) && !both.client(ACK, 502));
        assert!(!both.client(ACK | RST, 501) && !both.client(ACK, 501), "refused");
        assert!(
            !both.server(SYN | ACK, u32::MAX) && both.client(ACK, 0),
            "numbers wrap"
        );
        assert!(both.client(ACK, 77) && both.server(ACK, 77));
        assert_eq!(both.0.established().count(), 1);
        assert!(!both.client(FIN | ACK, 77));
        assert_eq!(both.0.established().count(), 0);
        assert!(!both.server(SYN | ACK, 9) && both.client(ACK, 10) && !both.server(RST, 10));
    }

    #[test]
    fn a_flood_of_half_open_connections_takes_bounded_memory() {
        let mut handshakes = Handshakes::default();
        for number in 0..WAITING as u32 + 1000 {
            let [_, b, c, d] = number.to_be_bytes();
            let frame = frame(SERVER, [10, b, c, d], [80, 4000], SYN | ACK, [5, 0]);
            handshakes.sent(&parse(&SliceView(&frame)).continue_value().unwrap(), &frame);
        }
        assert_eq!(
            (handshakes.waiting.len(), handshakes.order.len()),
            (WAITING, WAITING)
        );
    }
}
