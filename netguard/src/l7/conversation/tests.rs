//! Conversations as scripts: who says what, and what is observed of it.

mod others;

use std::collections::HashMap;

use super::super::{Conversations, Ends, Limits, Observation, Protocol, Said, Segment, Side};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// A conversation that is under way, and what was observed of it.
struct Talk {
    conversations: Conversations,
    said: Vec<Observation>,
    port: u16,
    now_ns: u64,
    /// The numbers of the next bytes, of client and server, and those of their turns.
    next: [u32; 2],
    turn: [u32; 2],
    speaker: Option<Side>,
    is_whole: bool,
    quiet: Vec<Ends>,
}

impl Talk {
    fn at(port: u16) -> Self {
        let services = HashMap::from([(80, Protocol::Http), (443, Protocol::Tls), (22, Protocol::Other)]);
        let limits = Limits {
            services,
            head_bytes: 4_096,
            ..Limits::default()
        };
        Self {
            conversations: Conversations::new(limits),
            said: Vec::new(),
            port,
            now_ns: SECOND,
            next: [u32::MAX - 20, 7],
            turn: [0; 2],
            speaker: None,
            is_whole: true,
            quiet: Vec::new(),
        }
    }

    fn send(mut self, from: Side, bytes: &[u8], payload: usize, is_last: bool) -> Self {
        let side = usize::from(from == Side::Server);
        if self.speaker != Some(from) {
            self.speaker = Some(from);
            self.turn[side] = self.next[side];
        }
        self.now_ns += 10 * MS;
        let segment = Segment {
            at_ns: self.now_ns,
            ends: Ends {
                client: ([192, 0, 2, 1], 40_000).into(),
                server: ([198, 51, 100, 1], self.port).into(),
            },
            from,
            sequence: self.next[side],
            turn_start: self.turn[side],
            bytes,
            payload_len: payload as u32,
            is_whole: self.is_whole,
            is_last,
            weight: 3,
        };
        self.next[side] = self.next[side].wrapping_add(payload as u32);
        let said = &mut self.said;
        self.conversations
            .take(&segment, &mut |observation| said.push(observation));
        self.quiet.extend(self.conversations.take_quiet());
        self
    }

    fn client(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.send(Side::Client, bytes, bytes.len(), false)
    }

    fn server(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.send(Side::Server, bytes, bytes.len(), false)
    }

    fn ends(self, from: Side) -> Self {
        self.send(from, b"", 0, true)
    }

    fn wait(mut self, ns: u64) -> Self {
        self.now_ns += ns;
        let said = &mut self.said;
        self.conversations
            .tick(self.now_ns, &mut |observation| said.push(observation));
        self
    }

    /// What was observed, in short.
    fn told(&self) -> Vec<String> {
        let told = |observation: &Observation| match &observation.said {
            Said::Request(request) if request.flaws.is_empty() => {
                format!("{} {}", request.method, request.route)
            }
            Said::Request(request) => format!("{} {} {:?}", request.method, request.route, request.flaws),
            Said::Response(response) => {
                format!("{} to {} {}", response.status, response.method, response.route)
            }
            Said::H2(frames) => format!("h2 {} {}", frames.headers, frames.resets),
            Said::Hello(hello) => format!("hello {}", hello.name),
            Said::HandshakeLeft => "left".to_owned(),
            Said::Foreign(what) => format!("foreign {what}"),
            Said::HeadUnfinished { since_ns } => format!("unfinished {} s", since_ns / SECOND),
        };
        self.said.iter().map(told).collect()
    }

