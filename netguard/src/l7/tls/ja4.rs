//! JA4, the fingerprint of a TLS client over TCP (FoxIO, "JA4: TLS Client Fingerprinting", BSD-3-Clause). Only this one of the JA4+ methods.

use sha2::{Digest as _, Sha256};

/// What a client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    /// Of the hello itself; what counts is in the extension, where there is one.
    pub(super) version: u16,
    pub(super) versions: Vec<u16>,
    pub(super) ciphers: Vec<u16>,
    /// Kinds of extensions, in their order.
    pub(super) extensions: Vec<u16>,
    pub(super) signatures: Vec<u16>,
    /// The first protocol of ALPN.
    pub(super) alpn: Vec<u8>,
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const NOTHING: &str = "000000000000";

impl Offered {
    /// The highest version.
    pub(super) fn highest(&self) -> u16 {
        let versions = self
            .versions
            .iter()
            .copied()
            .filter(|version| !is_grease(*version));
        versions.max().unwrap_or(self.version)
    }

    /// The fingerprint.
    pub(super) fn ja4(&self) -> String {
        let version = match self.highest() {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        };
        let ciphers = sorted(&self.ciphers);
        let mut extensions = sorted(&self.extensions);
        let name = if extensions.contains(&SERVER_NAME) {
            'd'
        } else {
            'i'
        };
        let counts = [ciphers.len(), extensions.len()].map(|count| count.min(99));
        extensions.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
        let signatures: Vec<u16> = self
            .signatures
            .iter()
            .copied()
            .filter(|kind| !is_grease(*kind))
            .collect();
        let mut listed = hexadecimal(&extensions);
        if !listed.is_empty() && !signatures.is_empty() {
            listed.push('_');
            listed.push_str(&hexadecimal(&signatures));
        }
        format!(
            "t{version}{name}{:02}{:02}{}_{}_{}",
            counts[0],
            counts[1],
            ends(&self.alpn),
            hash(&hexadecimal(&ciphers)),
            hash(&listed)
        )
    }
}

/// Values that clients make up so that servers stay tolerant (RFC 8701).
const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn sorted(values: &[u16]) -> Vec<u16> {
    let mut values: Vec<u16> = values
        .iter()
        .copied()
        .filter(|value| !is_grease(*value))
        .collect();
    values.sort_unstable();
    values
}

fn hexadecimal(values: &[u16]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:04x}")).collect();
    values.join(",")
}

/// First and last character of a protocol.
fn ends(alpn: &[u8]) -> String {
    let [Some(first), Some(last)] = [alpn.first(), alpn.last()] else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [*first, *last].map(char::from).iter().collect();
    }
    // As if it were written in hexadecimal.
    format!("{:x}{:x}", first >> 4, last & 0x0f)
}

fn hash(text: &str) -> String {
    if text.is_empty() {
        return NOTHING.to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lists of the examples in FoxIO's specification.
    #[test]
    fn the_hashes_of_the_specification() {
        let ciphers = [
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ];
        let extensions = [
            0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
            0xff01, 0x000b, 0x000a, 0x0015,
        ];
        let offered = Offered {
            version: 0x0303,
            versions: vec![0x7a7a, 0x0304, 0x0303],
            ciphers: ciphers.to_vec(),
            extensions: extensions.to_vec(),
            signatures: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            alpn: b"h2".to_vec(),
        };
        assert_eq!(offered.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        let none = Offered {
            signatures: Vec::new(),
            ..offered
        };
        assert_eq!(none.ja4(), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn the_ends_of_protocols() {
        for (alpn, ends_of) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"", "00"),
            (b"h", "hh"),
            (b"\xab", "ab"),
            (b"\x20", "20"),
            (b"\xab\xcd", "ad"),
            (b"\x20\x61", "21"),
            (b"\x30\xab", "3b"),
            (b"\x61\x20", "60"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ] {
            assert_eq!(ends(alpn), ends_of, "{alpn:?}");
        }
    }

    #[test]
    fn nothing_and_too_much() {
        assert_eq!(Offered::default().ja4(), "t00i000000_000000000000_000000000000");
        let many = Offered {
            version: 0x0300,
            ciphers: (1..=200).collect(),
            extensions: (100..=300).collect(),
            ..Offered::default()
        };
        assert!(many.ja4().starts_with("ts3i999900_"), "{}", many.ja4());
    }
}
