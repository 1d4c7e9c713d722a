//! Feeds of MISP as they are published: a manifest that names events, and beside it a file for each of them. What events say is read
//! elsewhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::de::IgnoredAny;

use super::{ListError, read};

const MANIFEST: &str = "manifest.json";

/// When something was last written, and how long it is; of a directory a number that changes with any file in it.
pub type Stamp = (SystemTime, u64);

/// The stamp of a file, or of all files in a directory together; `None`: there is none.
#[must_use]
pub fn stamp(file: &Path) -> Option<Stamp> {
    let of = |metadata: fs::Metadata| Some((metadata.modified().ok()?, metadata.len()));
    let metadata = fs::metadata(file).ok()?;
    if !metadata.is_dir() {
        return of(metadata);
    }
    // A file that is written where it is changes the directory not.
    let inside = fs::read_dir(file).ok()?.flatten();
    let stamps = inside.filter_map(|entry| of(fs::metadata(entry.path()).ok()?));
    // Found in review: a file of the future hides none that changes, so each counts and not only the newest.
    let begin = (metadata.modified().ok()?, 0);
    let since = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64
    };
    Some(stamps.fold(begin, |sum, next| {
        let mixed = since(next.0)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(next.1);
        (sum.0.max(next.0), sum.1.wrapping_add(mixed))
    }))
}

/// The files of the events of the feed in `directory`, sorted; its manifest may be `max_bytes` long.
pub(super) fn files(directory: &Path, max_bytes: u64) -> Result<Vec<PathBuf>, ListError> {
    let manifest = directory.join(MANIFEST);
    if !manifest.exists() {
        return Err(ListError::NoManifest(directory.display().to_string()));
    }
    let name = manifest.display().to_string();
    let text = String::from_utf8(read(&manifest, max_bytes)?);
    let text = text.map_err(|_| ListError::NotText(name.clone()))?;
    match events(&text) {
        Some(events) => Ok(events.iter().map(|event| directory.join(file(event))).collect()),
        None => match serde_json::from_str::<IgnoredAny>(&text) {
            Err(source) => Err(ListError::json(&name, source)),
            Ok(_) => Err(ListError::NoEvents(name)),
        },
    }
}

/// The names of the events in the manifest `text`, sorted; `None`: it is none.
pub(super) fn events(text: &str) -> Option<Vec<String>> {
    // Others may be long, and are not read for nothing.
    let first = text
        .trim_start()
        .strip_prefix('{')?
        .trim_start()
        .strip_prefix('"')?;
    if !is_uuid(first.get(..36)?) {
        return None;
    }
    let events: BTreeMap<String, IgnoredAny> = serde_json::from_str(text).ok()?;
    events
        .keys()
        .all(|event| is_uuid(event))
        .then(|| events.into_keys().collect())
}

/// The file of an event, beside its manifest.
pub(super) fn file(event: &str) -> String {
    format!("{event}.json")
}

