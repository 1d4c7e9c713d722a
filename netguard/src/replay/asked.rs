//! What was asked of which service: packets by protocol and destination port, and what became of them. Later pieces of packets have no
//! port, and count for none.

use std::{cmp::Reverse, collections::HashMap};

use netguard_common::{
    Action, Packet,
    packet::{Transport, protocol},
};

use super::{answers::Answers, report::Service};
use crate::config::ServicePort;

/// Services that are told.
const TOLD: usize = 50;

/// What was counted, by port; there are no more than all ports of both protocols.
#[derive(Default)]
pub(super) struct Asked(HashMap<ServicePort, Count>);

#[derive(Clone, Copy, Default)]
struct Count {
    packets: u64,
    bytes: u64,
    dropped: u64,
    answered: u64,
}

impl Asked {
    /// Counts a frame of `len` bytes.
    pub(super) fn count(&mut self, packet: &Packet, len: usize, action: Action) {
        let Some(service) = service(packet) else { return };
        let count = self.0.entry(service).or_default();
        count.packets += 1;
        count.bytes += len as u64;
        count.dropped += u64::from(action == Action::Drop);
        count.answered += u64::from(action == Action::Answer);
    }

    /// Those that were sent most; whether the server serves them stands in `answers`.
    pub(super) fn told(&self, answers: &Answers) -> Vec<Service> {
        let mut all: Vec<(&ServicePort, &Count)> = self.0.iter().collect();
        all.sort_by_key(|(service, count)| (Reverse(count.packets), **service));
        let most = all.into_iter().take(TOLD);
        most.map(|(service, count)| Service {
            service: service.to_string(),
            packets: count.packets,
            bytes: count.bytes,
            dropped: count.dropped,
            answered: count.answered,
            served: answers.serves(service.protocol(), service.port()),
        })
        .collect()
    }
}

fn service(packet: &Packet) -> Option<ServicePort> {
    match packet.transport() {
        Transport::Tcp { destination_port, .. } => ServicePort::new(protocol::TCP, destination_port),
        Transport::Udp { destination_port, .. } => ServicePort::new(protocol::UDP, destination_port),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{parse::parse, view::SliceView};

    use super::*;
    use crate::replay::refusals::tests::ipv4;

    fn datagram(port: u16) -> Packet {
        let [high, low] = port.to_be_bytes();
        let frame = ipv4(17, &[0x10, 0, high, low, 0, 8, 0, 0]);
        parse(&SliceView(&frame)).continue_value().expect("it is whole")
    }

    #[test]
    fn services_are_told_by_what_they_were_sent() {
        let mut asked = Asked::default();
        for port in 1_000..1_100 {
            asked.count(&datagram(port), 60, Action::Pass);
        }
        for action in [Action::Pass, Action::Drop, Action::Answer, Action::Drop] {
            asked.count(&datagram(53), 100, action);
        }
        asked.count(&datagram(0), 60, Action::Drop);
        let told = asked.told(&Answers::default());
        assert_eq!(told.len(), TOLD);
        let first = Service {
            service: "udp/53".to_owned(),
            packets: 4,
            bytes: 400,
            dropped: 2,
            answered: 1,
            served: None,
        };
        assert_eq!((&told[0], told[1].service.as_str()), (&first, "udp/1000"));
    }
}
