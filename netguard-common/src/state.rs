//! State stage: strays. These are TCP segments of connections that do not exist, as floods of ACK, RST, FIN or SYN-ACK bring
//! them, and datagrams to UDP ports where nothing listens. The kernel's own table of sockets tells; nothing is
//! remembered about connections here.
//!
//! A look into the table costs as much as all other stages. So one packet in [`ONE_IN`] is looked at, and every one for a
//! second after strays went over their rate. Below that rate the kernel answers them itself, as a port scan deserves; what is
//! beyond is dropped. Judged is only what can end in a socket of this machine. Segments and datagrams are counted apart.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    apart::Part,
    layout::{Rate, Settings},
    limit,
    packet::{Family, protocol},
    reflection::UdpSocket,
    service,
    tables::Tables,
    view::View,
};

/// Entries of the map `STRAYS`.
pub const KINDS: u32 = 2;
const SEGMENTS: u32 = 0;
const DATAGRAMS: u32 = 1;

/// Of so many packets one is looked at in times of peace; a power of two.
pub const ONE_IN: u32 = 16;

/// How long every packet is looked at after strays were too many.
const ALERT_NS: u64 = 1_000_000_000;

crate::shared! {
    /// Strays that one CPU found, in the map `STRAYS`: first segments, then datagrams.
    pub struct Strays {
        /// GCRA's theoretical arrival time of the next one.
        pub due_ns: u64,
        /// Until when every packet is looked at.
        pub alert_until_ns: u64,
        /// Packets that came by.
        pub seen: u64,
        /// Those of them that were looked up.
        pub looked_up: u64,
    }
}

/// What the table of sockets says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A connection has it, be it just closed; or it returns a SYN cookie; or a UDP socket takes it.
    Wanted,
    /// A connection has it that the other side has asked for, and not shown yet that it is where it says.
    HalfOpen,
    /// Somebody listens there, and knows no such connection.
    Listening,
    /// Nobody has heard of it.
    Unknown,
}

/// Where the table of sockets can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reach {
    /// Nowhere: connections of this machine's addresses end in others.
    Nothing = 0,
    /// At ports where somebody listens: what comes to another may be translated.
    Listening = 1,
    All = 2,
}

impl Reach {
    /// The member with `number`; unknown numbers are `Nothing`.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Listening,
            2 => Self::All,
            _ => Self::Nothing,
        }
    }
}

