//! Captures under any bytes: read to their end or to what is wrong with them, and every frame becomes Ethernet or has a reason why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netguard::replay::{capture::each, link::to_ethernet};

fuzz_target!(|file: &[u8]| {
    let mut frames = 0_usize;
    let mut ethernet = Vec::new();
    let read = each(file, |record| {
        frames += 1;
        assert!(record.bytes.len() <= record.original_len as usize);
        ethernet.clear();
        if let Ok(longer) = to_ethernet(record.link, record.bytes, &mut ethernet) {
            assert_eq!(ethernet.len() as i64, record.bytes.len() as i64 + longer);
            assert!(ethernet.len() >= 14);
        }
        Ok(())
    });
    let told = read.expect("nothing refuses a frame");
    // A record has a header of twelve bytes at the least.
    assert!(frames * 12 <= file.len());
    match told {
        Ok(None) => {}
        Ok(Some(why)) => assert!(why.contains("frames")),
        Err(why) => assert!(!why.is_empty() && frames == 0),
    }
});
