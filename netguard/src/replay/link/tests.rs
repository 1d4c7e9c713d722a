//! Frames of each link layer, written by hand as their specifications say.

use super::*;

/// An IP packet of one byte, in a frame of each kind.
#[test]
fn every_link_layer_becomes_ethernet() {
    let with = |header: &[u8], first: u8| [header, &[first, 9]].concat();
    let radiotap = [&[0, 0, 8, 0, 1, 2, 3, 4][..], &[8, 2]].concat();
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd];
    let zeros = [0; 200];
    let snap = |number: u8| [0x80, 0, 0, 0, number, 0xdd];
    let data = [&[8, 2][..], &zeros[..22], &llc].concat();
    for (link, header, ether_type) in [
        (101, vec![], IPV4),
        (12, vec![], IPV6),
        (14, vec![], IPV4),
        (228, vec![], IPV4),
        (229, vec![], IPV6),
        (0, vec![2, 0, 0, 0], IPV4),
        (0, vec![0, 0, 0, 30], IPV6),
        (108, vec![0, 0, 0, 24], IPV6),
        (109, [&[2, 0, 0, 0][..], &zeros[..8]].concat(), IPV4),
        (9, vec![0xff, 3, 0, 0x21], IPV4),
        (9, vec![0x57], IPV6),
        (50, vec![0xff, 3, 0, 0x57], IPV6),
        (51, vec![0x11, 0, 0, 1, 0, 4, 0, 0x21], IPV4),
        (104, vec![0x0f, 0, 8, 0], IPV4),
        (105, [&[8, 1][..], &zeros[..22], &llc].concat(), IPV6),
        (105, [&[0x88, 3][..], &zeros[..30], &llc].concat(), IPV6),
        (127, [&radiotap[..], &zeros[..22], &llc].concat(), IPV6),
        (113, [&zeros[..14], &[8, 0]].concat(), IPV4),
        (242, [&zeros[..40], &[0x86, 0xdd, 0, 0]].concat(), IPV6),
        (100, llc.to_vec(), IPV6),
        (100, vec![0xfe, 0xfe, 3, 0xcc], IPV4),
        (107, vec![0x18, 0x41, 3, 0xcc], IPV4),
        (107, vec![0x18, 0x40, 0x41, 3, 0, 0x8e], IPV6),
        (107, [&[0x18, 0x41, 3][..], &snap(0x86)].concat(), IPV6),
        // As Cisco has it.
        (107, vec![0x18, 0x41, 8, 0], IPV4),
        (117, [&[61, 2, 1, 0][..], &zeros[..60]].concat(), IPV4),
        (117, [&[100, 24, 0, 0][..], &zeros[..96]].concat(), IPV6),
        (
            119,
            [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &zeros[..136], &data].concat(),
            IPV6,
        ),
        (
            119,
            [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64][..], &zeros[..56], &data].concat(),
            IPV6,
        ),
        (122, [&zeros[..16], &llc].concat(), IPV6),
        (138, [&zeros[..16], &[8, 0]].concat(), IPV4),
        (
            163,
            [&[0x80, 0x21, 0x10, 2, 0, 0, 0, 80][..], &zeros[..72], &data].concat(),
            IPV6,
        ),
        (
            192,
            [&[0, 0, 12, 0, 105, 0, 0, 0, 1, 2, 3, 4][..], &data].concat(),
            IPV6,
        ),
        (
            192,
            [&[0, 0, 8, 0, 1, 0, 0, 0][..], &zeros[..12], &[8, 0]].concat(),
            IPV4,
        ),
        (204, vec![1, 0xff, 3, 0, 0x21], IPV4),
        (204, vec![0, 0x57], IPV6),
        // The packet behind a prefix of five bytes, by a machine of either byte order.
        (
            239,
            vec![
                2, 0, 0, 7, 9, 0, 10, 0, b'd', b'r', b'o', b'p', 0, 0, 0, 0, 6, 0, 9, 0,
            ],
            IPV4,
        ),
        (
            239,
            vec![10, 0, 0, 7, 0, 8, 0, 1, 0x86, 0xdd, 3, 0, 0, 6, 0, 9],
            IPV6,
        ),
        (
            258,
            [&[108, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0][..], &zeros[..96]].concat(),
            IPV4,
        ),
        (
            258,
            [
                &[12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0][..],
                &zeros[..12],
                &[0x86, 0xdd],
            ]
            .concat(),
            IPV6,
        ),
        (276, [&[0x86, 0xdd][..], &zeros[..18]].concat(), IPV6),
    ] {
        let first = if ether_type == IPV4 { 0x45 } else { 0x60 };
        let mut frame = vec![7];
        let bytes = with(&header, first);
        let longer = to_ethernet(link, &bytes, &mut frame);
        assert_eq!(longer, Ok(14 - header.len() as i64), "{link}");
        assert_eq!(frame[1..13], MADE_UP, "{link}");
        assert_eq!(
            frame[13..],
            [&ether_type.to_be_bytes()[..], &[first, 9]].concat(),
            "{link}"
        );
        assert!(!name(link).starts_with("link type"), "{link}");
        // Cut anywhere it is no fault of the program.
        for len in 0..header.len() {
            let mut frame = Vec::new();
            let short = to_ethernet(link, &bytes[..len], &mut frame);
            assert!(short.is_err(), "{link} of {len} bytes: {short:?}");
        }
    }
}

