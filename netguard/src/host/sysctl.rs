//! Settings of the kernel under `/proc/sys`, in the network namespace of the calling thread's process.

use std::{fs, io, path::PathBuf};

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
    }
}
