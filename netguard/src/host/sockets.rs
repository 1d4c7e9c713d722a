//! Who has an open TCP connection with this machine, and what it serves, through sock_diag(7).

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::num::NonZeroI32;
use std::ops::RangeInclusive;

use netlink_packet_core::{
    DoneBuffer, ErrorBuffer, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, Parseable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_packet_sock_diag::{SOCK_DIAG_BY_FAMILY, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

use super::{HostError, sysctl};

/// The kernel fills at most 32 KiB per read of a dump (netlink_dump() in net/netlink/af_netlink.c).
const BUFFER_BYTES: usize = 64 * 1024;

/// Remote addresses of established TCP connections, with how many each has.
#[derive(Debug, Default)]
pub struct Peers {
    pub all: HashMap<IpAddr, u32>,
    /// Of them those who connected with what listens here. Whom this machine asked itself has not shown that it means harm, whoever sends packets
    /// in its name.
    pub clients: HashMap<IpAddr, u32>,
}

/// Who has established TCP connections in this network namespace.
///
/// IPv4 peers of IPv6 sockets count as IPv4. Blocks the calling thread: about 0.2 s for 100 000 connections, nearly all of
/// it in the kernel, which is too long for every tick of a busy server.
///
/// # Errors
/// When the kernel does not answer.
pub fn established_peers() -> Result<Peers, HostError> {
    let listening = listening()?;
    let mut peers = Peers::default();
    each_id("TCP connections", IPPROTO_TCP, StateFlags::ESTABLISHED, |id| {
        let one_more = |counts: &mut HashMap<IpAddr, u32>| {
            let count = counts.entry(id.destination_address.to_canonical()).or_default();
            *count = u32::saturating_add(*count, 1);
        };
        one_more(&mut peers.all);
        if listening.contains(&id.source_port) {
            one_more(&mut peers.clients);
        }
    })?;
    Ok(peers)
}

/// TCP ports that are listened on.
fn listening() -> Result<BTreeSet<u16>, HostError> {
    let mut ports = BTreeSet::new();
    each_id("listening sockets", IPPROTO_TCP, StateFlags::LISTEN, |id| {
        ports.insert(id.source_port);
    })?;
    Ok(ports)
}

/// How many TCP connections stand that others have with what listens in this network namespace. Those within this machine do not count,
/// nor those that it opened itself, nor those that the other end has closed. Blocks as [`established_peers`] does.
///
/// # Errors
/// When the kernel does not answer.
pub fn served_connections() -> Result<u64, HostError> {
    let listening = listening()?;
    let mut count = 0;
    each_id("TCP connections", IPPROTO_TCP, StateFlags::ESTABLISHED, |id| {
        let [own, peer] = [id.source_address, id.destination_address].map(|address| address.to_canonical());
        let within = peer.is_loopback() || peer == own;
        count += u64::from(!within && listening.contains(&id.source_port));
    })?;
    Ok(count)
}

/// Ports of TCP, and of UDP.
pub type Ports = [BTreeSet<u16>; 2];

/// Of `waiting` ports those that somebody serves: those that the kernel gives to clients are left out for UDP, where who asks waits for one
/// answer.
pub fn served_ports(waiting: &Ports) -> Ports {
    let [tcp, udp] = waiting;
    let clients = client_ports();
    let served = udp.iter().filter(|port| !clients.contains(port));
    [tcp.clone(), served.copied().collect()]
}

/// TCP ports that are listened on in this network namespace, and UDP ports that anything is received on from whoever sends it; what waits for
/// this machine alone, at a loopback address, serves nobody else.
///
/// # Errors
/// When the kernel does not answer.
pub fn waiting_ports() -> Result<Ports, HostError> {
    let [mut tcp, mut udp] = [BTreeSet::new(), BTreeSet::new()];
    let is_open = |id: &SocketId| !id.source_address.to_canonical().is_loopback();
    each_id("listening sockets", IPPROTO_TCP, StateFlags::LISTEN, |id| {
        if is_open(id) {
            tcp.insert(id.source_port);
        }
    })?;
    // A datagram socket without a peer counts as closed.
    each_id("UDP sockets", IPPROTO_UDP, StateFlags::CLOSE, |id| {
        if is_open(id) {
            udp.insert(id.source_port);
        }
    })?;
    Ok([tcp, udp])
}

/// The ports that the kernel gives to sockets which ask for none; its defaults where it does not tell.
fn client_ports() -> RangeInclusive<u16> {
    let told = sysctl("net.ipv4.ip_local_port_range").unwrap_or_default();
    let mut ends = told.split_ascii_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => 32_768..=60_999,
    }
}

/// `struct inet_diag_msg` (linux/inet_diag.h), behind which the attributes follow.
const HEADER_BYTES: usize = 72;

/// Shows the ends of every socket of `protocol` in one of `states` to `each`.
fn each_id(
    what: &'static str,
    protocol: u8,
    states: StateFlags,
    mut each: impl FnMut(&SocketId),
) -> Result<(), HostError> {
    each_socket(what, protocol, states, ExtensionFlags::empty(), |header, _| {
        each(&header.socket_id)
    })
}

/// Shows every socket of `protocol` in one of `states` to `each`, with the attributes of `extensions`.
pub(super) fn each_socket(
    what: &'static str,
    protocol: u8,
    states: StateFlags,
    extensions: ExtensionFlags,
    mut each: impl FnMut(&InetResponseHeader, &[u8]),
) -> Result<(), HostError> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(HostError::Netlink)?;
    socket
        .bind_auto()
        .and_then(|_| socket.connect(&SocketAddr::new(0, 0)))
        .map_err(HostError::Netlink)?;
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let request = InetRequest {
            family,
            protocol,
            extensions: ExtensionFlags::from_bits_truncate(extensions.bits()),
            states: StateFlags::from_bits_truncate(states.bits()),
            socket_id,
        };
        dump(&socket, request, &mut each).map_err(|source| match source.kind() {
            // No module answers for the protocol.
            io::ErrorKind::NotFound => HostError::NoSocketDiagnosis,
            _ => HostError::Refused { what, source },
        })?;
    }
    Ok(())
}

