//! How many TCP connections this machine has, as the kernel counts them anyway: two small files, however many there are. Who has them,
//! [`super::established_peers`] says.

use std::fs;

use super::HostError;

/// The kernel's counters of this network namespace, both IP versions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounts {
    /// Connections that stand now.
    pub established: u64,
    /// Connections since boot that found the queue of their listener full.
    pub overflowed: u64,
}

/// The counters now.
///
/// # Errors
/// When `/proc` does not tell them.
pub fn tcp_counts() -> Result<TcpCounts, HostError> {
    // /proc/self would show the namespace of the main thread.
    let read = |table: &str| {
        fs::read_to_string(format!("/proc/thread-self/net/{table}")).map_err(|source| HostError::Refused {
            what: "counters of TCP (/proc/net/snmp and netstat)",
            source,
        })
    };
    let (common, extended) = (read("snmp")?, read("netstat")?);
    Ok(TcpCounts {
        established: field(&common, "Tcp:", "CurrEstab").unwrap_or(0),
        overflowed: field(&extended, "TcpExt:", "ListenOverflows").unwrap_or(0),
    })
}

/// The number called `name` in the group `group`: a line of names, then one of numbers. New kernels add names.
fn field(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let mut columns = names
        .split_ascii_whitespace()
        .zip(numbers.split_ascii_whitespace());
    columns.find(|(known, _)| *known == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ends_of_a_connection_stand() {
        let before = tcp_counts().unwrap().established;
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open: Vec<_> = (0..50)
            .map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap()))
            .collect();
        // Other tests open and close connections meanwhile, far fewer.
        assert!(tcp_counts().unwrap().established >= before + 50, "{before}");
        drop(open);
    }

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "TcpExt: A ListenOverflows B\nTcpExt: 1 2 3\nIpExt: ListenOverflows\nIpExt: 9\n";
        assert_eq!(field(text, "TcpExt:", "ListenOverflows"), Some(2));
        assert_eq!(field(text, "TcpExt:", "C"), None);
        assert_eq!(field("", "TcpExt:", "A"), None);
    }
}
