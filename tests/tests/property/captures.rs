//! Captures as files: whatever they hold they are read to the end, and what was written is read.

use netguard::replay::{
    capture::each,
    link::{self, to_ethernet},
};
use proptest::prelude::*;

/// Link layers that are known, and one that is not.
const LINKS: [i32; 31] = [
    0, 1, 9, 12, 14, 50, 51, 100, 101, 104, 105, 107, 108, 109, 113, 117, 119, 122, 127, 138, 147, 163, 192,
    204, 228, 229, 239, 242, 258, 276, -1,
];

fn pcap(link: u32, frames: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link]);
    for (seconds, more, bytes) in frames {
        let len = bytes.len() as u32;
        file.extend(words(&[*seconds, 5, len, len + more]));
        file.extend(bytes);
    }
    file
}

fn frames() -> impl Strategy<Value = Vec<(u32, u32, Vec<u8>)>> {
    let frame = (
        any::<u32>(),
        0..2000_u32,
        prop::collection::vec(any::<u8>(), 0..200),
    );
    prop::collection::vec(frame, 0..20)
}

proptest! {
    #[test]
    fn what_was_written_is_read(frames in frames(), link in 0..300_u32) {
        let mut read = Vec::new();
        let told = each(&pcap(link, &frames)[..], |record| {
            read.push((record.at_ns, record.link, record.original_len, record.bytes.to_vec()));
            Ok(())
        });
        prop_assert!(matches!(told, Ok(Ok(None))));
        let written: Vec<_> = frames
            .into_iter()
            .map(|(seconds, more, bytes)| {
                let at_ns = u64::from(seconds) * 1_000_000_000 + 5_000;
                (Some(at_ns), link as i32, bytes.len() as u32 + more, bytes)
            })
            .collect();
        prop_assert_eq!(read, written);
    }

    /// Damaged anywhere, a file gives the frames before the damage at the least.
    #[test]
    fn damage_is_survived(frames in frames(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut file = pcap(1, &frames);
        let at = at.index(file.len());
        if cut { file.truncate(at) } else { file[at] = byte }
        let mut before = 24;
        let whole = frames.iter().take_while(|(_, _, bytes)| {
            before += 16 + bytes.len();
            before <= at
        });
        let mut read = 0;
        let told = each(&file[..], |record| {
            assert!(record.bytes.len() <= record.original_len as usize);
            read += 1;
            Ok(())
        });
        let told = told.expect("nothing refuses a frame");
        prop_assert!(told.is_err() || read >= whole.count());
    }

    #[test]
    fn any_frame_of_any_link_layer_becomes_ethernet_or_has_a_reason(
        link in prop::sample::select(&LINKS[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut frame = vec![9];
        match to_ethernet(link, &bytes, &mut frame) {
            Ok(longer) => {
                prop_assert_eq!(frame.len() as i64 - 1, bytes.len() as i64 + longer);
                prop_assert!(frame.len() > link::ETHERNET);
                prop_assert!(bytes.ends_with(&frame[1 + link::ETHERNET..]));
            }
            Err(skip) => {
                prop_assert_eq!(&frame, &[9], "nothing is left behind");
                prop_assert!(!skip.name().is_empty());
            }
        }
    }
}

/// Found by fuzzing: a block that said that it was six bytes long made the library subtract below zero.
#[test]
fn a_block_shorter_than_any_is_damage() {
    let file = [
        &[
            0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,
        ][..],
        &[
            0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x80, 6, 0, 0, 0, 0x23, 0, 0, 0,
        ],
    ]
    .concat();
    let read = netguard::replay::capture::each(&file[..], |_| Ok(())).expect("nothing refuses a frame");
    assert!(matches!(read, Ok(Some(why)) if why.contains("damaged")));
}
