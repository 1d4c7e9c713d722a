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
    }
}
