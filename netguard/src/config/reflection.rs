//! When answers that nobody asked for are refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limit, Period, PolicyMode, Ports, Within};

/// Answers from the ports of services that attackers have send answers to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of reflection settings")]
pub struct Reflection {
    /// What happens to an answer that this machine did not ask for.
    pub mode: PolicyMode,
    /// The UDP ports that such services answer from, at most 32.
    pub ports: Ports<32>,
    /// UDP ports of this machine, at most 16, to which everybody may send from such ports, too.
    pub services: Ports<16>,
    /// How long after a question its answers may come.
    pub remember_for: Period,
    /// Later fragments of UDP datagrams, from all addresses together that were not asked.
    pub fragments: Limit,
}

/// QOTD, chargen, DNS, TFTP, rpcbind, NTP, NetBIOS, SNMP, XDMCP, CLDAP, SLP, IPMI, MS SQL, SSDP, Apple Remote Desktop, RDP,
/// WS-Discovery, Sentinel, mDNS, Ubiquiti discovery, memcached, Steam, Quake, Plex.
const PORTS: [u16; 24] = [
    17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 623, 1434, 1900, 3283, 3389, 3702, 5093, 5353, 10_001,
    11_211, 27_015, 27_960, 32_414,
];

impl Default for Reflection {
    fn default() -> Self {
        Self {
            mode: PolicyMode::default(),
            ports: Ports::constant(PORTS),
            services: Ports::default(),
            remember_for: Period::constant::<30>(),
            fragments: Limit {
                rate_per_s: Within::constant::<1000>(),
                burst: Within::constant::<2000>(),
            },
        }
    }
}
