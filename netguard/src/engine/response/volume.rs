//! How much of an attack passes, and how much may: what is usual, with room for more.

use netguard_common::{Verdict, telemetry::Kind};

use crate::engine::{Baselines, Features, detect::Class, feature::Metric, seen::Seen};

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

/// Whether a packet is like those of an attack of `class`.
pub(super) fn is_of(class: Class, seen: &Seen) -> bool {
    match kinds(class) {
        Some((kinds, _, _)) => kinds.contains(&seen.kind),
        None => class.verdicts().contains(&seen.verdict),
    }
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
    let (protocol, floor): (&str, f64) = match class {
        Class::SynFlood => ("tcp/", 50.0),
        Class::UdpFlood => ("udp/", 200.0),
        _ => return None,
    };
    features
        .services
        .iter()
        .filter(|service| service.service.starts_with(protocol))
        .filter_map(|service| {
            let usual = baselines.service(&service.service)?;
            let (rate, usual) = match class {
                Class::SynFlood => (service.opening, &usual.opening),
                _ => (service.packets, &usual.packets),
            };
            let held = floor.max(ROOM * usual.usual(features.wall_s)?);
            (rate > held).then(|| (rate - held, service.service.clone(), held as u64))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, service, held)| (service, held))
}
