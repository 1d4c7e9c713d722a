//! The largest TCP segments that the protected interfaces can take. An answer in a service's name must not ask the client for
//! larger ones: a cookie knows what the client can take, not what this machine can.

use netguard_common::layout::Segments;
use tracing::warn;

use super::State;
use crate::host::{Interface, ipv6_mtu};

/// Headers of IP and TCP without options (RFC 9293 section 3.7.1), and what the kernel tells at the least and at the most
/// (`ipv4_default_advmss()` in net/ipv4/route.c, `ip6_default_advmss()` in net/ipv6/route.c).
const V4: [u32; 3] = [40, 256, 65_495];
const V6: [u32; 3] = [60, 1_220, 65_535];

/// Those that all of `interfaces` can take.
pub(super) fn segments(interfaces: &[Interface]) -> Segments {
    let v6 = |interface: &Interface| {
        let told = ipv6_mtu(&interface.name).unwrap_or(interface.mtu);
        told.min(interface.mtu)
    };
    Segments {
        v4: smallest(interfaces.iter().map(|interface| interface.mtu), V4),
        v6: smallest(interfaces.iter().map(v6), V6),
    }
}

/// Tells the datapath when they have changed.
pub(super) fn follow(state: &State, segments: Segments) {
    let mut map = state.settings();
    let written = map.read().and_then(|mut settings| {
        if settings.segments == segments {
            return Ok(());
        }
        settings.segments = segments;
        map.write(&settings)
    });
    if let Err(error) = written {
        warn!("answers may ask for segments that an interface cannot take: {error}");
    }
}

/// What fits into the smallest of `mtus`; 0 where there is none.
fn smallest(mtus: impl Iterator<Item = u32>, [headers, least, most]: [u32; 3]) -> u32 {
    mtus.min()
        .map_or(0, |mtu| mtu.saturating_sub(headers).clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::LinkLayer;

    fn of(mtus: &[u32]) -> (u32, u32) {
        let interface = |mtu: &u32| Interface {
            index: 0,
            name: "no-such-card".to_owned(),
            mac: None,
            driver: None,
            mtu: *mtu,
            up: true,
            link_layer: LinkLayer::Ethernet,
            vlan_of: None,
            unsent: 0,
            xdp: None,
        };
        let interfaces: Vec<Interface> = mtus.iter().map(interface).collect();
        let Segments { v4, v6 } = segments(&interfaces);
        (v4, v6)
    }

    #[test]
    fn the_smallest_interface_counts() {
        assert_eq!(of(&[]), (0, 0));
        assert_eq!(of(&[1500]), (1460, 1440));
        assert_eq!(of(&[9000, 1460]), (1420, 1400));
        assert_eq!(of(&[9000]), (8960, 8940));
        assert_eq!(of(&[68]), (256, 1220));
        assert_eq!(of(&[100_000]), (65_495, 65_535));
    }
}
