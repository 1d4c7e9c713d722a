//! Attempt: one packet that came to nothing, by whom, at what, and what it looked like. A single one is noise; what many say together is for
//! [`super::probing`].

use std::fmt;

use netguard_common::{
    Verdict,
    packet::protocol,
    signature::{HEADER_LENGTH, LENGTH, SOURCE_PORT, TTL, WINDOW},
    telemetry::Kind,
};
use serde::{Deserialize, Serialize};

use crate::engine::{Account, seen::Seen};

/// From here on Linux gives ports to clients (`net.ipv4.ip_local_port_range`): what comes late for a client that is gone is asked of nobody.
const CLIENT_PORTS: u16 = 32_768;
/// Below it servers answer from: late answers are no questions.
const SERVER_PORTS: u16 = 1_024;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    pub protocol: u8,
    pub port: u16,
}

impl Target {
    /// What `seen` asks for.
    pub const fn of(seen: &Seen) -> Self {
        Self {
            protocol: seen.stratum.protocol,
            port: seen.stratum.port,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            protocol::TCP => write!(out, "tcp/{}", self.port),
            protocol::UDP => write!(out, "udp/{}", self.port),
            other => write!(out, "protocol {other}/{}", self.port),
        }
    }
}

/// What a program's packets look like, whatever host runs it and whatever they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Look {
    protocol: u8,
    /// What it most likely began with: on the way each router takes one off.
    ttl: u8,
    length: u16,
    window: u16,
    header_length: u8,
}

impl Look {
    pub fn of(seen: &Seen) -> Self {
        Self {
            protocol: seen.stratum.protocol,
            ttl: match TTL.of(&seen.vector) {
                0..=32 => 32,
                33..=64 => 64,
                65..=128 => 128,
                _ => 255,
            },
            length: LENGTH.of(&seen.vector) as u16,
            window: WINDOW.of(&seen.vector) as u16,
            header_length: HEADER_LENGTH.of(&seen.vector) as u8,
        }
    }
}

impl Look {
    /// Whether it is known how ordinary it is: looks of what opens connections are learnt, and no others.
    pub(super) const fn is_learnt(&self) -> bool {
        self.protocol == protocol::TCP
    }
}

impl fmt::Display for Look {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ttl up to {}, length {}", self.ttl, self.length)?;
        if self.protocol == protocol::TCP {
            write!(out, ", window {}, header {}", self.window, self.header_length)?;
        }
        Ok(())
    }
}

/// A packet that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at_ns: u64,
    pub source: Account,
    pub target: Target,
    pub look: Look,
    /// Whether its source has an established connection.
    pub is_proven: bool,
}

impl Attempt {
    /// The attempt that `seen` is, if it is one. `is_served`: whether anybody serves what it asks for, where that is known.
    pub fn of(seen: &Seen, is_served: Option<bool>, is_proven: bool) -> Option<Self> {
        let target = Target::of(seen);
        let is_one = match seen.kind {
            // Nobody has an address that no host can have.
            Kind::Syn => {
                let is_nobody = matches!(
                    seen.verdict,
                    Verdict::MartianSource | Verdict::Land | Verdict::OwnSource
                );
                is_served == Some(false) && seen.verdict != Verdict::PassAllow && !is_nobody
            }
            // Its sockets do not say of a port that clients have whether one waits there.
            Kind::Udp => {
                let asks = matches!(
                    seen.verdict,
                    Verdict::Pass | Verdict::ClosedPort | Verdict::LimitUdp
                );
                is_served == Some(false) && asks && is_question(seen)
            }
            Kind::Ack | Kind::Fin | Kind::TcpOther => {
                let is_stray = seen.verdict == Verdict::OutOfState;
                is_served == Some(false) && is_stray && is_question(seen) || is_odd(seen.verdict)
            }
            // Answers and resets are echoes of what others do in this machine's name.
            _ => is_odd(seen.verdict),
        };
        // A client of a service is shown to other ports by it (FTP, calls), which listen for a moment.
        let is_led = is_proven && target.port >= SERVER_PORTS;
        (is_one && !is_led).then(|| Self {
            at_ns: seen.head.at_ns,
            source: Account::of(seen.source),
            target,
            look: Look::of(seen),
            is_proven,
        })
    }
}

/// Whether a packet can be the beginning of something, by its ports.
fn is_question(seen: &Seen) -> bool {
    let from = SOURCE_PORT.of(&seen.vector) as u16;
    (1..CLIENT_PORTS).contains(&seen.stratum.port) && from >= SERVER_PORTS
}

