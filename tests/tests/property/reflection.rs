//! Laws of reflection: what this machine asked is answered, and no forged packet lets in what it did not ask.

use std::{collections::HashSet, net::IpAddr};

use netguard_common::{Verdict, decide, egress::leave, layout::Mode, view::SliceView};
use netguard_tests::{
    datagrams::{Datagram, OWN, PEERS, REFLECTORS, datagram},
    world::{REMEMBERED_NS, World},
};
use proptest::{collection::vec, prelude::*, sample::select};

const START_NS: u64 = 1 << 40;

/// Who asks, and whom.
type Exchange = ((IpAddr, u16), (IpAddr, u16));

fn own() -> [IpAddr; 2] {
    OWN.map(|own| own.parse().expect("an address"))
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let own_port = select(vec![53_u16, 123, 443, 40_000, 41_000]);
    (select(PEERS.to_vec()), own_port, select(REFLECTORS.to_vec())).prop_map(|(peer, own_port, port)| {
        let peer: IpAddr = peer.parse().expect("an address");
        let [v4, v6] = own();
        ((if peer.is_ipv4() { v4 } else { v6 }, own_port), (peer, port))
    })
}

/// How this machine asks at that port, and how it is answered. The port on this side decides first: from port 123 goes NTP.
fn words((own, peer): Exchange) -> (&'static [u8], &'static [u8]) {
    match (own.1, peer.1) {
        (53 | 5353, _) | (_, 53 | 5353) => (&[7, 7, 1, 0, 0, 1, 0, 0], &[7, 7, 0x81, 0x80, 0, 1, 0, 9]),
        (123, _) | (_, 123) => (&[0x23, 0, 0, 0, 0, 0, 0, 0], &[0x24, 0, 0x80, 0x80, 0, 0, 0, 0]),
        _ => (&[0, 7, 0, 0, 0, 1, 0, 0], &[0, 7, 0, 0, 5, 0x78, 0, 0]),
    }
}

/// What a service answers to `asked`, which was let in.
fn reply(asked: &Datagram, noise: &[u8]) -> Option<Datagram> {
    let data: Vec<u8> = match asked.ports.1 {
        53 | 5353 => [&[7, 7, 0x80 | noise[0], noise[1]][..], &[0, 1, 0, 0]].concat(),
        123 => vec![0x20 | [2, 4, 5][usize::from(noise[0] % 3)], 0x80, 0, 0],
        443 => noise.to_vec(),
        _ => return None,
    };
    let (from, to) = ((asked.destination, asked.ports.1), (asked.source, asked.ports.0));
    (asked.fragment.is_none()).then(|| Datagram::new(from, to, &data))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_answer_passes_if_and_only_if_it_was_asked_for(
        asked in vec(exchange(), 0..4),
        forged in vec((datagram(true), any::<[u8; 8]>()), 0..40),
        probes in vec(exchange(), 1..8),
        age_ns in 0..REMEMBERED_NS,
    ) {
        let world = World::new().minding(Mode::Enforce, &REFLECTORS, &own());
        let mut memory = world.memory(START_NS);
        // Services, and a socket from which somebody asks everybody.
        memory.udp_sockets.extend([53, 123, 443, 5353, 40_000].map(|port| (port, None)));
        for (own, peer) in &asked {
            let question = Datagram::new(*own, *peer, words((*own, *peer)).0);
            leave(&SliceView(&question.build()), &memory);
        }
        for (datagram, noise) in &forged {
            if decide(&SliceView(&datagram.build()), &memory).verdict == Verdict::Pass
                && let Some(reply) = reply(datagram, noise)
            {
                leave(&SliceView(&reply.build()), &memory);
            }
        }
        let asked: HashSet<Exchange> = asked.into_iter().collect();
        let passes = |(own, peer): Exchange| {
            let answer = Datagram::new(peer, own, words((own, peer)).1);
            decide(&SliceView(&answer.build()), &memory).verdict == Verdict::Pass
        };
        memory.now_ns.set(START_NS + age_ns);
        for probe in asked.iter().chain(&probes) {
            prop_assert_eq!(passes(*probe), asked.contains(probe), "{:?}", probe);
        }
        memory.now_ns.set(START_NS + 2 * REMEMBERED_NS);
        for probe in asked.iter().chain(&probes) {
            prop_assert!(!passes(*probe), "{:?} after its life", probe);
        }
    }
}