/// Whether an event can be called so: nothing in it leads elsewhere.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::FeedFormat,
        lists::{Feed, Reading, parse_feed, read_feed},
    };

    const ONE: &str = "54f5e5bc-8a20-4bcb-8f61-2f3f950d210f";
    const TWO: &str = "5d8e0d7c-0b2c-4a6f-9d2c-06d2950d210f";

    /// As MISP writes it.
    fn manifest(events: &[&str]) -> String {
        let event = |uuid: &&str| {
            format!(
                "\"{uuid}\":{{\"info\":\"OSINT\",\"Orgc\":{{\"name\":\"x\"}},\"date\":\"2026-01-01\",\"timestamp\":\"1767225600\"}}"
            )
        };
        format!("{{{}}}", events.iter().map(event).collect::<Vec<_>>().join(",\n"))
    }

    fn event(addresses: &[&str]) -> String {
        let attribute =
            |address: &&str| format!("{{\"type\":\"ip-dst\",\"value\":\"{address}\",\"to_ids\":true}}");
        let attributes = addresses.iter().map(attribute).collect::<Vec<_>>().join(",");
        format!("{{\"Event\":{{\"info\":\"x\",\"Attribute\":[{attributes}],\"Object\":[]}}}}")
    }

    fn read_it(directory: &Path) -> Result<Feed, String> {
        read_feed(directory, &Reading::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_directory_is_read_as_its_manifest_says() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        assert!(
            read_it(directory.path())
                .unwrap_err()
                .contains("without manifest.json")
        );
        write(MANIFEST, &manifest(&[TWO, ONE]));
        write(&file(ONE), &event(&["192.0.2.1", "2001:db8::1", "nonsense"]));
        let error = read_it(directory.path()).unwrap_err();
        assert!(
            error.contains(TWO) && error.contains("copy the whole feed"),
            "{error}"
        );
        // One without an address, and one that nobody named.
        write(&file(TWO), &event(&[]));
        write("other.json", &event(&["192.0.2.9"]));
        let feed = read_it(directory.path()).unwrap();
        let shown: Vec<String> = feed.prefixes.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1/32", "2001:db8::1/128"]);
        assert_eq!((feed.format, feed.refused.count), (FeedFormat::Misp, 1));
        let refused = &feed.refused.first[0];
        assert!(refused.contains(&format!("{ONE}.json: entry 3: ")), "{refused}");

        for (text, told) in [
            ("{\"Event\"", "cut short"),
            ("7", "is not what its format"),
            ("\u{1}", "is not what"),
        ] {
            write(&file(TWO), text);
            let error = read_it(directory.path()).unwrap_err();
            assert!(error.contains(told) && error.contains(TWO), "{text}: {error}");
        }
        write(&file(TWO), &event(&["192.0.2.2"]));
        let little = Reading {
            max_bytes: 300,
            ..Reading::default()
        };
        assert!(matches!(
            read_feed(directory.path(), &little),
            Err(ListError::TooLong { .. })
        ));
        let plain = Reading {
            format: FeedFormat::Plain,
            ..Reading::default()
        };
        assert!(matches!(
            read_feed(directory.path(), &plain),
            Err(ListError::NoFile(_))
        ));
    }

    #[test]
    fn a_manifest_leads_nowhere_else_and_alone_says_what_to_do() {
        for other in ["../../../etc/passwd", "54f5e5bc-8a20-4bcb-8f61-2f3f950d210/", ""] {
            assert_eq!(events(&manifest(&[ONE, other])), None, "{other}");
        }
        for other in ["", "{}", "[]", "{\"Event\":{}}", &manifest(&[ONE])[..60]] {
            assert_eq!(events(other), None, "{other}");
        }
        assert_eq!(events(&manifest(&[TWO, ONE, ONE])).unwrap(), [ONE, TWO]);
        for format in [FeedFormat::Auto, FeedFormat::Misp] {
            let reading = Reading {
                format,
                ..Reading::default()
            };
            let error = parse_feed("f", manifest(&[ONE]).into_bytes(), &reading).unwrap_err();
            assert!(error.to_string().contains("write the directory"), "{error}");
        }
        let directory = tempfile::tempdir().unwrap();
        for (text, told) in [
            ("{\"a\":{}}", "names no event"),
            ("{\"", "cut short"),
            ("{}", "names no event"),
        ] {
            fs::write(directory.path().join(MANIFEST), text).unwrap();
            let error = read_it(directory.path()).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_directory_has_changed_when_a_file_in_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("a");
        assert_eq!(stamp(&inside), None);
        fs::write(&inside, "1").unwrap();
        let before = stamp(directory.path()).unwrap();
        assert_eq!(stamp(&inside).map(|stamp| stamp.1), Some(1));
        let later = before.0 + Duration::from_secs(60);
        fs::File::options()
            .write(true)
            .open(&inside)
            .unwrap()
            .set_modified(later)
            .unwrap();
        let after = stamp(directory.path()).unwrap();
        assert_eq!(after.0, later);
        // Found in review: a file of the future hid what changed beside it.
        let beside = directory.path().join("b");
        fs::write(&beside, "22").unwrap();
        let with = stamp(directory.path()).unwrap();
        assert_eq!((with.0, with.1 == after.1), (later, false));
    }
}
