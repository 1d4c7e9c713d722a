//! Cookie stage: when a service is asked for connections faster than its rate, it is not the service that answers. A SYN
//! cookie of the kernel's own making goes back, nothing is remembered, and whoever returns it has proven that its address
//! is its own: the listening socket takes the connection up as if it had answered itself.
//!
//! Only what nothing listens for, and what cannot be answered in the room that it takes up, passes on.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    apart::{self, Part},
    layout::{Cookies, Rate, Settings},
    limit,
    offer::{self, Timestamps},
    pace,
    packet::{Family, protocol},
    service,
    syn_ack::SynAck,
    tables::Tables,
    view::View,
};

/// Answers `packet`, which asks for a connection, when its service is asked too often.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict> {
    // Off is off: in shadow, and where answers are lost, no service is answered for.
    if matches!(Cookies::from_number(settings.cookies), Cookies::Off) {
        return ControlFlow::Continue(());
    }
    let (cookies, rate) = service::tcp_rate(packet.destination_port, settings, tables);
    if matches!(cookies, Cookies::Off)
        || (matches!(cookies, Cookies::Auto) && within_rate(&rate, packet, tables))
    {
        return ControlFlow::Continue(());
    }
    apart::outcome(tables.apart(Part::Cookie, view, packet, settings))
}

/// Asks the socket that listens for `packet` for a cookie: the outcome.
#[inline(always)]
pub(crate) fn ask<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict> {
    if service::is_excepted(packet.destination_port, settings) || !tables.is_own(packet.destination) {
        return ControlFlow::Continue(());
    }
    // Nobody asks for a connection with IP options or extension headers: whoever does wants to get around this.
    if !packet.is_plain(protocol::TCP) {
        return ControlFlow::Break(Verdict::LimitService);
    }
    let Some(mut answer) = tables.syn_ack() else {
        return ControlFlow::Continue(());
    };
    let Some(len) = take(view, packet, &mut answer) else {
        return ControlFlow::Continue(());
    };
    let Some(listener) = tables.listener(packet, &answer, len) else {
        return ControlFlow::Continue(());
    };
    if let Some(mut sampler) = tables.sampler() {
        sampler.cookies_wanted += 1;
    }
    let Some(cookie) = listener else {
        return ControlFlow::Continue(());
    };
    let now_ns = tables.now_ns();
    if !limit::grant(&settings.answers, &mut answer.due_ns, now_ns) {
        return ControlFlow::Break(Verdict::LimitService);
    }
    answer.cookie = cookie.sequence;
    answer.mss = offer::segment_size(u32::from(cookie.mss), packet, settings);
    answer.asked_len = len;
    answer.now_ms = offer::milliseconds(now_ns);
    ControlFlow::Break(Verdict::SynCookie)
}

/// Makes the answer to a packet with the verdict [`Verdict::SynCookie`], in [`Tables::syn_ack`]. Apart from the stages: the
/// kernel's verifier would make one on every way through them.
#[inline(always)]
pub fn answer<V: View, T: Tables>(view: &V, tables: &T) -> Option<()> {
    let (packet, settings, mut answer) = (tables.packet()?, tables.settings()?, tables.syn_ack()?);
    let timestamps = Timestamps::of(view, &packet, &settings.offer, &answer);
    answer.put_options(timestamps);
    // To the verifier all options are the same from here on.
    view.forget(&mut *answer).turn(packet.family());
    Some(())
}

/// Whether the service of `packet` is asked no faster than `rate`.
#[inline(always)]
fn within_rate<T: Tables>(rate: &Rate, packet: &Packet, tables: &T) -> bool {
    if rate.interval_ns == 0 {
        return true;
    }
    let Some(cell) = tables.cell(service::tcp_cell(packet.destination_port)) else {
        return true;
    };
    let packets = pace::packets(packet.chance, rate, rate.tolerance_ns);
    limit::admit(rate, &cell, packets, tables.now_ns())
}

