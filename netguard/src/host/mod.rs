//! What this machine is: interfaces, addresses, gateways, resolvers, connected peers, people logged in; one socket per question. Nothing is
//! changed here but kernel settings, and connections that are ended.
//!
//! Everything is asked of the kernel over netlink in the network namespace of the calling thread; `/sys/class/net` would
//! show the namespace in which it was mounted.

mod addresses;
mod connections;
mod destroy;
mod interfaces;
mod resolvers;
mod session;
mod sockets;
mod sysctl;
mod tcp;
mod translation;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rtnetlink::Handle;

use resolvers::resolvers;

pub use addresses::{gateways, own_addresses};
pub use connections::{TcpCounts, tcp_counts};
pub use destroy::{Connection, destroy};
pub use interfaces::{AttachedXdp, Interface, LinkLayer, MacAddress, XdpMode, interface, interfaces};
pub use session::{Logins, own_session_peers, ssh_logins};
pub use sockets::{Peers, Ports, established_peers, served_connections, served_ports, waiting_ports};
pub use sysctl::{can_set_sysctl, ipv6_mtu, network_namespace, set_sysctl, sysctl};
pub use tcp::{HalfOpen, Listener, OpenConnection, Tcp, tcp};
pub use translation::{Translation, translation};

/// Where the name servers stand; the second file has those behind the local stub of systemd-resolved.
const RESOLVER_FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The addresses without which this machine is lost, each list sorted and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Addresses of this machine, loopback included.
    pub own: Vec<IpAddr>,
    /// Next hops of all routes.
    pub gateways: Vec<IpAddr>,
    /// Name servers, also those behind a local stub.
    pub resolvers: Vec<IpAddr>,
    /// From where people are logged in by ssh.
    pub sessions: Vec<IpAddr>,
    /// TCP ports by which they are.
    pub session_ports: Vec<u16>,
    /// What of this is not known, in sentences: files with name servers are written by people and programs.
    pub faults: Vec<String>,
}

/// Why a fact about this machine is not known.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No netlink socket.
    #[error("no netlink socket to the kernel: {0}; does the sandbox or seccomp filter allow AF_NETLINK?")]
    Netlink(#[source] io::Error),
    /// The kernel refused a question.
    #[error("the kernel did not list {what}: {source}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// There is no such interface.
    #[error("there is no interface {name:?} in this network namespace; there are: {}", .known.join(", "))]
    NoInterface {
        /// What was asked for.
        name: String,
        /// The interfaces that exist.
        known: Vec<String>,
    },
    /// The kernel cannot list sockets.
    #[error("this kernel cannot list TCP sockets: load it with `modprobe tcp_diag` (CONFIG_INET_TCP_DIAG)")]
    NoSocketDiagnosis,
    /// The kernel cannot end connections.
    #[error(
        "this kernel cannot end the connections of others: it was built without CONFIG_INET_DIAG_DESTROY"
    )]
    NoSocketDestruction,
    /// The kernel did not end a connection.
    #[error("the kernel did not end the connection {connection}: {source}")]
    NotEnded {
        /// Its ends.
        connection: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// A file with name servers cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file with name servers has a broken line.
    #[error("{}:{line}: this line is passed over: a name server is written `nameserver ADDRESS`", .path.display())]
    Resolver {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// Own addresses, gateways, name servers and ssh clients, as the files in `/etc` and `/run` and the kernel have them now.
///
/// # Errors
/// When the kernel does not answer.
pub async fn facts() -> Result<Facts, HostError> {
    let (mut servers, mut faults) = (BTreeSet::new(), Vec::new());
    for file in RESOLVER_FILES {
        let (found, fault) = resolvers(Path::new(file));
        servers.extend(found);
        faults.extend(fault.map(|fault| fault.to_string()));
    }
    let logins = tokio::task::spawn_blocking(ssh_logins).await.unwrap_or_default();
    Ok(Facts {
        own: own_addresses().await?,
        gateways: gateways().await?,
        resolvers: servers.into_iter().collect(),
        sessions: logins.peers,
        session_ports: logins.ports,
        faults,
    })
}

/// Runs `query` on a route netlink socket in the network namespace of this thread.
async fn ask<T>(query: impl AsyncFnOnce(&Handle) -> Result<T, HostError>) -> Result<T, HostError> {
    let (connection, handle, _notifications) = rtnetlink::new_connection().map_err(HostError::Netlink)?;
    // The connection first: when it ends early, the query would take the part that has arrived for the whole answer.
    tokio::select! {
        biased;
        () = connection => Err(HostError::Netlink(io::ErrorKind::ConnectionAborted.into())),
        answer = query(&handle) => answer,
    }
}

/// The error of a request for `what`.
fn refused(what: &'static str) -> impl Fn(rtnetlink::Error) -> HostError {
    move |error| {
        let source = match error {
            rtnetlink::Error::NetlinkError(answer) => answer.to_io(),
            other => io::Error::other(other),
        };
        HostError::Refused { what, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_has_a_loopback_address() {
        let facts = facts().await.unwrap();
        assert!(facts.own.iter().any(IpAddr::is_loopback), "{facts:?}");
        assert!(facts.own.is_sorted() && facts.gateways.is_sorted() && facts.resolvers.is_sorted());
    }
}
