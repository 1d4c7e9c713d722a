//! MMDB files, which say where an address belongs: what stands in their records.

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use crate::{config::Place, prefix::Prefix};

/// An MMDB file has this somewhere near its end.
const MMDB_MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Whether `bytes` are an MMDB file.
pub(super) fn is_mmdb(bytes: &[u8]) -> bool {
    let mut tails = bytes.windows(MMDB_MARK.len()).rev();
    tails.any(|bytes| bytes == MMDB_MARK)
}

/// What the databases that are about write of an address: of MaxMind and DB-IP, of IPinfo, and of those that are flat.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    country: Option<MaybeNamed<'a>>,
    country_code: Option<&'a str>,
    autonomous_system_number: Option<u32>,
    asn: Option<Number<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MaybeNamed<'a> {
    Code(&'a str),
    Named { iso_code: Option<&'a str> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Plain(u32),
    Text(&'a str),
}

impl Record<'_> {
    pub(super) fn country(&self) -> Option<Place> {
        let code = match &self.country {
            Some(MaybeNamed::Code(code)) => Some(*code),
            Some(MaybeNamed::Named { iso_code }) => *iso_code,
            None => None,
        };
        // What some call the country is its name, and the code stands beside it.
        let code = code.and_then(country);
        code.or_else(|| country(self.country_code?))
    }

    pub(super) fn asn(&self) -> Option<Place> {
        match &self.asn {
            Some(Number::Text(text)) => asn(text),
            Some(Number::Plain(number)) => Some(Place::Asn(*number)),
            None => self.autonomous_system_number.map(Place::Asn),
        }
    }
}

/// Hands each place of `reader` to `take`, with a prefix that it has; answers how many prefixes there are, of whatever place.
pub(super) fn places_of_mmdb<S: AsRef<[u8]>>(
    reader: &Reader<S>,
    mut take: impl FnMut(Place, Prefix),
) -> Result<u64, maxminddb::MaxMindDbError> {
    let mut rows = 0;
    for network in reader.networks(WithinOptions::default())? {
        let network = network?;
        let Some(record) = network.decode::<Record<'_>>()? else {
            continue;
        };
        rows += 1;
        let net = network.network()?;
        let Some(prefix) = Prefix::truncated(net.ip(), net.prefix()) else {
            continue;
        };
        for place in [record.country(), record.asn()].into_iter().flatten() {
            take(place, prefix);
        }
    }
    Ok(rows)
}

pub(super) fn country(text: &str) -> Option<Place> {
    text.parse().ok().map(Place::Country)
}

/// `AS64496` or `64496`.
pub(super) fn asn(text: &str) -> Option<Place> {
    let digits = text.strip_prefix("AS").unwrap_or(text);
    digits.parse().ok().filter(|number| *number != 0).map(Place::Asn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in review: of a record with the name of the country and its code only the name was looked at.
    #[test]
    fn a_country_is_found_by_whatever_has_its_code() {
        for (record, expected) in [
            (r#"{"country":{"iso_code":"AQ"}}"#, Some("AQ")),
            (r#"{"country":"AQ","country_code":"BV"}"#, Some("AQ")),
            (
                r#"{"country":"Antarctica","country_code":"AQ","asn":"AS64496"}"#,
                Some("AQ"),
            ),
            (r#"{"country":{"iso_code":null},"country_code":"AQ"}"#, Some("AQ")),
            (r#"{"country_code":"AQ"}"#, Some("AQ")),
            (r#"{"country":"Antarctica"}"#, None),
            ("{}", None),
        ] {
            let read: Record<'_> = serde_json::from_str(record).unwrap();
            let country = read.country().map(|place| place.to_string());
            assert_eq!(country.as_deref(), expected, "{record}");
        }
    }
}
