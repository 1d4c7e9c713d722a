//! Ground: what this machine is and serves, so that it is known who asks where nobody is. It judges no packet.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf};

use netguard_common::packet::protocol;

use crate::{
    config::{Config, Reach},
    daemon::{
        database::{Databases, Reading},
        reach,
    },
    engine::{
        Account,
        calm::{SERVED, Served},
        campaign::Target,
        seen::Seen,
    },
    host::Ports,
};

/// How long what was served counts as served after nobody does any more, in seconds: its clients come back for a while, and mean no harm.
const SERVED_FOR_S: u64 = 7 * 86_400;

const SECOND_NS: u64 = 1_000_000_000;

/// What is known of this machine.
#[derive(Default)]
pub(in crate::daemon) struct Ground {
    own: BTreeSet<IpAddr>,
    /// As the configuration says, whether anybody serves it or not.
    configured: BTreeSet<Target>,
    served: Served,
    /// What is served since somebody asked for this last.
    begun: BTreeSet<Target>,
    /// By how many seconds the wall clock was ahead of the monotonic one at the last look.
    ahead_s: Option<i64>,
    /// Whether the sockets of this machine were looked at, and everything for its addresses ends in them.
    is_known: bool,
    asn_database: Option<PathBuf>,
    asns: Reading,
    reach: Reach,
}

impl Ground {
    /// Nothing but what `config` says is known at first.
    pub(in crate::daemon) fn new(config: &Config) -> Self {
        let configured = config.service.iter().map(|service| Target {
            protocol: service.port.protocol(),
            port: service.port.port(),
        });
        Self {
            configured: configured.collect(),
            asn_database: config.geo.asn_database.clone(),
            reach: config.state.reach,
            ..Self::default()
        }
    }

    /// Takes in what is `waiting` at the addresses `own`, where that is known; `now_s` is the wall clock, `monotonic_ns` the other. Blocks for as
    /// long as the kernel takes to say whether it translates addresses.
    pub(in crate::daemon) fn look(
        &mut self,
        own: &[IpAddr],
        waiting: Option<&Ports>,
        now_s: u64,
        monotonic_ns: u64,
    ) {
        self.own = own.iter().copied().collect();
        self.follow_clock(now_s, monotonic_ns / SECOND_NS);
        // Where ports are translated, connections to one that nobody listens on may be served all the same.
        let ends_here = reach::is_all(self.reach);
        self.is_known = ends_here && waiting.is_some();
        let protocols = [protocol::TCP, protocol::UDP];
        for (protocol, ports) in protocols.into_iter().zip(waiting.into_iter().flatten()) {
            for target in ports.iter().map(|port| Target {
                protocol,
                port: *port,
            }) {
                if self.served.len() < SERVED && self.served.insert(target, now_s).is_none() {
                    self.begun.insert(target);
                }
            }
        }
        self.served
            .retain(|_, last_s| now_s.saturating_sub(*last_s) < SERVED_FOR_S);
    }

    /// Has what was served last be as long ago as before, however the wall clock was set meanwhile; and nothing later than now.
    fn follow_clock(&mut self, now_s: u64, monotonic_s: u64) {
        let ahead_s = now_s.cast_signed().saturating_sub(monotonic_s.cast_signed());
        let before_s = self.ahead_s.replace(ahead_s).unwrap_or(ahead_s);
        let set_s = ahead_s.saturating_sub(before_s);
        for last_s in self.served.values_mut() {
            *last_s = last_s.saturating_add_signed(set_s).min(now_s);
        }
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

    /// Takes over what is known of networks by `databases` now; before that they are known by their prefix only.
    pub(in crate::daemon) fn follow(&mut self, databases: &Databases) {
        if let Some(file) = &self.asn_database {
            self.asns = databases.reading(file);
        }
    }

    /// Whether anybody serves what `seen` asks for; `None` where nobody knows.
    pub(super) fn is_served(&self, seen: &Seen) -> Option<bool> {
        let is_known = self.is_known && self.own.contains(&seen.destination);
        let target = Target::of(seen);
        is_known.then(|| self.served.contains_key(&target) || self.configured.contains(&target))
    }

    /// The autonomous system of `account`, where a database says.
    pub(super) fn asn(&self, account: Account) -> Option<u32> {
        self.asns.asn(account.prefix().address())
    }
}

#[cfg(test)]
mod tests {
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

