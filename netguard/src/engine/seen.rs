//! A packet whose head the datapath told: what signatures are made of, and what a capture of an attack shows. It judges nothing.

use std::net::IpAddr;
use std::ops::ControlFlow;

use netguard_common::{
    Verdict,
    head::Head,
    parse::parse,
    signature::{PORT, WORDS, vector},
    telemetry::Kind,
    view::CutView,
};
use serde::{Deserialize, Serialize};

/// A packet, as far as its head tells.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub head: Head,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub verdict: Verdict,
    pub kind: Kind,
    pub stratum: Stratum,
    /// What signatures are held against, see [`netguard_common::signature`].
    pub vector: [u64; WORDS],
}

/// Packets that are alike enough to be compared: to one service, and opening a connection or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stratum {
    pub protocol: u8,
    /// 0 where packets have none.
    pub port: u16,
    pub opening: bool,
}

impl Seen {
    /// The packet of `head`; `None` where its headers cannot be followed, or were not kept whole.
    pub fn of(head: &Head) -> Option<Self> {
        let kept = head.bytes.get(..usize::from(head.captured))?;
        let view = CutView::new(kept, head.frame_len);
        let ControlFlow::Continue(packet) = parse(&view) else {
            return None;
        };
        let vector = vector(&view, &packet);
        if view.missed() || packet.fault().is_some() {
            return None;
        }
        let kind = Kind::of(&packet);
        Some(Self {
            head: *head,
            source: packet.source.ip(),
            destination: packet.destination.ip(),
            verdict: Verdict::from_number(u32::from(head.verdict))?,
            kind,
            stratum: Stratum {
                protocol: packet.protocol,
                port: PORT.of(&vector) as u16,
                opening: kind == Kind::Syn,
            },
            vector,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use netguard_common::{head::HEAD_LEN, shared::Field as _};

    use super::*;

    /// The head of `frame`, which got `verdict`.
    pub(in crate::engine) fn head(frame: &[u8], verdict: Verdict) -> Head {
        let captured = frame.len().min(HEAD_LEN);
        let mut head = Head {
            frame_len: frame.len() as u32,
            verdict: verdict.number() as u16,
            captured: captured as u8,
            ..Head::ZERO
        };
        head.bytes[..captured].copy_from_slice(&frame[..captured]);
        head
    }

    /// A SYN to port 80 from 192.0.2.`source`, with a window and this many bytes of options.
    pub(in crate::engine) fn syn(source: u8, ttl: u8, window: u16, options: u8) -> Vec<u8> {
        let mut frame = vec![0; 14 + 40 + usize::from(options)];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 40 + options, source, source, 0, 0, ttl, 6]);
        frame[26..34].copy_from_slice(&[192, 0, 2, source, 198, 51, 100, 1]);
        frame[34..38].copy_from_slice(&[source, 1, 0, 80]);
        frame[38] = source;
        frame[46] = 0x50 + options * 4;
        frame[47] = 2;
        frame[48..50].copy_from_slice(&window.to_be_bytes());
        frame
    }

    #[test]
    fn a_head_is_the_packet_that_it_was() {
        let seen = Seen::of(&head(&syn(7, 64, 512, 0), Verdict::LimitSyn)).expect("a packet");
        assert_eq!(seen.source, IpAddr::from([192, 0, 2, 7]));
        assert_eq!(seen.destination, IpAddr::from([198, 51, 100, 1]));
        assert_eq!((seen.kind, seen.verdict), (Kind::Syn, Verdict::LimitSyn));
        let stratum = Stratum {
            protocol: 6,
            port: 80,
            opening: true,
        };
        assert_eq!(seen.stratum, stratum);
        let mut long = syn(7, 64, 512, 0);
        long.resize(1_400, 9);
        long[16..18].copy_from_slice(&1_386_u16.to_be_bytes());
        assert!(Seen::of(&head(&long, Verdict::Pass)).is_some());
    }

    #[test]
    fn what_cannot_be_followed_is_none() {
        let whole = head(&syn(7, 64, 512, 0), Verdict::Pass);
        for captured in 0..54 {
            assert!(Seen::of(&Head { captured, ..whole }).is_none(), "{captured}");
        }
        assert!(
            Seen::of(&Head {
                captured: 255,
                ..whole
            })
            .is_none()
        );
        assert!(
            Seen::of(&Head {
                verdict: 999,
                ..whole
            })
            .is_none()
        );
        assert!(Seen::of(&head(&[0; 60], Verdict::Pass)).is_none());
    }
}
