//! What is remembered of sources, and when that is enough to block them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuditFile, Period, PolicyMode, Within};

/// A score for each source, from 0 (neutral) to 100, of what was found against it; it fades with time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of reputation settings")]
pub struct Reputation {
    /// Whether scores are kept, and whether they lead to blocks.
    pub mode: PolicyMode,
    /// A source with an established connection that is found flooding is blocked from this score on.
    pub block_from: Score,
    /// Who was blocked is blocked again sooner, until its score is below this.
    pub release_below: Score,
    /// For each so many points of floods and abuse the limits of a source are divided by one more; 0: they do not move.
    pub limit_step: Within<0, 100>,
    /// How long half of the evidence of a flood lasts; what others say lasts longer.
    pub half_life: Period,
    /// Each repeated block is twice as long as the one before, up to this. The first is `detect.flooder.block_for`.
    pub block_for_at_most: Period,
    /// How long after a block the next one is a repetition.
    pub remember_for: Period,
    /// Established connections of one source from which on many people may be behind it: it is limited, never blocked.
    pub shared_from: Within<1, 1_000_000>,
    /// When a whole network is blocked.
    pub network: NetworkBlocks,
    /// How much automatic blocks may touch, whatever was found.
    pub blast_radius: BlastRadius,
    /// Sources that are remembered at the most; the lowest scores give way.
    pub sources: Within<1_024, 1_048_576>,
    /// Whether scores and penalties outlive the daemon.
    pub store: StoreMode,
    /// The file that they are kept in.
    pub file: AuditFile,
}

/// A score of a source.
pub type Score = Within<1, 100>;

/// When a whole network (IPv4 /24, IPv6 /48) is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `after` and `within`")]
pub struct NetworkBlocks {
    /// When so many of its sources were blocked,
    pub after: Within<2, 65_536>,
    /// within this time.
    pub within: Period,
}

/// How much automatic blocks may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of caps")]
pub struct BlastRadius {
    /// Hundredths of the connected sources that blocks of a minute may touch together,
    pub sources_percent: Within<0, 100>,
    /// but that many in any case.
    pub at_least: Within<1, 1_000_000>,
    /// Hundredths of the connected sources without fault that the block of a network may touch.
    pub bystanders_percent: Within<0, 100>,
    /// Networks that may be blocked at a time.
    pub networks: Within<0, 16_384>,
}

/// Whether something outlives the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreMode {
    /// It ends with the daemon.
    Off,
    /// It is kept in a file.
    #[default]
    On,
}

impl Default for Reputation {
    fn default() -> Self {
        Self {
            mode: PolicyMode::default(),
            block_from: Within::constant::<50>(),
            release_below: Within::constant::<30>(),
            limit_step: Within::constant::<20>(),
            half_life: Period::constant::<600>(),
            block_for_at_most: Period::constant::<3_600>(),
            remember_for: Period::constant::<86_400>(),
            shared_from: Within::constant::<64>(),
            network: NetworkBlocks::default(),
            blast_radius: BlastRadius::default(),
            sources: Within::constant::<65_536>(),
            store: StoreMode::default(),
            file: AuditFile::constant("/var/lib/netguard/{instance}/reputation.redb"),
        }
    }
}

impl Default for NetworkBlocks {
    fn default() -> Self {
        Self {
            after: Within::constant::<8>(),
            within: Period::constant::<600>(),
        }
    }
}

impl Default for BlastRadius {
    fn default() -> Self {
        Self {
            sources_percent: Within::constant::<10>(),
            at_least: Within::constant::<16>(),
            bystanders_percent: Within::constant::<1>(),
            networks: Within::constant::<256>(),
        }
    }
}