/// Flags that only those set who want to learn what answers.
const fn is_odd(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::TcpNull | Verdict::TcpXmas | Verdict::TcpSynFin | Verdict::TcpSynRst | Verdict::TcpFlags
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::seen::tests::{head, syn};

    /// A SYN to `port` from 192.0.2.`source`.
    pub(in crate::engine) fn asking(source: u8, port: u16, verdict: Verdict) -> Seen {
        let mut frame = syn(source, 50, 1_024, 0);
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        Seen::of(&head(&frame, verdict)).expect("a packet")
    }

    /// The same from and to ports, with these flags.
    fn segment(from: u16, port: u16, flags: u8, verdict: Verdict) -> Seen {
        let mut frame = syn(7, 50, 1_024, 0);
        frame[34..36].copy_from_slice(&from.to_be_bytes());
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        frame[47] = flags;
        Seen::of(&head(&frame, verdict)).expect("a packet")
    }

    fn datagram(from: u16, port: u16, verdict: Verdict) -> Seen {
        let mut frame = syn(7, 50, 0, 0);
        frame[16..18].copy_from_slice(&28_u16.to_be_bytes());
        frame[23] = 17;
        frame.truncate(42);
        frame[34..36].copy_from_slice(&from.to_be_bytes());
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        frame[38..40].copy_from_slice(&8_u16.to_be_bytes());
        Seen::of(&head(&frame, verdict)).expect("a packet")
    }

    #[test]
    fn only_what_asks_where_nobody_is_comes_to_nothing() {
        let (pass, stray) = (Verdict::Pass, Verdict::OutOfState);
        for (seen, is_served, is_proven, is_one) in [
            (asking(1, 23, pass), Some(false), false, true),
            (asking(1, 23, pass), Some(true), false, false),
            (asking(1, 23, pass), None, false, false),
            (asking(1, 23, Verdict::PassAllow), Some(false), false, false),
            (asking(1, 23, Verdict::MartianSource), Some(false), false, false),
            (asking(1, 23, Verdict::Land), Some(false), false, false),
            (asking(1, 23, Verdict::OwnSource), Some(false), false, false),
            (asking(1, 23, Verdict::LimitSyn), Some(false), false, true),
            (asking(1, 50_000, pass), Some(false), false, true),
            (asking(1, 50_000, pass), Some(false), true, false),
            (asking(1, 23, pass), Some(false), true, true),
            (datagram(9_999, 161, pass), Some(false), false, true),
            (
                datagram(9_999, 161, Verdict::ClosedPort),
                Some(false),
                false,
                true,
            ),
            (datagram(53, 9_999, pass), Some(false), false, false),
            (datagram(9_999, 40_000, pass), Some(false), false, false),
            (
                datagram(9_999, 161, Verdict::Reflection),
                Some(false),
                false,
                false,
            ),
            (segment(9_999, 8_080, 0x10, stray), Some(false), false, true),
            (segment(9_999, 80, 0x10, stray), Some(true), false, false),
            (segment(443, 8_080, 0x10, stray), Some(false), false, false),
            (segment(9_999, 40_000, 0x11, stray), Some(false), false, false),
            (segment(9_999, 8_080, 0x10, pass), Some(false), false, false),
            (segment(80, 9_999, 0x12, stray), Some(false), false, false),
            (segment(9_999, 8_080, 0x04, stray), Some(false), false, false),
            (segment(9_999, 80, 0x29, Verdict::TcpXmas), None, false, true),
        ] {
            let attempt = Attempt::of(&seen, is_served, is_proven);
            assert_eq!(attempt.is_some(), is_one, "{seen:?} {is_served:?} {is_proven}");
        }
    }

    #[test]
    fn a_program_looks_alike_from_near_and_far() {
        let near = Seen::of(&head(&syn(1, 63, 1_024, 0), Verdict::Pass)).expect("a packet");
        let far = Seen::of(&head(&syn(2, 44, 1_024, 0), Verdict::Pass)).expect("a packet");
        let other = Seen::of(&head(&syn(2, 44, 64_240, 5), Verdict::Pass)).expect("a packet");
        assert_eq!(Look::of(&near), Look::of(&far));
        assert_ne!(Look::of(&near), Look::of(&other));
        assert_eq!(
            Look::of(&near).to_string(),
            "ttl up to 64, length 40, window 1024, header 20"
        );
    }
}
