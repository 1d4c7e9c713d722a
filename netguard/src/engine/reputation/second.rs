//! What a second of traffic says against sources beside the flooder's findings: malformed packets, and who was met in an attack.
//! None of it leads to a block by itself.

use std::collections::HashMap;

use netguard_common::Verdict;

use super::{Evidence, Kind, Reputation};
use crate::engine::{Account, Dropped, Window, detect::Class};

/// Malformed packets of a source in a second from which on they are evidence: a broken device sends some.
const MALFORMED: u64 = 20;
/// Dropped packets of a source in a second of an attack from which on they are evidence: an honest one loses some, too.
const ATTACKING: u64 = 100;
/// Samples that it takes: a single one of great weight is chance.
const MIN_SAMPLES: u32 = 5;
/// Sources that evidence of a kind is taken in against, per second.
const SOURCES: usize = 1_024;

impl Reputation {
    /// Takes in the `windows` of a second in which there were attacks of the classes `attacked`.
    pub fn second(&mut self, windows: &[Window], attacked: &[Class], now_ns: u64) {
        for (account, met) in met(windows, is_malformed) {
            if met.packets >= MALFORMED {
                self.met(account, Kind::Malformed, met.verdict.name(), met.packets, now_ns);
            }
        }
        for class in attacked {
            let is_of_class = |verdict| class.verdicts().contains(&verdict);
            for (account, met) in met(windows, is_of_class) {
                if met.packets >= ATTACKING {
                    self.met(account, Kind::Attack, class.name(), met.packets, now_ns);
                }
            }
        }
    }

    /// Takes in that the feed `name` lists `account`.
    pub fn listed(&mut self, account: Account, name: &str, now_ns: u64) {
        self.met(account, Kind::Feed, name, 0, now_ns);
    }

    /// Takes in that `account` is a source of a campaign of the kind `name`.
    pub fn campaigning(&mut self, account: Account, name: &str, now_ns: u64) {
        let evidence = Evidence {
            kind: Kind::Campaign,
            // Whoever has a connection need not be who asks in its name.
            proven: false,
            detail: name.to_owned(),
            packets: 0,
        };
        self.take(account, &evidence, now_ns);
    }

    /// Takes in that `account`, which is connected to this machine, kept asking for more than the limit `name` of requests allows.
    pub fn asking(&mut self, account: Account, name: &str, now_ns: u64) {
        let evidence = Evidence {
            kind: Kind::Requests,
            proven: true,
            detail: name.to_owned(),
            packets: 0,
        };
        self.take(account, &evidence, now_ns);
    }

