//! The upper rungs of the ladder: whatever a source sends that has proven itself, or that an operator allows, it loses nothing by a service
//! that takes nobody new, nor by a country that is held. A stranger does, so the law is not empty.

use std::{net::IpAddr, ops::ControlFlow};

use netguard_common::{
    Judgement, Verdict, decide,
    packet::{Transport, protocol},
    parse::parse,
    view::SliceView,
};
use netguard_tests::{
    generate::{Net, shape},
    world::{World, held_country},
};
use proptest::prelude::*;

const NOW_NS: u64 = 1 << 40;

fn judged(world: &World, frame: &[u8]) -> Judgement {
    decide(&SliceView(frame), &world.memory(NOW_NS))
}

/// `world`, in which the country of `source` is held and `service` takes nobody new.
fn measured(world: World, source: IpAddr, service: Option<&str>) -> World {
    let world = match service {
        Some(service) => world.broken(service),
        None => world,
    };
    world.list(held_country(), &[&source.to_string()])
}

/// The service that `frame` asks, and whether it is a newcomer's first packet to it; `None` where it asks none.
fn asked(frame: &[u8]) -> Option<(String, bool)> {
    let ControlFlow::Continue(packet) = parse(&SliceView(frame)) else {
        return None;
    };
    let is_first = match packet.transport() {
        Transport::Tcp { flags, .. } => flags.0 & 0x12 == 0x02,
        Transport::Udp { .. } => true,
        _ => return None,
    };
    let name = if packet.protocol == protocol::TCP {
        "tcp"
    } else {
        "udp"
    };
    (packet.destination_port != 0).then(|| (format!("{name}/{}", packet.destination_port), is_first))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn who_has_proven_itself_or_is_allowed_loses_nothing(shape in shape()) {
        let source: IpAddr = match &shape.net {
            Net::V4 { source, .. } => (*source).into(),
            Net::V6 { source, .. } => (*source).into(),
            Net::Arp | Net::Other(_) => return Ok(()),
        };
        let frame = shape.build();
        let service = asked(&frame);
        let named = service.as_ref().map(|(service, _)| service.as_str());
        let text = source.to_string();
        let proven = World::new().proven(&text);
        prop_assert_eq!(
            judged(&measured(proven.clone(), source, named), &frame),
            judged(&proven, &frame)
        );
        let allowed = World::new().allow(&text);
        prop_assert_eq!(
            judged(&measured(allowed.clone(), source, named), &frame),
            judged(&allowed, &frame)
        );
        // A stranger is held, and not served by a service that takes nobody new.
        if judged(&World::new(), &frame).verdict == Verdict::Pass {
            let held = World::new().list(held_country(), &[&text]);
            prop_assert_eq!(judged(&held, &frame).verdict, Verdict::LimitCountry);
            if let Some((service, is_first)) = &service {
                let verdict = judged(&World::new().broken(service), &frame).verdict;
                prop_assert_eq!(verdict == Verdict::Signature, *is_first, "{}", service);
            }
        }
    }
}
