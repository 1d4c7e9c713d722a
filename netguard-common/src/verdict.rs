//! The closed list of verdicts: every packet gets exactly one. Counters, command line, metrics and
//! documentation iterate over it. A number is never reused.

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Pass,
    Drop,
    /// It is turned into an answer that goes back where it came from.
    Answer,
}

impl Action {
    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Answer => "answer",
        }
    }
}

macro_rules! verdicts {
    ($( $number:literal $variant:ident $action:ident $name:literal $help:literal; )*) => {
        /// Why a packet passed or was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Verdict { $( #[doc = $help] $variant = $number ),* }

        impl Verdict {
            /// Every verdict, in the order of its number.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];
            pub const COUNT: u32 = Self::ALL.len() as u32;

            /// The verdict with `number`; `None` for a number that no verdict has.
            #[inline(always)]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )*
                    _ => None,
                }
            }
            pub const fn action(self) -> Action {
                match self { $( Self::$variant => Action::$action ),* }
            }
            /// The name used by the command line, JSON and metrics.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name ),* }
            }
            /// One sentence for the person who reads the name.
            pub const fn help(self) -> &'static str {
                match self { $( Self::$variant => $help ),* }
            }
        }
    };
}

verdicts! {
    0  Pass             Pass "pass"              "nothing spoke against the packet";
    1  PassArp          Pass "pass-arp"          "ARP always passes";
    2  PassNonIp        Pass "pass-non-ip"       "neither IPv4, IPv6 nor ARP: not netguard's business";
    3  PassAllow        Pass "pass-allow"        "the source is on the allowlist";
    4  PassControl      Pass "pass-control"      "neighbour discovery or path-MTU message";
    5  Truncated        Drop "truncated"         "the packet ends before a header that it announces";
    6  IpVersion        Drop "ip-version"        "the IP version field contradicts the Ethernet type";
    7  IpHeaderLength   Drop "ip-header-length"  "IPv4 header length below 20 bytes or beyond the packet";
    8  IpTotalLength    Drop "ip-total-length"   "the IP length field is shorter than its header or longer than the frame";
    9  TcpDataOffset    Drop "tcp-data-offset"   "TCP data offset below 20 bytes or beyond the packet";
    10 UdpLength        Drop "udp-length"        "UDP length below 8 bytes or beyond the packet";
    11 Land             Drop "land"              "source and destination address are the same";
    12 MartianSource    Drop "martian-source"    "a source address that no host can have: 0/8, 127/8, 224/3, ::, ::1, ff00::/8";
    13 TcpNull          Drop "tcp-null"          "TCP segment without any flag";
    14 TcpSynFin        Drop "tcp-syn-fin"       "TCP segment with SYN and FIN";
    15 TcpSynRst        Drop "tcp-syn-rst"       "TCP segment with SYN and RST";
    16 TcpXmas          Drop "tcp-xmas"          "TCP segment with FIN and URG but no ACK";
    17 TcpFlags         Drop "tcp-flags"         "another set of TCP flags that no TCP stack sends";
    18 FragmentOverflow Drop "fragment-overflow" "a fragment that would end beyond the largest IP packet";
    19 Ipv6Chain        Drop "ipv6-chain"        "IPv6 extension headers too many or too long to follow";
    20 BlockAddress     Drop "block-address"     "the source address (or its IPv6 /64) is on the blocklist";
    21 BlockPrefix      Drop "block-prefix"      "the source lies in a prefix on the blocklist";
    22 LimitSyn         Drop "limit-syn"         "the source opens TCP connections faster than its limit";
    23 LimitUdp         Drop "limit-udp"         "the source sends UDP packets faster than its limit";
    24 LimitIcmp        Drop "limit-icmp"        "the source sends ICMP packets faster than its limit";
    25 LimitControl     Drop "limit-control"     "the source sends neighbour discovery or path-MTU messages faster than their cap";
    26 TtlZero          Drop "ttl-zero"          "a TTL or hop limit of 0: no host sends it and no router forwards it";
    27 IpOptions        Drop "ip-options"        "IPv4 options that overrun each other or their header";
    28 SourceRoute      Drop "source-route"      "IPv4 source route, loose or strict: the sender chooses the way of the answer";
    29 RoutingHeader    Drop "routing-header"    "IPv6 routing header of type 0 with a way to go: the standard withdrew it, since it multiplies traffic";
    30 ExtensionOrder   Drop "extension-order"   "an IPv6 extension header that is repeated, or a hop-by-hop header that is not the first";
    31 TinyFragment     Drop "tiny-fragment"     "a fragment that splits the transport header, so that filters cannot read it";
    32 FragmentLength   Drop "fragment-length"   "a fragment, not the last of its packet, whose length is no multiple of 8";
    33 PortZero         Drop "port-zero"         "to TCP or UDP port 0, or from TCP port 0: it is reserved";
    34 SynCookie        Answer "syn-cookie"      "the service is asked for connections too often: the source must prove its address first";
    35 LimitService     Drop "limit-service"     "the service (protocol and port) is asked faster than its rate, or for more connections than can be answered for";
    36 BlockFeed        Drop "block-feed"        "the source is on a published list that the configuration names";
    37 BlockCountry     Drop "block-country"     "the source lies in a country that the configuration blocks";
    38 LimitCountry     Drop "limit-country"     "the source's country sends faster than its limit";
    39 BlockAsn         Drop "block-asn"         "the source lies in an autonomous system that the configuration blocks";
    40 LimitAsn         Drop "limit-asn"         "the source's autonomous system sends faster than its limit";
    41 OwnSource        Drop "own-source"        "an address of this machine as source: it does not send to itself over a network";
    42 FragmentOverlap  Drop "fragment-overlap"  "a fragment that reaches into another of its packet, to deceive whoever puts them together";
    43 OutOfState       Drop "out-of-state"      "a TCP segment of no connection that this machine has, while such segments come in numbers";
    44 Signature        Drop "signature"         "the packet looks like those of an attack that is going on";
    45 LimitOther       Drop "limit-other"       "the source sends packets of other protocols faster than its limit";
    46 LimitPrefix      Drop "limit-prefix"      "the source's prefix (IPv4 /24, IPv6 /48) sends faster than its limit";
    47 DnsTruncate      Answer "dns-truncate"    "a DNS query over a limit: the source is told to ask again over TCP";
    48 Reflection       Drop "reflection"        "from a port that reflectors answer from, or a later piece of such an answer, and this host did not ask";
    49 ClosedPort       Drop "closed-port"       "a datagram to a UDP port where nothing listens, while such datagrams come in numbers";
    50 ConnectionLimit  Drop "connection-limit"  "the source, or its prefix, holds as many TCP connections as it may";
    51 LimitIcmpAll     Drop "limit-icmp-all"    "all sources together send ICMP (such as ping) faster than its limit";
}

impl Verdict {
    pub const fn number(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_come_back() {
        for (index, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(verdict.number() as usize, index);
            assert_eq!(Verdict::from_number(index as u32), Some(*verdict));
        }
        assert_eq!(Verdict::from_number(Verdict::COUNT), None);
    }

    #[test]
    fn names_are_unique() {
        for (index, verdict) in Verdict::ALL.iter().enumerate() {
            assert!(
                Verdict::ALL[..index]
                    .iter()
                    .all(|other| other.name() != verdict.name())
            );
        }
    }
}
