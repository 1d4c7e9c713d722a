//! HTTP/1 as a server may understand it: heads of requests and of responses, where bodies end, and what is wrong with them.

mod body;
mod broken;
mod fields;
mod injection;
mod ranges;
mod request;
mod response;
mod route;

pub(super) use body::{Body, Chunks, LONGEST as LONGEST_BODY, chunks};
pub(super) use request::read;
pub(super) use response::{Status, framing, status};

/// Methods that applications use (the registry of RFC 9110, 16.1, and what caches added).
const METHODS: [&str; 30] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MKCALENDAR",
    "ACL",
    "BIND",
    "REBIND",
    "UNBIND",
    "LINK",
    "UNLINK",
    "CHECKOUT",
    "CHECKIN",
    "MERGE",
    "VERSION-CONTROL",
    "PURGE",
    "BAN",
];
/// Methods that HTTP knows and no application asks for.
const ABUSED: [&str; 3] = ["TRACE", "CONNECT", "TRACK"];

/// Whether `token` is a method of HTTP.
pub(super) fn is_method(token: &[u8]) -> bool {
    is_usual(token) || ABUSED.iter().any(|method| method.as_bytes() == token)
}

/// Whether applications use the method `token`.
fn is_usual(token: &[u8]) -> bool {
    METHODS.iter().any(|method| method.as_bytes() == token)
}

/// Where the head ends that `bytes` begin: behind its empty line. `scanned` bytes were looked at before; those that need not be looked at again are
/// added to it.
pub(super) fn head_end(bytes: &[u8], scanned: &mut usize) -> Option<usize> {
    let from = (*scanned).min(bytes.len());
    for (at, _) in bytes[from..]
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
    {
        let end = from + at;
        match &bytes[end + 1..] {
            [b'\n', ..] => return Some(end + 2),
            [b'\r', b'\n', ..] => return Some(end + 3),
            // More is needed to know.
            [] | [b'\r'] => {
                *scanned = end;
                return None;
            }
            _ => {}
        }
    }
    *scanned = bytes.len();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_empty_line() {
        for (bytes, end) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest\r\n\r\n"[..], Some(27)),
            (b"GET / HTTP/1.1\nHost: a\n\nrest", Some(24)),
            (b"GET / HTTP/1.1\r\n\r\n", Some(18)),
            (b"GET / HTTP/1.1\r\n\r", None),
            (b"GET / HTTP/1.1\r\n \r\n", None),
            (b"GET / HTTP/1.1\r\r\n", None),
            (b"", None),
        ] {
            assert_eq!(head_end(bytes, &mut 0), end, "{bytes:?}");
            let mut scanned = 0;
            let byte_by_byte = (1..=bytes.len()).find_map(|to| head_end(&bytes[..to], &mut scanned));
            assert_eq!(byte_by_byte, end, "{bytes:?}");
        }
    }

    #[test]
    fn no_byte_is_looked_at_again_and_again() {
        let mut scanned = 0;
        assert_eq!(head_end(&[b'a'; 1000], &mut scanned), None);
        assert_eq!(scanned, 1000);
    }
}
