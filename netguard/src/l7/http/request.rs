//! The head of a request as an observation: also of one that breaks the protocol, with a name for how.

use std::{collections::BTreeSet, mem::MaybeUninit};

use httparse::{Header, Status};

use super::{Body, broken, fields, injection, is_usual, route};
use crate::l7::{Flaw, Request, With};

/// Headers that fit without a look at each line by itself.
const USUAL_HEADERS: usize = 128;
/// Bytes of a method that are kept.
const METHOD: usize = 32;

/// What a head says, and what is to be known to read on.
#[derive(Debug)]
pub(in crate::l7) struct Head {
    pub(in crate::l7) request: Request,
    /// A hash of the target, as it was sent.
    pub(in crate::l7) target: u64,
    pub(in crate::l7) body: Body,
    /// The body comes once the server says so.
    pub(in crate::l7) expects: bool,
    /// Another protocol may follow.
    pub(in crate::l7) upgrades: bool,
}

/// A head, however it was read.
struct Parts<'a, 'b> {
    method: &'a [u8],
    target: &'a [u8],
    minor: u8,
    headers: &'b [Header<'a>],
    flaws: BTreeSet<Flaw>,
}

/// Reads the head `bytes`, without empty lines before it. `is_whole`: it ends with its empty line.
pub(in crate::l7) fn read(bytes: &[u8], is_whole: bool, with: &With<'_>) -> Head {
    let mut room = [MaybeUninit::uninit(); USUAL_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut room);
    let is_read = matches!(parsed, Ok(Status::Complete(length)) if length == bytes.len());
    if let (true, Some(method), Some(target), Some(minor)) =
        (is_read, request.method, request.path, request.version)
    {
        let parts = Parts {
            method: method.as_bytes(),
            target: target.as_bytes(),
            minor,
            headers: request.headers,
            flaws: broken::characters(bytes),
        };
        return describe(bytes, true, parts, with);
    }
    let broken = broken::read(bytes, is_whole);
    let mut flaws = broken.flaws;
    let is_crowded = broken.headers.len() > USUAL_HEADERS.min(with.limits.headers.into());
    if is_whole && flaws.is_empty() && !is_crowded {
        // Whatever it is that the parser does not take.
        flaws.insert(Flaw::Characters);
    }
    let parts = Parts {
        method: broken.method,
        target: broken.target,
        minor: broken.minor,
        headers: &broken.headers,
        flaws,
    };
    describe(bytes, is_whole, parts, with)
}

fn describe(bytes: &[u8], is_whole: bool, parts: Parts<'_, '_>, with: &With<'_>) -> Head {
    let Parts {
        method,
        target,
        minor,
        headers,
        mut flaws,
    } = parts;
    let is_broken = !is_whole || !flaws.is_disjoint(&BTreeSet::from([Flaw::RequestLine, Flaw::Folding]));
    let (body, framing) = fields::framing(headers);
    flaws.extend(framing);
    flaws.extend(injection::in_headers(headers));
    if !flaws.contains(&Flaw::RequestLine) {
        if is_whole {
            flaws.extend(fields::flaws(headers, minor));
        }
        if !is_usual(method) {
            flaws.insert(Flaw::Method);
        }
        flaws.extend(injection::in_target(target));
    }
    if headers.len() > with.limits.headers.into() {
        flaws.insert(Flaw::TooManyHeaders);
    }
    if bytes.len() >= with.limits.head_bytes && !is_whole {
        flaws.insert(Flaw::HeadTooLong);
    }
    let body_bytes = match body {
        Body::Length(length) => length,
        _ => 0,
    };
    if with.limits.body_bytes > 0 && body_bytes > with.limits.body_bytes {
        flaws.insert(Flaw::BodyTooLong);
    }
    let text = String::from_utf8_lossy(target);
    let query = target
        .iter()
        .position(|byte| *byte == b'?')
        .map(|at| &target[at + 1..]);
    Head {
        request: Request {
            method: printable(method),
            route: route::of(&text),
            query: query
                .filter(|query| !query.is_empty())
                .map_or(0, |query| with.hash(query)),
            host: fields::host(headers),
            headers: u16::try_from(headers.len()).unwrap_or(u16::MAX),
            head_bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            body_bytes,
            head_ns: 0,
            flaws: flaws.into_iter().collect(),
        },
        target: with.hash(target),
        // Where the head is broken, so may be what follows.
        body: if is_broken { Body::Unknown } else { body },
        expects: fields::expects(headers),
        upgrades: fields::upgrades(headers) || method == b"CONNECT",
    }
}

