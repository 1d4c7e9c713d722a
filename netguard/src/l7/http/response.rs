//! The heads of responses: the status, and where the body ends.

use super::{Body, fields};

/// Room for the headers of a response; with more its end is unknown.
const HEADERS: usize = 128;

/// What a response begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::l7) enum Status {
    Code(u16),
    /// Not HTTP/1.
    None,
}

/// The status of the response that `bytes` begin; `None` when that takes more of them.
pub(in crate::l7) fn status(bytes: &[u8]) -> Option<Status> {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(BEGINNING.len());
    if bytes[..known] != BEGINNING[..known] {
        return Some(Status::None);
    }
    let code = bytes.get(BEGINNING.len()..BEGINNING.len() + 5)?;
    let [b'0' | b'1', b' ', code @ ..] = code else {
        return Some(Status::None);
    };
    let digits = code.iter().map(|digit| u16::from(digit.wrapping_sub(b'0')));
    match code {
        [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => {
            Some(Status::Code(digits.fold(0, |code, digit| 10 * code + digit)))
        }
        _ => Some(Status::None),
    }
}

/// Where the body of a response ends whose head is `head` (RFC 9112, 6.3); `was_head`: it answers a request with the method HEAD.
pub(in crate::l7) fn framing(head: &[u8], status: u16, was_head: bool) -> Body {
    if was_head || matches!(status, 100..=199 | 204 | 304) {
        return Body::None;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => match fields::framing(response.headers) {
            (Body::None, _) => Body::Unknown,
            (body, _) => body,
        },
        _ => Body::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_takes_twelve_bytes() {
        for (bytes, told) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(Status::Code(200))),
            (b"HTTP/1.0 404", Some(Status::Code(404))),
            (b"HTTP/1.1 40", None),
            (b"HTT", None),
            (b"", None),
            (b"HTTP/2 200 ", Some(Status::None)),
            (b"HTTP/1.1 0x0 ", Some(Status::None)),
            (b"<html>", Some(Status::None)),
        ] {
            assert_eq!(status(bytes), told, "{bytes:?}");
        }
    }

    #[test]
    fn bodies_of_responses() {
        let body = |lines: &str, status, was_head| {
            framing(
                format!("HTTP/1.1 {status} X\r\n{lines}\r\n").as_bytes(),
                status,
                was_head,
            )
        };
        assert_eq!(body("Content-Length: 5\r\n", 200, false), Body::Length(5));
        assert_eq!(body("Content-Length: 5\r\n", 200, true), Body::None);
        assert_eq!(body("Content-Length: 5\r\n", 304, false), Body::None);
        assert_eq!(body("Transfer-Encoding: chunked\r\n", 200, false), Body::Chunked);
        assert_eq!(body("", 200, false), Body::Unknown);
        assert_eq!(body("broken\r\n", 200, false), Body::Unknown);
        assert_eq!(body(&"A: b\r\n".repeat(200), 200, false), Body::Unknown);
    }
}
