//! How much of an attack passes, and how much may: what is usual, with room for more.

use netguard_common::{Action, Verdict, packet::protocol, telemetry::Kind};

use crate::engine::{
    Baselines, Features,
    detect::Class,
    feature::{Metric, ServiceFeatures},
    seen::Seen,
};

/// So many times what is seldom exceeded may pass.
const ROOM: f64 = 2.0;

/// What packets of an attack of `class` are like, and how many of them may pass in any case; `None` where the datapath tells them one by
/// one, and limits and signatures add nothing.
pub(super) fn kinds(class: Class) -> Option<(&'static [Kind], &'static [Metric], f64)> {
    match class {
        Class::SynFlood => Some((&[Kind::Syn], &[Metric::Syn], 500.0)),
        Class::UdpFlood => Some((&[Kind::Udp], &[Metric::Udp], 5_000.0)),
        Class::IcmpFlood => Some((&[Kind::Icmp], &[Metric::Icmp], 500.0)),
        Class::FragmentFlood => Some((&[Kind::Fragment], &[Metric::Fragments], 500.0)),
        Class::ProtocolFlood => Some((&[Kind::Other], &[Metric::Other], 5_000.0)),
        // As the detector has it.
        Class::CarpetBombing => Some((&[Kind::Syn, Kind::Udp], &[Metric::Syn, Metric::Udp], 1_000.0)),
        _ => None,
    }
}

/// Whether a packet is of an attack of `class`: one that was refused, or where too much passes (`is_passing`), one to a service
/// that gets more than it may. Others of its kind are somebody else's.
pub(super) fn is_of(
    class: Class,
    seen: &Seen,
    is_passing: bool,
    features: &Features,
    baselines: &Baselines,
) -> bool {
    let Some((kinds, ..)) = kinds(class) else {
        return class.verdicts().contains(&seen.verdict);
    };
    let is_refused = !matches!(seen.verdict.action(), Action::Pass);
    kinds.contains(&seen.kind) && (is_refused || is_passing && !is_usual(class, seen, features, baselines))
}

/// Whether the packet went to a service that gets no more than it may. Of services that nobody watches nobody knows.
fn is_usual(class: Class, seen: &Seen, features: &Features, baselines: &Baselines) -> bool {
    let protocol = match seen.stratum.protocol {
        protocol::TCP => "tcp/",
        protocol::UDP => "udp/",
        _ => return false,
    };
    let mut services = features.services.iter();
    let service = services.find(|service| {
        let port = service.service.strip_prefix(protocol);
        port.and_then(|port| port.parse().ok()) == Some(seen.stratum.port)
    });
    service.is_some_and(|service| {
        let Some(floor) = floor(class, service) else {
            return false;
        };
        asked(service) <= held(class, service, features, baselines).unwrap_or(floor)
    })
}

/// The protocols of the services that attacks of `class` are aimed at, and what each may get in any case.
const fn services(class: Class) -> &'static [(&'static str, f64)] {
    match class {
        Class::SynFlood => &[("tcp/", 50.0)],
        Class::UdpFlood => &[("udp/", 200.0)],
        // Each gets little: that is what makes it one.
        Class::CarpetBombing => &[("tcp/", 20.0), ("udp/", 20.0)],
        _ => &[],
    }
}

/// Whether attacks of `class` are aimed at services.
pub(super) const fn has_targets(class: Class) -> bool {
    !services(class).is_empty()
}

/// What `service` may get in any case of what attacks of `class` send; `None` where it is no target of those.
fn floor(class: Class, service: &ServiceFeatures) -> Option<f64> {
    let mut protocols = services(class).iter();
    let found = protocols.find(|(protocol, _)| service.service.starts_with(protocol));
    found.map(|(_, floor)| *floor)
}

fn is_tcp(service: &ServiceFeatures) -> bool {
    service.service.starts_with("tcp/")
}

/// What `service` is asked for, per second: connections, or packets.
pub(super) fn asked(service: &ServiceFeatures) -> f64 {
    if is_tcp(service) {
        service.opening
    } else {
        service.packets
    }
}

/// What `service` may get of attacks of `class`, per second; `None` where nobody knows what is usual.
fn held(class: Class, service: &ServiceFeatures, features: &Features, baselines: &Baselines) -> Option<f64> {
    let usual = baselines.service(&service.service)?;
    let usual = if is_tcp(service) {
        &usual.opening
    } else {
        &usual.packets
    };
    Some(floor(class, service)?.max(ROOM * usual.usual(features.wall_s)?))
}

