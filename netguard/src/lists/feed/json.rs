//! Feeds in JSON: Spamhaus DROP, decisions of CrowdSec, attributes of MISP, and its warninglists. STIX has a file of its own.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Gathered, ListError, whole};

/// A line of Spamhaus DROP; the last one tells how many there are.
#[derive(Deserialize)]
struct DropLine {
    cidr: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    records: Option<usize>,
}

/// What CrowdSec's API, `cscli decisions list -o json` and `cscli decisions import` write.
#[derive(Deserialize)]
#[serde(untagged)]
enum Decisions {
    Stream { new: Vec<Decision> },
    Alert { decisions: Vec<Decision> },
    Plain(Vec<AlertOrDecision>),
}

#[derive(Deserialize)]
struct AlertOrDecision {
    decisions: Option<Vec<Decision>>,
    #[serde(flatten)]
    decision: Decision,
}

/// What CrowdSec wants to be done to whom. Tables have these as columns.
#[derive(Deserialize, Default)]
pub(super) struct Decision {
    pub(super) scope: Option<String>,
    pub(super) value: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) duration: Option<String>,
}

/// A search for attributes, an event, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Misp {
    Many(Vec<Document>),
    One(Box<Document>),
}

#[derive(Deserialize)]
struct Document {
    #[serde(default, rename = "Attribute")]
    attributes: Vec<Attribute>,
    #[serde(default, rename = "Object")]
    objects: Vec<Document>,
    #[serde(rename = "Event")]
    event: Option<Box<Document>>,
    response: Option<Box<Misp>>,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    to_ids: Option<Value>,
    deleted: Option<Value>,
}

#[derive(Deserialize)]
struct Warninglist {
    list: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Reads all of `text` as one document.
pub(super) fn document<T: DeserializeOwned>(text: &str, gathered: &mut Gathered<'_>) -> Result<T, ListError> {
    gathered.count_entries();
    serde_json::from_str(text).map_err(|source| ListError::json(gathered.name, source))
}

pub(super) fn spamhaus(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    let mut told = None;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(DropLine { cidr: Some(cidr), .. }) => gathered.add(index + 1, &cidr),
            Ok(DropLine {
                kind: Some(_),
                records,
                ..
            }) => told = records,
            Ok(_) => gathered.add(index + 1, line),
            Err(source) if source.is_eof() && !text.ends_with('\n') => {
                return Err(ListError::json(gathered.name, source));
            }
            Err(_) => gathered.add(index + 1, line),
        }
    }
    if let Some(told) = told.filter(|told| *told != gathered.entries()) {
        return Err(ListError::count(gathered.name, told, gathered.entries()));
    }
    whole(text, gathered.name, gathered.entries())
}

pub(super) fn crowdsec(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    let decisions = match document(text, gathered)? {
        Decisions::Stream { new } => new,
        Decisions::Alert { decisions } => decisions,
        Decisions::Plain(entries) => {
            let each = |entry: AlertOrDecision| entry.decisions.unwrap_or_else(|| vec![entry.decision]);
            entries.into_iter().flat_map(each).collect()
        }
    };
    for (index, decision) in decisions.iter().enumerate() {
        decide(index + 1, decision, gathered);
    }
    Ok(())
}

/// A ban of an address or range is an entry; captchas, countries and the like are passed over.
pub(super) fn decide(place: usize, decision: &Decision, gathered: &mut Gathered<'_>) {
    let is = |text: &Option<String>, wanted: &[&str]| {
        let found = |text: &String| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(text));
        text.as_ref().is_none_or(found)
    };
    let Some(value) = &decision.value else {
        gathered.add(place, "");
        return;
    };
    if !is(&decision.kind, &["ban"]) || !is(&decision.scope, &["ip", "range"]) {
        gathered.pass_over();
        return;
    }
    match decision.duration.as_deref().map(go_duration) {
        None => gathered.add(place, value),
        Some(Some(left)) => {
            let end = gathered.after(left);
            gathered.add_between(place, value, None, end);
        }
        Some(None) => gathered.add(
            place,
            &format!("{value} for {}", decision.duration.as_deref().unwrap_or_default()),
        ),
    }
}

