//! Baselines: what is normal, of all traffic together and of each service, learnt second by second while nothing is attacked. They judge
//! nothing.

mod handshakes;
mod hours;
#[cfg(test)]
mod labelled;
mod number;
mod room;
mod service;
mod shift;
mod sketches;
mod told;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::feature::{Features, Metric};

pub use handshakes::COMES_ABOUT;
use handshakes::Handshakes;
pub use hours::{Expected, Forecast};
pub use number::{Baseline, Changed};
pub use service::ServiceBaseline;
pub use told::{ComeAbout, Normal, NormalService, NormalTraffic, NormalWhole, NowService};

/// Services that are remembered at the most: those that have a counter of their own, and as many that had one.
const SERVICES: usize = 512;

/// What is normal of all traffic together, and of each service.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Baselines {
    /// By [`Metric::name`].
    totals: BTreeMap<String, Baseline>,
    services: BTreeMap<String, ServiceBaseline>,
    #[serde(default)]
    handshakes: Handshakes,
}

/// What has another level than it used to.
#[derive(Clone, Debug, PartialEq)]
pub struct Shifted {
    /// `None`: all traffic together.
    pub service: Option<String>,
    /// Such as `packets`.
    pub metric: &'static str,
    pub changed: Changed,
}

/// What is foreseen of each number, in the order of the names.
pub struct Forecasts {
    of: Vec<String>,
    numbers: Vec<Option<Forecast>>,
}

/// The hours that [`Forecasts`] are made of.
pub struct Series {
    of: Vec<String>,
    numbers: Vec<hours::Hours>,
}

impl Baselines {
    /// Learns one second, in which nothing was attacked. Tells what has had another level for long.
    pub fn learn(&mut self, second: &Features) -> Vec<Shifted> {
        let mut shifted = Vec::new();
        if let Some(opened) = second.opened {
            let [asked, _] = second.asked_and_dropped();
            self.handshakes.learn(asked, opened);
        }
        for metric in Metric::ALL {
            if let Some(value) = second.metric(metric) {
                let baseline = self.totals.entry(metric.name().to_owned()).or_default();
                shifted.extend(baseline.learn(value, second.wall_s).map(|changed| Shifted {
                    service: None,
                    metric: metric.name(),
                    changed,
                }));
            }
        }
        for service in &second.services {
            if self.services.len() >= SERVICES && !self.services.contains_key(&service.service) {
                self.forget_idlest();
            }
            let baseline = self.services.entry(service.service.clone()).or_default();
            let changes = baseline.learn(service, second.wall_s).into_iter();
            shifted.extend(changes.map(|(metric, changed)| Shifted {
                service: Some(service.service.clone()),
                metric: metric.name(),
                changed,
            }));
        }
        self.services
            .values_mut()
            .for_each(|service| service.idle_s = service.idle_s.saturating_add(1));
        shifted
    }

    /// Whoever opens ports at random must not keep new services from being learnt.
    fn forget_idlest(&mut self) {
        let idlest = self.services.iter().max_by_key(|(_, service)| service.idle_s);
        if let Some(name) = idlest.map(|(name, _)| name.clone()) {
            self.services.remove(&name);
        }
    }

    /// A second came that is not learnt: a change that lasts must last in calm.
    pub fn interrupt(&mut self) {
        self.numbers_mut().for_each(Baseline::interrupt);
    }

    /// Of all traffic; `None` while it is not to be believed.
    pub fn total(&self, metric: Metric) -> Option<&Baseline> {
        self.totals
            .get(metric.name())
            .filter(|baseline| baseline.is_ready())
    }

    /// What `metric` of all traffic seldom exceeds at `wall_s` of the wall clock, if that is known; `None` while nothing is to be
    /// believed.
    pub fn usual(&self, metric: Metric, wall_s: Option<u64>) -> Option<f64> {
        self.totals.get(metric.name())?.usual(wall_s)
    }

    /// The part of the connections that are asked for which comes about, 0 to 1; `None` where that says nothing.
    pub fn come_about(&self) -> Option<f64> {
        self.handshakes.share()
    }

    /// Seconds that were learnt of all traffic.
    pub fn learnt_s(&self) -> u64 {
        let packets = self.totals.get(Metric::Packets.name());
        packets.map_or(0, Baseline::learnt_s)
    }

    pub fn service(&self, name: &str) -> Option<&ServiceBaseline> {
        self.services.get(name)
    }

