//! Questions and answers in the kernel: it remembers what the host would, and finds the sockets that speak for an answer.

use std::{collections::HashSet, net::IpAddr, net::UdpSocket, process::Command, thread};

use netguard_common::{
    Verdict, decide,
    egress::leave,
    layout::{Mode, Question},
    memory::Memory,
    packet::Address,
    shared::Shared as _,
    view::SliceView,
};
use netguard_tests::{
    datagrams::{Datagram, OWN, PEERS, REFLECTORS, datagram},
    world::World,
};
use nix::sched::{CloneFlags, unshare};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use super::{judge, kernel};

const DATAGRAMS: usize = 10_000;
/// `TCX_NEXT` as a test run tells it.
const NEXT: u32 = u32::MAX;

fn own() -> [IpAddr; 2] {
    OWN.map(|own| own.parse().expect("an address"))
}

fn world() -> World {
    World::new().minding(Mode::Enforce, &REFLECTORS, &own())
}

fn datagrams(forged: bool) -> impl Iterator<Item = Datagram> {
    let mut runner = TestRunner::default();
    let strategy = datagram(forged);
    let generate = move || {
        strategy
            .new_tree(&mut runner)
            .expect("it can be generated")
            .current()
    };
    std::iter::repeat_with(generate).take(DATAGRAMS)
}

/// A question of this machine; with a port 0, what is noted for later fragments.
fn question(peer: &str, peer_port: u16, own_port: u16) -> Question {
    let peer: IpAddr = peer.parse().expect("an address");
    let own = own()[usize::from(peer.is_ipv6())];
    Question {
        peer: Address::of(peer).1,
        own: Address::of(own).1,
        peer_port,
        own_port,
        reserved: 0,
    }
}

#[test]
fn the_kernel_remembers_what_the_host_does() {
    let world = world();
    let mut object = kernel(&world);
    let memory = world.memory(1);
    for datagram in datagrams(false) {
        let frame = datagram.build();
        leave(&SliceView(&frame), &memory);
        let answer = object.send(&frame).expect("the kernel takes the frame");
        assert_eq!(answer, NEXT, "it changes and drops nothing");
    }
    let bytes = |question: &Question| question.as_bytes().to_vec();
    let remembered: HashSet<Vec<u8>> = object
        .questions()
        .expect("they can be read")
        .iter()
        .map(bytes)
        .collect();
    let expected: HashSet<Vec<u8>> = memory.questions.borrow().keys().cloned().collect();
    assert!(expected.len() > 50, "{} are few", expected.len());
    assert_eq!(remembered, expected);
}

#[test]
fn the_kernel_judges_answers_as_the_host_does() {
    let mut world = world();
    // Some were asked just now, some too long ago; later fragments come from one peer of each family only.
    for (peer, own_port, asked_ns) in [
        (PEERS[0], 40_000, u64::MAX),
        (PEERS[2], 40_000, u64::MAX),
        (PEERS[1], 443, 1),
    ] {
        world = world
            .asked(question(peer, 53, own_port), asked_ns)
            .asked(question(peer, 0, 0), asked_ns);
    }
    world = world.asked(
        Question {
            peer: Address { high: 0, low: 0 },
            ..question(PEERS[0], 5353, 41_000)
        },
        u64::MAX,
    );
    world.settings.reflection.fragments.interval_ns = u64::MAX;
    in_a_network_of_its_own(|| {
        let mut memory = world.memory(netguard::clock::monotonic_ns());
        let _sockets = sockets(&mut memory);
        let mut object = kernel(&world);
        let program = object.program("netguard_judge").expect("it loads");
        let mut dropped = 0;
        for datagram in datagrams(true) {
            let frame = datagram.build();
            let host = decide(&SliceView(&frame), &memory);
            assert_eq!(
                judge(&program, &frame),
                host,
                "kernel (left) and host on {datagram:?}"
            );
            dropped += usize::from(host.verdict == Verdict::Reflection);
        }
        assert!(
            (DATAGRAMS / 10..DATAGRAMS * 9 / 10).contains(&dropped),
            "{dropped}"
        );
    });
}

/// Services, somebody who asks everybody, and for each family somebody who asks one peer.
fn sockets(memory: &mut Memory) -> Vec<UdpSocket> {
    let mut sockets = Vec::new();
    for port in [53, 123, 443, 40_000] {
        memory.udp_sockets.insert(port, None);
        sockets.push(UdpSocket::bind(("::", port)).expect("it can be bound"));
    }
    let [v4, _] = own();
    let peer: IpAddr = PEERS[1].parse().expect("an address");
    let connected = UdpSocket::bind((v4, 41_000)).expect("it can be bound");
    connected.connect((peer, 53)).expect("it can be connected");
    memory
        .udp_sockets
        .insert(41_000, Some((Address::of(peer).1.octets(), 53)));
    sockets.push(connected);
    sockets
}

/// Runs `inside` where nobody else has sockets, and all peers can be reached.
pub(super) fn in_a_network_of_its_own(inside: impl FnOnce() + Send) {
    let enter = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("this needs root");
        let [v4, v6] = OWN;
        for line in [
            "link set lo up",
            &format!("addr add {v4}/32 dev lo"),
            &format!("addr add {v6}/128 dev lo nodad"),
            "route add 192.0.2.0/24 dev lo",
            "route add 2001:db8::/48 dev lo",
        ] {
            let done = Command::new("ip").args(line.split(' ')).status();
            assert!(done.is_ok_and(|status| status.success()), "ip {line}");
        }
        inside();
    };
    thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
