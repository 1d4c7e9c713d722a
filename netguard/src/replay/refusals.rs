//! What the server of a capture refused by itself: segments of no connection, which it resets, and datagrams to closed ports, which it reports.
//! A replay has no sockets to ask, but it sees the answers that the server gave. Nobody is dropped for it.

use netguard_common::{
    Packet,
    packet::{TcpFlags, Transport},
};

/// How many frames say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    pub(super) segments: u64,
    pub(super) datagrams: u64,
}

impl Refusals {
    /// A frame that the server sent.
    pub(super) fn sent(&mut self, packet: &Packet) {
        match packet.transport() {
            // RFC 9293 section 3.5.2: an ACK of no connection is answered by a RST without ACK. A SYN to a closed port gets one with
            // it, and so does the other end of a connection that is given up.
            Transport::Tcp { flags, .. } if flags.has(TcpFlags::RST) && !flags.has(TcpFlags::ACK) => {
                self.segments += 1;
            }
            // Port unreachable (RFC 792, RFC 4443 section 3.1); Linux sends no more than a thousand messages a second.
            Transport::Icmp { kind: 3, code: 3 } | Transport::Icmp6 { kind: 1, code: 4 } => {
                self.datagrams += 1;
            }
            _ => {}
        }
    }

    /// Those since `before`.
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            segments: self.segments.saturating_sub(before.segments),
            datagrams: self.datagrams.saturating_sub(before.datagrams),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use netguard_common::{parse::parse, view::SliceView};

    use super::*;

    fn told(frames: &[Vec<u8>]) -> Refusals {
        let mut refusals = Refusals::default();
        for frame in frames {
            refusals.sent(&parse(&SliceView(frame)).continue_value().unwrap());
        }
        refusals
    }

    /// An IPv4 frame of this protocol.
    pub(in crate::replay) fn ipv4(protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 34];
        frame[12..14].copy_from_slice(&[8, 0]);
        let length = 20 + transport.len() as u8;
        frame[14..24].copy_from_slice(&[0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol]);
        frame[26..34].copy_from_slice(&[198, 51, 100, 1, 192, 0, 2, 1]);
        frame.extend_from_slice(transport);
        frame
    }

    fn tcp(flags: u8) -> Vec<u8> {
        let mut header = [0; 20];
        (header[1], header[3], header[12], header[13]) = (80, 99, 0x50, flags);
        ipv4(6, &header)
    }

    fn icmp6(kind: u8, code: u8) -> Vec<u8> {
        let mut frame = vec![0; 62];
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[18..22].copy_from_slice(&[0, 8, 58, 64]);
        (frame[22], frame[38]) = (0x20, 0x20);
        (frame[54], frame[55]) = (kind, code);
        frame
    }

    #[test]
    fn only_what_answers_something_unwanted_counts() {
        let refused = [
            tcp(TcpFlags::RST),
            ipv4(1, &[3, 3, 0, 0, 0, 0, 0, 0]),
            icmp6(1, 4),
        ];
        let [segments, datagrams] = [1, 2];
        assert_eq!(told(&refused), Refusals { segments, datagrams });
        // A closed port that a SYN asked for, a connection given up, a client; another ICMP error, an echo.
        let ordinary = [
            tcp(TcpFlags::RST | TcpFlags::ACK),
            tcp(TcpFlags::FIN | TcpFlags::ACK),
            ipv4(1, &[3, 4, 0, 0, 0, 0, 0, 0]),
            icmp6(129, 0),
        ];
        assert_eq!(told(&ordinary), Refusals::default());
        assert_eq!(told(&refused).since(told(&refused[..1])).datagrams, 2);
    }
}
