//! From where people are logged in by ssh, and by which port: blocking that would cut them off.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs,
    net::{IpAddr, TcpStream},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use nix::sys::socket::{SockType, getsockopt, sockopt};
use procfs::process::{FDTarget, Process, all_processes};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Programs of OpenSSH that serve a login.
const DAEMONS: [&str; 2] = ["sshd", "sshd-session"];
/// Processes climbed at the most, from this one to the first of the system.
const MAX_ANCESTORS: usize = 64;

/// Addresses of the ssh clients that this process works for. `sudo` and `su` drop the variable that names the client, the
/// shell above them has it still.
pub fn own_session_peers() -> Vec<IpAddr> {
    let mut peers = BTreeSet::new();
    let mut process = Process::myself();
    for _ in 0..MAX_ANCESTORS {
        let Ok(this) = process else { break };
        // What may not be read names nobody: the processes above may.
        let environment: HashMap<OsString, OsString> = this.environ().unwrap_or_default();
        peers.extend(
            environment
                .get(OsStr::new("SSH_CONNECTION"))
                .and_then(|value| ssh_client(value)),
        );
        process = this.stat().and_then(|stat| Process::new(stat.ppid));
    }
    peers.into_iter().collect()
}

/// Who is logged in by OpenSSH into this network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logins {
    /// From where, sorted.
    pub peers: Vec<IpAddr>,
    /// The TCP ports of this machine by which they came, sorted.
    pub ports: Vec<u16>,
}

/// Who is logged in now; a shell in `tmux` or `screen` says only from where it was begun. Whoever has not proven who they are yet is none
/// of them, and no user can pretend to be one. Blocks the thread for some milliseconds.
pub fn ssh_logins() -> Logins {
    let here = namespace(Path::new("/proc/thread-self/ns/net"));
    let (mut peers, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for process in all_processes().into_iter().flatten().flatten() {
        let title = process.cmdline().unwrap_or_default();
        let serves = title.first().is_some_and(|title| is_session(title)) && is_genuine(&process);
        if serves
            && namespace(&PathBuf::from(format!("/proc/{}/ns/net", process.pid))) == here
            && let Some((peer, port)) = ends_of(&process)
        {
            peers.insert(peer);
            ports.insert(port);
        }
    }
    Logins {
        peers: peers.into_iter().collect(),
        ports: ports.into_iter().collect(),
    }
}

/// Whether a process with this title serves somebody who is logged in: sshd writes `sshd: USER@TERMINAL` (since 9.8
/// `sshd-session: ...`), or only the user where there is no terminal, then, and a state in brackets before.
fn is_session(title: &str) -> bool {
    let who = DAEMONS
        .iter()
        .find_map(|daemon| title.strip_prefix(daemon)?.strip_prefix(": "));
    who.is_some_and(|who| !who.contains('[') && (who.contains('@') || !who.contains(['/', ' '])))
}

/// Anybody can choose a title. The process of a login belongs to root, or, where privileges were given up, is the child of
/// one that does; and it runs sshd.
fn is_genuine(process: &Process) -> bool {
    let parent = || process.stat().and_then(|stat| Process::new(stat.ppid));
    let privileged = |process: &Process| process.status().is_ok_and(|status| status.euid == 0);
    runs_sshd(process)
        && (privileged(process) || parent().is_ok_and(|parent| runs_sshd(&parent) && privileged(&parent)))
}

fn runs_sshd(process: &Process) -> bool {
    let program = process.exe().unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    // The kernel says so of a program that was upgraded meanwhile.
    DAEMONS.contains(&name.trim_end_matches(" (deleted)"))
}

fn namespace(path: &Path) -> Option<PathBuf> {
    fs::read_link(path).ok()
}

/// The other end of the connection that `process` serves, and the port of this one: the first TCP socket that it has. Those of forwarded
/// ports come later, and whoever connects to them is not who logged in.
fn ends_of(process: &Process) -> Option<(IpAddr, u16)> {
    let mut sockets: Vec<i32> = process
        .fd()
        .ok()?
        .flatten()
        .filter(|descriptor| matches!(descriptor.target, FDTarget::Socket(_)))
        .map(|descriptor| descriptor.fd)
        .collect();
    sockets.sort_unstable();
    sockets
        .into_iter()
        .find_map(|descriptor| ends(process.pid, descriptor))
}

/// The other end of a TCP socket of another process, and the port of this one; `None` when it has none or is another socket.
fn ends(process: i32, descriptor: i32) -> Option<(IpAddr, u16)> {
    let process = pidfd_open(Pid::from_raw(process)?, PidfdFlags::empty()).ok()?;
    let socket: OwnedFd = pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty()).ok()?;
    if getsockopt(&socket, sockopt::SockType).ok()? != SockType::Stream {
        return None;
    }
    let socket = TcpStream::from(socket);
    let peer = socket.peer_addr().ok()?.ip().to_canonical();
    Some((peer, socket.local_addr().ok()?.port()))
}

/// The client of `SSH_CONNECTION`: "client port server port".
fn ssh_client(value: &OsStr) -> Option<IpAddr> {
    let text = str::from_utf8(value.as_bytes()).ok()?;
    // A link-local client carries the name of the interface.
    let client = text.split(' ').next()?.split('%').next()?;
    Some(client.parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_first_word() {
        let client = |text: &str| ssh_client(OsStr::new(text)).map(|client| client.to_string());
        assert_eq!(client("192.0.2.7 5000 192.0.2.1 22"), Some("192.0.2.7".into()));
        assert_eq!(client("fe80::7%eth0 5000 fe80::1 22"), Some("fe80::7".into()));
        assert_eq!(client(""), None);
    }

    #[test]
    fn sessions_are_told_from_attempts() {
        assert!(is_session("sshd: root@pts/0"));
        assert!(is_session("sshd-session: admin@notty"));
        assert!(is_session("sshd: admin"));
        for other in [
            "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
            "sshd: admin [priv]",
            "sshd: root@pts/0 [net]",
            "sshd: unknown [preauth]",
            "sshd: /usr/sbin/sshd -D",
            "sshdx: root@pts/0",
            "nginx: master@process",
        ] {
            assert!(!is_session(other), "{other}");
        }
    }
}
