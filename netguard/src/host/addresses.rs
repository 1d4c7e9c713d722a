//! The addresses of this machine and of the routers it sends through.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use rtnetlink::RouteMessageBuilder;

use super::{HostError, ask, refused};

/// All addresses of all interfaces, IPv4 and IPv6, sorted, loopback and link-local ones included.
///
/// # Errors
/// When the kernel does not answer.
pub async fn own_addresses() -> Result<Vec<IpAddr>, HostError> {
    ask(async |handle| {
        let mut messages = handle.address().get().execute();
        let mut found = BTreeSet::new();
        while let Some(message) = messages.try_next().await.map_err(refused("addresses"))? {
            found.extend(own(&message));
        }
        Ok(found.into_iter().collect())
    })
    .await
}

/// The next hops of all routes in all tables, IPv4 and IPv6, sorted; multipath routes contribute each of theirs.
///
/// # Errors
/// When the kernel does not answer.
pub async fn gateways() -> Result<Vec<IpAddr>, HostError> {
    let ipv4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let ipv6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    ask(async |handle| {
        let mut found = BTreeSet::new();
        for request in [ipv4, ipv6] {
            let mut messages = handle.route().get(request).execute();
            while let Some(message) = messages.try_next().await.map_err(refused("routes"))? {
                found.extend(next_hops(&message));
            }
        }
        Ok(found.into_iter().collect())
    })
    .await
}

/// The address that a message tells of, if it is this machine's. One that another host was found to have is not assigned
/// (RFC 4862 section 5.4.5), and that host must not be taken for a forger. On a point-to-point link the kernel calls the peer
/// `Address` and this machine `Local`; elsewhere IPv6 has `Address` only.
fn own(message: &AddressMessage) -> Option<IpAddr> {
    if message.header.flags.contains(AddressHeaderFlags::Dadfailed) {
        return None;
    }
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

fn next_hops(message: &RouteMessage) -> Vec<IpAddr> {
    let nested = message.attributes.iter().flat_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => hops.as_slice(),
        _ => &[],
    });
    let nested = nested.flat_map(|hop| &hop.attributes);
    message
        .attributes
        .iter()
        .chain(nested)
        .filter_map(gateway)
        .collect()
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some((*address).into()),
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some((*address).into()),
        // An IPv4 route through an IPv6 router (RFC 5549).
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::route::RouteNextHop;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_own_end_of_a_point_to_point_link() {
        let mut message = AddressMessage::default();
        message
            .attributes
            .push(AddressAttribute::Address(address("192.0.2.2")));
        assert_eq!(own(&message), Some(address("192.0.2.2")));
        message
            .attributes
            .push(AddressAttribute::Local(address("192.0.2.1")));
        assert_eq!(own(&message), Some(address("192.0.2.1")));
    }

    #[test]
    fn an_address_that_another_host_has_is_not_own() {
        let mut message = AddressMessage::default();
        message
            .attributes
            .push(AddressAttribute::Address(address("2001:db8::1")));
        message.header.flags = AddressHeaderFlags::Permanent | AddressHeaderFlags::Tentative;
        assert_eq!(own(&message), Some(address("2001:db8::1")), "a moment more");
        message.header.flags |= AddressHeaderFlags::Dadfailed;
        assert_eq!(own(&message), None);
    }

    #[test]
    fn every_next_hop_of_a_route() {
        let gateway = |text: &str| RouteAttribute::Gateway(address(text).into());
        let mut message = RouteMessage::default();
        message.attributes.push(gateway("192.0.2.1"));
        let mut hop = RouteNextHop::default();
        hop.attributes.push(gateway("192.0.2.2"));
        let mut other = RouteNextHop::default();
        other
            .attributes
            .push(RouteAttribute::Via(address("fe80::1").into()));
        message
            .attributes
            .push(RouteAttribute::MultiPath(vec![hop, other]));
        assert_eq!(
            next_hops(&message),
            ["192.0.2.1", "192.0.2.2", "fe80::1"].map(address)
        );
    }

    #[tokio::test]
    async fn the_kernel_answers() {
        assert!(own_addresses().await.unwrap().contains(&address("127.0.0.1")));
        gateways().await.unwrap();
    }
}
