//! The network interfaces of this namespace and the XDP programs attached to them.

use std::fmt;
use std::fs;
use std::path::Path;

use futures_util::TryStreamExt;
use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};
use serde::{Serialize, Serializer};

use super::{HostError, ask, refused};

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its number in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, if it has one.
    pub mac: Option<MacAddress>,
    /// What drives it, such as `ixgbe` or `virtio_net`; the kind for virtual ones, such as `veth`.
    pub driver: Option<String>,
    /// Longest packet it sends, in bytes without the link header.
    pub mtu: u32,
    /// True if it is switched on; says nothing about the cable.
    pub up: bool,
    /// What its frames begin with.
    pub link_layer: LinkLayer,
    /// The interface whose tagged frames it takes, if it is a VLAN.
    pub vlan_of: Option<u32>,
    /// Packets that it could not send since it was made; a veth's redirects that nobody takes are among them.
    pub unsent: u64,
    /// The XDP program attached to it.
    pub xdp: Option<AttachedXdp>,
}

/// What the frames of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkLayer {
    /// An Ethernet header.
    Ethernet,
    /// An Ethernet header too, but the traffic is this machine talking to itself.
    Loopback,
    /// Something else, such as the IP header itself on a tunnel.
    Other,
}

/// An XDP program attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AttachedXdp {
    /// Where it runs.
    pub mode: XdpMode,
    /// The kernel's number of the program, as `bpftool prog show id` takes it; with several programs the native one.
    pub program_id: u32,
}

/// Where an attached XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// Behind the driver, in the network stack.
    Generic,
    /// On the card.
    Offload,
    /// More than one program, in different modes.
    Multi,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress(pub [u8; 6]);

/// The interface called `name`.
///
/// # Errors
/// [`HostError::NoInterface`] with the names that exist, or when the kernel does not answer.
pub async fn interface(name: &str) -> Result<Interface, HostError> {
    // The whole list: the kernel refuses a name it cannot hold with errors that vary, and a wrong name needs the list anyway.
    let mut all = interfaces().await?;
    match all.iter().position(|interface| interface.name == name) {
        Some(index) => Ok(all.swap_remove(index)),
        None => Err(HostError::NoInterface {
            name: name.to_owned(),
            known: all.into_iter().map(|interface| interface.name).collect(),
        }),
    }
}

/// All interfaces, in the order of their numbers.
///
/// # Errors
/// When the kernel does not answer.
pub async fn interfaces() -> Result<Vec<Interface>, HostError> {
    ask(async |handle| {
        let mut messages = handle.link().get().execute();
        let mut found = Vec::new();
        while let Some(message) = messages.try_next().await.map_err(refused("interfaces"))? {
            found.push(Interface::from(&message));
        }
        found.sort_by_key(|interface| interface.index);
        Ok(found)
    })
    .await
}

impl Interface {
    /// The kernel's number of the XDP program that runs on it.
    #[must_use]
    pub fn program_id(&self) -> Option<u32> {
        self.xdp.map(|xdp| xdp.program_id)
    }
}

impl XdpMode {
    /// The name of the mode.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offload => "offload",
            Self::Multi => "multi",
        }
    }
}

impl fmt::Display for XdpMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<&LinkMessage> for Interface {
    fn from(message: &LinkMessage) -> Self {
        let mut interface = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            driver: None,
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            link_layer: match message.header.link_layer_type {
                LinkLayerType::Ether => LinkLayer::Ethernet,
                LinkLayerType::Loopback => LinkLayer::Loopback,
                _ => LinkLayer::Other,
            },
            vlan_of: None,
            unsent: 0,
            xdp: None,
        };
        let (mut kind, mut bus, mut device, mut below) = (None, None, None, None);
        let mut dropped = [0; 2];
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name.clone_from(name),
                LinkAttribute::Address(bytes) => {
                    interface.mac = bytes.as_slice().try_into().ok().map(MacAddress)
                }
                LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
                LinkAttribute::Link(index) => below = Some(*index),
                LinkAttribute::Stats64(stats) => dropped = [stats.tx_dropped, stats.rx_dropped],
                LinkAttribute::Xdp(xdp) => interface.xdp = attached(xdp),
                LinkAttribute::LinkInfo(infos) => {
                    kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                LinkAttribute::ParentDevBusName(name) => bus = Some(name),
                LinkAttribute::ParentDevName(name) => device = Some(name),
                _ => {}
            }
        }
        interface.vlan_of = below.filter(|_| kind.as_deref() == Some("vlan"));
        interface.driver = bus
            .zip(device)
            .and_then(|(bus, device)| driver(bus, device))
            .or(kind);
        let [sending, receiving] = dropped;
        // What cannot be redirected was received; cards, and generic XDP, drop what comes too fast there, too.
        let is_native = interface.xdp.is_some_and(|xdp| xdp.mode == XdpMode::Native);
        interface.unsent = match interface.driver.as_deref() {
            Some("veth") if is_native => sending.saturating_add(receiving),
            _ => sending,
        };
        interface
    }
}

