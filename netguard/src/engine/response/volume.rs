//! How much of an attack passes, and how much may: what is usual, with room for more.

use netguard_common::{Action, Verdict, telemetry::Kind};

use crate::engine::{
    Baselines, Features,
    detect::Class,
    feature::{Metric, ServiceFeatures},
    seen::Seen,
};

/// So many times what is seldom exceeded may pass.
const ROOM: f64 = 2.0;

/// What packets of an attack of `class` are like; `None` where the datapath tells them one by one, and limits and signatures add
/// nothing.
pub(super) fn kinds(class: Class) -> Option<(&'static [Kind], Metric, f64)> {
    match class {
        Class::SynFlood => Some((&[Kind::Syn], Metric::Syn, 500.0)),
        Class::UdpFlood => Some((&[Kind::Udp], Metric::Udp, 5_000.0)),
        Class::IcmpFlood => Some((&[Kind::Icmp], Metric::Icmp, 500.0)),
        Class::FragmentFlood => Some((&[Kind::Fragment], Metric::Fragments, 500.0)),
        Class::ProtocolFlood => Some((&[Kind::Other], Metric::Other, 5_000.0)),
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
    let Some((kinds, _, _)) = kinds(class) else {
        return class.verdicts().contains(&seen.verdict);
    };
    let is_refused = !matches!(seen.verdict.action(), Action::Pass);
    kinds.contains(&seen.kind) && (is_refused || is_passing && !is_usual(class, seen, features, baselines))
}

/// Whether the packet went to a service that gets no more than it may. Of services that nobody watches nobody knows.
fn is_usual(class: Class, seen: &Seen, features: &Features, baselines: &Baselines) -> bool {
    let Some((protocol, floor)) = services(class) else {
        return false;
    };
    let mut services = features.services.iter();
    let service = services.find(|service| {
        let port = service.service.strip_prefix(protocol);
        port.and_then(|port| port.parse().ok()) == Some(seen.stratum.port)
    });
    service.is_some_and(|service| {
        let rate = asked(class, service);
        rate <= held(class, service, floor, features, baselines).unwrap_or(floor)
    })
}

/// The protocol of the services that attacks of `class` are aimed at, and what each may get in any case.
fn services(class: Class) -> Option<(&'static str, f64)> {
    match class {
        Class::SynFlood => Some(("tcp/", 50.0)),
        Class::UdpFlood => Some(("udp/", 200.0)),
        _ => None,
    }
}

/// What `service` gets of it, per second.
fn asked(class: Class, service: &ServiceFeatures) -> f64 {
    match class {
        Class::SynFlood => service.opening,
        _ => service.packets,
    }
}

/// What `service` may get, per second; `None` where nobody knows what is usual.
fn held(
    class: Class,
    service: &ServiceFeatures,
    floor: f64,
    features: &Features,
    baselines: &Baselines,
) -> Option<f64> {
    let usual = baselines.service(&service.service)?;
    let usual = match class {
        Class::SynFlood => &usual.opening,
        _ => &usual.packets,
    };
    Some(floor.max(ROOM * usual.usual(features.wall_s)?))
}

/// Packets a second of the kinds of `class` that pass, and how many may; nothing before a class without kinds.
pub(super) fn passing(class: Class, features: &Features, baselines: &Baselines) -> Option<(f64, f64)> {
    let (kinds, metric, floor) = kinds(class)?;
    let answered = match class {
        Class::SynFlood => features.with(&[Verdict::SynCookie]),
        Class::UdpFlood => features.with(&[Verdict::DnsTruncate]),
        _ => 0.0,
    };
    let passing = features.of_kinds(kinds) - features.refused_of(kinds) - answered;
    let usual = baselines.usual(metric, features.wall_s);
    Some((passing.max(0.0), floor.max(ROOM * usual.unwrap_or(0.0))))
}

/// The service that an attack of `class` is aimed at, with the rate that it may be held at: the one that gets most above what it
/// usually gets. `None` where nobody knows that.
pub(super) fn target(class: Class, features: &Features, baselines: &Baselines) -> Option<(String, u64)> {
    let (protocol, floor) = services(class)?;
    features
        .services
        .iter()
        .filter(|service| service.service.starts_with(protocol))
        .filter_map(|service| {
            let held = held(class, service, floor, features, baselines)?;
            let rate = asked(class, service);
            (rate > held).then(|| (rate - held, service.service.clone(), held as u64))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, service, held)| (service, held))
}
