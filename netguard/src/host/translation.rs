//! Whether connections of this machine's addresses can end elsewhere: forwarded, or translated by a firewall.

use std::{fs, path::Path, sync::OnceLock};

use super::sysctl;

/// Where connections of own addresses can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// In sockets of this machine.
    None,
    /// Behind other ports than they come for, too: the kernel has what address translation needs.
    Possible,
    /// In containers or other machines, too: this one forwards packets.
    Forwarding,
}

/// What the kernel says now. A rule of a firewall is not looked for, but what one would need.
pub fn translation() -> Translation {
    let forwards = |name| sysctl(name).is_ok_and(|value| value != "0");
    if forwards("net.ipv4.ip_forward") || forwards("net.ipv6.conf.all.forwarding") {
        return Translation::Forwarding;
    }
    let loaded = |module: &&str| Path::new("/sys/module").join(module).exists();
    if ["nf_nat", "ip_vs"].iter().any(loaded) || translation_is_built_in() {
        return Translation::Possible;
    }
    Translation::None
}

/// A part of the kernel that is no module has no directory under `/sys/module`, but its symbols. They do not change.
fn translation_is_built_in() -> bool {
    static BUILT_IN: OnceLock<bool> = OnceLock::new();
    *BUILT_IN.get_or_init(|| {
        let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        symbols.lines().any(|line| line.ends_with(" nf_nat_setup_info"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_forwards_is_told() {
        let forwards = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
            .iter()
            .any(|name| sysctl(name).is_ok_and(|value| value != "0"));
        assert_eq!(translation() == Translation::Forwarding, forwards);
    }
}
