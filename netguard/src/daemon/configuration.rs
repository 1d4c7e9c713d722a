//! What the configuration of this start says, for the audit trail: its digest, and what is different from the start before,
//! of which a copy lies beside the trail.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tracing::warn;

use super::EventKind;
use crate::{
    audit::{Place, make_directory, sha256},
    bpf::InstanceName,
    config::Config,
};

/// Changes that are told one by one.
const TOLD: usize = 200;
/// Characters of a value that are told.
const VALUE: usize = 120;

/// What is to be told of `config`; the copy is exchanged for it. Waits for the disk.
pub(super) fn tell(config: &Config, place: &Place) -> EventKind {
    let copy = copy(&place.file);
    // What cannot be read is as good as none: its digest would be missed in the trail.
    let before = fs::read(&copy).ok();
    let now = serde_json::to_vec(config).unwrap_or_default();
    let told = compare(before.as_deref(), &now);
    if before.as_deref() != Some(&*now)
        && let Err(error) = exchange(&copy, &now)
    {
        warn!(
            "the next start cannot tell what changed in the configuration: {}: {error}",
            copy.display()
        );
    }
    told
}

/// The configuration with which a daemon of `instance` started last; `None`: nobody knows.
pub(super) fn last_of(instance: &InstanceName) -> Option<Config> {
    last(&Place::noted(instance))
}

/// The copy beside the trail at `place`.
fn last(place: &Place) -> Option<Config> {
    let copy = place.on.then(|| fs::read(copy(&place.file)))?.ok()?;
    serde_json::from_slice(&copy).ok()
}

/// SHA-256 over the JSON of `config`, as the event tells it.
pub(super) fn digest(config: &Config) -> String {
    sha256(&serde_json::to_vec(config).unwrap_or_default()).to_string()
}

fn compare(before: Option<&[u8]>, now: &[u8]) -> EventKind {
    let defaults = || serde_json::to_value(Config::default()).unwrap_or_default();
    let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let (old, new) = (flat(&before.map_or_else(defaults, read)), flat(&read(now)));
    let none = "none".to_owned();
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    let mut changes: Vec<String> = keys
        .map(|key| (key, old.get(key).unwrap_or(&none), new.get(key).unwrap_or(&none)))
        .filter(|(_, old, new)| old != new)
        .map(|(key, old, new)| format!("{key}: {} -> {}", cut(old), cut(new)))
        .collect();
    changes.sort();
    let more = changes.len().saturating_sub(TOLD);
    changes.truncate(TOLD);
    EventKind::Configured {
        digest: sha256(now).to_string(),
        before: before.map(|before| sha256(before).to_string()),
        changes,
        more,
    }
}

/// Every value that holds no others, by its path, such as `limit.syn.burst`. Lists of plain values are one by one, by what they
/// hold: the place of a prefix in a list says nothing.
fn flat(value: &Value) -> BTreeMap<String, String> {
    fn walk(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        let below = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(&below(name), value, out);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    match value {
                        Value::Object(_) | Value::Array(_) => walk(&format!("{path}[{index}]"), value, out),
                        plain => drop(out.insert(format!("{path}[{plain}]"), "there".to_owned())),
                    }
                }
            }
            Value::Null => {}
            plain => drop(out.insert(path.to_owned(), plain.to_string())),
        }
    }
    let mut out = BTreeMap::new();
    walk("", value, &mut out);
    out
}

fn cut(text: &str) -> String {
    text.chars().take(VALUE).collect()
}

fn copy(trail: &Path) -> PathBuf {
    let mut name = trail.as_os_str().to_owned();
    name.push(".configuration");
    name.into()
}

fn exchange(copy: &Path, text: &[u8]) -> io::Result<()> {
    make_directory(copy)?;
    let mut unfinished = copy.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text)?;
    fs::rename(unfinished, copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Audit;

    fn told(event: EventKind) -> (String, Option<String>, Vec<String>) {
        match event {
            EventKind::Configured {
                digest,
                before,
                changes,
                more: 0,
            } => (digest, before, changes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_start_tells_what_changed_since_the_one_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let instance = "test".parse().expect("a name");
        let place = Place {
            file: directory.path().join("new/audit.jsonl"),
            ..Place::of(&Audit::default(), &instance)
        };
        let config = |text: &str| Config::parse("test", text).expect("a configuration");
        let first = config("block = [\"192.0.2.1\"]\nlimit.syn = { rate_per_s = 7, burst = 9 }");
        let (digest, before, changes) = told(tell(&first, &place));
        assert_eq!(before, None);
        assert_eq!(
            changes,
            [
                "block[\"192.0.2.1/32\"]: none -> there",
                "limit.syn.burst: 1000 -> 9",
                "limit.syn.rate_per_s: 200 -> 7",
            ]
        );
        assert_eq!(
            told(tell(&first, &place)),
            (digest.clone(), Some(digest.clone()), vec![])
        );
        assert_eq!(last(&place), Some(first));
        assert_eq!(
            last(&Place {
                on: false,
                ..place.clone()
            }),
            None
        );
        let second = config(
            "block = [\"192.0.2.0/31\"]\nlimit.syn = { rate_per_s = 7, burst = 9 }\nmode = \"shadow\"",
        );
        let (_, before, changes) = told(tell(&second, &place));
        assert_eq!(before, Some(digest));
        assert_eq!(
            changes,
            [
                "block[\"192.0.2.0/31\"]: none -> there",
                "block[\"192.0.2.1/32\"]: there -> none",
                "mode: \"enforce\" -> \"shadow\"",
            ]
        );
    }
}
