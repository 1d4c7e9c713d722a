//! What happens in made-up captures: attacks of every kind and rate with whoever is there beside them, and crowds without any.

use super::traffic::{SECOND, Scene};

/// Packets a second of the attacks, on average.
const RATES: [u64; 3] = [2_000, 10_000, 50_000];
/// How long an attack lasts.
const LASTS: u64 = 3 * SECOND / 2;
/// Connections a second beside it, and how many sources they come from.
pub(super) const BESIDE: (u64, u32) = (150, 400);
/// Segments a second of connections that stand.
const CARRIED: u64 = 10_000;

/// What an attack consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    SynForged,
    SynFixed,
    Ack,
    SynAck,
    Udp,
    Icmp,
    Fragments,
    Dns,
    Ntp,
    /// TCP segments with flags that exclude each other.
    Malformed,
    /// SYNs of forged sources, a tenth of a second long, twice a second; its rate is the mean.
    Pulse,
}

impl Attack {
    pub(super) const ALL: [Self; 11] = [
        Self::SynForged,
        Self::SynFixed,
        Self::Ack,
        Self::SynAck,
        Self::Udp,
        Self::Icmp,
        Self::Fragments,
        Self::Dns,
        Self::Ntp,
        Self::Malformed,
        Self::Pulse,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SynForged => "SYN, forged sources",
            Self::SynFixed => "SYN, 50 sources",
            Self::Ack => "ACK, forged sources",
            Self::SynAck => "SYN-ACK reflection",
            Self::Udp => "UDP, closed port, forged sources",
            Self::Icmp => "ICMP, forged sources",
            Self::Fragments => "small fragments, forged sources",
            Self::Dns => "DNS reflection",
            Self::Ntp => "NTP reflection",
            Self::Malformed => "SYN and FIN, forged sources",
            Self::Pulse => "SYN pulses, forged sources",
        }
    }

    /// What it is to be recognised as.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::SynForged | Self::SynFixed | Self::Pulse => "syn-flood",
            Self::Ack => "segment-flood",
            Self::SynAck => "syn-ack-reflection",
            Self::Udp => "udp-flood",
            Self::Icmp => "icmp-flood",
            Self::Fragments => "fragment-flood",
            Self::Dns | Self::Ntp => "reflection",
            Self::Malformed => "malformed",
        }
    }

    /// How many sources it has; `None`: each packet another.
    pub(super) const fn sources(self) -> Option<u32> {
        match self {
            Self::SynFixed => Some(50),
            Self::SynAck => Some(5_000),
            Self::Dns => Some(2_000),
            Self::Ntp => Some(500),
            _ => None,
        }
    }
}

/// Who is there beside an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Hardly anybody.
    Nobody,
    Clients,
    /// Clients, and some whose connections stand and carry [`CARRIED`] segments a second.
    Connected,
    /// Clients of whom many share an address.
    Shared,
    /// Twenty times as many clients.
    Crowd,
}

impl Beside {
    const ALL: [Self; 5] = [
        Self::Nobody,
        Self::Clients,
        Self::Connected,
        Self::Shared,
        Self::Crowd,
    ];

    fn play(self, scene: &mut Scene, end: u64) {
        let (connections, users) = BESIDE;
        match self {
            // The clock begins with the capture's first frame, before the attack.
            Self::Nobody => scene.clients(0, end, 1, users),
            Self::Clients => scene.clients(0, end, connections, users),
            Self::Connected => {
                scene.clients(0, end, connections, users);
                scene.connected(0, end, 40, CARRIED);
            }
            Self::Shared => scene.clients(0, end, 4 * connections, 4),
            Self::Crowd => scene.clients(0, end, 20 * connections, 20_000),
        }
    }
}

/// What happens in a capture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plot {
    Attack {
        attack: Attack,
        per_second: u64,
        beside: Beside,
    },
    /// Nothing but ordinary clients.
    Ordinary,
    /// Twenty times as many at once.
    FlashCrowd,
    /// Hundreds of connections a second of a few addresses that thousands share.
    Shared,
    /// The same of one address, twice as many as the limit of a source allows: half of them are lost, and it must not be blocked.
    Office,
}

impl Plot {
    pub(super) fn all() -> Vec<Self> {
        let attacks = Attack::ALL.into_iter().flat_map(|attack| {
            RATES.into_iter().flat_map(move |per_second| {
                Beside::ALL.map(|beside| Self::Attack {
                    attack,
                    per_second,
                    beside,
                })
            })
        });
        attacks
            .chain([Self::Ordinary, Self::FlashCrowd, Self::Shared, Self::Office])
            .collect()
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Attack {
                attack, per_second, ..
            } => format!("{}, {per_second}/s", attack.name()),
            Self::Ordinary => "ordinary clients".to_owned(),
            Self::FlashCrowd => "flash crowd".to_owned(),
            Self::Shared => "clients behind shared addresses".to_owned(),
            Self::Office => "an office over its limit".to_owned(),
        }
    }

    /// The attack in it.
    pub(super) const fn truth(self) -> Option<Attack> {
        match self {
            Self::Attack { attack, .. } => Some(attack),
            _ => None,
        }
    }

    pub(super) fn play(self, scene: &mut Scene, begins: u64) {
        let end = begins + LASTS;
        let (connections, users) = BESIDE;
        match self {
            Self::Attack {
                attack,
                per_second,
                beside,
            } => {
                beside.play(scene, end);
                scene.flood(attack, begins, end, per_second);
            }
            Self::Ordinary => scene.clients(0, 2 * end, connections, users),
            Self::FlashCrowd => {
                scene.clients(0, 2 * end, connections, users);
                scene.clients(begins, 2 * end, 20 * connections, 20_000);
            }
            Self::Shared => scene.clients(0, 2 * end, 4 * connections, 4),
            Self::Office => scene.clients(0, 2 * end, 400, 1),
        }
    }
}
