//! Captures as files of both formats, in either byte order and any resolution of time, whole and damaged.

use std::path::Path;

use netguard::replay::capture::{each, each_of};

/// A record as it is compared.
type Read = (Option<u64>, i32, u32, Vec<u8>);

fn read(file: &[u8]) -> Result<(Vec<Read>, Option<String>), String> {
    let mut records = Vec::new();
    let taken = each(file, |record| {
        records.push((
            record.at_ns,
            record.link,
            record.original_len,
            record.bytes.to_vec(),
        ));
        Ok(())
    });
    match taken.expect("nothing is refused") {
        Ok(damaged) => Ok((records, damaged)),
        Err(why) => Err(why.to_owned()),
    }
}

/// Numbers as they lie in a file of one byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn two(self, number: u16) -> [u8; 2] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn four(self, number: u32) -> [u8; 4] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn words(self, numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| self.four(*number)).collect()
    }

    fn pcap(self, magic: u32, link: u32, records: &[[u32; 3]]) -> Vec<u8> {
        let mut file = self.words(&[magic]);
        file.extend([self.two(2), self.two(4)].concat());
        file.extend(self.words(&[0, 0, 65_535, link]));
        for [seconds, part, original_len] in records {
            file.extend(self.words(&[*seconds, *part, 4, *original_len]));
            file.extend([1, 2, 3, 4]);
        }
        file
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let len = 12 + body.len() as u32;
        [self.words(&[kind, len]), body.to_vec(), self.words(&[len])].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [
            self.words(&[0x1a2b_3c4d]),
            self.two(1).to_vec(),
            vec![0; 2],
            vec![0xff; 8],
        ];
        self.block(0x0a0d_0d0a, &body.concat())
    }

    fn interface(self, link: u16, snap_len: u32, resolution: Option<u8>, offset_s: Option<i64>) -> Vec<u8> {
        let mut body = [self.two(link), [0; 2]].concat();
        body.extend(self.four(snap_len));
        if let Some(resolution) = resolution {
            body.extend([self.two(9), self.two(1)].concat());
            body.extend([resolution, 0, 0, 0]);
        }
        if let Some(offset_s) = offset_s {
            body.extend([self.two(14), self.two(8)].concat());
            body.extend(if self.big {
                offset_s.to_be_bytes()
            } else {
                offset_s.to_le_bytes()
            });
        }
        body.extend([0; 4]);
        self.block(1, &body)
    }

    fn packet(self, interface: u32, units: u64, original_len: u32) -> Vec<u8> {
        let mut body = self.words(&[interface, (units >> 32) as u32, units as u32, 3, original_len]);
        body.extend([1, 2, 3, 0]);
        self.block(6, &body)
    }
}

const ORDERS: [Order; 2] = [Order { big: false }, Order { big: true }];

#[test]
fn pcap_in_either_order_and_resolution() {
    for order in ORDERS {
        for (magic, unit_ns) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1)] {
            let file = order.pcap(magic, 101, &[[7, 8, 4], [9, 999_999, 1500]]);
            let (records, damaged) = read(&file).unwrap();
            assert_eq!(damaged, None);
            let expected = [
                (Some(7_000_000_000 + 8 * unit_ns), 101, 4, vec![1, 2, 3, 4]),
                (
                    Some(9_000_000_000 + 999_999 * unit_ns),
                    101,
                    1500,
                    vec![1, 2, 3, 4],
                ),
            ];
            assert_eq!(records, expected);
        }
    }
}

#[test]
fn pcapng_with_several_interfaces_and_resolutions() {
    for order in ORDERS {
        let file = [
            order.section(),
            order.interface(1, 0, None, None),
            order.interface(113, 0, Some(9), Some(100)),
            order.interface(101, 2, Some(0x80 | 10), None),
            order.packet(0, 5_000_001, 3),
            order.packet(1, 5, 60),
            order.packet(2, 1024 + 512, 3),
            order.packet(9, 1, 3),
            order.block(3, &[order.words(&[3]), vec![1, 2, 3, 0]].concat()),
            order.block(5, &[0; 12]),
            // Another section begins anew.
            order.section(),
            order.interface(228, 2, Some(0), None),
            order.packet(0, 6, 3),
            order.block(3, &[order.words(&[3]), vec![1, 2, 0, 0]].concat()),
        ];
        let (records, damaged) = read(&file.concat()).unwrap();
        assert_eq!(damaged, None);
        let bytes = vec![1, 2, 3];
        let expected = [
            (Some(5_000_001_000), 1, 3, bytes.clone()),
            (Some(100_000_000_005), 113, 60, bytes.clone()),
            (Some(1_500_000_000), 101, 3, bytes.clone()),
            (None, 1, 3, bytes.clone()),
            (Some(6_000_000_000), 228, 3, bytes.clone()),
            (None, 228, 3, vec![1, 2]),
        ];
        assert_eq!(records, expected);
    }
}

#[test]
fn what_ends_too_early_is_told_with_what_was_there() {
    let order = Order { big: false };
    let pcap = order.pcap(0xa1b2_c3d4, 1, &[[1, 0, 4]; 3]);
    let ng = [
        order.section(),
        order.interface(1, 0, None, None),
        order.packet(0, 1, 3),
        order.packet(0, 2, 3),
    ]
    .concat();
    for (file, whole) in [(pcap, 3), (ng, 2)] {
        let (records, damaged) = read(&file[..file.len() - 1]).unwrap();
        assert_eq!(records.len(), whole - 1);
        let damaged = damaged.expect("it is told");
        assert!(
            damaged.contains(&format!("after {} frames", whole - 1)),
            "{damaged}"
        );
        for len in 0..file.len() {
            // Never a panic, nor for ever.
            let _ended = read(&file[..len]);
        }
    }
}

#[test]
fn what_is_no_capture_is_told() {
    let order = Order { big: false };
    assert_eq!(read(&[]).unwrap_err(), "it is empty");
    assert_eq!(
        read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n....").unwrap_err(),
        "it is neither pcap nor pcapng"
    );
    let empty = order.pcap(0xa1b2_c3d4, 1, &[]);
    assert_eq!(read(&empty).unwrap(), (vec![], None));
    assert_eq!(read(&empty[..20]).unwrap_err(), "it ends in its header");
    // A record that claims to be longer than anything.
    let mut huge = order.pcap(0xa1b2_c3d4, 1, &[[1, 0, 4]]);
    huge[32..36].copy_from_slice(&[0xff; 4]);
    assert!(read(&huge).unwrap().1.is_some());
    // Times without sense: the finest resolution there is.
    let file = [
        order.section(),
        order.interface(1, 0, Some(0x7f), Some(i64::MIN)),
        order.packet(0, u64::MAX, 3),
    ];
    assert_eq!(read(&file.concat()).unwrap().0[0].0, None);
}

#[test]
fn a_file_says_why_it_cannot_be_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("capture.pcap.gz");
    let refused = |path: &Path| each_of(path, |_| Ok(())).unwrap_err().to_string();
    assert!(refused(&path).contains("capture.pcap.gz: No such file"));
    std::fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
    assert!(refused(&path).contains("gunzip"));
    assert!(refused(directory.path()).contains("it is no file"));
}
