//! The addresses of this machine and of the routers it sends through.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::{StreamExt as _, TryStreamExt as _};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use rtnetlink::RouteMessageBuilder;

use super::{HostError, ask, refused};

/// Questions until an answer is whole. The kernel lists in parts and goes on by position: where addresses come and go meanwhile,
/// it passes over some that stay, and says so.
const ATTEMPTS: usize = 8;

/// All addresses of all interfaces, IPv4 and IPv6, sorted, loopback and link-local ones included.
///
/// # Errors
/// When the kernel does not answer.
pub async fn own_addresses() -> Result<Vec<IpAddr>, HostError> {
    ask(async |handle| {
        let found = whole(async || {
            let mut list = List::default();
            let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
            let mut request = NetlinkMessage::from(request);
            request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
            let answers = handle.clone().request(request);
            let mut answers = answers.map_err(refused("addresses"))?;
            while let Some(answer) = answers.next().await {
                list.take(answer)?;
            }
            Ok(list)
        });
        Ok(found.await?.into_iter().collect())
    })
    .await
}

/// What the kernel lists.
#[derive(Default)]
struct List {
    found: BTreeSet<IpAddr>,
    /// Something changed meanwhile.
    disturbed: bool,
}

impl List {
    fn take(&mut self, answer: NetlinkMessage<RouteNetlinkMessage>) -> Result<(), HostError> {
        self.disturbed |= answer.header.flags & NLM_F_DUMP_INTR != 0;
        match answer.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)) => {
                self.found.extend(own(&message));
                Ok(())
            }
            NetlinkPayload::Error(error) => Err(refused("addresses")(rtnetlink::Error::NetlinkError(error))),
            _ => Ok(()),
        }
    }
}

/// The first list that was not disturbed. If all were, what is on any of them: better an address too many than one too few.
async fn whole(
    mut list: impl AsyncFnMut() -> Result<List, HostError>,
) -> Result<BTreeSet<IpAddr>, HostError> {
    let mut all = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        let list = list().await?;
        if !list.disturbed {
            return Ok(list.found);
        }
        all.extend(list.found);
    }
    Ok(all)
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

    /// Found in review: an address that stayed could be missing for a sweep, while others came and went.
    #[tokio::test]
    async fn what_was_disturbed_is_asked_again() {
        let list = |texts: &[&str], disturbed| {
            let mut list = List::default();
            for text in texts {
                let mut message = AddressMessage::default();
                message.attributes.push(AddressAttribute::Address(address(text)));
                let mut answer = NetlinkMessage::from(RouteNetlinkMessage::NewAddress(message));
                answer.header.flags = if disturbed { NLM_F_DUMP_INTR } else { 0 };
                list.take(answer).unwrap();
            }
            list
        };
        let of = |texts: &[&str]| -> BTreeSet<IpAddr> { texts.iter().map(|text| address(text)).collect() };
        let mut asked = 0;
        let found = whole(async || {
            asked += 1;
            Ok(match asked {
                1 => list(&["192.0.2.1", "192.0.2.9"], true),
                _ => list(&["192.0.2.1", "192.0.2.2"], false),
            })
        });
        assert_eq!(found.await.unwrap(), of(&["192.0.2.1", "192.0.2.2"]));
        assert_eq!(asked, 2);
        let mut asked = 0;
        let found = whole(async || {
            asked += 1;
            Ok(list(&[["192.0.2.1", "192.0.2.2"][asked % 2]], true))
        });
        assert_eq!(found.await.unwrap(), of(&["192.0.2.1", "192.0.2.2"]));
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
