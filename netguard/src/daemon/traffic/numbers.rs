//! The numbers under which services are counted. A service keeps its number while it is served. A number whose service ended
//! is free from the next look on only: the counters of this second are still those of the old service.

use std::collections::BTreeSet;

use netguard_common::{
    service::slot,
    telemetry::{SERVICES, ServiceTraffic},
};

use crate::config::ServicePort;

/// Who is counted under which number.
pub(crate) struct Numbers {
    /// Services that the configuration names have a number whether something listens or not.
    configured: Vec<ServicePort>,
    watched: Vec<Watched>,
    /// Services that found no number.
    unwatched: usize,
}

/// A service with counters of its own.
#[derive(Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) service: ServicePort,
    pub(crate) number: u8,
    /// What the counters stood at when it got them.
    pub(crate) since: ServiceTraffic,
}

impl Numbers {
    pub(crate) fn new(configured: Vec<ServicePort>) -> Self {
        Self {
            configured,
            watched: Vec::new(),
            unwatched: 0,
        }
    }

    /// Gives numbers to the configured services and to `served`, while the counters stand at `counted`. Where nobody knows what
    /// is served (`None`), all stays as it is: who loses its number loses what was counted.
    pub(crate) fn assign(&mut self, served: Option<BTreeSet<ServicePort>>, counted: &[ServiceTraffic]) {
        let Some(served) = served else {
            return;
        };
        let is_wanted = |service: &ServicePort| self.configured.contains(service) || served.contains(service);
        let (kept, ended): (Vec<Watched>, Vec<Watched>) = self
            .watched
            .iter()
            .copied()
            .partition(|watched| is_wanted(&watched.service));
        self.watched = kept;
        self.unwatched = 0;
        for service in self.configured.iter().copied().chain(served) {
            let mut taken = self.watched.iter();
            if taken.any(|watched| watched.service == service) {
                continue;
            }
            let is_free = |number: &usize| {
                let mut taken = self.watched.iter().chain(&ended);
                taken.all(|watched| usize::from(watched.number) != *number)
            };
            match (1..SERVICES).find(is_free) {
                Some(number) => self.watched.push(Watched {
                    service,
                    number: number as u8,
                    since: counted[number],
                }),
                None => self.unwatched += 1,
            }
        }
    }

    pub(crate) fn watched(&self) -> &[Watched] {
        &self.watched
    }

    pub(crate) fn unwatched(&self) -> usize {
        self.unwatched
    }

    /// The slot of each service, see [`slot`], and its number.
    pub(crate) fn slots(&self) -> Vec<(u32, u8)> {
        let slot = |watched: &Watched| slot(watched.service.protocol(), watched.service.port());
        self.watched
            .iter()
            .filter_map(|watched| Some((slot(watched)?, watched.number)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;

    fn ports(texts: &[&str]) -> BTreeSet<ServicePort> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Counters of which each tells its number, in the second `second`.
    fn counted(second: u64) -> Vec<ServiceTraffic> {
        let counter = |number| ServiceTraffic {
            packets: 1_000 * number + second,
            ..ServiceTraffic::ZERO
        };
        (0..SERVICES as u64).map(counter).collect()
    }

    /// Each service with its number and what its counter stood at.
    fn held(numbers: &Numbers) -> Vec<(String, u8, u64)> {
        let row = |watched: &Watched| (watched.service.to_string(), watched.number, watched.since.packets);
        numbers.watched().iter().map(row).collect()
    }

    fn begun() -> Numbers {
        let mut numbers = Numbers::new(vec!["udp/53".parse().unwrap()]);
        numbers.assign(Some(ports(&["tcp/22", "tcp/80"])), &counted(1));
        numbers
    }

    fn row(service: &str, number: u8, packets: u64) -> (String, u8, u64) {
        (service.to_owned(), number, packets)
    }

    #[test]
    fn who_is_served_keeps_its_number() {
        let mut numbers = begun();
        let first = [
            row("udp/53", 1, 1_001),
            row("tcp/22", 2, 2_001),
            row("tcp/80", 3, 3_001),
        ];
        assert_eq!(held(&numbers), first);
        numbers.assign(Some(ports(&["tcp/22", "tcp/80"])), &counted(2));
        assert_eq!(held(&numbers), first);
    }

    /// Found in review: an error of the kernel's list of sockets set all counters back.
    #[test]
    fn what_is_not_known_ends_nothing() {
        let mut numbers = begun();
        let before = held(&numbers);
        numbers.assign(None, &counted(2));
        assert_eq!(held(&numbers), before);
    }

    /// Found in review: what the old service got in the same second was told of the new one.
    #[test]
    fn a_number_is_not_handed_on_at_once() {
        let mut numbers = begun();
        numbers.assign(Some(ports(&["tcp/80", "tcp/443"])), &counted(2));
        assert_eq!(
            held(&numbers)[1..],
            [row("tcp/80", 3, 3_001), row("tcp/443", 4, 4_002)]
        );
        numbers.assign(Some(ports(&["tcp/80", "tcp/443", "udp/123"])), &counted(3));
        assert_eq!(held(&numbers)[3], row("udp/123", 2, 2_003));
    }

    #[test]
    fn too_many_are_told_and_those_of_the_configuration_come_first() {
        let served = (1..=300).filter_map(|port| ServicePort::new(6, port));
        let mut numbers = Numbers::new(ports(&["udp/53", "tcp/300"]).into_iter().collect());
        numbers.assign(Some(served.collect()), &counted(1));
        assert_eq!((numbers.watched().len(), numbers.unwatched()), (255, 46));
        assert_eq!(
            held(&numbers)[..2],
            [row("tcp/300", 1, 1_001), row("udp/53", 2, 2_001)]
        );
        assert_eq!(numbers.slots()[1], (65_536 + 53, 2));
        numbers.assign(Some(BTreeSet::new()), &counted(2));
        assert_eq!((numbers.watched().len(), numbers.unwatched()), (2, 0));
    }
}
