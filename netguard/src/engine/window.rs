//! Observe: one tick's counters and samples as plain data.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use netguard_common::{
    Action, Judgement, Verdict,
    layout::{Counter, Sample},
};

use super::Account;

/// Accounts kept per window; a flood of forged sources has no more samples than this.
const MAX_ACCOUNTS: usize = 65_536;

/// What happened between two ticks.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// When it ended, ns of the monotonic clock.
    pub at_ns: u64,
    pub length_ns: u64,
    /// Packets and bytes by judgement, only those that occurred.
    pub verdicts: Vec<(Judgement, Counter)>,
    /// What the samples say about the sources of dropped packets.
    pub accounts: HashMap<Account, Activity>,
    /// Packets that only the divided limits of sources dropped, estimated; `verdicts` has them, `accounts` do not.
    pub spared: Vec<(Verdict, u64)>,
    /// Samples that the kernel could not hand over.
    pub samples_lost: u64,
}

/// Dropped packets of one account in one window, estimated from the weights of its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The address that most of them came from, if one did: neighbours may share an account.
    pub source: IpAddr,
    /// By how many packets it leads, as in a majority vote.
    lead: u64,
    /// By what dropped them.
    pub(super) dropped: Vec<Dropped>,
}

/// Packets that one verdict dropped, or would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub verdict: Verdict,
    /// Only counted.
    pub shadow: bool,
    pub packets: u64,
    pub samples: u32,
}

impl Dropped {
    pub const fn is_by_limit(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::LimitSyn
                | Verdict::LimitUdp
                | Verdict::LimitIcmp
                | Verdict::LimitControl
                | Verdict::LimitOther
        )
    }
}

impl Activity {
    /// All of it that `is_meant`, under the verdict that most of that is of; `None`: none.
    pub fn sum(&self, is_meant: impl Fn(&Dropped) -> bool) -> Option<Dropped> {
        let meant = || self.dropped.iter().filter(|dropped| is_meant(dropped));
        let most = meant().max_by_key(|dropped| dropped.packets)?;
        Some(Dropped {
            packets: meant().fold(0, |sum, dropped| sum.saturating_add(dropped.packets)),
            samples: meant().fold(0, |sum, dropped| sum.saturating_add(dropped.samples)),
            ..*most
        })
    }
}

impl Window {
    /// Packets whose verdict lets them pass, those not among them that were only counted as dropped.
    pub fn passed(&self) -> u64 {
        let verdicts = self.verdicts.iter();
        let passed = verdicts.filter(|(judgement, _)| judgement.verdict.action() == Action::Pass);
        passed.fold(0, |sum, (_, counter)| sum.saturating_add(counter.packets))
    }

    /// `packets` in this window as packets per second.
    pub fn per_second(&self, packets: u64) -> u64 {
        if self.length_ns == 0 {
            return 0;
        }
        u64::try_from(u128::from(packets) * 1_000_000_000 / u128::from(self.length_ns)).unwrap_or(u64::MAX)
    }
}

/// The window between two readings of the counters. A counter that went backwards was reset: it counts anew.
pub fn observe(
    before: &[(Judgement, Counter)],
    after: &[(Judgement, Counter)],
    samples: &[Sample],
    samples_lost: u64,
    at_ns: u64,
    length_ns: u64,
) -> Window {
    let verdicts = after
        .iter()
        .enumerate()
        .map(|(index, (judgement, now))| {
            let then = before
                .get(index)
                .filter(|(then, _)| then == judgement)
                .map(|(_, counter)| *counter);
            (*judgement, difference(then, *now))
        })
        .filter(|(_, counter)| counter.packets > 0)
        .collect();
    let mut accounts = HashMap::new();
    for sample in samples {
        attribute(&mut accounts, sample);
    }
    Window {
        at_ns,
        length_ns,
        verdicts,
        accounts,
        spared: Vec::new(),
        samples_lost,
    }
}

fn difference(then: Option<Counter>, now: Counter) -> Counter {
    match then {
        Some(then) if then.packets <= now.packets && then.bytes <= now.bytes => Counter {
            packets: now.packets - then.packets,
            bytes: now.bytes - then.bytes,
        },
        _ => now,
    }
}

fn attribute(accounts: &mut HashMap<Account, Activity>, sample: &Sample) {
    let Some(verdict) = Verdict::from_number(u32::from(sample.verdict)) else {
        return;
    };
    let source = IpAddr::from(Ipv6Addr::from(sample.source)).to_canonical();
    let account = Account::of(source);
    if accounts.len() >= MAX_ACCOUNTS && !accounts.contains_key(&account) {
        return;
    }
    let activity = accounts.entry(account).or_insert(Activity {
        source,
        lead: 0,
        dropped: Vec::with_capacity(1),
    });
    let (weight, shadow) = (u64::from(sample.weight), sample.shadow != 0);
    vote(&mut activity.source, &mut activity.lead, source, weight);
    let mut known = activity.dropped.iter_mut();
    match known.find(|dropped| dropped.verdict == verdict && dropped.shadow == shadow) {
        Some(dropped) => {
            dropped.packets = dropped.packets.saturating_add(weight);
            dropped.samples = dropped.samples.saturating_add(1);
        }
        None => activity.dropped.push(Dropped {
            verdict,
            shadow,
            packets: weight,
            samples: 1,
        }),
    }
}

