//! Heads of requests that no parser takes: what of them can be read all the same, and a name for what is wrong.

use std::collections::BTreeSet;

use httparse::Header;

use crate::l7::{Flaw, first::is_token};

/// Headers that are read of such a head.
const HEADERS: usize = 1_024;

/// What can be read of a head.
pub(super) struct Broken<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    /// HTTP/1.`minor`.
    pub(super) minor: u8,
    pub(super) headers: Vec<Header<'a>>,
    pub(super) flaws: BTreeSet<Flaw>,
}

/// Reads `bytes` line by line; the last line counts only where the head is whole.
pub(super) fn read(bytes: &[u8], is_whole: bool) -> Broken<'_> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What is behind the last line end is nothing, or the part of a line.
    lines.pop();
    let mut lines = lines
        .into_iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or(bytes);
    let (method, target, minor) = request_line(first);
    let mut flaws = characters(bytes);
    // Of a head that did not come as a whole even this line may be a part.
    if minor.is_none() && (is_whole || first.len() < bytes.len()) {
        flaws.insert(Flaw::RequestLine);
    }
    let mut headers = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()).take(HEADERS) {
        match header(line) {
            Ok(header) => headers.push(header),
            Err(flaw) => {
                flaws.insert(flaw);
            }
        }
    }
    Broken {
        method,
        target,
        minor: minor.unwrap_or(0),
        headers,
        flaws,
    }
}

/// Characters that no head may have; line ends of LF alone among them (RFC 9112, 2.2).
pub(super) fn characters(bytes: &[u8]) -> BTreeSet<Flaw> {
    let mut flaws = BTreeSet::new();
    let mut before = 0;
    for byte in bytes {
        let is_odd = match byte {
            0 => {
                flaws.insert(Flaw::Nul);
                false
            }
            b'\n' => before != b'\r',
            b'\t' => before == b'\r',
            1..=0x1f | 0x7f => *byte != b'\r' || before == b'\r',
            _ => before == b'\r',
        };
        if is_odd {
            flaws.insert(Flaw::Characters);
        }
        before = *byte;
    }
    flaws
}

/// Method, target, and the minor version if the line is one of HTTP/1.
fn request_line(line: &[u8]) -> (&[u8], &[u8], Option<u8>) {
    let method_end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (method, rest) = line.split_at(method_end);
    let rest = rest.get(1..).unwrap_or_default();
    let (target, version) = match rest.iter().rposition(|byte| *byte == b' ') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[][..]),
    };
    let is_target = !target.is_empty() && !target.iter().any(u8::is_ascii_whitespace);
    let is_method = !method.is_empty() && method.iter().all(|byte| is_token(*byte));
    let minor = match version {
        b"HTTP/1.0" => Some(0),
        b"HTTP/1.1" => Some(1),
        _ => None,
    };
    (method, target, minor.filter(|_| is_target && is_method))
}

/// A header, however it is written, or what is wrong with the line.
fn header(line: &[u8]) -> Result<Header<'_>, Flaw> {
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(Flaw::Folding);
    }
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(Flaw::Characters)?;
    let name = &line[..colon];
    if name.last().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(Flaw::Folding);
    }
    let is_name = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
    let name = str::from_utf8(name)
        .ok()
        .filter(|_| is_name)
        .ok_or(Flaw::Characters)?;
    Ok(Header {
        name,
        value: &line[colon + 1..],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_a_name() {
        for (head, flaws) in [
            (&b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"[..], &[Flaw::Folding][..]),
            (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", &[Flaw::Folding]),
            (b"GET / HTTP/1.1\r\nA b\r\n\r\n", &[Flaw::Characters]),
            (b"GET / HTTP/1.1\r\nA\x01: b\r\n\r\n", &[Flaw::Characters]),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", &[Flaw::Characters]),
            (b"GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n", &[Flaw::Characters]),
            (b"GET / HTTP/1.1\nA: b\n\n", &[Flaw::Characters]),
            (b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n", &[Flaw::Nul]),
            (b"GET /\r\n\r\n", &[Flaw::RequestLine]),
            (b"GET / HTTP/3.0\r\n\r\n", &[Flaw::RequestLine]),
            (b"GET /a b HTTP/1.1\r\n\r\n", &[Flaw::RequestLine]),
            (b"G\xc3T / HTTP/1.1\r\n\r\n", &[Flaw::RequestLine]),
            (b"\r\n", &[Flaw::RequestLine]),
        ] {
            let broken = read(head, true);
            assert_eq!(broken.flaws, flaws.iter().copied().collect(), "{head:?}");
        }
    }

    #[test]
    fn what_is_there_is_read_all_the_same() {
        let broken = read(b"POST /x?y HTTP/1.1\r\nHost: a\r\nB : c\r\nLength", false);
        assert_eq!(
            (broken.method, broken.target, broken.minor),
            (&b"POST"[..], &b"/x?y"[..], 1)
        );
        let names: Vec<_> = broken.headers.iter().map(|header| header.name).collect();
        assert_eq!(names, ["Host"]);
        // A line that did not come as a whole is not judged.
        assert!(read(b"GET /x HT", false).flaws.is_empty());
        assert_eq!(read(b"GET /x HT", false).target, b"/x");
    }
}