/// Breaks when `packet` is a segment of no connection, and such segments are too many.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict> {
    let reach = Reach::from_number(settings.suspicion.reach);
    if !packet.has_tcp() || packet.tcp_flags().opens() || matches!(reach, Reach::Nothing) {
        return ControlFlow::Continue(());
    }
    if is_looked_up(SEGMENTS, tables) && tables.apart(Part::State, view, packet, settings) != 0 {
        ControlFlow::Break(Verdict::OutOfState)
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether `packet` is a datagram to a port where nothing listens, and such datagrams are too many.
#[inline(always)]
pub fn is_unwanted<V: View, T: Tables>(view: &V, packet: &Packet, settings: &Settings, tables: &T) -> bool {
    // Where addresses are translated, no socket says nothing.
    let is_reached = matches!(Reach::from_number(settings.suspicion.reach), Reach::All);
    // DHCP's sockets are bound to an interface, or read raw packets: the table may not tell.
    let is_dhcp = matches!(packet.destination_port, 67 | 68 | 546 | 547);
    packet.header == protocol::UDP
        && is_reached
        && !is_dhcp
        && is_looked_up(DATAGRAMS, tables)
        && tables.apart(Part::State, view, packet, settings) != 0
}

/// Counts a packet; whether it may be looked up.
#[inline(always)]
fn is_looked_up<T: Tables>(kind: u32, tables: &T) -> bool {
    let Some(mut strays) = tables.strays(kind) else {
        return false;
    };
    strays.seen = strays.seen.wrapping_add(1);
    is_its_turn(&strays) || strays.alert_until_ns != 0
}

#[inline(always)]
const fn is_its_turn(strays: &Strays) -> bool {
    strays.seen.is_multiple_of(ONE_IN as u64)
}

/// Whether no socket wants `packet`, and such packets are too many.
#[inline(always)]
pub(crate) fn is_stray<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> bool {
    let kind = view.opaque(if packet.has_tcp() { SEGMENTS } else { DATAGRAMS });
    let Some(mut strays) = tables.strays(kind) else {
        return false;
    };
    let its_turn = is_its_turn(&strays);
    let now_ns = tables.now_ns();
    let alert = now_ns < strays.alert_until_ns;
    if !alert {
        strays.alert_until_ns = 0;
    }
    if !(alert || its_turn) || ends_elsewhere(packet, settings, tables) {
        return false;
    }
    strays.looked_up = strays.looked_up.wrapping_add(1);
    let reach = Reach::from_number(settings.suspicion.reach);
    let standing = match kind {
        SEGMENTS => tables.standing(packet),
        _ => match tables.udp_socket(packet) {
            UdpSocket::None => Standing::Unknown,
            UdpSocket::Bound | UdpSocket::Connected => Standing::Wanted,
        },
    };
    match (standing, reach) {
        (Standing::Wanted | Standing::HalfOpen, _) | (Standing::Unknown, Reach::Listening) => return false,
        _ => {}
    }
    // In times of peace one that is seen stands for many.
    let rate = &settings.suspicion.strays;
    let rate = Rate {
        interval_ns: rate.interval_ns * if alert { 1 } else { ONE_IN as u64 },
        tolerance_ns: rate.tolerance_ns,
    };
    if limit::grant(&rate, &mut strays.due_ns, now_ns) {
        return false;
    }
    strays.alert_until_ns = now_ns.saturating_add(ALERT_NS);
    true
}

/// Whether another machine or namespace can have the connection, or a socket that is bound to another interface than the one
/// which the packet came through, as those of link-local addresses are.
#[inline(always)]
fn ends_elsewhere<T: Tables>(packet: &Packet, settings: &Settings, tables: &T) -> bool {
    let link_local = matches!(packet.family(), Family::V6) && limit::is_link_local(packet.destination);
    link_local
        || service::is_excepted(packet.destination_port, settings)
        || !tables.is_own(packet.destination)
}

impl Packet {
    /// Whether a TCP header was read.
    #[inline(always)]
    pub const fn has_tcp(&self) -> bool {
        self.header == protocol::TCP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layout::Suspicion,
        memory::Memory,
        packet::{Address, TcpFlags, Transport, tests::packet},
        shared::Field as _,
        view::SliceView,
    };

    const SECOND: u64 = 1_000_000_000;

    fn memory(reach: Reach, standing: Standing) -> Memory {
        let mut memory = Memory::new(Settings {
            suspicion: Suspicion {
                reach: reach as u32,
                strays: Rate::new(10, 32),
                ..Suspicion::ZERO
            },
            ..Memory::enforcing()
        });
        memory.standing = standing;
        memory.own.insert(Address::v4([198, 51, 100, 1]).octets());
        memory.now_ns.set(SECOND);
        memory
    }

    fn segment(flags: u8) -> Packet {
        let transport = Transport::Tcp {
            source_port: 1234,
            destination_port: 80,
            flags: TcpFlags(flags),
        };
        packet(Family::V4, Address::v4([192, 0, 2, 1]), protocol::TCP, transport)
    }

    fn dropped(memory: &Memory, flags: u8, count: usize) -> usize {
        let packet = segment(flags);
        (0..count)
            .filter(|_| check(&SliceView(&[]), &packet, &memory.settings, memory).is_break())
            .count()
    }

    #[test]
    fn a_flood_is_dropped_and_the_first_strays_are_not() {
        for flags in [
            TcpFlags::ACK,
            TcpFlags::RST,
            TcpFlags::FIN | TcpFlags::ACK,
            TcpFlags::SYN | TcpFlags::ACK,
        ] {
            let memory = memory(Reach::All, Standing::Unknown);
            // Two looks use up the burst of 32, the third brings the alert.
            assert_eq!(dropped(&memory, flags, 47), 0);
            assert_eq!(dropped(&memory, flags, 1_000), 1_000);
        }
    }

    #[test]
    fn an_alert_ends_and_few_strays_are_left_to_the_kernel() {
        let memory = memory(Reach::All, Standing::Unknown);
        assert_eq!(dropped(&memory, TcpFlags::ACK, 48), 1);
        memory.now_ns.set(SECOND + ALERT_NS);
        // The rate grants ten in the meantime: fewer than one look stands for.
        assert_eq!(dropped(&memory, TcpFlags::ACK, 15), 0);
        assert_eq!(memory.strays[0].borrow().looked_up, 3);
        for second in 4..100 {
            memory.now_ns.set(second * 2 * SECOND);
            assert_eq!(dropped(&memory, TcpFlags::ACK, 8), 0);
        }
    }

    #[test]
    fn connections_and_openings_pass_amid_a_flood() {
        let mut memory = memory(Reach::All, Standing::Unknown);
        assert!(dropped(&memory, TcpFlags::ACK, 100) > 50);
        assert_eq!(dropped(&memory, TcpFlags::SYN, 100), 0);
        memory.standing = Standing::Wanted;
        assert_eq!(dropped(&memory, TcpFlags::ACK, 100), 0);
    }

    #[test]
    fn a_flood_to_a_closed_port_is_dropped_and_an_open_one_is_served() {
        let mut memory = memory(Reach::All, Standing::Unknown);
        memory.udp_sockets.insert(53, None);
        let unwanted = |memory: &Memory, port, count: usize| {
            let transport = Transport::Udp {
                source_port: 1234,
                destination_port: port,
            };
            let packet = packet(Family::V4, Address::v4([192, 0, 2, 1]), protocol::UDP, transport);
            (0..count)
                .filter(|_| is_unwanted(&SliceView(&[]), &packet, &memory.settings, memory))
                .count()
        };
        assert_eq!(unwanted(&memory, 9, 47), 0);
        assert_eq!(unwanted(&memory, 9, 1_000), 1_000);
        assert_eq!(unwanted(&memory, 53, 1_000), 0);
        assert_eq!(unwanted(&memory, 68, 1_000), 0, "DHCP");
        assert_eq!(
            dropped(&memory, TcpFlags::ACK, 47),
            0,
            "segments are counted apart"
        );
        memory.settings.suspicion.reach = Reach::Listening as u32;
        assert_eq!(unwanted(&memory, 9, 1_000), 0);
        memory.settings.suspicion.reach = Reach::All as u32;
        memory.own.clear();
        assert_eq!(unwanted(&memory, 9, 1_000), 0);
    }

    #[test]
    fn what_the_table_cannot_know_passes() {
        let mut translated = memory(Reach::Listening, Standing::Unknown);
        assert_eq!(dropped(&translated, TcpFlags::ACK, 500), 0);
        translated.standing = Standing::Listening;
        assert!(dropped(&translated, TcpFlags::ACK, 500) > 400);
        let nothing = memory(Reach::Nothing, Standing::Listening);
        assert_eq!(dropped(&nothing, TcpFlags::ACK, 500), 0);
        let mut forwarded = memory(Reach::All, Standing::Unknown);
        forwarded.own.clear();
        assert_eq!(dropped(&forwarded, TcpFlags::ACK, 500), 0);
        let mut excepted = memory(Reach::All, Standing::Unknown);
        excepted.settings.cookies_except[3] = 80;
        assert_eq!(dropped(&excepted, TcpFlags::ACK, 500), 0);
    }
}
