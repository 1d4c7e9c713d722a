//! What is not HTTP/1, or begins in the middle.

use super::*;

#[test]
fn who_speaks_another_protocol_is_told_once() {
    let tls = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    for (port, bytes, what) in [
        (
            80,
            &b"\x00\x01\x02\x03\x04\x05\x06\x07"[..],
            &["foreign binary"][..],
        ),
        (80, b"SSH-2.0-x\r\n", &["foreign ssh"]),
        (80, &tls, &["foreign tls"]),
        (443, b"GET / HTTP/1.1\r\n\r\n", &["foreign http"]),
        (443, b"hello?\r\n", &["foreign text"]),
        (443, &[0x17, 3, 3, 0, 1, 0], &[]),
        (22, b"SSH-2.0-x\r\n", &[]),
        (22, b"GET / HTTP/1.1\r\n\r\n", &[]),
        (8_080, b"SSH-2.0-x\r\n", &[]),
        (8_080, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET /"]),
    ] {
        let talk = Talk::at(port)
            .client(bytes)
            .server("x")
            .client(bytes)
            .wait(SECOND);
        let told = talk.told();
        assert_eq!(
            told.first().map(String::as_str),
            what.first().copied(),
            "{port} {bytes:?}"
        );
        assert!(told.len() <= 1 || what == ["GET /"], "{told:?}");
        assert_eq!(talk.held(), 0, "{port} {bytes:?}");
    }
    // Too little to know, and then the end.
    let talk = Talk::at(80).client("abc").ends(Side::Client);
    assert_eq!((talk.told(), talk.held()), (vec!["foreign text".to_owned()], 0));
    // Who is spoken to first is no client of HTTP.
    let talk = Talk::at(80).server("220 hello\r\n").client("HELO x\r\n");
    assert!(talk.told().is_empty());
}

#[test]
fn what_begins_in_the_middle_is_not_judged() {
    let middle = || Talk {
        is_whole: false,
        ..Talk::at(80)
    };
    for bytes in [
        &b"\x00\x01\x02\x03"[..],
        b"lo world</html>",
        &[0x17, 3, 3, 0, 9, 9],
        b"a b c\r\n\r\n",
    ] {
        let talk = middle().client(bytes).server("x").client(get("/a")).server(OK);
        assert_eq!(talk.told(), ["GET /a", "200 to GET /a"], "{bytes:?}");
    }
    // A turn that was not handed on.
    let mut talk = Talk::at(80).client(get("/a")).server(OK);
    talk.next[0] = talk.next[0].wrapping_add(500);
    let talk = talk.client("x\x00\x00y\r\n\r\n").server(OK).client(get("/b"));
    assert_eq!(talk.told(), ["GET /a", "200 to GET /a", "GET /b"]);
}

#[test]
fn frames_of_http2() {
    let frame = |kind: u8| [0, 0, 4, kind, 0, 0, 0, 0, 1, 9, 9, 9, 9];
    let talk = Talk::at(80)
        .client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .client(frame(4));
    let talk = talk
        .client([frame(1), frame(3)].concat())
        .server("frames")
        .client(frame(1));
    assert!(talk.told().is_empty());
    let talk = talk.wait(SECOND);
    assert_eq!((talk.told(), talk.held()), (vec!["h2 2 1".to_owned()], 0));
    // Many are told at once, the rest at the end.
    let talk = talk
        .client(frame(3).repeat(70))
        .client(frame(3))
        .ends(Side::Client);
    assert_eq!(talk.told()[1..], ["h2 0 70", "h2 0 1"]);
}

#[test]
fn handshakes_that_are_left() {
    // A hello without anything in it.
    let hello = |length: usize| {
        let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
        let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
        let record = [&[0x16, 3, 1, 0, message.len() as u8][..], &message].concat();
        record[..length.min(record.len())].to_vec()
    };
    let answer = [0x16, 3, 3, 0, 40, 2];
    let answered = || Talk::at(443).client(hello(99)).server(answer);
    for (talk, told) in [
        (
            answered().client([0x14, 3, 3, 0, 1, 1]).ends(Side::Client),
            &["hello "][..],
        ),
        (answered().wait(2 * SECOND), &["hello "]),
        (
            answered().wait(11 * SECOND).wait(11 * SECOND),
            &["hello ", "left"],
        ),
        (answered().ends(Side::Client), &["hello ", "left"]),
        // The server ends it, or does not answer.
        (answered().ends(Side::Server).ends(Side::Client), &["hello "]),
        (Talk::at(443).client(hello(99)).wait(60 * SECOND), &["hello "]),
        (
            Talk::at(443)
                .client(hello(99))
                .server([0x15, 3, 3, 0, 2, 2, 40])
                .wait(60 * SECOND),
            &["hello "],
        ),
        (Talk::at(443).client(hello(20)).wait(5 * SECOND), &[]),
        (
            Talk::at(443)
                .client(hello(20))
                .wait(11 * SECOND)
                .wait(11 * SECOND),
            &["left"],
        ),
        (Talk::at(443).client(hello(20)).ends(Side::Client), &["left"]),
        (
            Talk::at(443).client([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
            &["foreign broken tls"],
        ),
    ] {
        assert_eq!(talk.told(), told);
        let is_part = told.is_empty();
        assert_eq!(talk.held() == 0, !is_part, "{told:?}");
    }
}

#[test]
fn only_heads_are_told_to_be_under_way() {
    for (port, bytes, is_told) in [
        (80, &b"GET / HTTP/1.1\r\nX"[..], true),
        (80, b"GE", true),
        (8_080, b"GET / HTTP/1.1\r\nX", true),
        // Whatever is spoken there, it may be waited for more of it.
        (8_080, b"ping", false),
        (443, &[0x16, 3], false),
    ] {
        let talk = Talk::at(port).client(bytes).wait(2 * SECOND);
        assert_eq!(
            talk.told(),
            ["unfinished 2 s"].repeat(usize::from(is_told)),
            "{port} {bytes:?}"
        );
    }
    // What came in too many pieces is not handed on any more, and is under way all the same.
    let talk = Talk::at(80)
        .client("GET / HTTP/1.1\r\nX")
        .send(Side::Client, b"", 0, false);
    let talk = talk.client("y").wait(2 * SECOND);
    assert_eq!((talk.told(), talk.held()), (vec!["unfinished 2 s".to_owned()], 0));
    let talk = talk.server(OK).client(get("/next")).server(OK);
    assert_eq!(talk.told()[1..], ["GET /next", "200 to GET /next"]);
}
