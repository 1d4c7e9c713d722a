//! Hellos that are built byte by byte, and what is read of them.

use super::*;

/// An extension.
fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u16;
    [&kind.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
}

/// A list with its length before it.
fn list(numbers: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
}

/// A message with its head.
fn hello(version: u16, ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    let mut body = [&version.to_be_bytes()[..], &[7; 32], &[0]].concat();
    body.extend(list(ciphers));
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = (body.len() as u32).to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

/// Records of `size` bytes of the message each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    message.chunks(size).flat_map(record).collect()
}

/// What FoxIO's specification has as its example, with the GREASE that Chrome adds.
fn chrome() -> Vec<u8> {
    let ciphers = [
        0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
        0x009c, 0x009d, 0x002f, 0x0035,
    ];
    let signatures = list(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]);
    let name = b"Example.org";
    let sni = [&[0, 14, 0, 0, 11][..], name].concat();
    let kinds = [
        0x1b, 0, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0xd, 5, 0x23, 0x12, 0x2b, 0xff01, 0xb, 0xa, 0x15,
    ];
    let mut extensions = vec![extension(0x3a3a, &[])];
    extensions.extend(kinds.map(|kind| match kind {
        0 => extension(0, &sni),
        0x10 => extension(0x10, b"\0\x0c\x02h2\x08http/1.1"),
        0xd => extension(0xd, &signatures),
        0x2b => extension(0x2b, &[6, 0x8a, 0x8a, 3, 4, 3, 3]),
        kind => extension(kind, b"x"),
    }));
    extensions.push(extension(0xdada, &[0]));
    hello(0x0303, &ciphers, &extensions)
}

fn read_whole(bytes: &[u8]) -> Message {
    message(bytes, &mut Progress::default(), 16_384)
}

#[test]
fn the_example_of_the_specification() {
    let Message::Whole(message) = read_whole(&records(&chrome(), 16_000)) else {
        panic!("a whole hello");
    };
    let expected = Hello {
        name: "example.org".to_owned(),
        alpn: "h2".to_owned(),
        version: 0x0304,
        ja4: "t13d1516h2_8daaf6152771_e5627efa2ab1".to_owned(),
    };
    assert_eq!(read(&message), Some(expected));
}

#[test]
fn records_and_segments_of_any_length() {
    let message_bytes = chrome();
    for size in [1, 2, 3, 4, 5, 100, message_bytes.len() - 1, message_bytes.len()] {
        let bytes = records(&message_bytes, size);
        let mut progress = Progress::default();
        for end in 0..bytes.len() {
            assert_eq!(
                message(&bytes[..end], &mut progress, 16_384),
                Message::Partly,
                "{size} {end}"
            );
        }
        let whole = message(&bytes, &mut progress, 16_384);
        assert_eq!(whole, Message::Whole(message_bytes[4..].to_vec()), "{size}");
    }
}

#[test]
fn what_is_no_hello() {
    let mut other = chrome();
    other[0] = 2;
    let long = [&[1, 0x7f, 0xff, 0xff][..], &[0; 400]].concat();
    for bytes in [
        records(&other, 100),
        records(&long, 100),
        vec![23, 3, 3, 0, 1, 0],
        vec![22, 3, 1, 0, 0, 22, 3, 1],
        vec![22, 3, 1, 0xff, 0xff, 1],
    ] {
        assert_eq!(read_whole(&bytes), Message::None);
    }
    assert_eq!(read(&chrome()[4..40]), None);
}

#[test]
fn hellos_with_little_in_them() {
    let old = hello(0x0301, &[0x2f], &[]);
    let read_old = read(&old[4..]).expect("a hello");
    assert_eq!(
        (&*read_old.name, &*read_old.alpn, read_old.version),
        ("", "", 0x0301)
    );
    assert!(read_old.ja4.starts_with("t10i010000_"), "{}", read_old.ja4);
    // Without extensions at all.
    assert_eq!(
        read(&old[4..old.len() - 2]).map(|hello| hello.ja4),
        Some(read_old.ja4)
    );
    // An extension that cannot be read hides none behind it.
    let odd = hello(
        0x0303,
        &[0x1301],
        &[
            extension(0, b"\xff"),
            extension(16, b"\0\x03\x02h2"),
            extension(43, &[]),
        ],
    );
    let odd = read(&odd[4..]).expect("a hello");
    assert_eq!((&*odd.name, &*odd.alpn, odd.version), ("", "h2", 0x0303));
    let shown = hello(0x0303, &[0x1301], &[extension(0, b"\0\x05\0\0\x02a\x1b")]);
    assert_eq!(read(&shown[4..]).expect("a hello").name, "a?");
}
