//! One line of the trail: its bytes, and the hash over them. It knows no files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use super::Author;

/// Bytes of an event at the most; of a longer one only its name, length and hash are kept.
pub const LONGEST_EVENT: usize = 32 * 1024;

const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const DIGITS: usize = 64;
/// `,"prev":"..."`
const PREV_LEN: usize = PREV.len() + DIGITS + 1;
/// `,"hash":"..."}`
const HASH_LEN: usize = HASH.len() + DIGITS + 2;

/// A SHA-256, as text 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// The end of a trail: the number of its newest line, and the hash of that. As text `SEQ:HASH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub seq: u64,
    pub hash: Hash,
}

/// What a line is made from.
#[derive(Clone, Debug)]
pub struct Record {
    /// RFC 3339, UTC.
    pub at: String,
    pub mono_ns: u64,
    pub author: Author,
    /// A JSON object whose first key is `event`.
    event: String,
}

/// A line whose form is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number and its hash, as it says.
    pub head: Head,
    /// The hash of the line before, as it says.
    pub prev: Hash,
}

/// What is wrong with a line by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no line of a trail.
    Form,
    /// Its hash is not that of its bytes; this is what it says.
    Edited(Line),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("{0:?} is no SHA-256: 64 digits of 0-9 and a-f are expected")]
    Hash(String),
    #[error(
        "{0:?} does not say where a trail ended: SEQ:HASH is expected, as `netguard audit head` prints it"
    )]
    Head(String),
}

impl Record {
    /// `event` (which becomes a JSON object with the key `event`) by `author`, who did it at that time.
    pub fn new(at: String, mono_ns: u64, author: Author, event: &impl Serialize) -> Self {
        let text = serde_json::to_string(event).unwrap_or_default();
        let event = if text.len() <= LONGEST_EVENT && text.starts_with("{\"event\":\"") {
            text
        } else {
            shortened(&text)
        };
        Self {
            at,
            mono_ns,
            author,
            event,
        }
    }

    /// Bytes of memory, about.
    pub(super) fn len(&self) -> usize {
        self.event.len() + 256
    }
}

/// What stands for an event that is too long.
fn shortened(text: &str) -> String {
    let name = serde_json::from_str::<serde_json::Value>(text)
        .ok()
        .and_then(|event| Some(event.get("event")?.as_str()?.to_owned()));
    let event = Shortened {
        event: name.as_deref().unwrap_or("unknown"),
        too_long_bytes: text.len(),
        sha256: sha256(text.as_bytes()),
    };
    serde_json::to_string(&event).unwrap_or_default()
}

#[derive(Serialize)]
struct Shortened<'a> {
    event: &'a str,
    /// Length and hash of the JSON that the event would have been.
    too_long_bytes: usize,
    sha256: Hash,
}

/// Appends the line that `record` becomes behind `head` to `out`, with its end; tells the head then.
pub fn encode(record: &Record, head: Head, out: &mut Vec<u8>) -> Head {
    let begin = out.len();
    let seq = head.seq.saturating_add(1);
    let at = serde_json::Value::from(record.at.as_str());
    let author = serde_json::to_string(&record.author).unwrap_or_default();
    let mono_ns = record.mono_ns;
    out.extend_from_slice(
        format!("{{\"seq\":{seq},\"at\":{at},\"mono_ns\":{mono_ns},\"author\":{author},").as_bytes(),
    );
    // Without the braces of an object of its own.
    let inner = record.event.get(1..record.event.len().saturating_sub(1));
    out.extend_from_slice(inner.unwrap_or_default().as_bytes());
    out.extend_from_slice(PREV);
    out.extend_from_slice(head.hash.to_string().as_bytes());
    out.push(b'"');
    let hash = sha256(&out[begin..]);
    out.extend_from_slice(HASH);
    out.extend_from_slice(hash.to_string().as_bytes());
    out.extend_from_slice(b"\"}\n");
    Head { seq, hash }
}

