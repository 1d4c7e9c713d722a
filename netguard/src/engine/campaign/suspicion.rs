//! Suspicion: when it is said of a source that it is one of those that probe. Not at once, since what it asks for may turn out to be served in a
//! moment; and again while it goes on, since what was said fades. What that is worth, `reputation` says.

use std::collections::BTreeMap;

use crate::engine::{Account, reputation::Kind};

/// How long a source is one of them before it is said. What is served is looked for every ten seconds: who only asked for what comes up
/// late is told from the others in that time.
const WAIT_NS: u64 = 20_000_000_000;
/// How long what was said is enough.
const AGAIN_NS: u64 = Kind::Campaign.pause_ns();
/// Sources that are remembered beside those that probe now.
const REMEMBERED: usize = 16_384;

/// What was said of whom in a campaign.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion {
    campaign: u64,
    sources: BTreeMap<Account, Noted>,
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    /// When it was found to be one of them.
    since_ns: u64,
    /// When that was last said.
    said_ns: Option<u64>,
}

impl Suspicion {
    /// Takes in that `members` probe in this campaign. Of whom it is to be said now.
    pub(super) fn look<'a>(
        &mut self,
        campaign: u64,
        members: impl Iterator<Item = &'a Account> + Clone,
        now_ns: u64,
    ) -> Vec<Account> {
        if self.campaign != campaign {
            self.campaign = campaign;
            self.sources.clear();
        }
        let due = members.clone().filter(|account| {
            let fresh = Noted {
                since_ns: now_ns,
                said_ns: None,
            };
            self.sources.entry(**account).or_insert(fresh).is_due(now_ns)
        });
        let due = due.copied().collect();
        if self.sources.len() > REMEMBERED {
            self.sources = members
                .filter_map(|account| Some((*account, *self.sources.get(account)?)))
                .collect();
        }
        due
    }

    /// Forgets those of whom it was taken back.
    pub(super) fn forget(&mut self, accounts: &[Account]) {
        for account in accounts {
            self.sources.remove(account);
        }
    }
}

impl Noted {
    /// Whether it is to be said now, which counts as done.
    fn is_due(&mut self, now_ns: u64) -> bool {
        // A clock that jumped back makes nobody wait for longer.
        self.since_ns = self.since_ns.min(now_ns);
        self.said_ns = self.said_ns.map(|said_ns| said_ns.min(now_ns));
        let is_due = match self.said_ns {
            Some(said_ns) => now_ns - said_ns >= AGAIN_NS,
            None => now_ns - self.since_ns >= WAIT_NS,
        };
        if is_due {
            self.said_ns = Some(now_ns);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn account(number: u32) -> Account {
        Account::of(Ipv4Addr::from(0x0b00_0000 + number).into())
    }

    #[test]
    fn it_is_said_after_two_sweeps_and_again_after_each_pause() {
        let [early, late] = [1, 2].map(account);
        let mut suspicion = Suspicion::default();
        let mut said = Vec::new();
        for at_s in 100..2_000 {
            let members = [early, late];
            let members = &members[..1 + usize::from(at_s >= 110)];
            let due = suspicion.look(1, members.iter(), at_s * SECOND);
            said.extend(due.into_iter().map(|account| (at_s, account)));
        }
        let both = [120, 720, 1_320, 1_920].map(|at_s| [(at_s, early), (at_s + 10, late)]);
        assert_eq!(said, both.concat());
        // In another campaign it is another matter.
        assert_eq!(suspicion.look(2, [early].iter(), 2_000 * SECOND), []);
        assert_eq!(suspicion.look(2, [early].iter(), 2_020 * SECOND), [early]);
        suspicion.forget(&[early]);
        assert_eq!(suspicion.look(2, [early].iter(), 2_021 * SECOND), []);
    }

    #[test]
    fn memory_is_bounded_and_a_clock_that_jumps_back_makes_nobody_wait() {
        let mut suspicion = Suspicion::default();
        for number in 0..20_000 {
            suspicion.look(1, [account(number)].iter(), u64::MAX);
            assert!(suspicion.sources.len() <= REMEMBERED);
        }
        let last = [account(19_999)];
        assert_eq!(suspicion.look(1, last.iter(), 5), []);
        assert_eq!(suspicion.look(1, last.iter(), 5 + WAIT_NS), last);
        assert_eq!(suspicion.look(1, last.iter(), 7), []);
        assert_eq!(suspicion.look(1, last.iter(), 7 + AGAIN_NS), last);
    }
}
