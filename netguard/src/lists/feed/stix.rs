//! STIX 2.1 bundles: indicators whose pattern is that one of some addresses is seen. A pattern that asks for more than that is
//! passed over: an address alone would not fit it.

use std::time::SystemTime;

use serde::Deserialize;

use super::{Gathered, ListError, json::document};

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    pattern: Option<String>,
    pattern_type: Option<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    #[serde(default)]
    revoked: bool,
}

pub(super) fn stix(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    let bundle: Bundle = document(text, gathered)?;
    for (index, object) in bundle.objects.iter().enumerate() {
        let place = index + 1;
        let is_stix = object.pattern_type.as_deref().is_none_or(|kind| kind == "stix");
        let pattern = object
            .pattern
            .as_deref()
            .filter(|_| object.kind == "indicator" && is_stix);
        let Some(pattern) = pattern.filter(|_| !object.revoked) else {
            gathered.pass_over();
            continue;
        };
        let Some(addresses) = addresses(pattern) else {
            gathered.pass_over();
            continue;
        };
        let (Ok(from), Ok(until)) = (
            time(object.valid_from.as_deref()),
            time(object.valid_until.as_deref()),
        ) else {
            gathered.add(place, "an indicator with a time that is none");
            continue;
        };
        for address in addresses {
            gathered.add_between(place, &address, from, until);
        }
    }
    Ok(())
}

fn time(text: Option<&str>) -> Result<Option<SystemTime>, humantime::TimestampError> {
    text.map(humantime::parse_rfc3339).transpose()
}

/// The addresses of which any one fits `pattern`, `None` where it asks for anything else (STIX 2.1 section 9).
fn addresses(pattern: &str) -> Option<Vec<String>> {
    let mut words = words(pattern)?.into_iter().peekable();
    let mut found = Vec::new();
    loop {
        // An observation is one comparison, or several of which one is enough.
        (words.next()? == Word::Plain("[")).then_some(())?;
        loop {
            let Word::Plain("ipv4-addr:value" | "ipv6-addr:value") = words.next()? else {
                return None;
            };
            match words.next()? {
                Word::Plain("=" | "==" | "ISSUBSET") => found.push(words.next()?.text()?),
                Word::Plain("IN") => {
                    (words.next()? == Word::Plain("(")).then_some(())?;
                    loop {
                        found.push(words.next()?.text()?);
                        match words.next()? {
                            Word::Plain(",") => {}
                            Word::Plain(")") => break,
                            _ => return None,
                        }
                    }
                }
                _ => return None,
            }
            match words.next()? {
                Word::Plain("OR") => {}
                Word::Plain("]") => break,
                _ => return None,
            }
        }
        match words.next() {
            None => return Some(found),
            Some(Word::Plain("OR")) => {}
            Some(_) => return None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Plain(&'a str),
    Text(String),
}

impl Word<'_> {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Plain(_) => None,
        }
    }
}

/// The words of a pattern; `None` when a text does not end.
fn words(pattern: &str) -> Option<Vec<Word<'_>>> {
    let mut words = Vec::new();
    let mut rest = pattern.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => {
                let (text, length) = quoted(rest)?;
                words.push(Word::Text(text));
                rest = rest[length..].trim_start();
                continue;
            }
            '[' | ']' | '(' | ')' | ',' => 1,
            _ => rest
                .find(|letter: char| letter.is_whitespace() || "[](),'".contains(letter))
                .unwrap_or(rest.len()),
        };
        // What is compared may stand close to the sign.
        let word = &rest[..length];
        let length = match word.find('=') {
            Some(0) if word.starts_with("==") => 2,
            Some(0) => 1,
            Some(at) if !word.starts_with(['!', '<', '>']) => at,
            _ => length,
        };
        words.push(Word::Plain(&rest[..length]));
        rest = rest[length..].trim_start();
    }
    Some(words)
}

/// The text in quotes that `rest` begins with, and how long it is with them.
fn quoted(rest: &str) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return Some((text, at + 1)),
            '\\' => text.push(letters.next()?.1),
            _ => text.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{parse, reading, shown};
    use super::*;

    #[test]
    fn a_pattern_is_addresses_or_it_is_more() {
        let found = |pattern: &str| addresses(pattern).map(|found| found.join(" "));
        for (pattern, expected) in [
            ("[ipv4-addr:value = '192.0.2.1']", "192.0.2.1"),
            ("[ipv6-addr:value='2001:db8::1']", "2001:db8::1"),
            ("[ipv4-addr:value ISSUBSET '192.0.2.0/24']", "192.0.2.0/24"),
            (
                "[ ipv4-addr:value = '192.0.2.1' OR ipv6-addr:value = '2001:db8::1' ]",
                "192.0.2.1 2001:db8::1",
            ),
            (
                "[ipv4-addr:value IN ('192.0.2.1','192.0.2.2')] OR [ipv4-addr:value = '192.0.2.3']",
                "192.0.2.1 192.0.2.2 192.0.2.3",
            ),
        ] {
            assert_eq!(found(pattern).as_deref(), Some(expected), "{pattern}");
        }
        for pattern in [
            "",
            "[",
            "[ipv4-addr:value = '192.0.2.1",
            "[ipv4-addr:value != '192.0.2.1']",
            "[ipv4-addr:value NOT = '192.0.2.1']",
            "[NOT ipv4-addr:value = '192.0.2.1']",
            "[ipv4-addr:value = '192.0.2.1' AND ipv4-addr:value = '192.0.2.2']",
            "[ipv4-addr:value = '192.0.2.1'] AND [ipv4-addr:value = '192.0.2.2']",
            "[ipv4-addr:value = '192.0.2.1'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.2']",
            "[ipv4-addr:value = '192.0.2.1'] REPEATS 5 TIMES",
            "[domain-name:value = 'a.example' OR ipv4-addr:value = '192.0.2.1']",
            "[ipv4-addr:value MATCHES '192.*']",
            "[ipv4-addr:value IN ('192.0.2.1'",
        ] {
            assert_eq!(found(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn indicators_are_read_while_they_are_valid() {
        let indicator = |address: &str, more: &str| {
            format!(
                "{{\"type\":\"indicator\",\"pattern\":\"[ipv4-addr:value = '{address}']\",\"pattern_type\":\"stix\"{more}}}"
            )
        };
        let text = format!(
            "{{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[{}]}}",
            [
                "{\"type\":\"ipv4-addr\",\"value\":\"192.0.2.99\"}".to_owned(),
                indicator("192.0.2.1", ",\"valid_from\":\"2020-01-01T00:00:00.000Z\""),
                indicator("192.0.2.2", ",\"valid_until\":\"2020-01-01T00:00:00Z\""),
                indicator("192.0.2.3", ",\"valid_until\":\"2027-01-15T09:00:00Z\""),
                indicator("192.0.2.4", ",\"revoked\":true"),
                indicator("192.0.2.5", ",\"valid_until\":\"tomorrow\""),
                indicator("192.0.2.6", ",\"valid_from\":\"2040-01-01T00:00:00.000Z\""),
            ]
            .join(",")
        );
        let feed = parse(&text).unwrap();
        assert_eq!(shown(&feed), ["192.0.2.1/32", "192.0.2.3/32"]);
        assert_eq!((feed.passed_over, feed.refused.count), (2, 1));
        assert_eq!((feed.ended, feed.waiting), (1, 1));
        assert_eq!(feed.until, Some(reading().now + Duration::from_secs(3600)));
        assert!(parse(&text[..text.len() - 3]).unwrap_err().contains("cut short"));
    }
}
