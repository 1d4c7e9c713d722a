//! Packet rates in the configuration: of a source, of a prefix, of a service, and of single services.

use std::{collections::BTreeSet, fmt, str::FromStr};

use netguard_common::{packet::protocol, service::SERVICES};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Burst, CookieMode, PolicyMode, Ports, RatePerSecond, Speaks, TlsVersion, Within};

/// Packet rates per source address (IPv6: per /64), one limit for each kind of packet, and those of many sources together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with `mode` and one table per kind of packet"
)]
pub struct Limits {
    /// What happens to a packet over its limit.
    pub mode: PolicyMode,
    /// TCP packets that ask for a new connection.
    pub syn: Limit,
    /// UDP packets.
    pub udp: Limit,
    /// ICMP and ICMPv6, but for `control`.
    pub icmp: Limit,
    /// Neighbour discovery and path-MTU messages, which nothing else ever drops.
    pub control: Limit,
    /// Every other protocol (GRE, ESP, SCTP), and fragments of TCP packets.
    pub other: Limit,
    /// Limits of all sources of a prefix together.
    pub prefix: PrefixLimits,
    /// Limits of a service, for all its clients together.
    pub service: ServiceLimits,
}

/// One token bucket: `burst` packets at once, then `rate_per_s`. Both belong together, so neither has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with `rate_per_s` and `burst`")]
pub struct Limit {
    /// Packets per second, in the long run.
    pub rate_per_s: RatePerSecond,
    /// Packets that may come at once after a pause.
    pub burst: Burst,
}

/// Limits of an IPv4 /24 or IPv6 /48, by kind of packet; a missing one is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with one table per kind of packet"
)]
pub struct PrefixLimits {
    /// TCP packets that ask for a new connection.
    pub syn: Option<Limit>,
    /// UDP packets.
    pub udp: Option<Limit>,
    /// ICMP and ICMPv6.
    pub icmp: Option<Limit>,
    /// Every other protocol.
    pub other: Option<Limit>,
}

/// Limits of a service, which is a protocol and a port, or ICMP as a whole. That of TCP is in `syn_cookies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `udp` and `icmp`")]
pub struct ServiceLimits {
    /// Packets to one UDP port, by all sources together.
    pub udp: Limit,
    /// ICMP and ICMPv6, such as ping, by all sources together; control messages (neighbour discovery, path MTU) are not counted.
    pub icmp: Limit,
}

/// What becomes of DNS queries over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `truncate_ports`")]
pub struct Dns {
    /// UDP ports whose queries over a limit are answered "truncated, ask over TCP" instead of dropped; at most 4.
    pub truncate_ports: Ports<4>,
}

/// What holds for one service instead of the common limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `port`, and `rate_per_s` and `burst`, `tls` or `speaks`"
)]
pub struct Service {
    /// Protocol and port, such as "udp/53".
    pub port: ServicePort,
    /// UDP: packets per second by all sources together. TCP: connection attempts that are left alone. Without it the common limit holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<RatePerSecond>,
    /// That many may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// When it is answered for with SYN cookies; TCP only, only where `syn_cookies.mode` is not "off", and with a rate of its own.
    #[serde(default)]
    pub cookies: CookieMode,
    /// What becomes of handshakes of TLS below `tls_minimum`, or without AEAD and forward secrecy; TCP only. Without it they are not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<PolicyMode>,
    /// The lowest version of TLS; without it 1.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_minimum: Option<TlsVersion>,
    /// What it speaks; TCP only. Clients that speak anything else are found by it. Without it that is seen from what comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaks: Option<Speaks>,
}

impl Service {
    /// What is wrong with it, if anything is.
    fn mistake(&self) -> Option<String> {
        let port = self.port;
        match (self.rate_per_s, self.burst) {
            (Some(_), Some(_)) => None,
            (None, None) if self.cookies != CookieMode::default() => Some(format!(
                "{port} has `cookies` but no rate from which on they begin: add `rate_per_s` and `burst`"
            )),
            (None, None) if self.tls.is_none() && self.speaks.is_none() => Some(format!(
                "nothing is said of {port}: add `rate_per_s` and `burst`, `tls` or `speaks`"
            )),
            (None, None) => None,
            _ => Some(format!(
                "{port}: `rate_per_s` and `burst` belong together, or leave both out"
            )),
        }
    }
}

/// Services, as many as the kernel has room for.
pub(super) fn services<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Service>, D::Error> {
    const MOST: usize = SERVICES as usize - 1;
    let services = Vec::<Service>::deserialize(from)?;
    if let Some(mistake) = services.iter().find_map(Service::mistake) {
        return Err(D::Error::custom(mistake));
    }
    let ports: BTreeSet<ServicePort> = services.iter().map(|service| service.port).collect();
    if ports.len() > MOST {
        return Err(D::Error::custom(format!(
            "{} services have entries of their own, at most {MOST} can: leave some to the common limits",
            ports.len()
        )));
    }
    Ok(services)
}

