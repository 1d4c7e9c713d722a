//! What each kind of frame is judged as: a specification.

use netguard_common::Verdict;
use netguard_tests::frames::{At, Frame, frame};

/// Name, frame, and the verdict of a netguard that enforces everything and has no rules.
pub(crate) type Fixture = (&'static str, fn() -> Frame, Verdict);

pub(crate) const FIXTURES: &[Fixture] = &[
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

const S4: &str = "192.0.2.1";
const D4: &str = "198.51.100.1";
const S6: &str = "2001:db8::1";
const D6: &str = "2001:db8:1::1";

fn v4() -> Frame {
    frame().ipv4(S4, D4)
}

fn v6() -> Frame {
    frame().ipv6(S6, D6)
}

fn v4_tags(count: usize) -> Frame {
    (0..count)
        .fold(frame(), |frame, _| frame.tag(0x8100, 7))
        .ipv4(S4, D4)
}

fn dad() -> Frame {
    frame().ipv6("::", "ff02::1:ff00:1").ttl(255)
}
