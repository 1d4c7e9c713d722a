//! What is read of hellos, whole, cut, and wrong.

use std::vec::Vec;

use super::*;
use crate::{shared::Field as _, view::SliceView};

/// What a server says first, made by hand.
pub(crate) struct Said {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session: u8,
    pub(crate) cipher: u16,
    /// `None`: there are none, nor a length of them.
    pub(crate) extensions: Option<Vec<(u16, Vec<u8>)>>,
}

impl Said {
    pub(crate) fn of(version: u16, cipher: u16) -> Self {
        let chosen = (0x002b, version.to_be_bytes().to_vec());
        let share = (0x0033, [&[0, 29, 0, 32][..], &[9; 32]].concat());
        let extensions = if version == 0x0304 {
            Some(std::vec![chosen, share])
        } else if version == 0x0303 {
            Some(std::vec![(0xff01, std::vec![0]), (0x0017, Vec::new())])
        } else {
            None
        };
        Self {
            version: version.min(0x0303),
            random: [7; 32],
            session: 32,
            cipher,
            extensions,
        }
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend(self.random);
        body.push(self.session);
        body.extend(std::vec![5; usize::from(self.session)]);
        body.extend(self.cipher.to_be_bytes());
        body.push(0);
        if let Some(extensions) = &self.extensions {
            let mut bytes = Vec::new();
            for (kind, value) in extensions {
                bytes.extend(kind.to_be_bytes());
                bytes.extend((value.len() as u16).to_be_bytes());
                bytes.extend(value);
            }
            body.extend((bytes.len() as u16).to_be_bytes());
            body.extend(bytes);
        }
        let mut message = ((2 << 24) | body.len() as u32).to_be_bytes().to_vec();
        message.extend(body);
        message
    }

    pub(crate) fn record(&self) -> Vec<u8> {
        record(22, &self.message())
    }
}

pub(crate) fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = std::vec![kind, 3, 3];
    record.extend((content.len() as u16).to_be_bytes());
    record.extend(content);
    record
}

/// Reads `pieces` one after the other; what is known then, and after how many bytes no more was needed.
pub(crate) fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Hello, usize) {
    let (mut hello, mut bytes) = (Hello::ZERO, 0);
    for piece in pieces {
        let mut reading = Reading {
            at: 0,
            end: piece.len() as u32,
            hello,
        };
        while step(&SliceView(piece), &mut reading) {}
        hello = reading.hello;
        bytes += reading.at as usize;
    }
    (hello, bytes)
}

fn progress(bytes: &[u8]) -> Progress {
    Progress::from_number(read([bytes]).0.progress)
}

#[test]
fn a_hello_is_read_to_its_last_byte_and_no_further() {
    for (version, cipher) in [
        (0x0300, 0x0005),
        (0x0301, 0x002f),
        (0x0303, 0xc02f),
        (0x0304, 0x1301),
    ] {
        let said = Said::of(version, cipher).record();
        let more = [&said[..], &record(22, &[11, 0, 0, 1, 0])].concat();
        let (hello, bytes) = read([&more[..]]);
        assert_eq!(
            Progress::from_number(hello.progress),
            Progress::Whole,
            "{version:x}"
        );
        assert_eq!(
            (hello.version, hello.cipher, bytes),
            (version, cipher, said.len())
        );
        assert_eq!(hello.seen & KEY_SHARE != 0, version == 0x0304);
        assert_eq!(progress(&said[..said.len() - 1]), Progress::Open);
    }
}

#[test]
fn wherever_it_is_cut_it_says_the_same() {
    for version in [0x0301, 0x0303, 0x0304] {
        let said = Said::of(version, 0x1302);
        let (whole, bytes) = read([&said.record()[..]]);
        let record_bytes = said.record();
        for at in 0..=record_bytes.len() {
            let (head, tail) = record_bytes.split_at(at);
            assert_eq!(read([head, tail]), (whole, bytes), "cut at {at}");
        }
        let single: Vec<&[u8]> = record_bytes.chunks(1).collect();
        assert_eq!(read(single), (whole, bytes));
        // In two records, and these in single bytes.
        let message = said.message();
        for at in 1..message.len() {
            let records = [record(22, &message[..at]), record(22, &message[at..])].concat();
            for cut in [1, 3, records.len()] {
                let (mut hello, read_bytes) = read(records.chunks(cut));
                hello.header = whole.header;
                assert_eq!((hello, read_bytes), (whole, bytes + 5), "records cut at {at}");
            }
        }
    }
}

#[test]
fn the_hello_after_a_retry_counts() {
    let mut retry = Said::of(0x0304, 0x1301);
    retry.random = RETRY_RANDOM;
    retry.extensions.as_mut().unwrap()[1].1 = std::vec![0, 29];
    let said = Said::of(0x0304, 0x1302);
    let spoken = [retry.record(), record(20, &[1]), said.record()].concat();
    for cut in [1, 2, 7, spoken.len()] {
        let (hello, bytes) = read(spoken.chunks(cut));
        assert_eq!(Progress::from_number(hello.progress), Progress::Whole, "{cut}");
        assert_eq!((hello.cipher, bytes), (0x1302, spoken.len()));
    }
    assert_eq!(progress(&retry.record()), Progress::Open);
    assert_eq!(
        progress(&[retry.record(), retry.record()].concat()),
        Progress::Broken
    );
    // What was said of a key before does not count for the hello.
    let mut bare = Said::of(0x0304, 0x1301);
    bare.extensions.as_mut().unwrap().truncate(1);
    let (hello, _) = read([&[retry.record(), bare.record()].concat()[..]]);
    assert_eq!(hello.seen & KEY_SHARE, 0);
    // The same random in TLS 1.2 is no retry.
    let mut old = Said::of(0x0303, 0xc02f);
    old.random = RETRY_RANDOM;
    assert_eq!(progress(&old.record()), Progress::Whole);
}

