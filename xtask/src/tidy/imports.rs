//! Who may name whom: the boundaries inside the daemon that packages alone do not draw.

use super::{Violation, paths, source::Source};

struct Boundary {
    /// Files it holds for: those whose path starts with one of these,
    inside: &'static [&'static str],
    /// except those whose path starts with one of these.
    except: &'static [&'static str],
    /// Paths that such a file may not reach, in product code and in tests.
    banned: &'static [&'static str],
    why: &'static str,
}

/// The pure ring, observe to policy.
const RING: &str = "netguard/src/engine";
/// The modules of the daemon that the ring may use; all others use the ring.
const RING_MAY_USE: [&str; 5] = [
    "crate::engine",
    "crate::config",
    "crate::l7",
    "crate::prefix",
    "crate::signature",
];

const BOUNDARIES: [Boundary; 4] = [
    Boundary {
        inside: &[""],
        except: &["netguard/src/bpf/"],
        banned: &["aya", "aya_obj"],
        why: "only netguard/src/bpf talks to the kernel's BPF",
    },
    Boundary {
        inside: &[RING],
        except: &[],
        banned: &[
            "tokio",
            "rand",
            "libc",
            "nix",
            "std::fs",
            "std::env",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::os",
        ],
        why: "the ring is pure: time, randomness and tables are its arguments",
    },
    Boundary {
        inside: &["netguard/src/decision/"],
        except: &[],
        banned: &[
            "tokio",
            "libc",
            "nix",
            "std::fs",
            "std::env",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::os",
            "crate::bpf",
            "crate::daemon",
            "crate::host",
            "crate::clock",
        ],
        why: "decisions about requests are pure: sockets, files and the clock are the daemon's",
    },
    Boundary {
        inside: &["netguard/src/l7/"],
        except: &[],
        banned: &[
            "tokio",
            "libc",
            "nix",
            "std::fs",
            "std::env",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::os",
            "crate::bpf",
            "crate::daemon",
            "crate::engine",
            "crate::host",
            "crate::clock",
        ],
        why: "what conversations say is read without a clock, files and sockets, and judged by the engine",
    },
];

/// Paths that cross a boundary.
pub(crate) fn check(source: &Source) -> Vec<Violation> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| source.name.starts_with(prefix));
    let boundaries: Vec<&Boundary> = BOUNDARIES
        .iter()
        .filter(|boundary| starts(boundary.inside) && !starts(boundary.except))
        .collect();
    let mut found = Vec::new();
    for named in paths::of(&source.code) {
        for boundary in &boundaries {
            if let Some(banned) = boundary.banned.iter().find(|banned| named.reaches(banned)) {
                let problem = if named.path.starts_with(banned) {
                    format!("`{}` may not be used here: {}", named.path, boundary.why)
                } else {
                    format!(
                        "`{}` gives access to `{banned}`; import what is needed by name: {}",
                        named.path, boundary.why
                    )
                };
                found.push(source.violation(named.line, problem));
            }
        }
        if source.name.starts_with(RING) && leaves_the_ring(&named.path) {
            let problem = format!(
                "`{}`: the ring may use only {}",
                named.path,
                RING_MAY_USE.join(", ")
            );
            found.push(source.violation(named.line, problem));
        }
    }
    found
}

fn leaves_the_ring(path: &str) -> bool {
    path.starts_with("crate::") && !RING_MAY_USE.iter().any(|room| paths::is_within(path, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, text: &str) -> Vec<usize> {
        check(&Source::new(name, text))
            .into_iter()
            .map(|violation| violation.line)
            .collect()
    }

    #[test]
    fn aya_stays_in_its_directory() {
        let text = "use crate::x;\nuse aya::{Ebpf, maps};\nfn f() { aya::programs::x() }\n";
        assert_eq!(lines("netguard/src/daemon/run.rs", text), [2, 2, 3]);
        assert_eq!(lines("tests/tests/kernel.rs", text), [2, 2, 3]);
        assert!(lines("netguard/src/bpf/load.rs", text).is_empty());
        assert!(lines("netguard-ebpf/src/main.rs", "use aya_ebpf::macros::xdp;\n").is_empty());
        assert!(
            lines(
                "netguard/src/cli/mod.rs",
                "// aya::Ebpf\nlet x = \"aya::Ebpf\";\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn conversations_are_read_without_a_clock_and_without_judging() {
        let file = "netguard/src/l7/stream.rs";
        for banned in ["use std::time::Instant;", "use crate::engine::l7::Finding;"] {
            assert_eq!(lines(file, banned), [1], "{banned}");
        }
        assert!(lines(file, "use crate::decision::is_id;\n").is_empty());
        assert!(lines("netguard/src/engine/l7/offences.rs", "use crate::l7::Said;\n").is_empty());
    }

    #[test]
    fn decisions_have_no_clock_and_no_sockets() {
        let file = "netguard/src/decision/limits.rs";
        for banned in [
            "use tokio::net::TcpListener;",
            "use crate::clock::monotonic_ns;",
            "use crate::daemon::State;",
        ] {
            assert_eq!(lines(file, banned), [1], "{banned}");
        }
        assert!(
            lines(
                "netguard/src/daemon/decision/listen.rs",
                "use tokio::net::TcpListener;\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn the_ring_has_no_clock_no_files_and_no_sockets() {
        let ring = "netguard/src/engine/observe.rs";
        for banned in [
            "use std::time::Instant;",
            "use std::{fmt, time::{Duration, SystemTime}};",
            "use std::time;",
            "fn f() { std::fs::read(p); }",
            "use std::net::{IpAddr, UdpSocket};",
            "use std::net::*;",
            "use tokio::time::sleep;",
            "fn f() { rand::random::<u8>() }",
            "use crate::bpf::maps;",
            "use crate::*;",
        ] {
            assert_eq!(lines(ring, banned), [1], "{banned}");
        }
        let fine = "use std::{collections::HashMap, net::{IpAddr, Ipv4Addr}, time::Duration};\nuse crate::engine::window;\n";
        assert!(lines(ring, fine).is_empty());
        assert!(lines("netguard/src/daemon/tick.rs", "use std::time::Instant;\n").is_empty());
    }
}
