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
    if is_set_for_any(Path::new("/proc/sys/net/ipv4/conf"), "forwarding")
        || sysctl("net.ipv6.conf.all.forwarding").is_ok_and(|value| value != "0")
        || is_set_for_any(Path::new("/proc/sys/net/ipv6/conf"), "force_forwarding")
    {
        return Translation::Forwarding;
    }
    let loaded = |module: &&str| Path::new("/sys/module").join(module).exists();
    if ["nf_nat", "ip_vs", "nf_tproxy_ipv4", "nf_tproxy_ipv6"]
        .iter()
        .any(loaded)
        || translation_is_built_in()
    {
        return Translation::Possible;
    }
    Translation::None
}

/// Whether one of the interfaces that have a directory in `conf`, or all, have the `setting`. IPv4 forwards what comes through
/// an interface that does, whatever `net.ipv4.ip_forward` says (`ip_route_input_slow()` in net/ipv4/route.c), and IPv6 since
/// Linux 6.17 one with `force_forwarding`.
fn is_set_for_any(conf: &Path, setting: &str) -> bool {
    let interfaces = fs::read_dir(conf).into_iter().flatten().flatten();
    interfaces
        // What interfaces to come begin with.
        .filter(|interface| interface.file_name() != "default")
        .any(|interface| {
            let value = fs::read_to_string(interface.path().join(setting));
            value.is_ok_and(|value| value.trim() != "0")
        })
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
        assert!(!forwards || translation() == Translation::Forwarding);
    }

    /// Found in review: systemd-networkd lets single interfaces forward.
    #[test]
    fn one_interface_that_forwards_is_enough() {
        let conf = tempfile::tempdir().unwrap();
        let write = |interface: &str, value: &str| {
            fs::create_dir_all(conf.path().join(interface)).unwrap();
            fs::write(conf.path().join(interface).join("forwarding"), value).unwrap();
        };
        let forwards = || is_set_for_any(conf.path(), "forwarding");
        assert!(!forwards());
        for interface in ["all", "eth0", "br-lan.100"] {
            write(interface, "0\n");
        }
        write("default", "1\n");
        assert!(!forwards());
        write("br-lan.100", "1\n");
        assert!(forwards());
        assert!(!is_set_for_any(conf.path(), "force_forwarding"));
    }
}