    /// Services of which something was learnt, those that were served last first.
    pub fn service_names(&self) -> Vec<&str> {
        let mut services: Vec<(&String, &ServiceBaseline)> = self.services.iter().collect();
        services.sort_by_key(|(name, service)| (service.idle_s, *name));
        services.into_iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Forgets what was learnt of a service, or all of it; whether there was any.
    pub fn forget(&mut self, service: Option<&str>) -> bool {
        match service {
            Some(name) => self.services.remove(name).is_some(),
            None => {
                let was = !self.totals.is_empty() || !self.services.is_empty();
                *self = Self::default();
                was
            }
        }
    }

    /// Forgets the hours later than `wall_s`: the clock was ahead when they were learnt.
    pub fn forget_after(&mut self, wall_s: u64) {
        self.numbers_mut()
            .for_each(|baseline| baseline.hours_mut().forget_after(wall_s));
    }

    /// What forecasts are made of: to make them takes longer than a tick.
    pub fn series(&self) -> Series {
        Series {
            of: self.names(),
            numbers: self.numbers().map(|baseline| baseline.hours().clone()).collect(),
        }
    }

    /// Takes up forecasts; whether they are of the numbers that there are now.
    pub fn foresee(&mut self, forecasts: Forecasts) -> bool {
        if forecasts.of != self.names() {
            return false;
        }
        for (baseline, forecast) in self.numbers_mut().zip(forecasts.numbers) {
            baseline.foresee(forecast);
        }
        true
    }

    /// Whether all of it can have been learnt.
    pub fn is_sound(&self) -> bool {
        self.services.len() <= SERVICES
            && self.handshakes.is_sound()
            && self
                .totals
                .keys()
                .all(|name| Metric::ALL.iter().any(|metric| metric.name() == name))
            && self.numbers().all(Baseline::is_sound)
    }

    /// All of it, believed or not, at `wall_s` of the wall clock; without what is now.
    pub fn normal(&self, wall_s: Option<u64>) -> NormalTraffic {
        let totals = self.totals.iter();
        let services = self.services.iter();
        NormalTraffic {
            totals: totals
                .map(|(name, baseline)| (name.clone(), baseline.normal(wall_s)))
                .collect(),
            services: services
                .map(|(name, baseline)| (name.clone(), baseline.normal(wall_s)))
                .collect(),
            come_about: ComeAbout {
                usual: self.come_about(),
                now: None,
            },
            ..NormalTraffic::default()
        }
    }

    fn names(&self) -> Vec<String> {
        // A number that was not known before is another one.
        let of_service = |(name, service): (&String, &ServiceBaseline)| -> Vec<String> {
            let numbers = service.numbers();
            numbers
                .map(|(metric, _)| format!("{name} {}", metric.name()))
                .collect()
        };
        let services = self.services.iter().flat_map(of_service);
        self.totals.keys().cloned().chain(services).collect()
    }

    fn numbers(&self) -> impl Iterator<Item = &Baseline> {
        let services = self.services.values();
        let services = services.flat_map(|service| service.numbers().map(|(_, number)| number));
        self.totals.values().chain(services)
    }

    fn numbers_mut(&mut self) -> impl Iterator<Item = &mut Baseline> {
        let services = self.services.values_mut();
        let services = services.flat_map(ServiceBaseline::numbers_mut);
        self.totals.values_mut().chain(services)
    }
}

impl Series {
    /// Decomposes each number's hours: some tenths of a millisecond for each, once it has five weeks.
    pub fn forecasts(&self) -> Forecasts {
        Forecasts {
            of: self.of.clone(),
            numbers: self.numbers.iter().map(hours::Hours::forecast).collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use netguard_common::telemetry::Kind;

    use super::*;
    use crate::engine::feature::{HttpFeatures, ServiceFeatures, tests::second};

    /// Learnt from ten minutes like `usual`.
    pub(crate) fn learnt(usual: &[(Kind, u64)]) -> Baselines {
        let mut baselines = Baselines::default();
        for index in 0..600_u64 {
            let kinds: Vec<_> = usual
                .iter()
                .map(|(kind, packets)| (*kind, packets * (90 + index % 21) / 100))
                .collect();
            baselines.learn(&second(&kinds, &[]));
        }
        baselines
    }

    /// A second of services, each with so many packets.
    fn serving<'a>(services: impl IntoIterator<Item = (&'a str, f64)>) -> Features {
        let services = services.into_iter().map(|(name, packets)| ServiceFeatures {
            service: name.to_owned(),
            packets,
            ..ServiceFeatures::default()
        });
        Features {
            services: services.collect(),
            ..Features::default()
        }
    }

    /// A server that is asked more by day and less on the last two days of the week; by hour since 1970.
    fn rate(hour: u64) -> f64 {
        let day = (hour % 24) as f64 / 24.0 * std::f64::consts::TAU;
        let by_day = 1_000.0 * (1.0 - 0.9 * day.cos());
        if hour % 168 >= 120 { by_day / 5.0 } else { by_day }
    }

