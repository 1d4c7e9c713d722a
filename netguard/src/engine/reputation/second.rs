//! What a second of traffic says against sources beside the flooder's findings: malformed packets, and who was met in an attack.
//! None of it leads to a block by itself.

use std::collections::BTreeMap;

use netguard_common::Verdict;

use super::{Evidence, Kind, Reputation};
use crate::engine::{Account, Window, detect::Class};

/// Malformed packets of a source in a second from which on they are evidence: a broken device sends some.
const MALFORMED: u64 = 20;
/// Dropped packets of a source in a second of an attack from which on they are evidence: an honest one loses some, too.
const MET: u64 = 100;
/// Sources that evidence of a kind is taken in against, per second.
const SOURCES: usize = 1_024;

impl Reputation {
    /// Takes in the `windows` of a second in which there were attacks of the classes `attacked`.
    pub fn second(&mut self, windows: &[Window], attacked: &[Class], now_ns: u64) {
        let mut malformed: BTreeMap<Account, (u64, Verdict)> = BTreeMap::new();
        let activities = windows.iter().flat_map(|window| &window.accounts);
        for (account, activity) in activities.filter(|(_, activity)| is_malformed(activity.verdict)) {
            let (packets, verdict) = malformed.entry(*account).or_insert((0, activity.verdict));
            *packets = packets.saturating_add(activity.other);
            *verdict = activity.verdict;
        }
        let malformed = malformed.into_iter();
        let malformed = malformed.filter(|(_, (packets, _))| *packets >= MALFORMED);
        for (account, (packets, verdict)) in malformed.take(SOURCES) {
            self.met(account, Kind::Malformed, verdict.name(), packets, now_ns);
        }
        for class in attacked {
            let mut met: BTreeMap<Account, u64> = BTreeMap::new();
            for (account, activity) in windows.iter().flat_map(|window| &window.accounts) {
                if class.verdicts().contains(&activity.verdict) {
                    let packets = met.entry(*account).or_default();
                    *packets = packets
                        .saturating_add(activity.limited)
                        .saturating_add(activity.other);
                }
            }
            let met = met.into_iter().filter(|(_, packets)| *packets >= MET);
            for (account, packets) in met.take(SOURCES) {
                self.met(account, Kind::Attack, class.name(), packets, now_ns);
            }
        }
    }

    /// Takes in that the feed `name` lists `account`.
    pub fn listed(&mut self, account: Account, name: &str, now_ns: u64) {
        self.met(account, Kind::Feed, name, 0, now_ns);
    }

    fn met(&mut self, account: Account, kind: Kind, detail: &str, packets: u64, now_ns: u64) {
        let evidence = Evidence {
            kind,
            proven: self.connections(account) > 0,
            detail: detail.to_owned(),
            packets,
        };
        self.take(account, &evidence, now_ns);
    }
}

/// Whether a packet of this verdict cannot be real.
fn is_malformed(verdict: Verdict) -> bool {
    use Verdict::{
        ExtensionOrder, FragmentLength, FragmentOverflow, FragmentOverlap, IpHeaderLength, IpOptions,
        IpTotalLength, Ipv6Chain, PortZero, RoutingHeader, SourceRoute, TcpDataOffset, TcpFlags, TcpNull,
        TcpSynFin, TcpSynRst, TcpXmas, TinyFragment, Truncated, TtlZero, UdpLength,
    };
    matches!(
        verdict,
        Truncated
            | IpHeaderLength
            | IpTotalLength
            | TcpDataOffset
            | UdpLength
            | TcpNull
            | TcpSynFin
            | TcpSynRst
            | TcpXmas
            | TcpFlags
            | FragmentOverflow
            | FragmentOverlap
            | FragmentLength
            | TinyFragment
            | Ipv6Chain
            | ExtensionOrder
            | RoutingHeader
            | SourceRoute
            | IpOptions
            | TtlZero
            | PortZero
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{observe, reputation::Settings, window::tests::sample};

    const SECOND: u64 = 1_000_000_000;

    fn window(at_s: u64, verdict: Verdict, weight: u32) -> Window {
        let samples = [sample([192, 0, 2, 1], verdict, weight)];
        observe(&[], &[], &samples, 0, at_s * SECOND, SECOND)
    }

    fn score(reputation: &Reputation, at_s: u64) -> u8 {
        let account = Account::of([192, 0, 2, 1].into());
        reputation.view(account, at_s * SECOND).score
    }

    fn reputation() -> Reputation {
        Reputation::new(Settings::default(), 0, 1)
    }

    #[test]
    fn a_few_broken_packets_say_nothing() {
        let mut reputation = reputation();
        reputation.second(&[window(1, Verdict::TcpXmas, 19)], &[], SECOND);
        assert_eq!(score(&reputation, 1), 0);
        let windows = [window(2, Verdict::TcpXmas, 10), window(2, Verdict::TcpXmas, 10)];
        reputation.second(&windows, &[], 2 * SECOND);
        assert_eq!(score(&reputation, 2), 10);
        reputation.second(&[window(3, Verdict::LimitUdp, 9_000)], &[], 3 * SECOND);
        assert_eq!(score(&reputation, 3), 10, "nothing is attacked");
    }

    #[test]
    fn who_is_met_in_an_attack_is_suspected_a_little() {
        let mut reputation = reputation();
        let one = Account::of([192, 0, 2, 1].into());
        reputation.connect([(one, 1)].into());
        for at_s in 1..=500 {
            let windows = [window(at_s, Verdict::LimitUdp, 9_000)];
            reputation.second(&windows, &[Class::UdpFlood, Class::SynFlood], at_s * SECOND);
        }
        let view = reputation.view(one, 500 * SECOND);
        assert!((15..=30).contains(&view.proven_score), "{view:?}");
        assert_eq!(view.record.reasons.len(), 1);
        reputation.listed(one, "drop", 500 * SECOND);
        assert!(
            reputation.view(one, 500 * SECOND).score < 50,
            "all of that blocks nobody"
        );
    }
}