    fn held(&self) -> usize {
        self.conversations.buffered()
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn requests_and_their_answers() {
    let talk = Talk::at(80)
        .client(get("/a/1"))
        .server(OK)
        .client(get("/b"))
        .server(OK);
    assert_eq!(
        talk.told(),
        ["GET /a/{id}", "200 to GET /a/{id}", "GET /b", "200 to GET /b"]
    );
    let Said::Response(response) = &talk.said[1].said else {
        panic!("a response");
    };
    assert_eq!(
        (response.latency_ns, talk.said[1].weight, talk.held()),
        (10 * MS, 3, 0)
    );
    assert!(response.target != 0);
}

#[test]
fn a_head_may_come_slowly() {
    let head = get("/slow");
    let mut talk = Talk::at(80);
    for byte in &head {
        talk = talk.client([*byte]);
    }
    assert_eq!((talk.told(), talk.held()), (vec!["GET /slow".to_owned()], 0));
    let Said::Request(request) = &talk.said[0].said else {
        panic!("a request");
    };
    assert_eq!(request.head_ns, 10 * MS * (head.len() as u64 - 1));
    // Nothing is left of it after a while.
    let talk = Talk::at(80)
        .client("GET / HTTP/1.1\r\nX: ")
        .wait(SECOND / 2)
        .wait(SECOND)
        .wait(SECOND);
    assert_eq!(talk.told(), ["unfinished 1 s", "unfinished 2 s"]);
    assert!(talk.held() > 0);
    let talk = talk.client("y\r\n").wait(1_000 * SECOND);
    assert_eq!((talk.held(), talk.conversations.len()), (0, 0));
}

#[test]
fn bodies_are_skipped() {
    let post = |body: &str| {
        format!(
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let fake = String::from_utf8(get("/fake")).expect("text");
    let both = [post(&fake).into_bytes(), get("/true")].concat();
    assert_eq!(Talk::at(80).client(&both).told(), ["POST /x", "GET /true"]);
    // Of a long one only the beginning is handed on.
    let head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let talk = Talk::at(80)
        .send(Side::Client, head, head.len() + 100_000, false)
        .server(OK);
    assert_eq!(
        talk.client(get("/next")).told(),
        ["POST /x", "200 to POST /x", "GET /next"]
    );
    let chunked = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = format!("{chunked}{:x}\r\n{fake}\r\n0\r\n\r\n", fake.len());
    let talk = Talk::at(80).client(chunks).client(get("/true"));
    assert_eq!(
        (talk.told(), talk.held()),
        (vec!["POST /x".to_owned(), "GET /true".to_owned()], 0)
    );
    // Chunks that do not come with the turn.
    let talk = Talk::at(80)
        .send(Side::Client, chunked.as_bytes(), 90_000, false)
        .server(OK);
    assert_eq!(
        talk.client(get("/next")).told(),
        ["POST /x", "200 to POST /x", "GET /next"]
    );
    let huge = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000000\r\n\r\n";
    let talk = Talk::at(80)
        .send(Side::Client, huge.as_bytes(), 1 << 31, false)
        .server(OK);
    assert_eq!(
        talk.client(get("/next")).told(),
        ["POST /x", "200 to POST /x", "GET /next"]
    );
}

#[test]
fn requests_in_a_row_have_their_answers_in_order() {
    let three = [get("/1a"), get("/2a"), get("/3a")].concat();
    let answers = [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nno\n",
        b"HTTP/1.1 304 Same\r\n\r\n",
    ]
    .concat();
    let expected = [
        "GET /1a",
        "GET /2a",
        "GET /3a",
        "200 to GET /1a",
        "404 to GET /2a",
        "304 to GET /3a",
    ];
    assert_eq!(Talk::at(80).client(&three).server(&answers).told(), expected);
    let mut talk = Talk::at(80).client(&three);
    for byte in answers {
        talk = talk.server([byte]);
    }
    assert_eq!(
        (talk.told(), talk.held()),
        (expected.map(str::to_owned).to_vec(), 0)
    );
    // More than can be meant.
    let many = get("/").repeat(100);
    let talk = Talk::at(80).client(&many).client(&many);
    assert_eq!(talk.told().len(), 16);
    // The last one that is read stands for the rest of its turn, as far as that came with it.
    let weights: Vec<u32> = talk.said.iter().map(|said| said.weight).collect();
    assert_eq!((weights[0], weights[15]), (3, 3 * 85));
    assert_eq!(
        Talk::at(80)
            .client(&many)
            .server(OK)
            .client(get("/b"))
            .told()
            .len(),
        18
    );
}

#[test]
fn interim_answers_and_other_protocols() {
    let expects = "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n";
    let talk = Talk::at(80)
        .client(expects)
        .server("HTTP/1.1 100 Continue\r\n\r\n");
    let talk = talk
        .client("GET / HTTP/1.1\r\n\r\n..")
        .server(OK)
        .client(get("/b"));
    assert_eq!(talk.told(), ["PUT /x", "200 to PUT /x", "GET /b"]);
    // Refused: the body does not come.
    let talk = Talk::at(80)
        .client(expects)
        .server("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        talk.client(get("/b")).told(),
        ["PUT /x", "413 to PUT /x", "GET /b"]
    );
    let upgrade = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let talk = Talk::at(80)
        .client(upgrade)
        .server("HTTP/1.1 101 Switching\r\n\r\n\x01\x02");
    let talk = talk.client([0x81, 5, 0, 1, 2]).server(OK).client(get("/no"));
    assert_eq!(talk.told(), ["GET /chat", "101 to GET /chat"]);
    assert_eq!(talk.quiet.len(), 1, "told once");
    // Not taken up.
    let talk = Talk::at(80).client(upgrade).server(OK).client(get("/b"));
    assert_eq!(talk.told(), ["GET /chat", "200 to GET /chat", "GET /b"]);
}

#[test]
fn heads_that_are_broken_or_endless() {
    let talk = Talk::at(80)
        .client("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n")
        .server(OK);
    assert_eq!(talk.told(), ["GET / [Folding]", "200 to GET /"]);
    let long = format!("GET /long HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(1_000_000));
    let talk = Talk::at(80).client(&long);
    assert_eq!(
        (talk.told(), talk.held()),
        (vec!["GET /long [HeadTooLong]".to_owned()], 0)
    );
    let mut talk = Talk::at(80);
    for part in long.as_bytes().chunks(1_460).take(100) {
        talk = talk.client(part);
    }
    assert_eq!(
        (talk.told(), talk.held()),
        (vec!["GET /long [HeadTooLong]".to_owned()], 0)
    );
    // After a good request.
    let talk = Talk::at(80)
        .client(get("/a"))
        .server(OK)
        .client(b"\x00\x01\x02\r\n\r\n");
    assert_eq!(talk.told()[2], "??? / [RequestLine, Characters, Nul]");
    // The server gives up on it.
    let talk = Talk::at(80)
        .client("GET /part HTTP/1.1\r\nHos")
        .server("HTTP/1.1 408 Late\r\n\r\n");
    assert_eq!(talk.told(), ["GET /part", "408 to GET /part"]);
}