/// A duration as Go prints it, such as `3h59m57.5s`; what has passed is zero.
fn go_duration(text: &str) -> Option<Duration> {
    let (past, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let factor = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    if past {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(seconds).ok()
}

pub(super) fn misp(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    let mut place = 0;
    match document(text, gathered)? {
        Misp::One(document) => attributes(&document, &mut place, gathered),
        Misp::Many(documents) => {
            for document in &documents {
                attributes(document, &mut place, gathered);
            }
        }
    }
    Ok(())
}

fn attributes(document: &Document, place: &mut usize, gathered: &mut Gathered<'_>) {
    for attribute in &document.attributes {
        *place += 1;
        match attribute.address() {
            Some(address) => gathered.add(*place, address),
            None => gathered.pass_over(),
        }
    }
    for inner in document.objects.iter().chain(document.event.as_deref()) {
        attributes(inner, place, gathered);
    }
    match document.response.as_deref() {
        None => {}
        Some(Misp::One(inner)) => attributes(inner, place, gathered),
        Some(Misp::Many(inner)) => inner.iter().for_each(|inner| attributes(inner, place, gathered)),
    }
}

impl Attribute {
    /// The address, if it is one and not only there for the reader.
    fn address(&self) -> Option<&str> {
        let says = |value: &Option<Value>, words: [Value; 3]| {
            value.as_ref().is_some_and(|value| words.contains(value))
        };
        if says(&self.to_ids, [false.into(), 0.into(), "0".into()])
            || says(&self.deleted, [true.into(), 1.into(), "1".into()])
        {
            return None;
        }
        let half = |index| self.value.split('|').nth(index);
        match self.kind.as_str() {
            "ip-src" | "ip-dst" => Some(&self.value),
            "ip-src|port" | "ip-dst|port" => half(0),
            "domain|ip" => half(1),
            _ => None,
        }
    }
}

pub(super) fn warninglist(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    let list: Warninglist = document(text, gathered)?;
    let of_addresses = list.kind.is_none_or(|kind| kind == "cidr" || kind == "string");
    for (index, entry) in list.list.iter().enumerate() {
        if of_addresses {
            gathered.add(index + 1, entry);
        } else {
            gathered.pass_over();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parse, reading, shown};
    use super::*;

    #[test]
    fn drop_lines_are_counted() {
        let lines = "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\",\"rir\":\"ripencc\"}\n{\"cidr\":\"2001:db8::/32\"}\n";
        let feed = parse(lines).unwrap();
        assert_eq!(
            (shown(&feed).len(), feed.places.as_slice()),
            (2, [1, 2].as_slice())
        );
        let with =
            |records| format!("{lines}{{\"type\":\"metadata\",\"timestamp\":1,\"records\":{records}}}\n");
        assert!(parse(&with(2)).is_ok());
        assert!(
            parse(&with(3))
                .unwrap_err()
                .contains("says that it has 3 entries, and has 2")
        );
        assert!(
            parse(&lines[..lines.len() - 9])
                .unwrap_err()
                .contains("cut short")
        );
    }

    #[test]
    fn decisions_are_bans_of_addresses_until_they_end() {
        let decision = |scope: &str, value: &str, kind: &str, duration: &str| {
            format!(
                "{{\"origin\":\"CAPI\",\"scope\":\"{scope}\",\"value\":\"{value}\",\"type\":\"{kind}\",\"duration\":\"{duration}\",\"id\":7}}"
            )
        };
        let list = [
            decision("Ip", "192.0.2.1", "ban", "3h59m57.5s"),
            decision("Range", "2001:db8::/32", "ban", "1h"),
            decision("Ip", "192.0.2.2", "captcha", "1h"),
            decision("Country", "AQ", "ban", "1h"),
            decision("Ip", "192.0.2.3", "ban", "-5m2s"),
            decision("Ip", "192.0.2.4", "ban", "soon"),
        ]
        .join(",");
        for text in [
            format!("[{list}]"),
            format!("{{\"new\":[{list}],\"deleted\":null}}"),
            format!("[{{\"id\":1,\"decisions\":[{list}]}}]"),
        ] {
            let feed = parse(&text).unwrap();
            assert_eq!(shown(&feed), ["192.0.2.1/32", "2001:db8::/32"], "{text}");
            assert_eq!((feed.passed_over, feed.ended, feed.refused.count), (2, 1, 1));
            assert_eq!(feed.until, Some(reading().now + Duration::from_secs(3600)));
        }
        // All of them may have ended, which is no failure.
        let over = format!("[{}]", decision("Ip", "192.0.2.3", "ban", "0s"));
        assert_eq!(parse(&over).unwrap().prefixes.len(), 0);
        assert!(parse("[]").unwrap_err().contains("no prefix at all"));
    }

    #[test]
    fn durations_of_go_are_read() {
        let seconds = |text: &str| go_duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(seconds("3h59m57.5s"), Some(14_397.5));
        assert_eq!(seconds("1m500ms"), Some(60.5));
        assert_eq!(seconds("-1h"), Some(0.0));
        for wrong in ["", "-", "5", "h", "5x", "1..2s", "99999999999999999999999h"] {
            assert_eq!(go_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn attributes_of_misp_are_found_wherever_they_are() {
        let attributes = r#"[{"type":"ip-src","value":"192.0.2.1"},{"type":"ip-dst|port","value":"192.0.2.2|443","to_ids":true},
            {"type":"domain|ip","value":"a.example|2001:db8::1"},{"type":"domain","value":"b.example"},
            {"type":"ip-src","value":"192.0.2.3","to_ids":false},{"type":"ip-src","value":"192.0.2.4","deleted":"1"}]"#;
        for text in [
            format!("{{\"Attribute\":{attributes}}}"),
            format!("{{\"response\":{{\"Attribute\":{attributes}}}}}"),
            format!("{{\"response\":[{{\"Event\":{{\"Attribute\":{attributes}}}}}]}}"),
            format!("{{\"Event\":{{\"info\":\"x\",\"Object\":[{{\"Attribute\":{attributes}}}]}}}}"),
            format!("[{{\"Event\":{{\"Attribute\":{attributes}}}}}]"),
        ] {
            let feed = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(shown(&feed), ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128"]);
            assert_eq!((feed.passed_over, feed.unit), (3, "entry"));
        }
        let nothing = parse("{\"Attribute\":[{\"type\":\"domain\",\"value\":\"b.example\"}]}");
        assert!(nothing.unwrap_err().contains("no prefix at all"));
    }
}