    /// Takes back that `account` is a source of campaigns; tells whether that was said.
    pub fn clear_of_campaigns(&mut self, account: Account, now_ns: u64) -> bool {
        if self.book.record(account).is_none() {
            return false;
        }
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        let (mut was, mut is_nothing) = (false, false);
        self.book.change(account, at_ns, &settings, |record| {
            was = record.take_back(Kind::Campaign);
            is_nothing = record.is_neutral(at_ns, settings.half_life_ns, &settings.terms);
            was
        });
        if was && is_nothing {
            self.book.forget(account);
        }
        was
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

/// What such verdicts dropped of each source in a second, in the order of the sources.
fn met(windows: &[Window], is_meant: impl Fn(Verdict) -> bool) -> Vec<(Account, Dropped)> {
    let mut sums: HashMap<Account, (u64, Dropped)> = HashMap::new();
    // What a limit in shadow would have dropped is within what is allowed.
    let counts = |dropped: &Dropped| is_meant(dropped.verdict) && !(dropped.is_by_limit() && dropped.shadow);
    for (account, activity) in windows.iter().flat_map(|window| &window.accounts) {
        let Some(more) = activity.sum(counts) else {
            continue;
        };
        let (most, sum) = sums.entry(*account).or_insert((
            0,
            Dropped {
                packets: 0,
                samples: 0,
                ..more
            },
        ));
        sum.packets = sum.packets.saturating_add(more.packets);
        sum.samples = sum.samples.saturating_add(more.samples);
        if more.packets > *most {
            (*most, sum.verdict) = (more.packets, more.verdict);
        }
    }
    let met = sums.into_iter().map(|(account, (_, sum))| (account, sum));
    let mut met: Vec<_> = met.filter(|(_, met)| met.samples >= MIN_SAMPLES).collect();
    met.sort_unstable_by_key(|(account, _)| *account);
    met.truncate(SOURCES);
    met
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
        let samples = [sample([192, 0, 2, 1], verdict, weight); 5];
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
        reputation.second(&[window(1, Verdict::TcpXmas, 3)], &[], SECOND);
        assert_eq!(score(&reputation, 1), 0);
        let windows = [window(2, Verdict::TcpXmas, 2), window(2, Verdict::TcpXmas, 2)];
        reputation.second(&windows, &[], 2 * SECOND);
        assert_eq!(score(&reputation, 2), 10);
        reputation.second(&[window(3, Verdict::LimitUdp, 9_000)], &[], 3 * SECOND);
        assert_eq!(score(&reputation, 3), 10, "nothing is attacked");
        let heavy = [sample([192, 0, 2, 2], Verdict::LimitUdp, 9_000)];
        let heavy = observe(&[], &[], &heavy, 0, 4 * SECOND, SECOND);
        reputation.second(&[heavy], &[Class::UdpFlood], 4 * SECOND);
        assert_eq!(reputation.counts().0, 1, "one sample is chance");
    }

    #[test]
    fn who_is_met_in_an_attack_is_suspected_a_little() {
        let mut reputation = reputation();
        let one = Account::of([192, 0, 2, 1].into());
        reputation.connect([(one.prefix().address(), 1)].into(), 0);
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

    /// Found in review: clients who came before their service did were suspicious for hours.
    #[test]
    fn who_is_cleared_of_campaigns_has_nothing_against_it_but_what_else_there_is() {
        let mut reputation = reputation();
        let [early, worse, unknown] = [1, 2, 3].map(|number| Account::of([192, 0, 2, number].into()));
        for account in [early, worse] {
            reputation.campaigning(account, "probing", SECOND);
        }
        reputation.listed(worse, "drop", SECOND);
        let cleared =
            [early, worse, unknown].map(|account| reputation.clear_of_campaigns(account, 2 * SECOND));
        assert_eq!(cleared, [true, true, false]);
        assert_eq!(reputation.counts().0, 1, "of the first nothing is remembered");
        let view = reputation.view(worse, 2 * SECOND);
        assert_eq!((view.score, view.record.reasons.len()), (20, 1));
        reputation.campaigning(early, "probing", 3 * SECOND);
        assert_eq!(score(&reputation, 3), 10, "it can be one of another");
    }

    /// Found in review: packets over a limit counted as malformed as soon as one malformed one was seen last.
    #[test]
    fn only_packets_of_the_verdict_are_evidence() {
        let mut reputation = reputation();
        let mut samples = vec![sample([192, 0, 2, 1], Verdict::LimitIcmp, 900); 9];
        samples.extend([sample([192, 0, 2, 1], Verdict::TcpNull, 5); 6]);
        reputation.second(&[observe(&[], &[], &samples, 0, SECOND, SECOND)], &[], SECOND);
        let account = Account::of([192, 0, 2, 1].into());
        let reasons = reputation.view(account, SECOND).record.reasons;
        assert_eq!(
            (reasons.len(), reasons[0].packets, reasons[0].detail.as_str()),
            (1, 30, "tcp-null")
        );
        samples.truncate(10);
        let mut calm = Reputation::new(Settings::default(), 0, 1);
        calm.second(&[observe(&[], &[], &samples, 0, SECOND, SECOND)], &[], SECOND);
        assert_eq!(
            calm.counts().0,
            0,
            "one sample is chance, whatever else was sampled"
        );
    }
}
