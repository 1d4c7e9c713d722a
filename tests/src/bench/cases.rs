//! The packets that the benchmark measures in test runs: what they are, from how many sources, and what must become of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netguard_common::{Verdict, drive, packet::Family};

use super::{
    filters::{Filter, Least},
    peers::XdpFilter,
};
use crate::frames::{At, Frame, frame};
use Family::{V4, V6};

/// Sources that the filters list, and others, the first of which shares no network with a listed one. The long lists cover the
/// first million and the first quarter of it.
pub(super) const LISTED: u32 = 0;
pub(super) const UNLISTED: u32 = (1 << 22) + 1;
/// A source in a prefix that is blocked.
pub(super) const PREFIX: u32 = 1 << 21;
pub(super) const ONE: u32 = 1;
pub(super) const MANY: u32 = 1 << 16;
pub(super) const MILLION: u32 = 1 << 20;

/// This machine, as far as the packets know.
pub(super) const OWN_V4: &str = "198.51.100.1";
pub(super) const OWN_V6: &str = "2001:db8:1::1";
/// The service that is answered for.
pub(super) const SERVICE: u16 = 443;

/// The service that a signature is for.
pub(super) const SIGNED: u16 = 444;

/// What is good enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// At most so many times the reference program.
    Ratio(f64),
    /// At most so many ns over the empty program.
    Ns(f64),
    /// At most so many ns more than without lists, which is [`Filter::Generous`].
    More(f64),
}

/// One row of the table.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) filter: Filter,
    pub(super) family: Family,
    /// Number of the first source, and how many there are; a single one stands in the frame.
    pub(super) first: u32,
    pub(super) sources: u32,
    packet: fn(Frame) -> Frame,
    /// What becomes of nearly all packets.
    pub(super) verdicts: &'static [Verdict],
    pub(super) goal: Option<Goal>,
}

impl Case {
    pub(super) fn frame(&self) -> Vec<u8> {
        let source = address(self.family, self.first).to_string();
        let start = match self.family {
            V4 => frame().ipv4(&source, OWN_V4),
            V6 => frame().ipv6(&source, OWN_V6),
        };
        (self.packet)(start).build()
    }

    /// What of xdp-filter does the same, if anything: it lists, and limits nothing.
    pub(super) fn peer(&self) -> Option<XdpFilter> {
        match (self.verdicts, self.filter) {
            ([Verdict::BlockAddress], _) => Some(XdpFilter::Addresses),
            ([Verdict::Pass], Filter::Full) => Some(XdpFilter::All),
            _ => None,
        }
    }

    /// The program that does what the verdict takes, and nothing else.
    pub(super) fn least(&self) -> Option<Least> {
        match self.verdicts {
            [Verdict::LimitUdp | Verdict::LimitSyn] => Some(Least::Limit),
            [Verdict::SynCookie] => Some(Least::Answer),
            _ => None,
        }
    }

    /// Whether the filter changes the packet.
    pub(super) fn is_changed(&self) -> bool {
        self.verdicts.contains(&Verdict::SynCookie)
    }
}

/// The address of source `number`.
pub(super) fn address(family: Family, number: u32) -> IpAddr {
    let source = drive::source(family, number);
    match family {
        V4 => Ipv4Addr::from(source.octets_v4()).into(),
        V6 => Ipv6Addr::from(source.octets()).into(),
    }
}

macro_rules! cases {
    ($( $name:literal $filter:ident $family:ident $first:ident $sources:ident $packet:ident
        [$($verdict:ident)+] $goal:expr; )*) => {
        &[$( Case {
            name: $name,
            filter: Filter::$filter,
            family: $family,
            first: $first,
            sources: $sources,
            packet: $packet,
            verdicts: &[$(Verdict::$verdict),+],
            goal: $goal,
        } ),*]
    };
}