impl Line {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// When it is none, or is not as it was written.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let line = Self::claimed(bytes).ok_or(Fault::Form)?;
        if sha256(&bytes[..bytes.len() - HASH_LEN]) == line.head.hash {
            Ok(line)
        } else {
            Err(Fault::Edited(line))
        }
    }

    fn claimed(bytes: &[u8]) -> Option<Self> {
        let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_LEN)?)?;
        let (start, prev) = content.split_at_checked(content.len().checked_sub(PREV_LEN)?)?;
        let number = start.strip_prefix(b"{\"seq\":")?;
        let digits = number.split(|byte| *byte == b',').next()?;
        let seq: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        // One number has one spelling.
        (seq > 0 && seq.to_string().as_bytes() == digits).then_some(())?;
        Some(Self {
            head: Head {
                seq,
                hash: Hash::between(hash, HASH, b"\"}")?,
            },
            prev: Hash::between(prev, PREV, b"\"")?,
        })
    }
}

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

impl Hash {
    fn between(bytes: &[u8], before: &[u8], behind: &[u8]) -> Option<Self> {
        let digits = bytes.strip_prefix(before)?.strip_suffix(behind)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let refused = || LineError::Hash(text.chars().take(80).collect());
        let mut hash = [0; 32];
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != DIGITS {
            return Err(refused());
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let (high, low) = (digit(digits[0]), digit(digits[1]));
            *byte = high
                .zip(low)
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(refused)?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let read = || {
            let (seq, hash) = text.split_once(':')?;
            Some(Self {
                seq: seq.parse().ok()?,
                hash: hash.parse().ok()?,
            })
        };
        read().ok_or_else(|| LineError::Head(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(event: &serde_json::Value, head: Head) -> (Vec<u8>, Head) {
        let record = Record::new("2026-01-01T00:00:00.000Z".into(), 7, Author::Daemon, event);
        let mut out = Vec::new();
        let head = encode(&record, head, &mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        (out, head)
    }

    #[test]
    fn a_line_is_json_and_says_where_it_stands() {
        let (first, head) = line(
            &json!({"event": "stopped", "why": "a \"quote\"\n"}),
            Head::default(),
        );
        let read = Line::read(&first).expect("as written");
        assert_eq!((read.head, read.prev), (head, Hash::default()));
        let (second, _) = line(&json!({"event": "reflection-on"}), head);
        assert_eq!(Line::read(&second).expect("as written").prev, head.hash);
        let json: serde_json::Value = serde_json::from_slice(&second).expect("JSON");
        assert_eq!(json["seq"], 2);
        assert_eq!(json["event"], "reflection-on");
        assert_eq!(json["author"]["by"], "daemon");
        assert_eq!(json["prev"], head.hash.to_string());
    }

    /// The rule that the documentation gives, by other means: whoever has `sha256sum` can check a line.
    #[test]
    fn the_hash_is_that_of_what_stands_before_it() {
        let (line, head) = line(&json!({"event": "x"}), Head::default());
        let text = String::from_utf8(line).expect("text");
        let (content, _) = text.split_once(",\"hash\":").expect("a hash");
        assert_eq!(sha256(content.as_bytes()), head.hash);
        assert_eq!(
            sha256(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "FIPS 180-4"
        );
    }

    #[test]
    fn an_event_that_is_too_long_is_known_by_its_hash() {
        let event = json!({"event": "rule-added", "note": "x".repeat(LONGEST_EVENT)});
        let (line, _) = line(&event, Head::default());
        assert!(line.len() < 600, "{}", line.len());
        let json: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(json["event"], "rule-added");
        assert_eq!(
            json["sha256"],
            sha256(event.to_string().as_bytes()).to_string(),
            "of the JSON that it would have been"
        );
    }

    #[test]
    fn what_is_no_line_is_told() {
        let (line, head) = line(&json!({"event": "x"}), Head::default());
        for broken in [&b""[..], b"{}", &line[1..], &line[..line.len() - 1]] {
            assert_eq!(Line::read(broken), Err(Fault::Form));
        }
        let upper = String::from_utf8(line.clone())
            .expect("text")
            .replace("seq\":1", "seq\":01");
        assert_eq!(Line::read(upper.as_bytes()), Err(Fault::Form));
        assert!(head.to_string().to_uppercase().parse::<Head>().is_err());
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in ["", "1", "1:", "x:00", ":"] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }
}
