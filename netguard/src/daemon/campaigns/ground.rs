//! Ground: what this machine is and serves, so that it is known who asks where nobody is. It judges no packet.

use std::{collections::BTreeSet, net::IpAddr};

use netguard_common::packet::protocol;
use tracing::debug;

use crate::{
    config::{Config, Reach},
    daemon::{database::Database, reach},
    engine::{
        Account,
        calm::{SERVED, Served},
        campaign::Target,
        seen::Seen,
    },
    host,
    lists::Of,
};

/// How long what was served counts as served after nobody does any more, in seconds: its clients come back for a while, and mean no harm.
const SERVED_FOR_S: u64 = 7 * 86_400;

/// What is known of this machine.
#[derive(Default)]
pub(in crate::daemon) struct Ground {
    own: BTreeSet<IpAddr>,
    /// As the configuration says, whether anybody serves it or not.
    configured: BTreeSet<Target>,
    served: Served,
    /// What is served since somebody asked for this last.
    begun: BTreeSet<Target>,
    /// Whether the sockets of this machine were looked at, and everything for its addresses ends in them.
    is_known: bool,
    asns: Option<Database>,
    reach: Reach,
}

impl Ground {
    /// Nothing but what `config` says is known at first.
    pub(in crate::daemon) fn new(config: &Config) -> Self {
        let configured = config.service.iter().map(|service| Target {
            protocol: service.port.protocol(),
            port: service.port.port(),
        });
        let asns = config.geo.asn_database.clone();
        Self {
            configured: configured.collect(),
            asns: asns.map(|file| Database::new(file, Of::Asns)),
            reach: config.state.reach,
            ..Self::default()
        }
    }

    /// Looks again what this machine serves at `own`; `now_s` is the wall clock. Blocks for as long as the kernel takes to list what
    /// listens.
    pub(in crate::daemon) fn look(&mut self, own: &[IpAddr], now_s: u64) {
        self.own = own.iter().copied().collect();
        let served = host::waiting_ports()
            .inspect_err(|error| debug!("who asks where nobody is, is not noticed: {error}"))
            .ok();
        // Where ports are translated, connections to one that nobody listens on may be served all the same.
        let ends_here = reach::is_all(self.reach);
        self.is_known = ends_here && served.is_some();
        let protocols = [protocol::TCP, protocol::UDP];
        for (protocol, ports) in protocols.into_iter().zip(served.into_iter().flatten()) {
            for target in ports.into_iter().map(|port| Target { protocol, port }) {
                if self.served.len() < SERVED && self.served.insert(target, now_s).is_none() {
                    self.begun.insert(target);
                }
            }
        }
        self.served
            .retain(|_, last_s| now_s.saturating_sub(*last_s) < SERVED_FOR_S);
    }

    /// What was served, and when it was last; seconds since 1970.
    pub(in crate::daemon) const fn served(&self) -> &Served {
        &self.served
    }

    /// Takes up what an earlier daemon knew to be served.
    pub(in crate::daemon) fn recall(&mut self, served: impl IntoIterator<Item = (Target, u64)>) {
        for (target, last_s) in served {
            self.served.entry(target).or_insert(last_s);
        }
    }

    /// What is served since this was asked last, and was not before.
    pub(super) fn begun(&mut self) -> BTreeSet<Target> {
        std::mem::take(&mut self.begun)
    }

    /// Has the database of networks read when its file has changed; until then they are known by their prefix only.
    pub(in crate::daemon) async fn follow(&mut self) {
        if let Some(asns) = &mut self.asns {
            asns.follow().await;
        }
    }

    /// Whether anybody serves what `seen` asks for; `None` where nobody knows.
    pub(super) fn is_served(&self, seen: &Seen) -> Option<bool> {
        let is_known = self.is_known && self.own.contains(&seen.destination);
        let target = Target {
            protocol: seen.stratum.protocol,
            port: seen.stratum.port,
        };
        is_known.then(|| self.served.contains_key(&target) || self.configured.contains(&target))
    }

    /// The autonomous system of `account`, where a database says.
    pub(super) fn asn(&self, account: Account) -> Option<u32> {
        self.asns.as_ref()?.asn(account.prefix().address())
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

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn what_was_served_once_stays_so_for_days_and_nothing_is_known_of_others() {
        let own = ["198.51.100.1".parse().unwrap()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut ground = Ground::new(&Config::default());
        assert_eq!(ground.is_served(&asking(port)), None, "nobody looked");
        ground.look(&own, NOW_S);
        ground.is_known = true;
        let target = Target { protocol: 6, port };
        assert!(ground.begun().contains(&target) && ground.begun().is_empty());
        drop(listener);
        ground.look(&own, NOW_S + SERVED_FOR_S - 1);
        ground.is_known = true;
        assert_eq!(ground.is_served(&asking(port)), Some(true));
        assert!(!ground.begun().contains(&target), "it was served before");
        assert_eq!(ground.is_served(&asking(1)), Some(false));
        ground.look(&own, NOW_S + SERVED_FOR_S);
        ground.is_known = true;
        assert_eq!(ground.is_served(&asking(port)), Some(false), "long ago");
        ground.look(&[], NOW_S);
        assert_eq!(ground.is_served(&asking(port)), None);
    }

    #[test]
    fn what_an_earlier_daemon_saw_and_what_is_configured_counts() {
        let config = "[[service]]\nport = \"tcp/2\"\nrate_per_s = 10\nburst = 10\n";
        let mut ground = Ground::new(&Config::parse("test", config).unwrap());
        let target = Target { protocol: 6, port: 3 };
        ground.recall([(target, NOW_S - 100)]);
        ground.look(&["198.51.100.1".parse().unwrap()], NOW_S);
        ground.is_known = true;
        let told = [1, 2, 3].map(|port| ground.is_served(&asking(port)));
        assert_eq!(told, [Some(false), Some(true), Some(true)]);
        assert_eq!(ground.served().get(&target), Some(&(NOW_S - 100)));
        ground.look(&[], NOW_S + SERVED_FOR_S);
        assert_eq!(ground.served().get(&target), None);
    }
}
