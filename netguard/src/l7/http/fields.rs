//! What the headers of a message say about where it ends, and about who is asked; and where they contradict themselves.

use std::collections::BTreeSet;

use httparse::Header;

use super::{Body, ranges};
use crate::l7::Flaw;

/// Bytes of a host that are kept.
const HOST: usize = 128;

/// The values of the header `name`.
pub(super) fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value.trim_ascii())
}

/// Where the body ends, and what makes that a matter of opinion (RFC 9112, 6.3).
pub(super) fn framing(headers: &[Header<'_>]) -> (Body, BTreeSet<Flaw>) {
    let mut flaws = BTreeSet::new();
    let mut length = None;
    for value in values(headers, "content-length") {
        match (digits(value), length) {
            (None, _) => {
                flaws.insert(Flaw::Framing);
            }
            (Some(new), Some(known)) if new != known => {
                flaws.insert(Flaw::Smuggling);
            }
            // The same twice is refused by some servers and taken by others.
            (Some(_), Some(_)) => {
                flaws.insert(Flaw::Framing);
            }
            (Some(new), None) => length = Some(new),
        }
    }
    let has_length = values(headers, "content-length").next().is_some();
    let mut is_chunked = false;
    for (index, value) in values(headers, "transfer-encoding").enumerate() {
        is_chunked = value.eq_ignore_ascii_case(b"chunked");
        if !is_chunked || index > 0 {
            flaws.insert(Flaw::Framing);
        }
        if has_length {
            flaws.insert(Flaw::Smuggling);
        }
    }
    let body = match length {
        _ if !flaws.is_empty() => Body::Unknown,
        _ if is_chunked => Body::Chunked,
        Some(0) => Body::None,
        Some(length) => Body::Length(length),
        None => Body::None,
    };
    (body, flaws)
}

/// What is wrong with the other headers of a request of HTTP/1.`minor`.
pub(super) fn flaws(headers: &[Header<'_>], minor: u8) -> BTreeSet<Flaw> {
    let mut flaws = BTreeSet::new();
    let hosts = values(headers, "host").take(2).count();
    let is_odd = |host: &[u8]| {
        host.iter()
            .any(|byte| matches!(byte, b' ' | b'\t' | b'/' | b'@' | b'?' | b'#' | b','))
    };
    if hosts > 1 || (hosts == 0 && minor > 0) || values(headers, "host").any(is_odd) {
        flaws.insert(Flaw::Host);
    }
    // A coding for transfers came with HTTP/1.1 (RFC 9112, 6.1).
    if minor == 0 && values(headers, "transfer-encoding").next().is_some() {
        flaws.insert(Flaw::Framing);
    }
    let mut asked = values(headers, "range").chain(values(headers, "request-range"));
    if asked.any(ranges::are_abusive) {
        flaws.insert(Flaw::Ranges);
    }
    flaws
}

/// The host that was asked for, in lower case, without a port.
pub(super) fn host(headers: &[Header<'_>]) -> String {
    let Some(host) = values(headers, "host").next() else {
        return String::new();
    };
    let name = match host.iter().rposition(|byte| *byte == b':') {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) && !host.ends_with(b"]") => &host[..at],
        _ => host,
    };
    let printable = name.iter().take(HOST).map(|byte| match byte.is_ascii_graphic() {
        true => char::from(byte.to_ascii_lowercase()),
        false => '?',
    });
    printable.collect()
}

/// Whether the client waits for "100 Continue" before it sends the body.
pub(super) fn expects(headers: &[Header<'_>]) -> bool {
    values(headers, "expect").any(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the client would like to speak another protocol.
pub(super) fn upgrades(headers: &[Header<'_>]) -> bool {
    let asked = |value: &[u8]| {
        let mut options = value.split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    values(headers, "upgrade").next().is_some() && values(headers, "connection").any(asked)
}

/// A length: digits and nothing else.
fn digits(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number
        .then(|| str::from_utf8(value).ok()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(lines: &'a [(&'a str, &'a str)]) -> Vec<Header<'a>> {
        let header = |(name, value): &(&'a str, &'a str)| Header {
            name,
            value: value.as_bytes(),
        };
        lines.iter().map(header).collect()
    }

    #[test]
    fn where_a_body_ends_is_no_matter_of_opinion() {
        const CL: &str = "Content-Length";
        const TE: &str = "Transfer-Encoding";
        for (lines, body, flaws) in [
            (&[][..], Body::None, &[][..]),
            (&[(CL, "12")], Body::Length(12), &[]),
            (&[(CL, "0")], Body::None, &[]),
            (&[(TE, "chunked")], Body::Chunked, &[]),
            (&[(TE, "Chunked ")], Body::Chunked, &[]),
            (&[(CL, "12"), (TE, "chunked")], Body::Unknown, &[Flaw::Smuggling]),
            (&[(CL, "1"), (CL, "2")], Body::Unknown, &[Flaw::Smuggling]),
            (&[(CL, "1"), (CL, "1")], Body::Unknown, &[Flaw::Framing]),
            (&[(CL, "+1")], Body::Unknown, &[Flaw::Framing]),
            (&[(CL, "")], Body::Unknown, &[Flaw::Framing]),
            (&[(CL, "1, 1")], Body::Unknown, &[Flaw::Framing]),
            (&[(CL, "99999999999999999999")], Body::Unknown, &[Flaw::Framing]),
            (&[(TE, "xchunked")], Body::Unknown, &[Flaw::Framing]),
            (&[(TE, "gzip, chunked")], Body::Unknown, &[Flaw::Framing]),
            (
                &[(TE, "chunked"), (TE, "identity")],
                Body::Unknown,
                &[Flaw::Framing],
            ),
            (
                &[(TE, "x"), (CL, "4")],
                Body::Unknown,
                &[Flaw::Smuggling, Flaw::Framing],
            ),
        ] {
            let expected: BTreeSet<Flaw> = flaws.iter().copied().collect();
            assert_eq!(framing(&headers(lines)), (body, expected), "{lines:?}");
        }
    }

    #[test]
    fn hosts() {
        for (lines, minor, is_wrong, name) in [
            (&[("Host", "Example.ORG:8080")][..], 1, false, "example.org"),
            (&[("host", "[2001:db8::1]:80")], 1, false, "[2001:db8::1]"),
            (&[("host", "[2001:db8::1]")], 1, false, "[2001:db8::1]"),
            (&[], 0, false, ""),
            (&[], 1, true, ""),
            (&[("Host", "a"), ("Host", "a")], 1, true, "a"),
            (&[("Host", "a/b")], 1, true, "a/b"),
            (&[("Host", "")], 1, false, ""),
        ] {
            let headers = headers(lines);
            assert_eq!(
                flaws(&headers, minor).contains(&Flaw::Host),
                is_wrong,
                "{lines:?}"
            );
            assert_eq!(host(&headers), name);
        }
    }

    #[test]
    fn what_else_headers_ask_for() {
        let one = |name, value| flaws(&headers(&[("Host", "a"), (name, value)]), 0);
        assert!(one("Range", "bytes=0-,0-,0-,0-").contains(&Flaw::Ranges));
        assert!(one("Transfer-Encoding", "chunked").contains(&Flaw::Framing));
        assert!(one("Range", "bytes=0-").is_empty());
        let upgrade = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")];
        assert!(upgrades(&headers(&upgrade)) && !upgrades(&headers(&upgrade[..1])));
        assert!(expects(&headers(&[("Expect", "100-Continue")])));
    }
}
