//! A record of a capture as the frame that arrived: as Ethernet, and as long as it was. What was not kept of it is filled with zeros,
//! unless that would be a header.

use std::ops::ControlFlow;

use netguard_common::{Packet, Verdict, parse::parse, view::CutView};

use super::{
    capture::Record,
    link::{self, Skip},
};
use crate::bpf::{LONGEST_JUDGED, ROOM_FOR_TIME};

/// What is known about a frame before it is judged.
pub(super) struct Frame {
    /// `None`: its IP header cannot be followed so far that anybody could say who sent it.
    pub(super) packet: Option<Packet>,
    /// Whether less of it was kept than there was.
    pub(super) cut: bool,
}

/// Makes `buffer` the frame of `record`, behind room for its time.
///
/// # Errors
/// Why it cannot be judged.
pub(super) fn restore(record: &Record<'_>, buffer: &mut Vec<u8>) -> Result<Frame, Skip> {
    buffer.clear();
    buffer.resize(ROOM_FOR_TIME, 0);
    let longer = link::to_ethernet(record.link, record.bytes, buffer)?;
    let kept = buffer.len() - ROOM_FOR_TIME;
    let len = usize::try_from(i64::from(record.original_len) + longer).map_or(kept, |len| len.max(kept));
    if len > LONGEST_JUDGED - ROOM_FOR_TIME {
        return Err(Skip::Long);
    }
    let view = CutView::new(&buffer[ROOM_FOR_TIME..], len as u32);
    let parsed = parse(&view);
    if view.missed() {
        return Err(Skip::HeadersCut);
    }
    buffer.resize(ROOM_FOR_TIME + len, 0);
    let packet = match parsed {
        ControlFlow::Break(Verdict::PassArp | Verdict::PassNonIp) => return Err(Skip::NotIp),
        ControlFlow::Break(_) => None,
        ControlFlow::Continue(packet) => Some(packet),
    };
    Ok(Frame {
        packet,
        cut: len > kept,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, IPv4 and UDP with 100 bytes.
    fn datagram() -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 8 + 100];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17]);
        frame[26..34].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 1]);
        frame[34..40].copy_from_slice(&[0, 53, 1, 0, 0, 108]);
        frame[141] = 7;
        frame
    }

    fn record(bytes: &[u8], original_len: u32) -> Record<'_> {
        Record {
            at_ns: None,
            link: 1,
            original_len,
            bytes,
        }
    }

    #[test]
    fn a_cut_frame_gets_its_length_back_and_no_header() {
        let (whole, mut buffer) = (datagram(), Vec::new());
        let frame = restore(&record(&whole, 142), &mut buffer).ok().unwrap();
        assert!(!frame.cut && frame.packet.is_some_and(|packet| packet.fault().is_none()));
        assert_eq!(buffer[ROOM_FOR_TIME..], whole);
        for kept in [42, 60, 141] {
            let frame = restore(&record(&whole[..kept], 142), &mut buffer).ok().unwrap();
            assert!(frame.cut && frame.packet.is_some_and(|packet| packet.fault().is_none()));
            assert_eq!(buffer[ROOM_FOR_TIME..][..kept], whole[..kept]);
            assert_eq!(buffer.len(), ROOM_FOR_TIME + 142);
            assert_eq!(buffer.last(), Some(&0));
        }
        for kept in 14..42 {
            let skipped = restore(&record(&whole[..kept], 142), &mut buffer).err();
            assert_eq!(skipped, Some(Skip::HeadersCut), "{kept}");
        }
    }

    #[test]
    fn what_was_short_when_it_arrived_is_judged_as_that() {
        let (whole, mut buffer) = (datagram(), Vec::new());
        let frame = restore(&record(&whole[..30], 30), &mut buffer).ok().unwrap();
        assert!(!frame.cut && frame.packet.is_none());
        let long = restore(&record(&whole, u32::MAX), &mut buffer).err();
        assert_eq!(long, Some(Skip::Long));
        let arp = [&[0; 12][..], &[8, 6], &[0; 28]].concat();
        assert_eq!(restore(&record(&arp, 42), &mut buffer).err(), Some(Skip::NotIp));
    }
}
