//! A stretch of what one end of a TCP connection said.

use std::net::SocketAddr;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Client,
    Server,
}

/// The two ends of a connection; IPv4 addresses are IPv4, also those that an IPv6 socket maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ends {
    pub client: SocketAddr,
    /// The address as the client knows it; its port is the service.
    pub server: SocketAddr,
}

/// A segment of a connection, or as much of it as was handed on. Each time that the client speaks after the server, and the other way round, is a
/// *turn*; of each turn only the first bytes come (16 KiB of a client's, 256 bytes of a server's), in any order, and any of them more than once. A
/// long segment comes as several.
///
/// Without bytes, and not the last: what is left of its turn and of the answer does not come, since it came in too many pieces.
///
/// Of a connection by TLS come the first turn of either side, of the client's second turn 16 bytes, which tell that it went on or what it objects
/// to, and the ends.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Monotonic.
    pub at_ns: u64,
    pub ends: Ends,
    pub from: Side,
    /// The number of its first byte, of TCP.
    pub sequence: u32,
    /// The number of the first byte of its turn. Where the client speaks before it has heard all, a turn may begin in the middle of a message: right
    /// behind the last byte that came.
    pub turn_start: u32,
    /// The first bytes of its payload.
    pub bytes: &'a [u8],
    /// Bytes of payload that it carried, whether they come or not.
    pub payload_len: u32,
    /// Whether the connection is known from its handshake on: otherwise its first turn may begin anywhere. No more, either, from where bytes were left
    /// out within a turn on: no room, or too many pieces.
    pub is_whole: bool,
    /// FIN or RST: this end says nothing more; told once for each end, of connections of which something was handed on. It may carry bytes all the
    /// same.
    pub is_last: bool,
    /// Turns that this one stands for, since under load not all are handed on; at least 1. Once a turn is handed on, so is its answer.
    pub weight: u32,
}
