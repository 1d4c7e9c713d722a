//! Spared: what only the divided limit of a source refuses is not held against it, nor taken for an attack. Else a source that is throttled, and
//! stays within what others may send, would stay throttled by what that costs it.

use std::collections::{BTreeMap, HashMap};

use netguard_common::{
    Verdict,
    layout::{CLASSES, Settings},
    limit::Class,
};

use super::{Account, Window, reputation::Throttle};

/// Whose limits are divided, and what whole ones are.
#[derive(Clone, Debug, Default)]
pub struct Divided {
    divisors: HashMap<Account, u8>,
    /// Packets a second by class; 0: no limit.
    rates: [u64; CLASSES],
}

impl Divided {
    pub fn new(throttles: &[Throttle], settings: &Settings) -> Self {
        let divisors = throttles
            .iter()
            .map(|throttle| (throttle.account, throttle.divisor));
        Self {
            divisors: divisors.collect(),
            rates: settings.limits.map(|rate| rate.per_second()),
        }
    }

    /// Takes from `window` what whole limits would have let pass.
    pub(super) fn spare(&self, window: &mut Window) {
        let mut spared: BTreeMap<Verdict, u64> = BTreeMap::new();
        for (account, divisor) in &self.divisors {
            let Some(activity) = window.accounts.get_mut(account) else {
                continue;
            };
            for dropped in activity.dropped.iter_mut().filter(|dropped| !dropped.shadow) {
                let class = Class::ALL
                    .into_iter()
                    .find(|class| class.verdict() == dropped.verdict);
                let rate = class.map_or(0, |class| self.rates[class as usize]);
                let more = rate - rate / u64::from((*divisor).max(1));
                let within = u128::from(more) * u128::from(window.length_ns) / 1_000_000_000;
                let within = dropped.packets.min(u64::try_from(within).unwrap_or(u64::MAX));
                dropped.packets -= within;
                *spared.entry(dropped.verdict).or_default() += within;
            }
        }
        window.spared = spared.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{
        Judgement,
        layout::{Counter, Rate},
        shared::Field as _,
        telemetry::Telemetry,
    };

    use super::*;
    use crate::engine::{Features, observe, reputation::Throttle, traffic::compare, window::tests::sample};

    const SECOND: u64 = 1_000_000_000;

    /// Found in review: who stayed within the limits of others was found to flood, again and again.
    #[test]
    fn what_a_whole_limit_would_let_pass_counts_for_nothing() {
        let account = |last| Account::of([192, 0, 2, last].into());
        let throttles = [1, 2].map(|last| Throttle {
            account: account(last),
            divisor: 4,
        });
        let mut settings = Settings::ZERO;
        settings.limits[Class::Udp as usize] = Rate::new(1_000, 1_000);
        let divided = Divided::new(&throttles, &settings);
        // Of 900 and of 5,000 a second, 250 pass; nobody throttles the third, and the fourth class has no limit.
        let samples = [
            sample([192, 0, 2, 1], Verdict::LimitUdp, 650),
            sample([192, 0, 2, 2], Verdict::LimitUdp, 4_750),
            sample([192, 0, 2, 2], Verdict::LimitIcmp, 70),
            sample([192, 0, 2, 3], Verdict::LimitUdp, 100),
        ];
        let mut window = observe(&[], &[], &samples, 0, SECOND, SECOND);
        divided.spare(&mut window);
        let dropped = |last: u8, verdict| {
            let activity = &window.accounts[&account(last)];
            activity
                .sum(|dropped| dropped.verdict == verdict)
                .map(|dropped| dropped.packets)
        };
        assert_eq!(dropped(1, Verdict::LimitUdp), Some(0));
        assert_eq!(dropped(2, Verdict::LimitUdp), Some(4_000));
        assert_eq!(dropped(2, Verdict::LimitIcmp), Some(70));
        assert_eq!(dropped(3, Verdict::LimitUdp), Some(100));
        let udp = window
            .spared
            .iter()
            .find(|(verdict, _)| *verdict == Verdict::LimitUdp);
        assert_eq!(udp, Some(&(Verdict::LimitUdp, 1_400)));
        let judged = Judgement {
            verdict: Verdict::LimitUdp,
            shadow: false,
        };
        let counter = Counter {
            packets: 5_500,
            bytes: 0,
        };
        window.verdicts = vec![(judged, counter)];
        let traffic = compare(&Telemetry::ZERO, &Telemetry::ZERO, SECOND);
        let features = Features::of(SECOND, &traffic, [&window], &[]);
        assert_eq!(features.with(&[Verdict::LimitUdp]), 4_100.0);
    }
}