pub(super) const CASES: &[Case] = cases! {
    "blocked address, IPv4"               Strict    V4 LISTED   ONE     udp  [BlockAddress] ratio(1.5);
    "blocked address, IPv6"               Strict    V6 LISTED   ONE     udp  [BlockAddress] ratio(1.5);
    "blocked address, IPv4, 64k"          Strict    V4 LISTED   MANY    udp  [BlockAddress] ratio(1.2);
    "blocked address, IPv6, 64k"          Strict    V6 LISTED   MANY    udp  [BlockAddress] ratio(1.2);
    "blocked prefix, IPv4"                Strict    V4 PREFIX   ONE     udp  [BlockPrefix]  None;
    "blocked prefix, IPv6"                Strict    V6 PREFIX   ONE     udp  [BlockPrefix]  None;
    "in a feed of 1M, IPv4, 64k"          Full      V4 LISTED   MANY    udp  [BlockFeed]    ns(300.0);
    "in a feed of 1M, IPv4, 1M"           Full      V4 LISTED   MILLION udp  [BlockFeed]    ns(300.0);
    "in a feed of 250k, IPv6, 64k"        Full      V6 LISTED   MANY    udp  [BlockFeed]    None;
    "malformed (LAND), IPv4"              Strict    V4 UNLISTED ONE     land [Land]         None;
    "limited UDP, IPv4"                   Strict    V4 UNLISTED ONE     udp  [LimitUdp]     None;
    "limited UDP, IPv6"                   Strict    V6 UNLISTED ONE     udp  [LimitUdp]     None;
    "limited SYN, IPv4"                   Strict    V4 UNLISTED ONE     syn  [LimitSyn]     None;
    "limited UDP, IPv4, 1M"               Strict    V4 UNLISTED MILLION udp  [LimitUdp]     ns(150.0);
    "limited UDP, IPv6, 1M"               Strict    V6 UNLISTED MILLION udp  [LimitUdp]     ns(150.0);
    "limited SYN, IPv4, 1M"               Strict    V4 UNLISTED MILLION syn  [LimitSyn]     ns(150.0);
    "limited SYN, IPv6, 1M"               Strict    V6 UNLISTED MILLION syn  [LimitSyn]     ns(150.0);
    "SYN answered, IPv4"                  Answering V4 UNLISTED ONE     syn  [SynCookie]    ns(350.0);
    "SYN answered, IPv6"                  Answering V6 UNLISTED ONE     syn  [SynCookie]    ns(350.0);
    "SYN answered, IPv4, 64k"             Answering V4 UNLISTED MANY    syn  [SynCookie]    None;
    "SYN answered, IPv6, 64k"             Answering V6 UNLISTED MANY    syn  [SynCookie]    None;
    "passed UDP, IPv4"                    Generous  V4 UNLISTED ONE     udp  [Pass]         None;
    "passed UDP, IPv6"                    Generous  V6 UNLISTED ONE     udp  [Pass]         None;
    "passed TCP data, IPv4"               Generous  V4 UNLISTED ONE     data [Pass]         None;
    "passed UDP, countries, IPv4, 64k"    Placed    V4 UNLISTED MANY    udp  [Pass]         more(60.0);
    "passed UDP, all on, IPv4, 64k"       Full      V4 UNLISTED MANY    udp  [Pass]         ns(250.0);
    "passed UDP, all on, IPv4, 1M"        Full      V4 UNLISTED MILLION udp  [Pass]         None;
    "passed UDP, all on, IPv6, 64k"       Full      V6 UNLISTED MANY    udp  [Pass]         ns(250.0);
    "passed UDP, and a signature, IPv4, 64k" Full   V4 UNLISTED MANY    signed [Pass]       None;
    "passed SYN, all on, IPv4, 64k"       Full      V4 UNLISTED MANY    syn  [Pass]         ns(250.0);
    "passed TCP data, all on, IPv4, 64k"  Full      V4 UNLISTED MANY    data [Pass]         ns(250.0);
};

const fn ratio(goal: f64) -> Option<Goal> {
    Some(Goal::Ratio(goal))
}

const fn ns(goal: f64) -> Option<Goal> {
    Some(Goal::Ns(goal))
}

const fn more(goal: f64) -> Option<Goal> {
    Some(Goal::More(goal))
}

fn udp(frame: Frame) -> Frame {
    frame.udp(1234, SERVICE).payload(22)
}

fn signed(frame: Frame) -> Frame {
    frame.udp(1234, SIGNED).payload(22)
}

/// With the options that clients send: a SYN without them has no room for an MSS in its answer.
fn syn(frame: Frame) -> Frame {
    const OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    frame.tcp(1234, SERVICE).flags("S").tcp_options(&OPTIONS)
}

fn data(frame: Frame) -> Frame {
    frame.tcp(1234, SERVICE).flags("PA").payload(10)
}

fn land(frame: Frame) -> Frame {
    udp(frame).set(At::Net(12), &[198, 51, 100, 1])
}