#[test]
fn alerts_are_passed_over_and_other_protocols_known() {
    let said = Said::of(0x0303, 0xc02f).record();
    let warned = [record(21, &[1, 112]), said.clone()].concat();
    assert_eq!(progress(&warned), Progress::Whole);
    assert_eq!(progress(&record(21, &[2, 70])), Progress::Open);
    assert_eq!(
        progress(&[record(22, &[0, 0, 0, 0]), said].concat()),
        Progress::Whole
    );
    // SSL 2, as a server of it begins; and what only has its first byte.
    let (ancient, bytes) = read([&[0x83, 0xb4, 4, 0, 1, 0, 2][..]]);
    assert_eq!((ancient.version, bytes), (0x0002, 5));
    assert_eq!(Progress::from_number(ancient.progress), Progress::Whole);
    for foreign in [
        std::vec![0x83, 0xb4, 1, 0, 1, 0, 2],
        std::vec![0x83, 3, 3, 0, 4, 0],
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        record(23, &[0; 40]),
        record(20, &[1]),
        record(22, &[11, 0, 0, 1, 0]),
        std::vec![22, 3, 3, 0, 0],
        std::vec![22, 3, 3, 0x40, 1],
        std::vec![22, 2, 3, 0, 9],
    ] {
        assert_eq!(progress(&foreign), Progress::Foreign, "{foreign:?}");
    }
}

#[test]
fn what_no_client_follows_is_broken() {
    let whole = Said::of(0x0304, 0x1301);
    let break_at = |at: usize, byte: u8| {
        let mut bytes = whole.record();
        bytes[at] = byte;
        progress(&bytes)
    };
    assert_eq!(break_at(43, 33), Progress::Broken, "a session of 33 bytes");
    assert_eq!(
        break_at(80, 0),
        Progress::Broken,
        "extensions shorter than the message"
    );
    assert_eq!(break_at(84, 1), Progress::Broken, "half a version");
    // A message that ends within a field.
    let mut message = whole.message();
    message.truncate(4 + 38 + 33);
    message[3] = message.len() as u8 - 4;
    assert_eq!(progress(&record(22, &message)), Progress::Broken);
    // Another record within the message.
    let message = whole.message();
    let cut = [record(22, &message[..9]), record(21, &[1, 0])].concat();
    assert_eq!(progress(&cut), Progress::Broken);
}

/// What OpenSSL 3.0.19 says first as a server, at each version; the last one has a client ask again.
const OPENSSL: [(u16, u16, &str); 5] = [
    (
        0x0301,
        0xc014,
        "16030100450200004103012f5149aff24b380fdbbe8e7b47b6cdde7c5996a029572e22444f574e4752440000c014000019ff010001\
         00000b000403000102002300000016000000170000",
    ),
    (
        0x0302,
        0xc014,
        "160302004502000041030238f5ec69dd8679aa52876f4eb80f049f4fc8f89515ec30c1444f574e4752440000c014000019ff010001\
         00000b000403000102002300000016000000170000",
    ),
    (
        0x0303,
        0xc030,
        "16030300410200003d030367a1ac06cd780582cef24a952636a3bf9b2c81ffccf9e192444f574e4752440100c030000015ff010001\
         00000b0004030001020023000000170000",
    ),
    (
        0x0304,
        0x1302,
        "160303007a020000760303ce8fee7c688b3fd19cf0952af50e92c976e745dd7ec11bec646c280e5f6105d2206f83af72aa1fff41a1\
         a217e6f32aeb5f311f1606b754ccff9114669de5f9eb0b130200002e002b0002030400330024001d00202e6a2c919ea01b25edb589\
         44410fe605ff9488160b13d917bbcf9db8e0924660",
    ),
    (
        0x0304,
        0x1302,
        "1603030058020000540303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c204832aa3ccd788250be\
         e687795dc69ed7f54d72ef38f05e9d18b0cba242431401130200000c002b0002030400330002001814030300010116030300bb0200\
         00b703038381331c905251b60a8df5ecee8b9b509986ca9a67e1516dd61b9261ccfba351204832aa3ccd788250bee687795dc69ed7\
         f54d72ef38f05e9d18b0cba242431401130200006f002b00020304003300650018006104ccf0cf2075af7981bfafcdc9bfd3a590f3\
         703a54cf1eac91832b15388191b7a879f19851b7baf602c7fc0a00d65e388a389f8586cad068d2eb97a036d925934c4b7437075062\
         16c2e91a1c40eee5d585ebe991f4fcadc28eaa1e6b260138fefc",
    ),
];

#[test]
fn a_real_servers_hello_says_the_same_wherever_it_is_cut() {
    for (version, cipher, hex) in OPENSSL {
        let digits: Vec<u8> = hex
            .bytes()
            .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
            .collect();
        let said: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let (whole, bytes) = read([&said[..]]);
        assert_eq!(Progress::from_number(whole.progress), Progress::Whole);
        assert_eq!(
            (whole.version, whole.cipher, bytes),
            (version, cipher, said.len())
        );
        assert_eq!(whole.seen & KEY_SHARE != 0, version == 0x0304);
        for at in 0..=said.len() {
            let (head, tail) = said.split_at(at);
            assert_eq!(read([head, tail]), (whole, bytes), "cut at {at}");
        }
        for length in 1..40 {
            assert_eq!(read(said.chunks(length)), (whole, bytes), "by {length}");
        }
    }
}