/// A service: `tcp/443`, `udp/53`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ServicePort {
    protocol: u8,
    port: u16,
}

impl ServicePort {
    /// The service with these numbers; `None` unless it is a port of TCP or UDP.
    #[must_use]
    pub fn new(protocol: u8, port: u16) -> Option<Self> {
        let has_ports = matches!(protocol, protocol::TCP | protocol::UDP);
        (has_ports && port != 0).then_some(Self { protocol, port })
    }

    /// The IP protocol number.
    #[must_use]
    pub fn protocol(self) -> u8 {
        self.protocol
    }

    /// The port.
    #[must_use]
    pub fn port(self) -> u16 {
        self.port
    }

    /// Whether it takes connections.
    #[must_use]
    pub fn is_tcp(self) -> bool {
        self.protocol == protocol::TCP
    }
}

impl FromStr for ServicePort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let service = text.split_once('/').and_then(|(protocol, port)| {
            let protocol = match protocol {
                "tcp" => protocol::TCP,
                "udp" => protocol::UDP,
                _ => return None,
            };
            Self::new(protocol, port.parse().ok()?)
        });
        service.ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            format!(
                "{shown:?} is not a service: write a protocol and a port, such as \"tcp/443\" or \"udp/53\""
            )
        })
    }
}

impl TryFrom<String> for ServicePort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServicePort> for String {
    fn from(service: ServicePort) -> Self {
        service.to_string()
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.is_tcp() { "tcp" } else { "udp" };
        write!(out, "{protocol}/{}", self.port)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mode: PolicyMode::default(),
            syn: limit::<200, 1000>(),
            udp: limit::<10_000, 20_000>(),
            icmp: limit::<20, 100>(),
            control: limit::<2000, 4000>(),
            other: limit::<100_000, 100_000>(),
            prefix: PrefixLimits::default(),
            service: ServiceLimits::default(),
        }
    }
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            udp: limit::<250_000, 250_000>(),
            icmp: limit::<5_000, 10_000>(),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            truncate_ports: Ports::one(53),
        }
    }
}

const fn limit<const RATE: u32, const BURST: u32>() -> Limit {
    Limit {
        rate_per_s: Within::constant::<RATE>(),
        burst: Within::constant::<BURST>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn services_are_read_back_as_they_are_shown() {
        for text in ["tcp/1", "udp/53", "tcp/65535"] {
            assert_eq!(text.parse::<ServicePort>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "53",
            "udp",
            "udp/",
            "udp/0",
            "udp/65536",
            "sctp/5",
            "UDP/53",
            "udp/53/1",
        ] {
            let error = text.parse::<ServicePort>().unwrap_err();
            assert!(error.contains("is not a service"), "{text}: {error}");
        }
    }

    #[test]
    fn a_service_has_a_rate_or_a_floor_of_tls() {
        let parse = |rest: &str| {
            let text = format!("[[service]]\nport = \"tcp/443\"\n{rest}");
            Config::parse("test.toml", &text).map(|config| config.service[0])
        };
        let service = parse("tls = \"enforce\"\ntls_minimum = \"1.2\"\n").unwrap();
        assert_eq!(
            (service.tls, service.tls_minimum, service.rate_per_s),
            (Some(PolicyMode::Enforce), Some(TlsVersion::V1_2), None)
        );
        for (wrong, told) in [
            ("", "nothing is said of tcp/443"),
            ("rate_per_s = 5\n", "belong together"),
            ("tls = \"off\"\nburst = 5\n", "belong together"),
            (
                "tls = \"shadow\"\ncookies = \"always\"\n",
                "no rate from which on",
            ),
            ("tls = \"on\"\n", "enforce"),
            ("tls = \"shadow\"\ntls_minimum = \"1.1\"\n", "1.2"),
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }

    /// Found in review: only the kernel's table said so, and told to `reset` one that was none yet.
    #[test]
    fn more_services_than_the_kernel_has_room_for_are_a_mistake() {
        let services = |count: u16| -> String {
            let one = |port| format!("[[service]]\nport = \"udp/{port}\"\nrate_per_s = 1\nburst = 1\n");
            (1..=count).map(one).collect()
        };
        let parse = |text: &str| Config::parse("test.toml", text);
        assert_eq!(parse(&services(255)).unwrap().service.len(), 255);
        assert_eq!(parse(&services(255).repeat(2)).unwrap().service.len(), 510);
        let error = parse(&services(256)).unwrap_err().to_string();
        assert!(
            error.starts_with("test.toml:1:")
                && error.contains("256 services have entries of their own, at most 255"),
            "{error}"
        );
    }
}