    #[test]
    fn baselines_come_back_from_json() -> Result<(), serde_json::Error> {
        let baselines = learnt(&[(Kind::Udp, 1_000)]);
        let text = serde_json::to_string(&baselines)?;
        let back: Baselines = serde_json::from_str(&text)?;
        let normal = |baselines: &Baselines| baselines.total(Metric::Udp).map(|usual| usual.normal(None));
        assert!(normal(&back).is_some() && back.is_sound());
        assert_eq!(normal(&back), normal(&baselines));
        assert_eq!(serde_json::to_string(&back)?, text);
        Ok(())
    }

    #[test]
    fn a_service_is_forgotten_alone() {
        let mut baselines = Baselines::default();
        for _ in 0..400 {
            baselines.learn(&serving([("tcp/80", 100.0), ("udp/53", 10.0)]));
        }
        assert!(baselines.forget(Some("tcp/80")) && !baselines.forget(Some("tcp/80")));
        assert!(baselines.service("tcp/80").is_none());
        assert!(
            baselines
                .service("udp/53")
                .is_some_and(|service| service.packets.is_ready())
        );
        assert!(baselines.forget(None) && !baselines.forget(None));
    }

    #[test]
    fn services_are_bounded_and_the_idlest_gives_way() {
        let mut baselines = Baselines::default();
        let names: Vec<String> = (0..2 * SERVICES).map(|port| format!("tcp/{port}")).collect();
        for name in &names {
            baselines.learn(&serving([("udp/53", 1.0), (name.as_str(), 1.0)]));
        }
        assert_eq!(baselines.services.len(), SERVICES);
        assert!(baselines.service("udp/53").is_some(), "it is served");
        assert!(baselines.service("tcp/1").is_none());
        assert!(baselines.service(&names[2 * SERVICES - 1]).is_some());
    }

    #[test]
    fn a_shift_says_of_what() {
        let mut baselines = Baselines::default();
        let mut shifted = Vec::new();
        for index in 0..3_000 {
            let packets = if index < 1_500 { 100.0 } else { 700.0 };
            shifted.extend(baselines.learn(&serving([("tcp/80", packets)])));
        }
        let [shifted] = &shifted[..] else {
            panic!("{shifted:?}")
        };
        assert_eq!(
            (shifted.service.as_deref(), shifted.metric),
            (Some("tcp/80"), "packets")
        );
    }

    #[test]
    fn the_hour_of_the_week_is_expected_where_it_is_known() {
        let mut baselines = Baselines::default();
        let begin = 1_000 * 168;
        for hour in begin..begin + 3 * 168 {
            // The last two days whole, so that quantiles know nothing else.
            let parts = if hour >= begin + 3 * 168 - 48 { 3_600 } else { 600 };
            for part in 0..parts {
                let mut second = second(&[(Kind::Udp, rate(hour) as u64)], &[]);
                second.wall_s = Some(hour * 3_600 + part);
                baselines.learn(&second);
            }
        }
        let monday_noon = Some((begin + 3 * 168 + 12) * 3_600);
        let of_days = baselines.usual(Metric::Udp, None).unwrap_or_default();
        assert_eq!(baselines.usual(Metric::Udp, monday_noon), Some(of_days));
        let forecasts = baselines.series().forecasts();
        assert!(baselines.foresee(forecasts));
        let usual = |wall_s| baselines.usual(Metric::Udp, wall_s).unwrap_or_default();
        // The last days that were learnt are those of a weekend, and Monday is five times as busy.
        assert!(
            usual(monday_noon) > 1.3 * of_days,
            "{} {of_days}",
            usual(monday_noon)
        );
        let night = usual(Some((begin + 3 * 168 + 24) * 3_600));
        assert!(
            (night - of_days / 2.0).abs() < 0.01 * of_days,
            "{night} {of_days}"
        );
        let others = Baselines::default().series().forecasts();
        assert!(!baselines.foresee(others));
    }

    /// Else the forecast of one number would be taken for that of another.
    #[test]
    fn forecasts_are_refused_once_more_is_known_of_a_service() {
        let mut baselines = Baselines::default();
        let mut second = serving([("tcp/80", 100.0)]);
        baselines.learn(&second);
        let forecasts = baselines.series().forecasts();
        second.services[0].http = Some(HttpFeatures::default());
        baselines.learn(&second);
        assert!(!baselines.foresee(forecasts));
        let forecasts = baselines.series().forecasts();
        assert!(baselines.foresee(forecasts) && baselines.is_sound());
    }
}
