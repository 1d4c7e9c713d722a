//! What format a feed looks like. It does not read it.

use serde::{Deserialize, de::IgnoredAny};

use super::ListError;
use crate::{config::FeedFormat, lists::misp};

/// Names by which JSON formats are told apart.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "type")]
    kind: Option<IgnoredAny>,
    cidr: Option<IgnoredAny>,
    objects: Option<IgnoredAny>,
    list: Option<IgnoredAny>,
    new: Option<IgnoredAny>,
    scope: Option<IgnoredAny>,
    value: Option<IgnoredAny>,
    decisions: Option<IgnoredAny>,
    response: Option<IgnoredAny>,
    #[serde(rename = "Event")]
    event: Option<IgnoredAny>,
    #[serde(rename = "Attribute")]
    attribute: Option<IgnoredAny>,
}

/// The format of `text`.
pub(super) fn recognise(name: &str, text: &str) -> Result<FeedFormat, ListError> {
    let start = text.trim_start();
    if start.starts_with(['{', '[']) {
        return recognise_json(name, start);
    }
    let content = |line: &&str| !line.is_empty() && !line.starts_with(['#', ';']);
    let Some(first) = text.lines().map(str::trim).find(content) else {
        return Ok(FeedFormat::Plain);
    };
    Ok(if first.starts_with("create ") || first.starts_with("add ") {
        FeedFormat::Ipset
    } else if first.split(['#', ';']).next().unwrap_or_default().contains(',') {
        FeedFormat::Csv
    } else {
        FeedFormat::Plain
    })
}

fn recognise_json(name: &str, text: &str) -> Result<FeedFormat, ListError> {
    // Of a manifest is told that it is one.
    if misp::events(text).is_some() {
        return Ok(FeedFormat::Misp);
    }
    // Only Spamhaus writes several documents, each on its line.
    let mut lines = text.lines();
    let first = lines
        .next()
        .and_then(|line| serde_json::from_str::<Shape>(line).ok());
    if let Some(shape) = first
        && of_shape(&shape).is_none()
        && (shape.cidr.is_some() || (shape.kind.is_some() && lines.next().is_some()))
    {
        return Ok(FeedFormat::Spamhaus);
    }
    let shape = if text.starts_with('{') {
        serde_json::from_str::<Shape>(text).map(Some)
    } else {
        // Of an empty answer nobody can tell.
        serde_json::from_str::<Vec<Shape>>(text).map(|entries| entries.into_iter().next())
    };
    let unknown = || ListError::UnknownJson(name.to_owned());
    match shape {
        Ok(Some(shape)) => of_shape(&shape).ok_or_else(unknown),
        Ok(None) => Ok(FeedFormat::Crowdsec),
        Err(error) if error.is_data() => Err(unknown()),
        Err(error) => Err(ListError::json(name, error)),
    }
}

const fn of_shape(shape: &Shape) -> Option<FeedFormat> {
    Some(if shape.objects.is_some() {
        FeedFormat::Stix
    } else if shape.response.is_some() || shape.event.is_some() || shape.attribute.is_some() {
        FeedFormat::Misp
    } else if shape.list.is_some() {
        FeedFormat::Warninglist
    } else if shape.new.is_some()
        || shape.decisions.is_some()
        || (shape.scope.is_some() && shape.value.is_some())
    {
        FeedFormat::Crowdsec
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        for (text, format) in [
            ("# x\n192.0.2.1\n", FeedFormat::Plain),
            ("; x, y\n192.0.2.0/24 ; SBL1, x\n", FeedFormat::Plain),
            ("#\n\"a\",\"192.0.2.1\"\n", FeedFormat::Csv),
            ("create x hash:ip\n", FeedFormat::Ipset),
            (
                "{\"cidr\":\"192.0.2.0/24\"}\n{\"type\":\"metadata\"}\n",
                FeedFormat::Spamhaus,
            ),
            (
                "{\"type\":\"metadata\"}\n{\"cidr\":\"192.0.2.0/24\"}\n",
                FeedFormat::Spamhaus,
            ),
            (
                "[{\"scope\":\"Ip\",\"value\":\"192.0.2.1\"}]",
                FeedFormat::Crowdsec,
            ),
            ("[{\"id\":1,\"decisions\":[]}]", FeedFormat::Crowdsec),
            ("{\"new\":[],\"deleted\":[]}", FeedFormat::Crowdsec),
            ("{\"response\":{}}", FeedFormat::Misp),
            ("{\"Event\":{}}", FeedFormat::Misp),
            ("{\n\"type\":\"bundle\",\n\"objects\":[]}", FeedFormat::Stix),
            ("{\"type\":\"bundle\",\"objects\":[]}", FeedFormat::Stix),
            ("{\"list\":[],\"type\":\"cidr\"}", FeedFormat::Warninglist),
        ] {
            assert_eq!(recognise("f", text).unwrap(), format, "{text}");
        }
    }
}
