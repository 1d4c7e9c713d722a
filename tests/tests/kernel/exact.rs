//! Blocked addresses in lines: more of them than a line has slots, and neighbours that are not blocked.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netguard_common::{
    Verdict,
    exact::{line_v4, line_v6},
};
use netguard_tests::{
    frames::frame,
    world::{DISTANT, World},
};

use super::{judge, kernel};

/// Each second address of those that share a line is blocked.
#[test]
fn a_line_that_is_full_leaves_the_rest_to_the_table() {
    let seed = World::new().settings.seed;
    let line = |address: u32| line_v4(address.to_be(), seed);
    let first = u32::from(Ipv4Addr::new(192, 0, 2, 1));
    let v4 = (first..).filter(|&address| line(address) == line(first));
    let addresses: Vec<IpAddr> = v4
        .take(30)
        .map(|address| IpAddr::from(address.to_be_bytes()))
        .chain((0..30).map(|host| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, host))))
        .collect();
    let blocked: HashSet<IpAddr> = addresses.iter().copied().step_by(2).collect();
    let world = blocked.iter().fold(World::new(), |world, address| {
        world.block_until(&address.to_string(), DISTANT)
    });
    check(&world, &addresses, &blocked);
}

#[test]
fn a_network_and_its_addresses_share_a_line() {
    let network = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 0);
    let seed = World::new().settings.seed;
    let upper =
        |address: Ipv6Addr| u64::from_ne_bytes(address.octets()[..8].try_into().expect("eight bytes"));
    let same_line = |other: &Ipv6Addr| line_v6(upper(*other), seed) == line_v6(upper(network), seed);
    let stranger = (8..u16::MAX)
        .flat_map(|low| (0..64).map(move |high| Ipv6Addr::new(0x2001, 0xdb8, high, low, 0, 0, 0, 0)))
        .find(same_line)
        .expect("some network has the same line");
    let world = World::new()
        .block("2001:db8:0:7::/64")
        .block("2001:db8:0:7::5")
        .block(&stranger.to_string());
    let next = Ipv6Addr::from(u128::from(stranger) + 1);
    let addresses: Vec<IpAddr> = ["2001:db8:0:7::5", "2001:db8:0:7::6", "2001:db8:0:8::5"]
        .map(|address| address.parse().expect("an address"))
        .into_iter()
        .chain([stranger.into(), next.into()])
        .collect();
    let blocked = HashSet::from([addresses[0], addresses[1], addresses[3]]);
    check(&world, &addresses, &blocked);
}

fn check(world: &World, addresses: &[IpAddr], blocked: &HashSet<IpAddr>) {
    let mut kernel = kernel(world);
    let program = kernel.program("netguard_judge").expect("it loads");
    for address in addresses {
        let frame = match address {
            IpAddr::V4(_) => frame().ipv4(&address.to_string(), "198.51.100.1"),
            IpAddr::V6(_) => frame().ipv6(&address.to_string(), "2001:db8:1::1"),
        };
        let expected = if blocked.contains(address) {
            Verdict::BlockAddress
        } else {
            Verdict::Pass
        };
        assert_eq!(
            judge(&program, &frame.udp(1, 2).build()).verdict,
            expected,
            "{address}"
        );
    }
}