/// Gives `packets` votes to `source`: whoever has more than half of all leads in the end.
pub(super) fn vote(leader: &mut IpAddr, lead: &mut u64, source: IpAddr, packets: u64) {
    if *leader == source {
        *lead = lead.saturating_add(packets);
    } else if packets > *lead {
        (*leader, *lead) = (source, packets - *lead);
    } else {
        *lead -= packets;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use netguard_common::{packet::mapped, shared::Field as _};

    use super::*;

    pub(in crate::engine) fn sample(source: [u8; 4], verdict: Verdict, weight: u32) -> Sample {
        Sample {
            source: mapped(source),
            verdict: verdict.number() as u16,
            weight,
            ..Sample::ZERO
        }
    }

    const PASS: Judgement = Judgement {
        verdict: Verdict::Pass,
        shadow: false,
    };

    #[test]
    fn counters_become_differences_and_resets_start_anew() {
        let at = |packets| {
            vec![(
                PASS,
                Counter {
                    packets,
                    bytes: packets * 60,
                },
            )]
        };
        let window = |before, after| observe(&at(before), &at(after), &[], 0, 0, 1).verdicts;
        assert_eq!(
            window(3, 10),
            [(
                PASS,
                Counter {
                    packets: 7,
                    bytes: 420
                }
            )]
        );
        assert_eq!(window(10, 10), []);
        assert_eq!(
            window(10, 4),
            [(
                PASS,
                Counter {
                    packets: 4,
                    bytes: 240
                }
            )]
        );
        assert_eq!(observe(&[], &at(2), &[], 0, 0, 1).verdicts.len(), 1);
    }

    #[test]
    fn samples_are_attributed_by_weight() {
        let samples = [
            sample([192, 0, 2, 1], Verdict::LimitSyn, 10),
            sample([192, 0, 2, 1], Verdict::LimitUdp, 5),
            sample([192, 0, 2, 1], Verdict::Land, 1),
            Sample {
                shadow: 1,
                ..sample([192, 0, 2, 1], Verdict::LimitSyn, 7)
            },
        ];
        let window = observe(&[], &[], &samples, 0, 0, 1);
        let activity = &window.accounts[&Account::of([192, 0, 2, 1].into())];
        let sum = |is_meant: fn(&Dropped) -> bool| {
            let sum = activity.sum(is_meant).expect("there are some");
            (sum.verdict, sum.packets, sum.samples)
        };
        assert_eq!(
            sum(|dropped| dropped.is_by_limit() && !dropped.shadow),
            (Verdict::LimitSyn, 15, 2)
        );
        assert_eq!(sum(|dropped| dropped.shadow), (Verdict::LimitSyn, 7, 1));
        assert_eq!(sum(|dropped| !dropped.is_by_limit()), (Verdict::Land, 1, 1));
        assert_eq!(activity.sum(|dropped| dropped.verdict == Verdict::TcpNull), None);
    }

    /// Found in review: of a /64 that neighbours share, whoever was seen last answered for all of it.
    #[test]
    fn the_address_that_sends_most_stands_for_an_account() {
        let from = |host: u8, weight: u32| Sample {
            source: std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()).octets(),
            ..sample([0; 4], Verdict::LimitUdp, weight)
        };
        let samples = [from(7, 5), from(2, 1), from(7, 5), from(3, 2), from(2, 1)];
        let window = observe(&[], &[], &samples, 0, 0, 1);
        let [activity] = &window.accounts.values().collect::<Vec<_>>()[..] else {
            panic!("{window:?}");
        };
        assert_eq!(activity.source.to_string(), "2001:db8::7");
    }

    #[test]
    fn absurd_windows_do_not_panic() {
        let huge = [(
            PASS,
            Counter {
                packets: u64::MAX,
                bytes: u64::MAX,
            },
        )];
        let window = observe(
            &[],
            &huge,
            &[sample([1; 4], Verdict::LimitSyn, u32::MAX); 3],
            u64::MAX,
            u64::MAX,
            0,
        );
        assert_eq!(window.per_second(u64::MAX), 0);
        assert_eq!(
            Window {
                length_ns: 1,
                ..window
            }
            .per_second(u64::MAX),
            u64::MAX
        );
    }
}
