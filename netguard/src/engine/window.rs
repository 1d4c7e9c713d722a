//! Observe: one tick's counters and samples as plain data.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use netguard_common::{
    Judgement, Verdict,
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
    /// Samples that the kernel could not hand over.
    pub samples_lost: u64,
}

/// Dropped packets of one account in one window, estimated from the weights of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The address of the newest sample.
    pub source: IpAddr,
    /// The verdict of the newest sample.
    pub verdict: Verdict,
    /// Packets dropped by a limit.
    pub limited: u64,
    /// Packets that a limit in shadow mode would have dropped.
    pub shadow_limited: u64,
    /// Packets dropped for any other reason, shadow included.
    pub other: u64,
    pub samples: u32,
}

impl Window {
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
        verdict,
        limited: 0,
        shadow_limited: 0,
        other: 0,
        samples: 0,
    });
    let weight = u64::from(sample.weight);
    let count = match (is_limit(verdict), sample.shadow) {
        (true, 0) => &mut activity.limited,
        (true, _) => &mut activity.shadow_limited,
        (false, _) => &mut activity.other,
    };
    *count = count.saturating_add(weight);
    activity.samples = activity.samples.saturating_add(1);
    (activity.source, activity.verdict) = (source, verdict);
}

const fn is_limit(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::LimitSyn
            | Verdict::LimitUdp
            | Verdict::LimitIcmp
            | Verdict::LimitControl
            | Verdict::LimitOther
    )
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
        let activity = window.accounts[&Account::of([192, 0, 2, 1].into())];
        assert_eq!(
            (
                activity.limited,
                activity.shadow_limited,
                activity.other,
                activity.samples
            ),
            (15, 7, 1, 4)
        );
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
