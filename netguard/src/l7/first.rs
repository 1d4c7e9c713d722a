//! What the first bytes of a conversation look like: HTTP, TLS, or something else with a name for people. It reads no further.

use super::{Protocol, h2::PREFACE, http};

/// What is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Http,
    /// HTTP/2 in the clear, by prior knowledge (RFC 9113, 3.3).
    Http2,
    Tls,
    /// Known and of no interest: what a proxy says about its client, TLS that was under way, SSL 2.
    Quiet,
    /// Something else.
    Other(&'static str),
}

/// Bytes after which what has no line end is no request.
const LINE: usize = 512;
/// Of a method, or a name that could be one.
const TOKEN: usize = 32;
/// Bytes by which what is neither has its name.
const NAMED: usize = 8;
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PROXY_V1: &[u8] = b"PROXY ";

/// What `bytes` begin, at a service that speaks `service`; `None` when that takes more of them and `is_all` is false. `needs_name`: something else is
/// only told with the name that it has in the end, however it was cut.
pub(super) fn recognise(
    bytes: &[u8],
    service: Option<Protocol>,
    is_all: bool,
    needs_name: bool,
) -> Option<First> {
    let is_prefix = |of: &[u8]| of.starts_with(&bytes[..bytes.len().min(of.len())]);
    for (signature, first) in [
        (PROXY_V2, First::Quiet),
        (PROXY_V1, First::Quiet),
        (PREFACE, First::Http2),
    ] {
        if bytes.starts_with(signature) {
            return Some(first);
        }
        if is_prefix(signature) && !is_all {
            return None;
        }
    }
    let first = match bytes {
        [0x16, 3, 0..=4, _, _, 1, ..] => First::Tls,
        [0x16] | [0x16, 3] | [0x16, 3, 0..=4] | [0x16, 3, 0..=4, _] | [0x16, 3, 0..=4, _, _] if !is_all => {
            return None;
        }
        [20..=23, 3, 0..=4, ..] if service == Some(Protocol::Tls) => First::Quiet,
        // A client that offers SSL 2 (RFC 5246, E.2); the server may go on with TLS.
        [0x80..=0xff, _, 1, 0 | 3, ..] => First::Quiet,
        [0x80..=0xff] | [0x80..=0xff, _] | [0x80..=0xff, _, 1] if !is_all => return None,
        _ => match request(bytes, is_all)? {
            true => First::Http,
            false if bytes.len() < NAMED && needs_name && !is_all => return None,
            false => First::Other(label(&bytes[..bytes.len().min(NAMED)])),
        },
    };
    Some(first)
}

/// Whether `bytes` begin a request of HTTP/1.
pub(super) fn request(bytes: &[u8], is_all: bool) -> Option<bool> {
    // RFC 9112, 2.2: an empty line or more before it.
    let blank = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let bytes = &bytes[blank..];
    let Some(end) = bytes.iter().take(TOKEN + 1).position(|byte| !is_token(*byte)) else {
        return (bytes.len() > TOKEN || is_all).then_some(false);
    };
    if end == 0 || !matches!(bytes[end], b' ' | b'\t') {
        return Some(false);
    }
    let is_method = http::is_method(&bytes[..end]);
    let line = &bytes[..bytes.len().min(LINE)];
    let line = match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => &line[..end],
        // One that began like that is under way.
        None if is_method => return Some(true),
        None if line.len() < LINE && !is_all => return None,
        None => line,
    };
    // RTSP, SIP and ICAP have methods of HTTP, and a version of their own.
    let is_of_another = line
        .trim_ascii_end()
        .rsplit(|byte| *byte == b' ')
        .next()
        .is_some_and(|version| {
            [&b"RTSP/"[..], b"SIP/", b"ICAP/"]
                .iter()
                .any(|name| version.starts_with(name))
        });
    Some(!is_of_another && (is_method || line.windows(6).any(|part| part == b" HTTP/")))
}

/// What HTTP calls a token (RFC 9110, 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// A name for what is neither HTTP nor TLS.
fn label(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'S', b'S', b'H', b'-', ..] => "ssh",
        [3, 0, _, _, _, 0xe0, ..] => "rdp",
        [_, _, _, _, 0xff | 0xfe, b'S', b'M', b'B', ..] => "smb",
        [5, 1..=8, 0..=3, ..] | [4, 1 | 2, _, _, ..] => "socks",
        [0xff, 0xfb..=0xfe, ..] => "telnet",
        _ if bytes
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "text"
        }
        _ => "binary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];

    #[test]
    fn what_is_spoken_is_seen_at_once_or_byte_by_byte() {
        for (bytes, first) in [
            (&b"GET / HTTP/1.1\r\n"[..], First::Http),
            (b"GET /a\r\n", First::Http),
            (b"\r\nPOST /x HTTP/1.0\r\n", First::Http),
            (b"FROB /x HTTP/1.0\r\n", First::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", First::Http2),
            (b"PRI * HTTP/1.1\r\n\r\n", First::Http),
            (TLS, First::Tls),
            (b"PROXY TCP4 192.0.2.1 ", First::Quiet),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", First::Quiet),
            (b"\x80\x2e\x01\x03\x01\x00\x00\x00", First::Quiet),
            (b"SSH-2.0-OpenSSH_9.2\r\n", First::Other("ssh")),
            (b"HELO example.org\r\n", First::Other("text")),
            (b"\x03\x00\x00\x13\x0e\xe0\x00\x00", First::Other("rdp")),
            (b"\x00\x00\x00\x85\xffSMB", First::Other("smb")),
            (b"\x05\x01\x00\x05\x01\x00\x00\x01", First::Other("socks")),
            (b"\xff\xfd\x18\xff\xfd\x20\xff\xfd", First::Other("telnet")),
            (b"\x00\x01\x02\x03\x04\x05\x06\x07", First::Other("binary")),
            (b"abc\r\n", First::Other("text")),
            (b"{\"id\": 1}\n", First::Other("text")),
        ] {
            assert_eq!(
                recognise(bytes, Some(Protocol::Http), true, true),
                Some(first),
                "{bytes:?}"
            );
            let cut =
                (1..=bytes.len()).find_map(|end| recognise(&bytes[..end], Some(Protocol::Http), false, true));
            assert_eq!(cut, (bytes.len() >= NAMED).then_some(first), "{bytes:?}");
        }
    }

    #[test]
    fn tls_under_way_is_nothing_strange_where_tls_is_spoken() {
        let record = [0x17, 3, 3, 0, 40, 9, 9, 9];
        assert_eq!(
            recognise(&record, Some(Protocol::Tls), false, true),
            Some(First::Quiet)
        );
        assert_eq!(
            recognise(&record, Some(Protocol::Http), false, true),
            Some(First::Other("binary"))
        );
    }

    #[test]
    fn what_never_ends_its_line_is_no_request() {
        assert_eq!(
            recognise(&[b'A'; 33], None, false, true),
            Some(First::Other("text"))
        );
        let long = [b"FROB ", &[b'a'; LINE][..]].concat();
        assert_eq!(recognise(&long[..100], None, false, true), None);
        assert_eq!(recognise(&long, None, false, true), Some(First::Other("text")));
        assert_eq!(recognise(b"", None, true, true), Some(First::Other("text")));
    }
}
