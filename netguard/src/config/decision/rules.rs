//! Limits of requests, and what must be signed, as they are written: each under a name of its own, none of them empty.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    KeyPart,
    words::{LimitLabel, MethodText, PathPattern},
};
use crate::config::{Burst, Period, RatePerSecond};

/// How often something may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `name`, `key`, `requests` and, if you like, `per`, `burst`, `paths` and `methods`"
)]
pub struct DecisionLimit {
    /// What it is called in answers, and in the headers that clients get.
    pub name: LimitLabel,
    /// What is counted by itself. It does not hold for requests that lack a part of it.
    pub key: Vec<KeyPart>,
    /// So many `per` time.
    pub requests: RatePerSecond,
    #[serde(default = "second")]
    pub per: Period,
    /// That many may come at once; as many as `requests` where nothing is said.
    #[serde(default)]
    pub burst: Option<Burst>,
    /// Paths that it holds for; all where none is named.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// Methods that it holds for; all where none is named.
    #[serde(default)]
    pub methods: Vec<MethodText>,
}

/// What must be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `paths`, `key_file` and, if you like, `methods` and `window`"
)]
pub struct DecisionSigned {
    pub paths: Vec<PathPattern>,
    /// Methods that must be; all where none is named.
    #[serde(default)]
    pub methods: Vec<MethodText>,
    /// Lines with the name of a signer and its secret, of 16 bytes at least.
    pub key_file: PathBuf,
    /// How far the clock of a signer may be from this machine's.
    #[serde(default = "minute")]
    pub window: Period,
}

/// At most 64 limits, each under a name of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<DecisionLimit>", into = "Vec<DecisionLimit>")]
#[schemars(with = "Vec<DecisionLimit>")]
pub struct DecisionLimits(Vec<DecisionLimit>);

/// At most 64 of them, none without paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<DecisionSigned>", into = "Vec<DecisionSigned>")]
#[schemars(with = "Vec<DecisionSigned>")]
pub struct DecisionSigneds(Vec<DecisionSigned>);

const MOST: usize = 64;
/// No sensible window is longer: what is replayed within it must be remembered.
const LONGEST_WINDOW_S: u64 = 3_600;

fn second() -> Period {
    Period::constant::<1>()
}

fn minute() -> Period {
    Period::constant::<60>()
}

impl DecisionLimit {
    /// Time that a request stands for, in ns.
    pub fn interval_ns(&self) -> u64 {
        let per_ns = u64::try_from(self.per.duration().as_nanos()).unwrap_or(u64::MAX);
        (per_ns / u64::from(self.requests.value())).max(1)
    }

    /// Requests that may come at once.
    pub fn burst(&self) -> u32 {
        self.burst.map_or(self.requests.value(), Burst::value)
    }
}

impl DecisionLimits {
    pub fn iter(&self) -> impl Iterator<Item = &DecisionLimit> {
        self.0.iter()
    }

    /// Whether any has `part` in its key.
    pub fn uses(&self, part: KeyPart) -> bool {
        self.iter().any(|limit| limit.key.contains(&part))
    }
}

impl DecisionSigneds {
    pub fn iter(&self) -> impl Iterator<Item = &DecisionSigned> {
        self.0.iter()
    }
}

impl TryFrom<Vec<DecisionLimit>> for DecisionLimits {
    type Error = String;

    fn try_from(limits: Vec<DecisionLimit>) -> Result<Self, String> {
        if limits.len() > MOST {
            return Err(format!("{} limits: {MOST} at the most", limits.len()));
        }
        for (index, limit) in limits.iter().enumerate() {
            let (name, key) = (&limit.name, &limit.key);
            if key.is_empty() {
                return Err(format!("the limit {name}: `key` needs at least one part"));
            }
            if (1..key.len()).any(|at| key[..at].contains(&key[at])) {
                return Err(format!("the limit {name}: `key` names a part twice"));
            }
            if limits[..index].iter().any(|other| other.name == *name) {
                return Err(format!("there are two limits of the name {name}"));
            }
        }
        Ok(Self(limits))
    }
}

impl TryFrom<Vec<DecisionSigned>> for DecisionSigneds {
    type Error = String;

    fn try_from(signed: Vec<DecisionSigned>) -> Result<Self, String> {
        if signed.len() > MOST {
            return Err(format!("{} of `signed`: {MOST} at the most", signed.len()));
        }
        if signed.iter().any(|signed| signed.paths.is_empty()) {
            return Err("signed needs `paths`: [\"/*\"] is everything".to_owned());
        }
        let too_long = |signed: &&DecisionSigned| signed.window.duration().as_secs() > LONGEST_WINDOW_S;
        if let Some(signed) = signed.iter().find(too_long) {
            return Err(format!(
                "`window` of {} is longer than an hour, in which each request must be remembered",
                signed.window
            ));
        }
        Ok(Self(signed))
    }
}

impl From<DecisionLimits> for Vec<DecisionLimit> {
    fn from(limits: DecisionLimits) -> Self {
        limits.0
    }
}

impl From<DecisionSigneds> for Vec<DecisionSigned> {
    fn from(signed: DecisionSigneds) -> Self {
        signed.0
    }
}