/// Sends one request and shows the sockets of all parts of the answer to `each`.
fn dump(
    socket: &Socket,
    request: InetRequest,
    each: &mut impl FnMut(&InetResponseHeader, &[u8]),
) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = match socket.recv(&mut &mut buffer[..], libc::MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        let mut rest = buffer
            .get(..length)
            .ok_or_else(|| broken("it is longer than the kernel promises"))?;
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(broken)?;
            let payload = message.payload();
            match message.message_type() {
                SOCK_DIAG_BY_FAMILY => {
                    let header = InetResponseHeader::parse(payload).map_err(broken)?;
                    each(&header, payload.get(HEADER_BYTES..).unwrap_or_default());
                }
                NLMSG_DONE => {
                    return outcome(DoneBuffer::new_checked(payload).map_err(broken)?.code());
                }
                NLMSG_ERROR => {
                    let error = ErrorBuffer::new_checked(payload).map_err(broken)?;
                    return outcome(error.code().map_or(0, NonZeroI32::get));
                }
                other => return Err(broken(format!("message type {other} is no answer"))),
            }
            // Messages are aligned to 4 bytes; the last one need not be.
            let used = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(used..).unwrap_or_default();
        }
    }
}

/// The end of an answer: 0, or a negative error number.
pub(super) fn outcome(code: i32) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code.saturating_abs()))
    }
}

