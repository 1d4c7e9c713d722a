//! From where people are logged in by ssh: blocking that would cut them off.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    io,
    net::{IpAddr, TcpStream},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
};

use procfs::{
    ProcResult,
    process::{FDTarget, Process, all_processes},
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

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

/// Addresses from which anybody is logged in by OpenSSH, sorted; a shell in `tmux` or `screen` says only from where it was
/// begun. Whoever has not proven who they are yet is none of them. Blocks the thread for some milliseconds.
pub fn ssh_peers() -> Vec<IpAddr> {
    let mut peers = BTreeSet::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let title = process.cmdline().unwrap_or_default();
        if title.first().is_some_and(|title| is_session(title)) {
            peers.extend(peers_of(&process).unwrap_or_default());
        }
    }
    peers.into_iter().collect()
}

/// Whether a process with this title serves somebody who is logged in: sshd writes `sshd: USER@TERMINAL` (since 9.8
/// `sshd-session: ...`) then, and a state in brackets before.
fn is_session(title: &str) -> bool {
    ["sshd: ", "sshd-session: "]
        .iter()
        .find_map(|name| title.strip_prefix(name))
        .is_some_and(|who| who.contains('@') && !who.ends_with(']'))
}

/// The other ends of the connections that `process` holds.
fn peers_of(process: &Process) -> ProcResult<Vec<IpAddr>> {
    let mut peers = Vec::new();
    for descriptor in process.fd()? {
        let descriptor = descriptor?;
        if matches!(descriptor.target, FDTarget::Socket(_)) {
            peers.extend(peer(process.pid, descriptor.fd));
        }
    }
    Ok(peers)
}

/// The other end of a socket of another process; `None` when it has none or is no internet socket.
fn peer(process: i32, descriptor: i32) -> Option<IpAddr> {
    let process = pidfd_open(Pid::from_raw(process)?, PidfdFlags::empty()).ok()?;
    let socket: OwnedFd = pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty()).ok()?;
    let peer: io::Result<_> = TcpStream::from(socket).peer_addr();
    Some(peer.ok()?.ip().to_canonical())
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
    use std::{
        net::TcpListener,
        os::unix::process::CommandExt as _,
        process::{Child, Command, Stdio},
        thread,
    };

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
        for other in [
            "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
            "sshd: admin [priv]",
            "sshd: root@pts/0 [net]",
            "sshd: unknown [preauth]",
            "nginx: master@process",
        ] {
            assert!(!is_session(other), "{other}");
        }
    }

    /// A process that looks like sshd and holds `socket`.
    fn sshd(title: &str, socket: &TcpStream) -> Child {
        let socket = OwnedFd::from(socket.try_clone().expect("a second descriptor"));
        let child = Command::new("sleep")
            .arg0(title)
            .arg("20")
            .stdin(Stdio::from(socket))
            .spawn()
            .expect("a process");
        // The kernel sets the title after it has told us that the program runs.
        let pid = i32::try_from(child.id()).expect("a process number");
        while Process::new(pid)
            .and_then(|it| it.cmdline())
            .expect("it runs")
            .is_empty()
        {
            thread::yield_now();
        }
        child
    }

    #[test]
    fn a_session_is_found_by_its_socket() {
        let listener = TcpListener::bind("127.77.9.1:0").expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        let peer = IpAddr::from([127, 77, 9, 1]);
        let mut attempt = sshd("sshd: unknown [preauth]", &client);
        assert!(!ssh_peers().contains(&peer));
        let mut session = sshd("sshd: admin@pts/7", &client);
        assert!(ssh_peers().contains(&peer));
        for child in [&mut attempt, &mut session] {
            child.kill().expect("our own child ends");
            child.wait().expect("our own child ends");
        }
    }
}