    /// What waits: TCP at these ports.
    fn waiting(ports: &[u16]) -> Ports {
        [ports.iter().copied().collect(), BTreeSet::new()]
    }

    #[test]
    fn what_was_served_once_stays_so_for_days_and_nothing_is_known_of_others() {
        let own = ["198.51.100.1".parse().unwrap()];
        let mut ground = Ground::new(&Config::default());
        let mut look = |own: &[IpAddr], waiting: Option<&Ports>, now_s: u64| {
            ground.look(own, waiting, now_s, (now_s - NOW_S) * SECOND_NS);
            // Whatever the kernel of this machine does.
            ground.is_known = waiting.is_some();
            let told = [7, 1].map(|port| ground.is_served(&asking(port)));
            (told, ground.begun().len())
        };
        let (open, none) = (waiting(&[7]), waiting(&[]));
        assert_eq!(look(&own, None, NOW_S), ([None, None], 0), "nobody looked");
        assert_eq!(look(&own, Some(&none), NOW_S), ([Some(false); 2], 0));
        assert_eq!(look(&own, Some(&open), NOW_S), ([Some(true), Some(false)], 1));
        let late_s = NOW_S + SERVED_FOR_S - 1;
        assert_eq!(look(&own, Some(&none), late_s), ([Some(true), Some(false)], 0));
        assert_eq!(look(&own, Some(&open), late_s), ([Some(true), Some(false)], 0));
        assert_eq!(look(&[], Some(&open), late_s), ([None, None], 0));
        let long_ago = look(&own, Some(&none), late_s + SERVED_FOR_S);
        assert_eq!(long_ago, ([Some(false); 2], 0));
    }

    #[test]
    fn what_an_earlier_daemon_saw_and_what_is_configured_counts() {
        let config = "[[service]]\nport = \"tcp/2\"\nrate_per_s = 10\nburst = 10\n";
        let mut ground = Ground::new(&Config::parse("test", config).unwrap());
        let target = Target { protocol: 6, port: 3 };
        ground.recall([(target, NOW_S - 100)]);
        ground.look(
            &["198.51.100.1".parse().unwrap()],
            Some(&waiting(&[])),
            NOW_S,
            7 * SECOND_NS,
        );
        ground.is_known = true;
        let told = [1, 2, 3].map(|port| ground.is_served(&asking(port)));
        assert_eq!(told, [Some(false), Some(true), Some(true)]);
        assert_eq!(ground.served().get(&target), Some(&(NOW_S - 100)));
        ground.look(&[], None, NOW_S + SERVED_FOR_S, (7 + SERVED_FOR_S) * SECOND_NS);
        assert_eq!(ground.served().get(&target), None);
    }

    /// Found in review: what was served while the clock was ten years ahead counted as served for ten years, and ten days forgot all.
    #[test]
    fn a_clock_that_is_set_makes_nothing_older_or_newer() {
        const DAY_S: u64 = 86_400;
        let [gone, later] = [3, 4].map(|port| Target { protocol: 6, port });
        let mut ground = Ground::new(&Config::default());
        ground.recall([(gone, NOW_S - DAY_S), (later, NOW_S + 3_650 * DAY_S)]);
        let mut look = |now_s: u64, monotonic_s: u64| {
            ground.look(&[], None, now_s, monotonic_s * SECOND_NS);
            [gone, later].map(|target| ground.served().get(&target).map(|last_s| now_s - last_s))
        };
        assert_eq!(look(NOW_S, 10), [Some(DAY_S), Some(0)]);
        for (now_s, monotonic_s) in [
            (NOW_S + 3_650 * DAY_S, 20),
            (NOW_S + 20, 30),
            (NOW_S + 10 * DAY_S, 40),
            (NOW_S, 50),
        ] {
            let age_s = monotonic_s - 10;
            assert_eq!(look(now_s, monotonic_s), [Some(DAY_S + age_s), Some(age_s)]);
        }
        // Before the time of what is known nothing is older than the clock; and it ends.
        assert!(look(0, 60).iter().all(Option::is_some));
        assert_eq!(look(NOW_S, 60 + 8 * DAY_S), [None; 2]);
    }
}