/// A method as it can be shown.
fn printable(method: &[u8]) -> String {
    let shown = method
        .iter()
        .take(METHOD)
        .map(|byte| match byte.is_ascii_graphic() {
            true => char::from(*byte),
            false => '?',
        });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::l7::Limits;

    fn head(bytes: &[u8], is_whole: bool) -> Head {
        let limits = Limits {
            head_bytes: 8_192,
            headers: 100,
            body_bytes: 1_000,
            ..Limits::default()
        };
        let keys = RandomState::new();
        let with = With {
            limits: &limits,
            keys: &keys,
            say: &mut |_| {},
        };
        read(bytes, is_whole, &with)
    }

    #[test]
    fn a_request() {
        let text = b"POST /user/7?a=b HTTP/1.1\r\nHost: Example.org:80\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        let head = head(text, true);
        assert_eq!(
            (&*head.request.method, &*head.request.route),
            ("POST", "/user/{id}")
        );
        assert_eq!(
            (head.request.headers, head.request.head_bytes),
            (3, text.len() as u32)
        );
        assert_eq!((&*head.request.host, head.request.body_bytes), ("example.org", 3));
        assert_eq!(
            (head.body, head.expects, head.upgrades),
            (Body::Length(3), true, false)
        );
        assert!(
            head.request.query != 0 && head.request.flaws.is_empty(),
            "{head:?}"
        );
    }

    #[test]
    fn honest_heads_have_no_flaw() {
        for lines in [
            "GET / HTTP/1.1\r\nHost: a",
            "GET / HTTP/1.0",
            "GET /x?a=1&b=%20 HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0 (X11; Linux) AppleWebKit/537.36\r\nCookie: a=b; c=\"d\"",
            "OPTIONS * HTTP/1.1\r\nHost: a",
            "GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\nX: \u{e9}",
            "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nRange: bytes=0-99",
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket",
        ] {
            let head = head(format!("{lines}\r\n\r\n").as_bytes(), true);
            assert!(head.request.flaws.is_empty(), "{lines}: {head:?}");
        }
    }

    #[test]
    fn flaws_have_names() {
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "A: b\r\n".repeat(100));
        let more = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "A: b\r\n".repeat(300));
        for (lines, flaws) in [
            ("BREW / HTTP/1.1\r\nHost: a", &[Flaw::Method][..]),
            ("get / HTTP/1.1\r\nHost: a", &[Flaw::Method]),
            ("TRACE / HTTP/1.1\r\nHost: a", &[Flaw::Method]),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a", &[Flaw::Method]),
            ("GET / HTTP/1.1", &[Flaw::Host]),
            ("GET /", &[Flaw::RequestLine]),
            ("GET / HTTP/1.1\r\nHost: a\r\nA : b", &[Flaw::Folding]),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc", &[Flaw::Folding]),
            ("GET / HTTP/1.1\r\nHost: a\nA: b", &[Flaw::Characters]),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0", &[Flaw::Nul]),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
                &[Flaw::Smuggling],
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001",
                &[Flaw::BodyTooLong],
            ),
            (&*many, &[Flaw::TooManyHeaders]),
            (&*more, &[Flaw::TooManyHeaders]),
        ] {
            let text = format!("{}\r\n\r\n", lines.trim_end());
            assert_eq!(head(text.as_bytes(), true).request.flaws, flaws, "{lines}");
        }
    }

    #[test]
    fn heads_without_end() {
        let long = [b"GET /a HTTP/1.1\r\nHost: a\r\nX: ", &[b'x'; 9_000][..]].concat();
        let long = head(&long[..8_192], false);
        assert_eq!(long.request.flaws, [Flaw::HeadTooLong]);
        assert_eq!((&*long.request.route, long.body), ("/a", Body::Unknown));
        let cut = head(b"GET /b HTTP/1.1\r\nHost: a\r\nX: y", false);
        assert_eq!((&*cut.request.route, &cut.request.flaws[..]), ("/b", &[][..]));
    }
}
