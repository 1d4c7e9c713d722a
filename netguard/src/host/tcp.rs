//! The TCP sockets of this network namespace, with what the kernel knows of each: who listens, who is about to connect, and what
//! moved over each connection. Through sock_diag(7).

use std::net::SocketAddr;

use netlink_packet_core::NlasIterator;
use netlink_packet_sock_diag::{
    constants::{INET_DIAG_INFO, IPPROTO_TCP, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV},
    inet::{ExtensionFlags, InetResponseHeader, StateFlags, Timer, nlas::TcpInfo},
};

use super::{Connection, HostError, destroy::cookie_of, sockets::each_socket};

/// What [`tcp`] found.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    pub listeners: Vec<Listener>,
    pub half_open: Vec<HalfOpen>,
    /// Connections that stand, or whose end is under way; those that were opened by this machine, too.
    pub connections: Vec<OpenConnection>,
}

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub at: SocketAddr,
    /// Connections that wait to be accepted, and how many may.
    pub waiting: u32,
    pub backlog: u32,
}

/// A handshake of which the last segment is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfOpen {
    pub ends: Connection,
    /// How often the answer was sent again.
    pub retries: u8,
}

/// A connection, and what moved over it since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenConnection {
    pub ends: Connection,
    /// Whether neither end has closed its half.
    pub established: bool,
    /// Bytes of the other end that arrived here.
    pub received: u64,
    /// Bytes of this end that the other one has acknowledged.
    pub acknowledged: u64,
    /// Bytes that the application has not read, and that the other end has not acknowledged.
    pub unread: u32,
    pub unsent: u32,
}

/// All TCP sockets but those that only linger. Blocks the calling thread: some 0.4 s for 100 000 connections.
///
/// # Errors
/// When the kernel does not answer.
pub fn tcp() -> Result<Tcp, HostError> {
    let states = StateFlags::all() - StateFlags::TIME_WAIT - StateFlags::CLOSE - StateFlags::SYN_SENT;
    let mut found = Tcp::default();
    each_socket(
        "TCP sockets",
        IPPROTO_TCP,
        states,
        ExtensionFlags::INFO,
        |header, attributes| {
            found.take(header, attributes);
        },
    )?;
    Ok(found)
}

impl Tcp {
    fn take(&mut self, header: &InetResponseHeader, attributes: &[u8]) {
        let id = &header.socket_id;
        let ends = Connection {
            local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
            remote: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
            interface: id.interface_id,
            cookie: Some(cookie_of(id.cookie)),
        };
        match (header.state, &header.timer) {
            (TCP_LISTEN, _) => self.listeners.push(Listener {
                at: ends.local,
                waiting: header.recv_queue,
                backlog: header.send_queue,
            }),
            (TCP_SYN_RECV, timer) => self.half_open.push(HalfOpen {
                ends,
                retries: match timer {
                    Some(Timer::Retransmit(_, retries)) => *retries,
                    _ => 0,
                },
            }),
            // What only lingers is told under the state in which it began to.
            (_, Some(Timer::TimeWait)) => {}
            (state, _) => {
                let moved = information(attributes);
                self.connections.push(OpenConnection {
                    ends,
                    established: state == TCP_ESTABLISHED,
                    received: moved.as_ref().map_or(0, |info| info.bytes_received),
                    acknowledged: moved.as_ref().map_or(0, |info| info.bytes_acked),
                    unread: header.recv_queue,
                    unsent: header.send_queue,
                });
            }
        }
    }
}

/// What the kernel tells of a connection; `None` where it tells nothing, as of one without a socket any more.
fn information(attributes: &[u8]) -> Option<TcpInfo> {
    let mut found = NlasIterator::new(attributes).filter_map(Result::ok);
    let info = found.find(|attribute| attribute.kind() == INET_DIAG_INFO)?;
    TcpInfo::parse(info.value()).ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn what_moved_is_told_from_both_ends() {
        for host in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((host, 0)).unwrap();
            let at = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(at).unwrap();
            let mut served = listener.accept().unwrap().0;
            let _waiting = TcpStream::connect(at).unwrap();
            client.write_all(b"twelve bytes").unwrap();
            served.read_exact(&mut [0; 5]).unwrap();
            served.write_all(b"four").unwrap();
            client.read_exact(&mut [0; 4]).unwrap();

            let found = tcp().unwrap();
            let peer = client.local_addr().unwrap();
            let told = |local, remote| {
                *found
                    .connections
                    .iter()
                    .find(|found| (found.ends.local, found.ends.remote) == (local, remote))
                    .unwrap()
            };
            let here = told(at, peer);
            assert_eq!(
                (here.received, here.unread, here.established),
                (12, 7, true),
                "{host}"
            );
            let there = told(peer, at);
            assert_eq!((there.received, there.unread), (4, 0), "{host}");
            // The SYN counts as a byte at the end that sent it first.
            assert!((12..=13).contains(&there.acknowledged), "{there:?}");
            let listening = found.listeners.iter().find(|found| found.at == at).unwrap();
            assert_eq!(listening.waiting, 1);
            assert!(listening.backlog >= 1);
        }
    }
}
