//! What always passes, and what honest hosts send.

use netguard_common::Verdict;
use netguard_tests::frames::frame;

use super::{D4, D6, Fixture, S4, S6, dad, v4, v4_tags, v6};

pub(super) const FIXTURES: &[Fixture] = &[
    // What always passes.
    ("ARP", || frame().arp(), Verdict::PassArp),
    ("ARP in a VLAN", || frame().vlan(7).arp(), Verdict::PassArp),
    (
        "LLDP",
        || frame().ethertype(0x88cc).payload(40),
        Verdict::PassNonIp,
    ),
    ("four tags deep", || v4_tags(4).udp(1, 2), Verdict::PassNonIp),
    (
        "fragmentation needed",
        || v4().icmp(3, 4).payload(28),
        Verdict::PassControl,
    ),
    (
        "packet too big",
        || v6().icmp6(2, 0).payload(48),
        Verdict::PassControl,
    ),
    (
        "neighbour solicitation",
        || v6().ttl(255).icmp6(135, 0).payload(16),
        Verdict::PassControl,
    ),
    (
        "router advertisement",
        || v6().ttl(255).icmp6(134, 0).payload(16),
        Verdict::PassControl,
    ),
    (
        "duplicate address detection",
        || dad().icmp6(135, 0).payload(16),
        Verdict::PassControl,
    ),
    (
        "neighbour discovery from afar is ordinary",
        || v6().ttl(64).icmp6(135, 0).payload(16),
        Verdict::Pass,
    ),
    (
        "DHCP discover",
        || {
            frame()
                .ipv4("0.0.0.0", "255.255.255.255")
                .udp(68, 67)
                .payload(300)
        },
        Verdict::Pass,
    ),
    (
        "IGMP without an address",
        || frame().ipv4("0.0.0.0", "224.0.0.1").protocol(2).payload(8),
        Verdict::Pass,
    ),
    // Ordinary traffic.
    ("TCP SYN", || v4().tcp(1234, 80).flags("S"), Verdict::Pass),
    (
        "TCP SYN with ECN",
        || v4().tcp(1234, 80).flags("SEC"),
        Verdict::Pass,
    ),
    (
        "TCP data",
        || v4().tcp(1234, 80).flags("PA").payload(100),
        Verdict::Pass,
    ),
    ("TCP reset", || v4().tcp(1234, 80).flags("R"), Verdict::Pass),
    (
        "TCP with options",
        || v4().tcp(1234, 80).flags("S").tcp_options(&[2, 4, 5, 180]),
        Verdict::Pass,
    ),
    ("UDP", || v4().udp(1234, 53).payload(30), Verdict::Pass),
    ("UDP without data", || v4().udp(1234, 53), Verdict::Pass),
    ("ping", || v4().icmp(8, 0).payload(56), Verdict::Pass),
    ("ping, IPv6", || v6().icmp6(128, 0).payload(56), Verdict::Pass),
    ("GRE", || v4().protocol(47).payload(40), Verdict::Pass),
    (
        "private source",
        || frame().ipv4("10.1.2.3", "192.168.0.1").udp(1, 2),
        Verdict::Pass,
    ),
    (
        "link-local source",
        || frame().ipv6("fe80::1", "fe80::2").udp(1, 2),
        Verdict::Pass,
    ),
    (
        "IPv4 options",
        || v4().ip_options(&[1, 1, 1, 0]).udp(1, 2),
        Verdict::Pass,
    ),
    (
        "longest IPv4 options",
        || v4().ip_options(&[1; 40]).tcp(1, 2).flags("A"),
        Verdict::Pass,
    ),
    (
        "padding to the shortest frame",
        || v4().udp(1, 2).pad(60),
        Verdict::Pass,
    ),
    ("VLAN", || frame().vlan(7).ipv4(S4, D4).udp(1, 2), Verdict::Pass),
    (
        "QinQ",
        || frame().qinq(7, 8).ipv6(S6, D6).udp(1, 2),
        Verdict::Pass,
    ),
    ("three tags deep", || v4_tags(3).udp(1, 2), Verdict::Pass),
    ("IPv6 hop-by-hop", || v6().hop_by_hop().udp(1, 2), Verdict::Pass),
    (
        "IPv6 mobility",
        || v6().extension(135, &[0; 6]).protocol(59),
        Verdict::Pass,
    ),
    (
        "IPv6 segment routing",
        || v6().routing(4, 1).tcp(1, 2).flags("S"),
        Verdict::Pass,
    ),
    (
        "IPv6 authentication",
        || v6().extension(51, &[0; 10]).udp(1, 2),
        Verdict::Pass,
    ),
    (
        "IPv6 atomic fragment",
        || v6().fragment(0, false).udp(1, 2),
        Verdict::Pass,
    ),
    (
        "IPv6 first fragment",
        || v6().fragment(0, true).udp(1, 2).payload(40),
        Verdict::Pass,
    ),
    (
        "IPv6 later fragment",
        || v6().fragment(1448, false).protocol(17).payload(64),
        Verdict::Pass,
    ),
    (
        "IPv4 first fragment",
        || v4().fragment(0, true).udp(1, 2).payload(40),
        Verdict::Pass,
    ),
    (
        "IPv4 later fragment",
        || v4().fragment(1480, false).protocol(6).payload(64),
        Verdict::Pass,
    ),
    (
        "a datagram longer than its first fragment",
        || v4().fragment(0, true).udp(1, 2).udp_len(3000).payload(40),
        Verdict::Pass,
    ),
];
