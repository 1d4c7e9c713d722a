//! What was seen in a conversation.

use std::net::SocketAddr;

use super::Ends;

/// Something that one end said, or did not say in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Monotonic: when its last byte came.
    pub at_ns: u64,
    pub ends: Ends,
    /// Such observations that it stands for.
    pub weight: u32,
    pub said: Said,
}

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The head of a request, of HTTP/1 or one that cannot be read as such.
    Request(Request),
    /// The head of the answer to one.
    Response(Response),
    /// Frames of HTTP/2 in the clear, since the observation before.
    H2(H2Frames),
    /// The first message of a TLS client.
    Hello(Hello),
    /// A handshake of TLS that the client did not go on with: it ended, or said nothing more.
    HandshakeLeft,
    /// A client began to speak another protocol than its service; what its first bytes look like.
    Foreign(&'static str),
    /// A head that has been under way so long, in nanoseconds, and is not whole; told again each second of it.
    HeadUnfinished { since_ns: u64 },
}

/// The head of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// As it was sent, at most 32 bytes of it.
    pub method: String,
    /// The path with identifiers folded (`/user/{id}`), at most 128 bytes.
    pub route: String,
    /// A hash of the query; 0 without one.
    pub query: u64,
    /// The host that was asked for, in lower case, without a port; empty without one.
    pub host: String,
    pub headers: u16,
    /// Bytes of the head.
    pub head_bytes: u32,
    /// Of the body that it announces; 0 without one, and where it is chunked.
    pub body_bytes: u64,
    /// How long its head took to come.
    pub head_ns: u64,
    /// Where it breaks the protocol, or what of it looks like an attempt to break in; each once.
    pub flaws: Vec<Flaw>,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    /// From the last byte of the request's head to the first of this one.
    pub latency_ns: u64,
    /// Method and route of the request.
    pub method: String,
    pub route: String,
    /// A hash of the target of the request (path and query, as they were sent); never 0.
    pub target: u64,
}

/// Frames of a client of HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H2Frames {
    /// Streams that were opened.
    pub headers: u32,
    /// Streams that the client gave up itself (RST_STREAM).
    pub resets: u32,
    pub settings: u32,
    pub pings: u32,
    pub continuations: u32,
}

/// The first message of a TLS client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name that was asked for (SNI), in lower case; empty without one.
    pub name: String,
    /// The first protocol that was offered (ALPN); empty without one.
    pub alpn: String,
    /// The highest version that was offered, as TLS numbers them (0x0304 is 1.3).
    pub version: u16,
    /// JA4 of the client.
    pub ja4: String,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// Its first line is none of HTTP.
    RequestLine,
    /// A method that nobody uses, or none at all.
    Method,
    /// Control characters, or bytes that no header may have.
    Characters,
    /// A NUL anywhere in its head.
    Nul,
    /// A header continued on the next line, or white space before the colon.
    Folding,
    /// More headers than the limit, or a longer head.
    TooManyHeaders,
    HeadTooLong,
    /// Content-Length and Transfer-Encoding, or several lengths that differ: where the body ends is a matter of opinion.
    Smuggling,
    /// A transfer coding or a length that cannot be.
    Framing,
    /// HTTP/1.1 without a host, or with several.
    Host,
    /// Larger than the limit for bodies.
    BodyTooLong,
    /// Looks like SQL in a parameter.
    SqlInjection,
    /// Like script in a parameter.
    Script,
    /// Like the way up out of a directory.
    Traversal,
    /// Like a command for a shell.
    Command,
    /// A range of bytes that overlaps, or so many that it is no use.
    Ranges,
}

impl Flaw {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestLine => "request-line",
            Self::Method => "method",
            Self::Characters => "characters",
            Self::Nul => "nul",
            Self::Folding => "folding",
            Self::TooManyHeaders => "too-many-headers",
            Self::HeadTooLong => "head-too-long",
            Self::Smuggling => "smuggling",
            Self::Framing => "framing",
            Self::Host => "host",
            Self::BodyTooLong => "body-too-long",
            Self::SqlInjection => "sql-injection",
            Self::Script => "script",
            Self::Traversal => "traversal",
            Self::Command => "command",
            Self::Ranges => "ranges",
        }
    }
}

impl Observation {
    /// The service that it was said to.
    pub fn service(&self) -> SocketAddr {
        self.ends.server
    }
}