#[test]
fn what_has_no_place_is_told_by_reason() {
    let skip = |link, bytes: &[u8]| to_ethernet(link, bytes, &mut Vec::new());
    assert_eq!(skip(1, &[0; 13]), Err(Skip::Short));
    assert_eq!(skip(1, &[0; 14]), Ok(0));
    assert_eq!(skip(147, &[0; 99]), Err(Skip::UnknownLink));
    assert_eq!(skip(101, &[0x50]), Err(Skip::NotIp));
    assert_eq!(skip(105, &[0x80, 0, 0, 0]), Err(Skip::NotIp), "a beacon");
    assert_eq!(
        skip(105, &[&[8, 0x41][..], &[0; 40]].concat()),
        Err(Skip::NotIp),
        "encrypted"
    );
    assert_eq!(skip(0, &[7, 0, 0, 0, 9]), Err(Skip::NotIp));
    assert_eq!(skip(9, &[0xc0, 0x21, 1]), Err(Skip::NotIp), "LCP");
    assert_eq!(
        skip(107, &[1, 0x41, 3, 0xcc, 9]),
        Err(Skip::NotIp),
        "an address of one byte"
    );
    assert_eq!(skip(107, &[0x18, 0x41, 3, 0xb1, 9]), Err(Skip::NotIp), "FRF.12");
    assert_eq!(
        skip(117, &[3, 2, 0, 0, 9]),
        Err(Skip::NotIp),
        "shorter than itself"
    );
    assert_eq!(
        skip(239, &[2, 0, 0, 0, 0, 0, 1, 0, 9]),
        Err(Skip::NotIp),
        "a part without an end"
    );
    assert_eq!(
        skip(258, &[12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]),
        Err(Skip::NotIp),
        "no packet"
    );
    assert_eq!(
        skip(192, &[0, 0, 4, 0, 105, 0, 0, 0, 9]),
        Err(Skip::NotIp),
        "shorter than itself"
    );
    for nested in [192, 2] {
        let within = [0, 0, 8, 0, nested, 0, 0, 0];
        assert_eq!(skip(192, &within.repeat(20)), Err(Skip::UnknownLink), "{nested}");
    }
    assert_eq!(skip(258, &[0xff; 64]), Err(Skip::NotIp));
    assert_eq!(
        skip(192, &[0, 0, 8, 0, 0xff, 0xff, 0xff, 0xff, 9]),
        Err(Skip::UnknownLink)
    );
}

#[test]
fn what_nobody_can_read_is_told_with_what_to_do() {
    assert_eq!(unknown([1, 239, 101].into_iter()), None);
    let told = unknown([1, 147, 200].into_iter()).expect("two are unknown");
    assert!(
        told.contains("link type 147, link type 200") && told.contains("tcpdump -y"),
        "{told}"
    );
}
