//! Sources whose slow connections had to end again and again: to end them is not enough.

use std::{collections::HashMap, net::IpAddr};

use super::{IDLE_NS, Paced, SECOND_NS, UNANSWERED_NS};
use crate::engine::Account;

/// So often connections of a source at a service must have ended, within so long.
const TIMES: u32 = 2;
const WITHIN_NS: u64 = 60 * SECOND_NS;
/// The part of its connections there that must be stuck: people behind one address have others, too.
const MOST_PERCENT: usize = 75;
/// Sources that are remembered, for each service they do it to.
const REMEMBERED: usize = 4_096;

/// A source that goes on to hold connections of a service that do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offender {
    pub account: Account,
    /// An address of it.
    pub peer: IpAddr,
    pub port: u16,
    /// Connections of it that ended.
    pub ended: u64,
    /// How long ago the first of them did.
    pub over_for_ns: u64,
}

/// Sources whose connections ended lately.
#[derive(Debug, Default)]
pub(super) struct Crowds(HashMap<(Account, u16), Crowd>);

#[derive(Clone, Copy, Debug)]
struct Crowd {
    times: u32,
    ended: u64,
    first_ns: u64,
    last_ns: u64,
}

impl Crowds {
    /// Takes in that those of `ending` end, which are connections of one source to a service, all of which are `of_one`, of `flows` in all. Tells whether
    /// that makes it an offender: only where others are answered just then, and most of theirs are not stuck, too. Otherwise the service may be.
    pub(super) fn take(
        &mut self,
        of_one: &[Paced<'_>],
        ending: usize,
        flows: &[Paced<'_>],
        now_ns: u64,
    ) -> Option<Offender> {
        let first = of_one.first()?.flow;
        let account = Account::of(first.peer);
        let others = || {
            flows
                .iter()
                .filter(|paced| Account::of(paced.flow.peer) != account)
        };
        let stuck = of_one.iter().filter(|paced| paced.is_stuck()).count();
        let others_stuck = others().filter(|paced| paced.is_stuck()).count();
        if stuck * 100 < of_one.len() * MOST_PERCENT
            || others_stuck * 2 > others().count()
            || !others().any(Paced::thrives)
        {
            return None;
        }
        let is_lately = |crowd: &Crowd| now_ns.saturating_sub(crowd.last_ns) < WITHIN_NS;
        self.0.retain(|_, crowd| is_lately(crowd));
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&(account, first.port)) {
            return None;
        }
        let crowd = self.0.entry((account, first.port)).or_insert(Crowd {
            times: 0,
            ended: 0,
            first_ns: now_ns,
            last_ns: now_ns,
        });
        crowd.times = crowd.times.saturating_add(1);
        crowd.ended = crowd.ended.saturating_add(ending as u64);
        crowd.last_ns = now_ns;
        (crowd.times >= TIMES).then_some(Offender {
            account,
            peer: first.peer,
            port: first.port,
            ended: crowd.ended,
            over_for_ns: now_ns.saturating_sub(crowd.first_ns),
        })
    }
}

impl Paced<'_> {
    /// Whether the peer owes something: a request, or to take what was sent. One that is idle after an answer owes nothing.
    const fn is_stuck(&self) -> bool {
        let is_silent = self.flow.is_unanswered() && self.slow_for_ns >= UNANSWERED_NS;
        is_silent || self.flow.unsent > 0 && self.slow_for_ns >= IDLE_NS
    }

    /// Whether it was answered a moment ago.
    const fn thrives(&self) -> bool {
        !self.flow.is_unanswered() && self.slow_for_ns < UNANSWERED_NS
    }
}
