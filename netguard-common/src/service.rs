//! Services: what is asked for, by IP protocol and destination port. Each has cells of its own, no two share one; few have an
//! entry in the map `SERVICES`, which says what holds for them instead of the common settings.

use crate::{
    layout::{Cookies, Rate, Service, Settings},
    packet::protocol,
    tables::Tables,
};

const PORTS: u32 = 1 << 16;
/// The first of the cells of TCP services, one each.
const TCP_AT: u32 = 0;
/// The first of the cells of UDP services, two each: the bucket, and until when no source is learnt.
const UDP_AT: u32 = TCP_AT + PORTS;
/// The cells of ICMP, which is a service as a whole, and has no ports: as those of a UDP service.
pub const ICMP_CELLS: [u32; 2] = [UDP_AT + 2 * PORTS, UDP_AT + 2 * PORTS + 1];
/// Where the cells of services end.
pub const CELLS_END: u32 = UDP_AT + 2 * PORTS + 2;

/// Services in one entry of the map `SERVICE_LINES`: a cache line.
pub const LINE: u32 = 64;
/// Entries of the map `SERVICE_LINES`: for TCP, then for UDP, a byte for each port.
pub const LINES: u32 = 2 * PORTS / LINE;
/// Entries of the map `SERVICES`, of which the first is no service's.
pub const SERVICES: u32 = 256;

crate::shared! {
    /// One entry of the map `SERVICE_LINES`: for each port the number of its entry in `SERVICES`, 0 for none.
    pub struct ServiceLine {
        pub entries: [u8; 64],
    }
}

/// The cell of a TCP service in the map `LIMIT_CELLS`.
#[inline(always)]
pub const fn tcp_cell(port: u16) -> u32 {
    TCP_AT + port as u32
}

/// The cells of a UDP service.
#[inline(always)]
pub const fn udp_cells(port: u16) -> [u32; 2] {
    let first = UDP_AT + 2 * port as u32;
    [first, first + 1]
}

/// The slot of a service among the bytes of `SERVICE_LINES`; `None` where the protocol has no ports.
#[inline(always)]
pub const fn slot(protocol: u8, port: u16) -> Option<u32> {
    match protocol {
        protocol::TCP => Some(port as u32),
        protocol::UDP => Some(PORTS + port as u32),
        _ => None,
    }
}

/// When the TCP service at `port` is answered for, and beyond which rate.
#[inline(always)]
pub fn tcp_rate<T: Tables>(port: u16, settings: &Settings, tables: &T) -> (Cookies, Rate) {
    match tables.service(u32::from(port)).filter(|own| own.common == 0) {
        Some(own) => (Cookies::from_number(u32::from(own.cookies)), own.rate),
        None => (Cookies::from_number(settings.cookies), settings.service_syn),
    }
}

/// Packets that the UDP service at `port` may get.
#[inline(always)]
pub fn udp_rate<T: Tables>(port: u16, settings: &Settings, tables: &T) -> Rate {
    match tables
        .service(PORTS + u32::from(port))
        .filter(|own| own.common == 0)
    {
        Some(own) => own.rate,
        None => settings.levels.service_udp,
    }
}

/// An entry that stands for nothing.
pub const FREE: Service = <Service as crate::shared::Field>::ZERO;

/// Whether the configuration says that connections to `port` end elsewhere.
#[inline(always)]
pub(crate) fn is_excepted(port: u16, settings: &Settings) -> bool {
    let mut index = 0;
    while index < settings.cookies_except.len() {
        if settings.cookies_except[index] == port {
            return true;
        }
        index += 1;
    }
    false
}
