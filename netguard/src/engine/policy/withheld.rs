//! Why nothing is blocked, as counters name it and as people read it. It decides nothing.

use crate::{
    engine::{GuardKind, reputation::Excess},
    prefix::Prefix,
};

/// Why nothing is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The source never completed a handshake: its address may be forged.
    Unproven,
    /// The block would touch this guarded prefix.
    Guarded { prefix: Prefix, kind: GuardKind },
    /// Automatic blocks are off.
    Off,
    /// Many users are behind the source.
    Shared { connections: u32, from: u32 },
    /// All that it does is to ask much, and no more than people do over so many connections.
    People { per_s: u64, connections: u32 },
    /// It opens so many connections a second: people come and go behind it.
    Busy { opened_per_s: u64 },
    /// Not enough speaks against it yet.
    Below { score: u8, from: u8 },
    /// The block of `prefix` would be too much.
    Radius { prefix: Prefix, excess: Excess },
    /// It would be blocked, but is only told.
    Shadow { prefix: Prefix, ttl_ns: u64 },
}

impl Withheld {
    /// The word that counters go by.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Guarded { .. } => "guarded",
            Self::Off => "off",
            Self::Shared { .. } => "shared",
            Self::People { .. } => "people",
            Self::Busy { .. } => "busy",
            Self::Below { .. } => "below-threshold",
            Self::Radius { .. } => "blast-radius",
            Self::Shadow { .. } => "shadow",
        }
    }

    /// A sentence behind "not blocked: ".
    pub fn describe(&self) -> String {
        match self {
            Self::Unproven => {
                "the source has no established connection: its address may be forged".to_owned()
            }
            Self::Guarded { prefix, kind } => format!("{prefix} is guarded: it is {}", kind.describe()),
            Self::Off => "automatic blocks are off (`reputation.mode`)".to_owned(),
            Self::Shared { connections, from } => format!(
                "{connections} connections come from it, so many people may be behind it: it stays at its limits \
                 (`reputation.shared_from` is {from})"
            ),
            Self::People { per_s, connections } => {
                format!("{per_s} requests a second over {connections} connections are what people make")
            }
            Self::Busy { opened_per_s } => format!(
                "it opens {opened_per_s} connections a second that come about: many people may be behind it, and it stays at its limits"
            ),
            Self::Below { score, from } => {
                format!(
                    "its score is {score}, and sources are blocked from {from} on (`reputation.block_from`)"
                )
            }
            Self::Radius { prefix, excess } => format!("{prefix}: {}", excess.describe()),
            Self::Shadow { prefix, ttl_ns } => format!(
                "in shadow; {prefix} would be blocked for {} s (`reputation.mode`)",
                ttl_ns / 1_000_000_000
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_withheld_says_why_and_where_that_is_set() {
        let prefix: Prefix = "192.0.2.0/24".parse().expect("a prefix");
        let excess = Excess::Bystanders {
            touched: 3,
            allowed: 1,
        };
        let (connections, from) = (70, 64);
        let all = [
            (Withheld::Unproven, "unproven", "may be forged"),
            (Withheld::Off, "off", "`reputation.mode`"),
            (
                Withheld::Shared { connections, from },
                "shared",
                "`reputation.shared_from` is 64",
            ),
            (
                Withheld::People {
                    per_s: 300,
                    connections: 90,
                },
                "people",
                "300 requests a second over 90 connections",
            ),
            (
                Withheld::Busy { opened_per_s: 190 },
                "busy",
                "190 connections a second",
            ),
            (
                Withheld::Below { score: 7, from: 50 },
                "below-threshold",
                "`reputation.block_from`",
            ),
            (
                Withheld::Radius { prefix, excess },
                "blast-radius",
                "`reputation.blast_radius`",
            ),
            (
                Withheld::Shadow {
                    prefix,
                    ttl_ns: 60_000_000_000,
                },
                "shadow",
                "192.0.2.0/24 would be blocked for 60 s",
            ),
            (
                Withheld::Guarded {
                    prefix,
                    kind: GuardKind::Gateway,
                },
                "guarded",
                "it is a gateway",
            ),
        ];
        for (why, name, told) in all {
            assert_eq!(why.name(), name);
            assert!(why.describe().contains(told), "{}", why.describe());
        }
    }
}
