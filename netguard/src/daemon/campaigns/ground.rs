//! Ground: what this machine is and serves, so that it is known who asks where nobody is. It judges no packet.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf};

use netguard_common::packet::protocol;
use tracing::debug;

use crate::{
    config::{Config, Reach},
    daemon::{
        database::{Databases, Reading},
        reach,
    },
    engine::{Account, seen::Seen},
    host,
};

/// Services that are remembered: all ports of both protocols.
const SERVED: usize = 2 * 65_536;

/// What is known of this machine. What was served once counts as served: its clients come back for a while, and mean no harm.
#[derive(Default)]
pub(in crate::daemon) struct Ground {
    own: BTreeSet<IpAddr>,
    served: BTreeSet<(u8, u16)>,
    /// Whether the sockets of this machine were looked at, and everything for its addresses ends in them.
    is_known: bool,
    asn_database: Option<PathBuf>,
    asns: Reading,
    reach: Reach,
}

impl Ground {
    /// Nothing but what `config` says is known at first.
    pub(in crate::daemon) fn new(config: &Config) -> Self {
        let configured = config.service.iter().map(|service| service.port);
        Self {
            served: configured
                .map(|service| (service.protocol(), service.port()))
                .collect(),
            asn_database: config.geo.asn_database.clone(),
            reach: config.state.reach,
            ..Self::default()
        }
    }

    /// Looks again what this machine serves at `own`. Blocks for as long as the kernel takes to list what listens.
    pub(in crate::daemon) fn look(&mut self, own: &[IpAddr]) {
        self.own = own.iter().copied().collect();
        let served = host::waiting_ports()
            .inspect_err(|error| debug!("who asks where nobody is, is not noticed: {error}"))
            .ok();
        // Where ports are translated, connections to one that nobody listens on may be served all the same.
        let ends_here = reach::is_all(self.reach);
        self.is_known = ends_here && served.is_some();
        for (protocol, ports) in [protocol::TCP, protocol::UDP]
            .into_iter()
            .zip(served.into_iter().flatten())
        {
            for port in ports {
                if self.served.len() < SERVED {
                    self.served.insert((protocol, port));
                }
            }
        }
    }

    /// Takes over what is known of networks by `databases` now; before that they are known by their prefix only.
    pub(in crate::daemon) fn follow(&mut self, databases: &Databases) {
        if let Some(file) = &self.asn_database {
            self.asns = databases.reading(file);
        }
    }

    /// Whether anybody serves what `seen` asks for; `None` where nobody knows.
    pub(super) fn is_served(&self, seen: &Seen) -> Option<bool> {
        let is_known = self.is_known && self.own.contains(&seen.destination);
        is_known.then(|| self.served.contains(&(seen.stratum.protocol, seen.stratum.port)))
    }

    /// The autonomous system of `account`, where a database says.
    pub(super) fn asn(&self, account: Account) -> Option<u32> {
        self.asns.asn(account.prefix().address())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use netguard_common::{Verdict, head::Head, shared::Field as _};

    use super::*;

    /// A SYN to `port` of 198.51.100.1.
    fn asking(port: u16) -> Seen {
        let mut head = Head {
            frame_len: 54,
            verdict: Verdict::Pass.number() as u16,
            captured: 54,
            ..Head::ZERO
        };
        head.bytes[12..14].copy_from_slice(&[8, 0]);
        head.bytes[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
        head.bytes[26..34].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 1]);
        head.bytes[34..36].copy_from_slice(&4_000_u16.to_be_bytes());
        head.bytes[36..38].copy_from_slice(&port.to_be_bytes());
        (head.bytes[46], head.bytes[47]) = (0x50, 2);
        Seen::of(&head).unwrap()
    }

    #[test]
    fn what_was_served_once_stays_so_and_nothing_is_known_of_others() {
        let own = ["198.51.100.1".parse().unwrap()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut ground = Ground::new(&Config::default());
        assert_eq!(ground.is_served(&asking(port)), None, "nobody looked");
        ground.look(&own);
        ground.is_known = true;
        drop(listener);
        ground.look(&own);
        ground.is_known = true;
        assert_eq!(ground.is_served(&asking(port)), Some(true));
        assert_eq!(ground.is_served(&asking(1)), Some(false));
        ground.look(&[]);
        assert_eq!(ground.is_served(&asking(port)), None);
    }
}
