//! The page itself, one file with nothing to load; and where to go afterwards, which is never another site.

use std::fmt::Write as _;

const PAGE: &str = include_str!("page.html");
/// Bytes of a place to go to that are kept.
const MOST_BYTES: usize = 2_048;

/// The page with this challenge and, for who has no JavaScript, this ticket; afterwards it leads to `to`.
pub(super) fn page(challenge: &str, bits: u32, ticket: &str, wait_s: u64, to: &str) -> String {
    // Challenges and tickets are letters, digits and points; what else comes from outside is encoded to such.
    PAGE.replace("{challenge}", challenge)
        .replace("{bits}", &bits.to_string())
        .replace("{ticket}", ticket)
        .replace("{wait}", &wait_s.to_string())
        .replace("{to}", &encoded(local(to)))
}

/// A place to go to on this site, from its encoded form; the front page where it is none.
pub(super) fn decoded(to: &str) -> String {
    let mut bytes = Vec::with_capacity(to.len());
    let mut rest = to.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = (*byte == b'%')
            .then(|| std::str::from_utf8(after.get(..2)?).ok())
            .flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => bytes.push(*byte),
        }
    }
    local(&String::from_utf8_lossy(&bytes)).to_owned()
}

/// `to`, if it is a path of this site: neither `//host` nor `/\host`, which browsers take for another, and nothing that could end a header.
fn local(to: &str) -> &str {
    let is_path = to.starts_with('/') && !matches!(to.as_bytes().get(1), Some(b'/' | b'\\'));
    let is_plain = to.len() <= MOST_BYTES && to.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && is_plain { to } else { "/" }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            // A string takes anything.
            let _written = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for (to, place) in [
            ("/shop?a=1&b=<x>", "/shop?a=1&b=<x>"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/\u{fc}", "/"),
            ("", "/"),
        ] {
            assert_eq!(decoded(&encoded(to)), place, "{to}");
            assert_eq!(local(to), place);
        }
        assert_eq!(decoded("%2fa%2"), "/a%2");
        assert_eq!(decoded("%2F%2Fevil.example"), "/");
    }

    #[test]
    fn a_page_has_all_its_parts_and_nothing_of_others_in_it() {
        let page = page("c.1.8.ab", 8, "w.1.2.cd", 10, "/<script>alert(1)</script>\"'");
        assert!(!page.contains("<script>alert"));
        for part in [
            "data-challenge=\"c.1.8.ab\"",
            "data-bits=\"8\"",
            "/.netguard/wait?t=w.1.2.cd&amp;to=%2F%3Cscript%3Ealert%281%29%3C%2Fscript%3E%22%27",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        for name in ["{challenge}", "{bits}", "{ticket}", "{wait}", "{to}"] {
            assert!(!page.contains(name), "{name}");
        }
    }
}