/// Packets a second of the kinds of `class` that pass, and how many may; nothing before a class without kinds.
pub(super) fn passing(class: Class, features: &Features, baselines: &Baselines) -> Option<(f64, f64)> {
    let (kinds, metrics, floor) = kinds(class)?;
    let answered = match class {
        Class::SynFlood => features.with(&[Verdict::SynCookie]),
        Class::UdpFlood => features.with(&[Verdict::DnsTruncate]),
        Class::CarpetBombing => features.with(&[Verdict::SynCookie, Verdict::DnsTruncate]),
        _ => 0.0,
    };
    let passing = features.of_kinds(kinds) - features.refused_of(kinds) - answered;
    let usual = metrics
        .iter()
        .map(|metric| baselines.usual(*metric, features.wall_s).unwrap_or(0.0));
    Some((passing.max(0.0), floor.max(ROOM * usual.sum::<f64>())))
}

/// The same of what one `service` is asked for; `None` where nobody knows what is usual for it.
pub(super) fn passing_to(
    class: Class,
    service: &str,
    features: &Features,
    baselines: &Baselines,
) -> Option<(f64, f64)> {
    let mut services = features.services.iter();
    let service = services.find(|known| known.service == service)?;
    let held = held(class, service, features, baselines)?;
    Some(((asked(service) - service.dropped).max(0.0), held))
}

/// The services that an attack of `class` is aimed at, with the rates that they may be held at: those that get more than they usually
/// get, the one of which most passes above that first. A carpet is spread over many; of others only the first is told. Empty where nobody
/// knows what is usual.
pub(super) fn targets(class: Class, features: &Features, baselines: &Baselines) -> Vec<(String, u64)> {
    const OF_A_CARPET: usize = 16;
    let above = features.services.iter().filter_map(|service| {
        let held = held(class, service, features, baselines)?;
        let rate = asked(service);
        // What is refused already is no reason to look at nothing else.
        let passing = rate - service.dropped;
        (rate > held).then(|| (passing - held, service.service.clone(), held as u64))
    });
    let mut above: Vec<(f64, String, u64)> = above.collect();
    above.sort_by(|a, b| b.0.total_cmp(&a.0));
    let most = if class == Class::CarpetBombing {
        OF_A_CARPET
    } else {
        1
    };
    let targets = above.into_iter().take(most);
    targets.map(|(_, service, held)| (service, held)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::feature::tests::second;

    fn services(rates: &[(&str, f64)]) -> Features {
        let mut features = second(&[(Kind::Syn, 2_000), (Kind::Udp, 2_000)], &[]);
        let services = rates.iter().map(|(service, rate)| ServiceFeatures {
            service: (*service).to_owned(),
            opening: if service.starts_with("tcp/") { *rate } else { 0.0 },
            packets: *rate,
            ..ServiceFeatures::default()
        });
        features.services = services.collect();
        features
    }

    /// Found in review: while a flood of two services was refused at the larger one, all of it passed to the other.
    #[test]
    fn the_target_is_where_most_passes() {
        let mut baselines = Baselines::default();
        for _ in 0..400 {
            baselines.learn(&services(&[("tcp/80", 5.0), ("tcp/443", 5.0)]));
        }
        let mut now = services(&[("tcp/80", 900.0), ("tcp/443", 1_500.0)]);
        let target = |now: &Features| targets(Class::SynFlood, now, &baselines)[0].0.clone();
        assert_eq!(target(&now), "tcp/443");
        now.services[1].dropped = 1_400.0;
        assert_eq!(target(&now), "tcp/80");
    }

    #[test]
    fn a_carpet_has_many_targets_and_a_flood_one() {
        let mut baselines = Baselines::default();
        for _ in 0..400 {
            baselines.learn(&services(&[("tcp/80", 5.0), ("udp/53", 5.0), ("tcp/22", 5.0)]));
        }
        let now = services(&[
            ("tcp/80", 90.0),
            ("udp/53", 300.0),
            ("tcp/22", 6.0),
            ("tcp/9", 900.0),
        ]);
        let targets = |class| targets(class, &now, &baselines);
        assert_eq!(
            targets(Class::CarpetBombing),
            [("udp/53".to_owned(), 20), ("tcp/80".to_owned(), 20)]
        );
        assert_eq!(targets(Class::SynFlood), [("tcp/80".to_owned(), 50)]);
        assert_eq!(targets(Class::UdpFlood), [("udp/53".to_owned(), 200)]);
        assert_eq!(targets(Class::IcmpFlood), []);
        let (passing, may) = passing(Class::CarpetBombing, &now, &baselines).expect("it has kinds");
        assert_eq!(passing, 4_000.0);
        assert!(may > 4_000.0, "that is usual here: {may}");
        assert_eq!(
            passing_to(Class::SynFlood, "tcp/80", &now, &baselines),
            Some((90.0, 50.0))
        );
        assert_eq!(passing_to(Class::SynFlood, "tcp/9", &now, &baselines), None);
    }
}
