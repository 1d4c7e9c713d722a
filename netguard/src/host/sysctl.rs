//! Settings of the kernel under `/proc/sys`, in the network namespace of the calling thread's process.

use std::{
    fs::{self, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    path::PathBuf,
};

/// The value of `name`, written with dots.
///
/// # Errors
/// When the kernel has no such setting.
pub fn sysctl(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(name))?.trim().to_owned())
}

/// Sets `name`.
///
/// # Errors
/// When it may not be set, as in containers.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value)
}

/// The longest IPv6 packet for `interface`: a router may have told less than the link can carry (RFC 4861 section 4.6.4).
///
/// # Errors
/// When there is no such interface, or IPv6 is switched off.
pub fn ipv6_mtu(interface: &str) -> io::Result<u32> {
    // Not by a name with dots: an interface may have some in its own.
    let path = PathBuf::from("/proc/sys/net/ipv6/conf")
        .join(interface)
        .join("mtu");
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(io::Error::other)
}

/// Whether `name` may be set; nothing is changed.
///
/// # Errors
/// Why it may not.
pub fn can_set_sysctl(name: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path(name)).map(drop)
}

/// The network namespace of the calling thread, by a number that no other ever has until the next boot; inode numbers come again.
///
/// # Errors
/// When the kernel does not tell (before Linux 5.14).
pub fn network_namespace() -> io::Result<u64> {
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `cookie`, which has as many, and to `len`.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if answer == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_dots() {
        assert!(sysctl("net.ipv4.tcp_syncookies").is_ok());
        assert!(sysctl("net.ipv4.no_such_thing").is_err());
        assert!(ipv6_mtu("lo").is_ok_and(|mtu| mtu >= 1280));
        assert!(ipv6_mtu("no-such-card").is_err());
        assert!(can_set_sysctl("net.ipv4.no_such_thing").is_err());
    }

    #[test]
    fn a_network_namespace_keeps_its_number() {
        let number = network_namespace().unwrap();
        assert!(number != 0 && number == network_namespace().unwrap());
    }
}