/// The driver bound to a device. `/sys/bus`, unlike `/sys/class/net`, is the same in every network namespace.
fn driver(bus: &str, device: &str) -> Option<String> {
    let link = Path::new("/sys/bus")
        .join(bus)
        .join("devices")
        .join(device)
        .join("driver");
    let target = fs::read_link(link).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

fn attached(attributes: &[LinkXdp]) -> Option<AttachedXdp> {
    let mode = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(XdpMode::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(XdpMode::Offload),
        LinkXdp::Attached(XdpAttached::Multiple) => Some(XdpMode::Multi),
        _ => None,
    })?;
    // With several programs the kernel gives no ProgId, only one per mode (if_link.h, IFLA_XDP_*).
    let of = |choose: fn(&LinkXdp) -> Option<u32>| attributes.iter().find_map(choose);
    let single = |xdp: &LinkXdp| {
        if let LinkXdp::ProgId(id) = xdp {
            Some(*id)
        } else {
            None
        }
    };
    let native = |xdp: &LinkXdp| {
        if let LinkXdp::DrvProgId(id) = xdp {
            Some(*id)
        } else {
            None
        }
    };
    let offload = |xdp: &LinkXdp| {
        if let LinkXdp::HwProgId(id) = xdp {
            Some(*id)
        } else {
            None
        }
    };
    let program_id = of(single).or_else(|| of(native)).or_else(|| of(offload))?;
    Some(AttachedXdp { mode, program_id })
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::InfoKind;

    use super::*;

    #[tokio::test]
    async fn loopback_is_there() {
        let loopback = interface("lo").await.unwrap();
        assert_eq!((loopback.index, loopback.mac), (1, Some(MacAddress([0; 6]))));
        assert_eq!(loopback.link_layer, LinkLayer::Loopback);
        assert!(loopback.mtu >= 1500 && loopback.xdp.is_none());
        assert!(interfaces().await.unwrap().contains(&loopback));
    }

    #[tokio::test]
    async fn a_wrong_name_is_answered_with_the_right_ones() {
        for name in ["no-such-card", "", "a-name-that-no-kernel-holds", "l\0o"] {
            let error = interface(name).await.unwrap_err().to_string();
            assert!(
                error.contains("there is no interface") && error.contains("there are: lo"),
                "{error}"
            );
        }
    }

    #[test]
    fn xdp_attributes_become_one_program() {
        use LinkXdp::{Attached, DrvProgId, ProgId, SkbProgId};
        assert_eq!(attached(&[Attached(XdpAttached::None)]), None);
        let native = [Attached(XdpAttached::Driver), ProgId(7), DrvProgId(7)];
        assert_eq!(
            attached(&native),
            Some(AttachedXdp {
                mode: XdpMode::Native,
                program_id: 7
            })
        );
        let multi = [Attached(XdpAttached::Multiple), SkbProgId(8), DrvProgId(9)];
        assert_eq!(
            attached(&multi),
            Some(AttachedXdp {
                mode: XdpMode::Multi,
                program_id: 9
            })
        );
    }

    #[test]
    fn a_vlan_is_told_from_a_pair() {
        let of = |kind| {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::Link(3));
            message
                .attributes
                .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
            Interface::from(&message).vlan_of
        };
        assert_eq!(of(InfoKind::Vlan), Some(3));
        assert_eq!(of(InfoKind::Veth), None);
    }

    #[test]
    fn prints_as_people_write_it() {
        let mac = MacAddress([2, 0xfc, 0, 0, 0, 0x1a]);
        assert_eq!(mac.to_string(), "02:fc:00:00:00:1a");
        assert_eq!(serde_json::to_string(&mac).unwrap(), "\"02:fc:00:00:00:1a\"");
    }
}
