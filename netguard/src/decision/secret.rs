//! The secret that passes and challenges are made with, and the words that it vouches for. It knows neither what they say nor the time.

use std::fmt::Write as _;

use ring::hmac;

/// A key that signs and verifies.
pub struct Secret(hmac::Key);

/// Bytes that a secret has at least.
pub const LEAST_BYTES: usize = 32;

impl Secret {
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// `text`, and behind a point what vouches for it and for `about`, which is not in it.
    pub fn signed(&self, text: &str, about: &str) -> String {
        format!("{text}.{}", self.tag(&format!("{about}\n{text}")))
    }

    /// The text in `signed`, if it is what was signed about `about`.
    pub fn verified<'a>(&self, signed: &'a str, about: &str) -> Option<&'a str> {
        let (text, tag) = signed.rsplit_once('.')?;
        let tag = unhex(tag)?;
        let message = format!("{about}\n{text}");
        hmac::verify(&self.0, message.as_bytes(), &tag)
            .ok()
            .map(|()| text)
    }

    /// What vouches for `message`, in hexadecimal digits.
    pub fn tag(&self, message: &str) -> String {
        hex(hmac::sign(&self.0, message.as_bytes()).as_ref())
    }

    /// Whether `tag` is that of `message`, compared in constant time.
    pub fn vouches(&self, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, message, tag).is_ok()
    }
}

/// In lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // A string takes anything.
            let _written = write!(text, "{byte:02x}");
            text
        })
}

/// The bytes that up to 64 hexadecimal digits stand for.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() > 64 || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_is_verified() {
        let secret = Secret::new(&[7; 32]);
        let signed = secret.signed("p.100", "192.0.2.1/32");
        assert_eq!(secret.verified(&signed, "192.0.2.1/32"), Some("p.100"));
        assert_eq!(secret.verified(&signed, "192.0.2.2/32"), None);
        assert_eq!(
            secret.verified(&signed.replace("100", "999"), "192.0.2.1/32"),
            None
        );
        assert_eq!(Secret::new(&[8; 32]).verified(&signed, "192.0.2.1/32"), None);
        for bad in [
            "",
            ".",
            "p.100.",
            "p.100.zz",
            "p.100.\u{fc}\u{fc}",
            &"ab".repeat(99),
        ] {
            assert_eq!(secret.verified(bad, "192.0.2.1/32"), None, "{bad}");
        }
        assert_eq!(unhex(&hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
    }
}