/// Copies the headers of `packet` into `answer`; tells the length of the TCP header.
#[inline(always)]
pub fn take<V: View>(view: &V, packet: &Packet, answer: &mut SynAck) -> Option<u32> {
    let (network, transport) = (packet.network_at(), packet.transport_at());
    match packet.family() {
        Family::V4 => answer.take(&view.load::<[u32; 5]>(network)?),
        Family::V6 => answer.take(&view.load::<[u32; 10]>(network)?),
    }
    view.load_tcp(transport, &mut answer.headers)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{
        decide,
        layout::{Mode, Offer},
        memory::{Memory, headers},
        offer::{ECN, SACK},
        packet::{Address, TcpFlags},
        syn_ack::{Cookie, folded},
        view::SliceView,
    };

    const COOKIE: Cookie = Cookie {
        sequence: 0xfedc_ba98,
        mss: 1440,
    };

    fn ipv4(options: &[u8]) -> Vec<u8> {
        let total = (40 + options.len()) as u8;
        let mut frame = [
            &[2; 6][..],
            &[4; 6],
            &[8, 0],
            &[0x45, 0, 0, total, 0, 9, 0, 0, 64, 6, 0, 0],
        ]
        .concat();
        frame.extend([192, 0, 2, 1, 198, 51, 100, 1]);
        frame.extend(syn(options));
        frame
    }

    fn ipv6(options: &[u8]) -> Vec<u8> {
        let payload = (20 + options.len()) as u8;
        let mut frame = [
            &[2; 6][..],
            &[4; 6],
            &[0x86, 0xdd],
            &[0x60, 1, 2, 3, 0, payload, 6, 64],
        ]
        .concat();
        frame.extend([0x20; 16]);
        frame.extend([0x26; 16]);
        frame.extend(syn(options));
        frame
    }

    fn syn(options: &[u8]) -> Vec<u8> {
        let words = (5 + options.len() / 4) as u8;
        let mut segment = [
            0x12,
            0x34,
            0,
            80,
            0,
            0,
            1,
            0xff,
            0,
            0,
            0,
            0,
            words << 4,
            2,
            1,
            0,
            0,
            0,
            0,
            0,
        ]
        .to_vec();
        segment.extend(options);
        segment
    }

    fn memory(rate: Rate, listener: Option<Cookie>) -> Memory {
        let mut memory = Memory::new(Settings {
            cookies: Cookies::Auto as u32,
            service_syn: rate,
            answers: Rate::new(1_000, 3),
            ..Memory::enforcing()
        });
        memory.listener = listener.map(Some);
        for own in ["198.51.100.1", "2626:2626:2626:2626:2626:2626:2626:2626"] {
            memory
                .own
                .insert(Address::of(own.parse::<std::net::IpAddr>().unwrap()).1.octets());
        }
        memory
    }

    fn verdicts(memory: &Memory, frame: &[u8], count: usize) -> Vec<Verdict> {
        (0..count)
            .map(|_| decide(&SliceView(frame), memory).verdict)
            .collect()
    }

    /// The answer to the second of these frames.
    fn answered(memory: &Memory, frame: &[u8]) -> SynAck {
        assert_eq!(verdicts(memory, frame, 2)[1], Verdict::SynCookie);
        answer(&SliceView(frame), memory).unwrap();
        *memory.syn_ack.borrow()
    }

    /// One's complement sum of 16-bit words, as the receiver computes it.
    fn sum(pieces: &[&[u8]]) -> u16 {
        let words = pieces.iter().flat_map(|piece| piece.chunks(2));
        folded(
            words
                .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
                .sum(),
        )
    }

    #[test]
    fn a_service_is_answered_for_beyond_its_rate_and_within_the_budget() {
        use Verdict::{LimitService, Pass, SynCookie};
        let memory = memory(Rate::new(1, 2), Some(COOKIE));
        let all = verdicts(&memory, &ipv4(&[2, 4, 5, 180]), 7);
        assert_eq!(
            all,
            [
                Pass,
                Pass,
                SynCookie,
                SynCookie,
                SynCookie,
                LimitService,
                LimitService
            ]
        );
        assert_eq!(memory.sampler.borrow().cookies_wanted, 5);
    }

    #[test]
    fn what_is_not_answered_is_limited_as_the_mode_of_limits_says() {
        for (mode, wanted) in [
            (Mode::Enforce, (Verdict::LimitService, false)),
            (Mode::Shadow, (Verdict::LimitService, true)),
            (Mode::Off, (Verdict::Pass, false)),
        ] {
            let mut memory = memory(Rate::new(1, 1), Some(COOKIE));
            memory.settings.answers = Rate::new(1, 1);
            memory.settings.limit = mode as u32;
            verdicts(&memory, &ipv4(&[]), 2);
            let judged = decide(&SliceView(&ipv4(&[])), &memory);
            assert_eq!((judged.verdict, judged.shadow), wanted, "{mode:?}");
        }
    }

    #[test]
    fn nothing_is_answered_that_nothing_listens_for() {
        let memory = memory(Rate::new(1, 1), None);
        assert_eq!(verdicts(&memory, &ipv4(&[]), 3), [Verdict::Pass; 3]);
    }

    #[test]
    fn what_ends_elsewhere_passes() {
        let mut forwarded = memory(Rate::new(1, 1), Some(COOKIE));
        forwarded.own.clear();
        assert_eq!(verdicts(&forwarded, &ipv4(&[]), 3), [Verdict::Pass; 3]);
        let mut excepted = memory(Rate::new(1, 1), Some(COOKIE));
        excepted.settings.cookies_except[7] = 80;
        assert_eq!(verdicts(&excepted, &ipv4(&[]), 3), [Verdict::Pass; 3]);
        let mut refusing = memory(Rate::new(1, 1), None);
        refusing.listener = Some(None);
        assert_eq!(verdicts(&refusing, &ipv4(&[]), 3), [Verdict::Pass; 3]);
        assert_eq!(refusing.sampler.borrow().cookies_wanted, 2);
    }

    #[test]
    fn options_are_no_way_around() {
        let memory = memory(Rate::new(1, 1), Some(COOKIE));
        let mut frame = ipv4(&[]);
        frame[14] = 0x46;
        frame[17] += 4;
        frame.splice(34..34, [1; 4]);
        assert_eq!(
            verdicts(&memory, &frame, 3),
            [Verdict::Pass, Verdict::LimitService, Verdict::LimitService]
        );
    }

    #[test]
    fn only_plain_segments_that_open_are_answered() {
        let memory = memory(Rate::new(1, 1), Some(COOKIE));
        let mut data = ipv4(&[]);
        data[14 + 20 + 13] = TcpFlags::ACK;
        assert_eq!(verdicts(&memory, &data, 3), [Verdict::Pass; 3]);
    }

    #[test]
    fn the_answer_is_a_right_syn_ack() {
        for (frame, ip, ipv6) in [
            (ipv4(&[2, 4, 5, 180]), 20, false),
            (ipv6(&[2, 4, 5, 160]), 40, true),
        ] {
            let memory = memory(Rate::new(1, 1), Some(COOKIE));
            let answer = answered(&memory, &frame);
            let (header, segment) = headers(&answer, ip / 4);
            assert_eq!(answer.transport_len, 24);
            let addresses = if ipv6 { &header[8..] } else { &header[12..] };
            let (source, destination) = addresses.split_at(addresses.len() / 2);
            let asked = if ipv6 { &frame[22..54] } else { &frame[26..34] };
            assert_eq!([destination, source].concat(), asked);
            if !ipv6 {
                assert_eq!(sum(&[&header]), 0xffff);
            }
            assert_eq!(sum(&[addresses, &[0, 6, 0, 24], &segment]), 0xffff);
            assert_eq!(segment[..4], [0, 80, 0x12, 0x34]);
            assert_eq!(segment[4..8], COOKIE.sequence.to_be_bytes());
            assert_eq!(segment[8..12], [0, 0, 2, 0]);
            assert_eq!(segment[12..14], [6 << 4, TcpFlags::SYN | TcpFlags::ACK]);
            assert_eq!(segment[20..24], [2, 4, 5, 160]);
        }
    }

    #[test]
    fn an_answer_is_no_longer_than_its_question() {
        let memory = memory(Rate::new(1, 1), Some(COOKIE));
        let answer = answered(&memory, &ipv4(&[]));
        assert_eq!(answer.transport_len, 20);
        let (header, segment) = headers(&answer, 5);
        assert_eq!(sum(&[&header[12..], &[0, 6, 0, 20], &segment]), 0xffff);
    }

    #[test]
    fn options_are_offered_where_the_timestamp_can_carry_them() {
        let options = [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 9];
        for (mut frame, ip, ecn_at) in [(ipv4(&options), 5, 15), (ipv6(&options), 10, 15)] {
            let flags_at = 14 + 4 * ip + 13;
            frame[flags_at] |= TcpFlags::ECE | TcpFlags::CWR;
            let mut memory = memory(Rate::new(1, 1), Some(COOKIE));
            memory.now_ns.set(0x1234_567f * 1_000_000);
            memory.settings.answers = Rate::new(1_000, 100);
            memory.settings.offer = Offer {
                timestamps: 1,
                allowed: SACK | ECN,
                window_scale: 7,
                expires_at: 0,
            };
            let answer = answered(&memory, &frame);
            let (header, segment) = headers(&answer, ip);
            let now = 0x1234_5640 | SACK | ECN | 9;
            let [a, b, c, d] = now.to_be_bytes();
            assert_eq!(
                segment[20..],
                [2, 4, 5, 160, 4, 2, 8, 10, a, b, c, d, 1, 2, 3, 4, 1, 3, 3, 7]
            );
            let flags = TcpFlags::SYN | TcpFlags::ACK | TcpFlags::ECE;
            assert_eq!(segment[12..14], [10 << 4, flags]);
            let addresses = if ip == 5 { &header[12..] } else { &header[8..] };
            assert_eq!(sum(&[addresses, &[0, 6, 0, 40], &segment]), 0xffff);

            // A header that says already what is being negotiated.
            frame[ecn_at] |= if ip == 5 { 2 } else { 2 << 4 };
            let (_, segment) = headers(&answered(&memory, &frame), ip);
            assert_eq!(segment[13], TcpFlags::SYN | TcpFlags::ACK);

            memory.settings.offer.timestamps = 0;
            let (_, segment) = headers(&answered(&memory, &frame), ip);
            assert_eq!(segment[20..24], [2, 4, 5, 160]);
            assert_eq!(segment[24..], [0; 16], "as long as the SYN");
        }
    }
}
