//! From where the operator is logged in: the ssh client of this process or of one that it descends from. `sudo` and
//! `su` drop the variable, the shell above them has it still.

use std::{fs, net::IpAddr};

/// Processes climbed at the most, from this one to the first of the system.
const MAX_ANCESTORS: usize = 64;

/// Addresses of the ssh clients that this process works for.
pub fn session_peers() -> Vec<IpAddr> {
    let mut peers = Vec::new();
    let mut process = std::process::id();
    for _ in 0..MAX_ANCESTORS {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        peers.extend(ssh_client(&environment).filter(|peer| !peers.contains(peer)));
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        match parent(&status) {
            Some(above) if above > 1 => process = above,
            _ => break,
        }
    }
    peers
}

/// The client of `SSH_CONNECTION` ("client port server port") in a zero-separated environment.
fn ssh_client(environment: &[u8]) -> Option<IpAddr> {
    environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="))
        .and_then(|value| str::from_utf8(value).ok())
        .and_then(|value| value.split(' ').next())
        // A link-local client carries the name of the interface.
        .and_then(|client| client.split('%').next()?.parse::<IpAddr>().ok())
        .map(|client| client.to_canonical())
}

fn parent(status: &str) -> Option<u32> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_first_word() {
        let client = |text: &str| ssh_client(text.as_bytes()).map(|client| client.to_string());
        assert_eq!(
            client("A=b\0SSH_CONNECTION=192.0.2.7 5000 192.0.2.1 22\0C=d\0"),
            Some("192.0.2.7".into())
        );
        assert_eq!(
            client("SSH_CONNECTION=fe80::7%eth0 5000 fe80::1 22"),
            Some("fe80::7".into())
        );
        assert_eq!(client("XSSH_CONNECTION=192.0.2.7 1 2 3"), None);
        assert_eq!(client("SSH_CONNECTION="), None);
    }

    #[test]
    fn parents_are_found() {
        assert_eq!(parent("Name:\tx\nPid:\t7\nPPid:\t3\n"), Some(3));
        assert_eq!(parent(""), None);
        assert!(parent(&fs::read_to_string("/proc/self/status").unwrap()).is_some());
    }
}