pub(super) fn broken(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Both ends of `count` connections to `host`, whose listener is bound to `bind`.
    fn connections(bind: &str, host: &str, count: usize) -> Vec<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind((bind, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (0..count)
            .map(|_| {
                (
                    TcpStream::connect((host, port)).unwrap(),
                    listener.accept().unwrap().0,
                )
            })
            .collect()
    }

    /// Found in review: a pool of connections to a database on this machine was told as an attack.
    #[test]
    fn connections_within_this_machine_are_nobodys() {
        let before = served_connections().unwrap();
        let open = [
            connections("127.0.0.1", "127.0.0.1", 100),
            connections("::1", "::1", 100),
        ];
        // What others have with this machine may change meanwhile, hardly by so many.
        assert!(served_connections().unwrap() < before + 50);
        drop(open);
    }

    #[test]
    fn counts_established_connections_only() {
        // 400 sockets of some 110 bytes: more than the kernel puts into one part of an answer.
        let mut open = connections("127.77.1.1", "127.77.1.1", 200);
        let _listening_only = TcpListener::bind(("127.77.1.2", 0)).unwrap();
        let peers = established_peers().unwrap().all;
        assert_eq!(peers.get(&address("127.77.1.1")), Some(&200));
        assert!(
            peers[&address("127.0.0.1")] >= 200,
            "the accepted ends see the other side"
        );
        assert!(!peers.contains_key(&address("0.0.0.0")), "no listening sockets");
        // A closed end is no longer established, at once.
        open.truncate(1);
        assert_eq!(
            established_peers().unwrap().all.get(&address("127.77.1.1")),
            Some(&1)
        );
    }

    /// Found in review: whom this machine had asked itself, such as a name server over TLS, was blocked for what others sent in its name.
    #[test]
    fn whom_this_machine_asked_is_no_client() {
        let listener = TcpListener::bind(("127.77.4.1", 0)).unwrap();
        let address_of = listener.local_addr().unwrap();
        let _open: Vec<_> = (0..3)
            .map(|_| {
                (
                    TcpStream::connect(address_of).unwrap(),
                    listener.accept().unwrap(),
                )
            })
            .collect();
        let peers = established_peers().unwrap();
        assert_eq!(peers.all.get(&address("127.77.4.1")), Some(&3));
        assert_eq!(peers.clients.get(&address("127.77.4.1")), None);
        assert!(peers.clients[&address("127.0.0.1")] >= 3);
    }

    #[test]
    fn ipv4_peers_of_ipv6_sockets_are_ipv4() {
        let _open = connections("::ffff:127.77.2.1", "::ffff:127.77.2.1", 3);
        let peers = established_peers().unwrap().all;
        assert_eq!(peers.get(&address("127.77.2.1")), Some(&3));
        assert!(!peers.contains_key(&address("::ffff:127.77.2.1")));
    }

    #[test]
    fn what_waits_for_anybody_is_served() {
        let tcp = TcpListener::bind("[::]:0").unwrap();
        let client = TcpStream::connect(("::1", tcp.local_addr().unwrap().port())).unwrap();
        let udp = (20_000..20_100)
            .find_map(|port| UdpSocket::bind(("0.0.0.0", port)).ok())
            .unwrap();
        let asking = UdpSocket::bind("0.0.0.0:0").unwrap();
        let [tcp_ports, udp_ports] = served_ports(&waiting_ports().unwrap());
        assert!(tcp_ports.contains(&tcp.local_addr().unwrap().port()));
        assert!(!tcp_ports.contains(&client.local_addr().unwrap().port()));
        assert!(udp_ports.contains(&udp.local_addr().unwrap().port()));
        assert!(!udp_ports.contains(&asking.local_addr().unwrap().port()));
        // Found in review: what waits for this machine alone made others' probes of its port clients that came early.
        let alone =
            ["127.77.3.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"].map(|at| TcpListener::bind(at).unwrap());
        let [tcp_ports, _] = waiting_ports().unwrap();
        for alone in alone {
            let at = alone.local_addr().unwrap();
            assert!(!tcp_ports.contains(&at.port()), "{at}");
        }
    }

    #[test]
    fn ipv6_peers_are_counted() {
        let _open = connections("::1", "::1", 2);
        assert!(established_peers().unwrap().all[&address("::1")] >= 4);
    }
}
