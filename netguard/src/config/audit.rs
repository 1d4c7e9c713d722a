//! Where it is kept what was decided.

use std::{borrow::Cow, path::PathBuf, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::Within;

/// What is kept of all that was decided, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with `mode`, `file`, `max_bytes` and `keep`"
)]
pub struct Audit {
    /// Whether anything is.
    pub mode: AuditMode,
    /// The file that is written.
    pub file: AuditFile,
    /// Bytes from which on a file is full.
    pub max_bytes: AuditFileSize,
    /// Full files that are kept beside it.
    pub keep: KeptFiles,
}

/// Whether decisions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditMode {
    /// Only in the daemon's memory, for `netguard events`.
    Off,
    /// In a file.
    #[default]
    On,
}

/// Bytes of a file: 64 KiB to 4 GB.
pub type AuditFileSize = Within<65_536, 4_000_000_000>;

/// Full files, 0 to 10000.
pub type KeptFiles = Within<0, 10_000>;

/// An absolute path, in which `{instance}` stands for the name of the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AuditFile(String);

impl AuditFile {
    const INSTANCE: &str = "{instance}";

    /// A path that this program itself names.
    pub(super) fn constant(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// The file of an instance.
    #[must_use]
    pub fn of_instance(&self, instance: &str) -> PathBuf {
        self.0.replace(Self::INSTANCE, instance).into()
    }
}

impl FromStr for AuditFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The daemon's directory is nobody's choice; and a directory is no file.
        if text.starts_with('/') && !text.ends_with('/') && !text.contains('\0') {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(64).collect();
        Err(format!(
            "{shown:?} is not the path of a file from the root on, such as \"/var/lib/netguard/{{instance}}/audit.jsonl\""
        ))
    }
}

impl<'de> Deserialize<'de> for AuditFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl JsonSchema for AuditFile {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AuditFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^/.*[^/]$" })
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            mode: AuditMode::default(),
            file: AuditFile::constant("/var/lib/netguard/{instance}/audit.jsonl"),
            max_bytes: Within::constant::<16_777_216>(),
            keep: Within::constant::<15>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_from_the_root_on() {
        let file: AuditFile = "/var/log/{instance}.audit".parse().expect("a path");
        assert_eq!(file.of_instance("edge"), PathBuf::from("/var/log/edge.audit"));
        for wrong in ["", "audit.jsonl", "./x", "/", "/var/log/", "/a\0b"] {
            let error = wrong.parse::<AuditFile>().expect_err(wrong);
            assert!(error.contains("from the root on"), "{error}");
        }
    }
}
