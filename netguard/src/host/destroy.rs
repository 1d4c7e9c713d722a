//! Ends one TCP connection of this machine, as `ss --kill` does: the kernel resets the other end, and whoever holds this one is told that
//! it was aborted.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    num::NonZeroI32,
};

use netlink_packet_core::{
    ErrorBuffer, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, Parseable,
};
use netlink_packet_sock_diag::{
    SOCK_DIAG_BY_FAMILY, SockDiagDestroy, SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};

use super::{
    HostError,
    sockets::{broken, outcome},
};

/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u8 = 10;
/// One answer about one socket, and the acknowledgement behind it, are far shorter.
const BUFFER_BYTES: usize = 8 * 1024;

/// A TCP connection of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This machine's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The number of the interface through which it goes; 0: any, which does not find connections that are bound to one.
    pub interface: u32,
    /// What the kernel calls this very socket (`bpf_get_socket_cookie`); without one, whatever connection has these ends now is meant.
    pub cookie: Option<u64>,
}

impl fmt::Display for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} - {}", self.local, self.remote)
    }
}

/// Ends `connection`; false when there is none such any more. Blocks the calling thread for some microseconds, longer where the socket is busy.
///
/// # Errors
/// When the kernel cannot end connections, or this process may not (`CAP_NET_ADMIN`).
pub fn destroy(connection: &Connection) -> Result<bool, HostError> {
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EOPNOTSUPP) => HostError::NoSocketDestruction,
        _ => HostError::NotEnded {
            connection: connection.to_string(),
            source,
        },
    };
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(HostError::Netlink)?;
    socket
        .bind_auto()
        .and_then(|_| socket.connect(&netlink_sys::SocketAddr::new(0, 0)))
        .map_err(HostError::Netlink)?;
    let mut id = id_of(connection);
    if connection.cookie.is_none() {
        // Where no connection has these ends, the kernel finds who listens at this one, and would end that.
        match ask(&socket, SockDiagMessage::InetRequest(request(&id))).map_err(failed)? {
            Some(Some(found)) if found.state != LISTEN => id.cookie = found.socket_id.cookie,
            _ => return Ok(false),
        }
    }
    let wish = SockDiagDestroy::new(SockDiagMessage::InetRequest(request(&id)));
    Ok(ask(&socket, wish).map_err(failed)?.is_some())
}

/// How the kernel is told which connection is meant.
fn id_of(connection: &Connection) -> SocketId {
    let [local, remote] = [connection.local, connection.remote].map(|end| end.ip().to_canonical());
    // One of both written as IPv6, as the other is.
    let widened = |address: IpAddr| match (address, local.is_ipv4() && remote.is_ipv4()) {
        (IpAddr::V4(address), false) => IpAddr::V6(address.to_ipv6_mapped()),
        (address, _) => address,
    };
    SocketId {
        source_port: connection.local.port(),
        destination_port: connection.remote.port(),
        source_address: widened(local),
        destination_address: widened(remote),
        interface_id: connection.interface,
        // All ones: any.
        cookie: connection.cookie.map_or([u8::MAX; 8], cookie_bytes),
    }
}

/// Two words, the lower one first, each in the byte order of this machine (`sock_diag_check_cookie()` in net/core/sock_diag.c).
fn cookie_bytes(cookie: u64) -> [u8; 8] {
    let [low, high] = [cookie as u32, (cookie >> 32) as u32].map(u32::to_ne_bytes);
    std::array::from_fn(|at| if at < 4 { low[at] } else { high[at - 4] })
}

fn request(id: &SocketId) -> InetRequest {
    InetRequest {
        family: if id.source_address.is_ipv4() {
            AF_INET
        } else {
            AF_INET6
        },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: id.clone(),
    }
}

/// Sends `question` about one socket; the answer, if it has one, once the kernel acknowledged it. `None`: there is no such socket.
fn ask<T>(socket: &Socket, question: T) -> io::Result<Option<Option<InetResponseHeader>>>
where
    T: NetlinkSerializable,
    NetlinkPayload<T>: From<T>,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut buffer = vec![0; BUFFER_BYTES];
    let mut answer = None;
    loop {
        let length = match socket.recv(&mut &mut buffer[..], libc::MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        let part = buffer
            .get(..length)
            .ok_or_else(|| broken("it is longer than such answers are"))?;
        let message = NetlinkBuffer::new_checked(part).map_err(broken)?;
        let payload = message.payload();
        match message.message_type() {
            SOCK_DIAG_BY_FAMILY => answer = Some(InetResponseHeader::parse(payload).map_err(broken)?),
            NLMSG_ERROR => {
                let error = ErrorBuffer::new_checked(payload).map_err(broken)?;
                return match outcome(error.code().map_or(0, NonZeroI32::get)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    told => told.map(|()| Some(answer)),
                };
            }
            other => return Err(broken(format!("message type {other} is no answer"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A listener bound to `bind`, a client of it at `host`, and the accepted end of that.
    fn connected(bind: &str, host: &str) -> (TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind((bind, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((host, port)).unwrap();
        let served = listener.accept().unwrap().0;
        (listener, client, served)
    }

    fn connection(served: &TcpStream) -> Connection {
        Connection {
            local: served.local_addr().unwrap(),
            remote: served.peer_addr().unwrap(),
            interface: 0,
            cookie: None,
        }
    }

    #[test]
    fn both_ends_are_told_at_once() {
        for (bind, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            // An IPv6 socket that serves IPv4.
            ("::", "127.0.0.1"),
        ] {
            let (listener, mut client, mut served) = connected(bind, host);
            let connection = connection(&served);
            assert!(destroy(&connection).unwrap(), "{bind}");
            let kinds = [&mut served, &mut client].map(|end| end.read(&mut [0]).unwrap_err().kind());
            let told = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
            assert_eq!(kinds, told, "{bind}");
            assert!(!destroy(&connection).unwrap(), "it is gone");
            let port = listener.local_addr().unwrap().port();
            TcpStream::connect((host, port)).expect("who listens is left alone");
        }
    }

    #[test]
    fn another_socket_with_the_same_ends_is_left_alone() {
        let (_listener, _client, served) = connected("127.0.0.1", "127.0.0.1");
        let other = Connection {
            cookie: Some(u64::MAX - 1),
            ..connection(&served)
        };
        assert!(!destroy(&other).unwrap());
        assert!(destroy(&connection(&served)).unwrap());
    }
}
