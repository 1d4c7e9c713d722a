//! Lengths that lie, headers that nobody sends in earnest, and next to each what is still right.

use netguard_common::Verdict;
use netguard_tests::frames::{At, frame};

use super::{D4, D6, Fixture, S4, S6, v4, v6};

pub(super) const FIXTURES: &[Fixture] = &[
    // Lengths that lie.
    (
        "no room for an IPv4 header",
        || v4().udp(1, 2).truncate(30),
        Verdict::Truncated,
    ),
    (
        "no room for an IPv6 header",
        || v6().udp(1, 2).truncate(50),
        Verdict::Truncated,
    ),
    (
        "no room for a tag",
        || frame().vlan(7).ipv4(S4, D4).udp(1, 2).truncate(16),
        Verdict::Truncated,
    ),
    (
        "TCP header cut by the IP length",
        || v4().total_len(32).tcp(1, 2).flags("S"),
        Verdict::Truncated,
    ),
    (
        "UDP header cut by the IP length",
        || v4().total_len(24).udp(1, 2),
        Verdict::Truncated,
    ),
    (
        "ICMP header cut by the IP length",
        || v4().total_len(24).icmp(8, 0),
        Verdict::Truncated,
    ),
    (
        "tiny first fragment",
        || v4().fragment(0, true).protocol(6).payload(8),
        Verdict::TinyFragment,
    ),
    (
        "tiny first fragment, IPv6",
        || v6().fragment(0, true).protocol(6).payload(16),
        Verdict::TinyFragment,
    ),
    (
        "first fragment without the TCP options it announces",
        || {
            v4().fragment(0, true)
                .tcp(1, 2)
                .flags("S")
                .doff(7)
                .payload(4)
                .set16(At::Net(2), 44)
        },
        Verdict::TinyFragment,
    ),
    (
        "later fragment over the TCP flags",
        || v4().fragment(8, false).protocol(6).payload(64),
        Verdict::TinyFragment,
    ),
    (
        "later fragment over the TCP flags, IPv6",
        || v6().fragment(16, true).protocol(6).payload(64),
        Verdict::TinyFragment,
    ),
    (
        "fragment that nothing can follow",
        || v4().fragment(1480, true).protocol(17).payload(63),
        Verdict::FragmentLength,
    ),
    (
        "fragment that nothing can follow, IPv6",
        || v6().fragment(1480, true).protocol(17).payload(63),
        Verdict::FragmentLength,
    ),
    (
        "extension header beyond the payload",
        || v6().hop_by_hop().ext_len(200).udp(1, 2),
        Verdict::Truncated,
    ),
    (
        "IPv6 in an IPv4 frame",
        || v4().version(6).udp(1, 2),
        Verdict::IpVersion,
    ),
    (
        "IPv4 in an IPv6 frame",
        || v6().version(4).udp(1, 2),
        Verdict::IpVersion,
    ),
    (
        "IPv4 header of 16 bytes",
        || v4().ihl(4).udp(1, 2),
        Verdict::IpHeaderLength,
    ),
    (
        "IPv4 header beyond the frame",
        || v4().ihl(15).udp(1, 2),
        Verdict::IpHeaderLength,
    ),
    (
        "IPv4 longer than the frame",
        || v4().total_len(200).udp(1, 2),
        Verdict::IpTotalLength,
    ),
    (
        "IPv4 shorter than its header",
        || v4().total_len(10).udp(1, 2),
        Verdict::IpTotalLength,
    ),
    (
        "IPv4 of length 0 in a small frame",
        || v4().total_len(0).udp(1, 2),
        Verdict::IpTotalLength,
    ),
    (
        "IPv6 longer than the frame",
        || v6().udp(1, 2).set16(At::Net(4), 900),
        Verdict::IpTotalLength,
    ),
    (
        "TCP header of 16 bytes",
        || v4().tcp(1, 2).flags("S").doff(4),
        Verdict::TcpDataOffset,
    ),
    (
        "TCP header beyond the packet",
        || v4().tcp(1, 2).flags("S").doff(15),
        Verdict::TcpDataOffset,
    ),
    (
        "UDP of length 7",
        || v4().udp(1, 2).udp_len(7).payload(20),
        Verdict::UdpLength,
    ),
    (
        "UDP longer than the packet",
        || v6().udp(1, 2).udp_len(99).payload(20),
        Verdict::UdpLength,
    ),
    (
        "ping of death",
        || v4().fragment(65_528, false).protocol(1).payload(64),
        Verdict::FragmentOverflow,
    ),
    (
        "ping of death, IPv6",
        || v6().fragment(65_528, false).protocol(58).payload(64),
        Verdict::FragmentOverflow,
    ),
    (
        "nine extension headers",
        || {
            [60, 43, 51, 60, 135, 139, 140]
                .into_iter()
                .fold(v6().hop_by_hop(), |ip, kind| ip.extension(kind, &[4; 6]))
                .fragment(0, false)
                .udp(1, 2)
        },
        Verdict::Ipv6Chain,
    ),
    (
        "destination options twice",
        || v6().dest_options().dest_options().udp(1, 2),
        Verdict::Pass,
    ),
    (
        "destination options three times",
        || v6().dest_options().dest_options().dest_options().udp(1, 2),
        Verdict::ExtensionOrder,
    ),
    (
        "hop-by-hop options behind others",
        || v6().dest_options().hop_by_hop().udp(1, 2),
        Verdict::ExtensionOrder,
    ),
    (
        "two fragment headers",
        || v6().fragment(0, false).fragment(0, false).udp(1, 2),
        Verdict::ExtensionOrder,
    ),
    (
        "IPv6 routing header of type 0",
        || v6().routing(0, 1).tcp(1, 2).flags("S"),
        Verdict::RoutingHeader,
    ),
    (
        "IPv6 routing header of type 0 at its end",
        || v6().routing(0, 0).tcp(1, 2).flags("S"),
        Verdict::Pass,
    ),
    (
        "loose source route",
        || v4().ip_options(&[131, 7, 4, 192, 0, 2, 9]).udp(1, 2),
        Verdict::SourceRoute,
    ),
    (
        "strict source route behind padding",
        || v4().ip_options(&[1, 1, 137, 7, 4, 192, 0, 2, 9]).udp(1, 2),
        Verdict::SourceRoute,
    ),
    (
        "IPv4 option of length 1",
        || v4().ip_options(&[7, 1, 0, 0]).udp(1, 2),
        Verdict::IpOptions,
    ),
    (
        "IPv4 option beyond the header",
        || v4().ip_options(&[68, 12, 5, 0]).udp(1, 2),
        Verdict::IpOptions,
    ),
    (
        "router alert",
        || v4().ip_options(&[148, 4, 0, 0]).protocol(2).payload(8),
        Verdict::Pass,
    ),
    (
        "extension headers of two kilobytes",
        || v6().extension(60, &[0; 2030]).udp(1, 2),
        Verdict::Ipv6Chain,
    ),
    // What nobody sends in earnest.
    ("TTL 0", || v4().ttl(0).udp(1, 2), Verdict::TtlZero),
    ("hop limit 0", || v6().ttl(0).udp(1, 2), Verdict::TtlZero),
    ("UDP to port 0", || v4().udp(1, 0), Verdict::PortZero),
    ("UDP that wants no answer", || v6().udp(0, 1), Verdict::Pass),
    ("TCP to port 0", || v4().tcp(1, 0).flags("S"), Verdict::PortZero),
    ("TCP from port 0", || v6().tcp(0, 1).flags("A"), Verdict::PortZero),
    (
        "LAND",
        || frame().ipv4(D4, D4).tcp(80, 80).flags("S"),
        Verdict::Land,
    ),
    (
        "LAND, IPv6",
        || frame().ipv6(D6, D6).tcp(80, 80).flags("S"),
        Verdict::Land,
    ),
    (
        "from 0/8",
        || frame().ipv4("0.1.2.3", D4).udp(1, 2),
        Verdict::MartianSource,
    ),
    (
        "from 127/8",
        || frame().ipv4("127.0.0.1", D4).udp(1, 2),
        Verdict::MartianSource,
    ),
    (
        "from multicast",
        || frame().ipv4("239.1.2.3", D4).udp(1, 2),
        Verdict::MartianSource,
    ),
    (
        "from 240/4",
        || frame().ipv4("250.1.2.3", D4).udp(1, 2),
        Verdict::MartianSource,
    ),
    (
        "from broadcast",
        || frame().ipv4("255.255.255.255", D4).udp(1, 2),
        Verdict::MartianSource,
    ),
    (
        "from ::",
        || frame().ipv6("::", D6).udp(1, 2),
        Verdict::MartianSource,
    ),
    (
        "from ::1",
        || frame().ipv6("::1", D6).udp(1, 2),
        Verdict::MartianSource,
    ),
    (
        "from IPv6 multicast",
        || frame().ipv6("ff02::1", D6).udp(1, 2),
        Verdict::MartianSource,
    ),
    ("TCP NULL", || v4().tcp(1, 2).flags(""), Verdict::TcpNull),
    ("TCP SYN+FIN", || v4().tcp(1, 2).flags("SF"), Verdict::TcpSynFin),
    ("TCP SYN+RST", || v6().tcp(1, 2).flags("SR"), Verdict::TcpSynRst),
    ("TCP XMAS", || v4().tcp(1, 2).flags("FPU"), Verdict::TcpXmas),
    ("TCP FIN alone", || v4().tcp(1, 2).flags("F"), Verdict::TcpFlags),
    ("TCP PSH alone", || v4().tcp(1, 2).flags("P"), Verdict::TcpFlags),
    (
        "XMAS behind a tag and extension headers",
        || frame().vlan(7).ipv6(S6, D6).dest_options().tcp(1, 2).flags("FPU"),
        Verdict::TcpXmas,
    ),
];
