//! Sources that open slow connections again after dozens of theirs had to end: to end them is not enough.
//!
//! A connection that was never answered may also be one whose service hangs, and many of one source may be many people. So it takes new ones,
//! twice, which are most of what the source has, while others are answered just then, more of them than wait. What is sent and not taken says nothing
//! of its source: a line may be down.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{CROWD, Paced, SECOND_NS, UNANSWERED_NS};
use crate::engine::{Account, flooder::is_nearly_all};

/// So often within so long.
const TIMES: u32 = 2;
const WITHIN_NS: u64 = 60 * SECOND_NS;
/// Other sources that must be answered just then.
const OTHERS: usize = 3;
/// Sources that are remembered, for each service they do it to.
const REMEMBERED: usize = 4_096;

/// A source that goes on to open connections to a service that do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offender {
    pub account: Account,
    /// The address of it that has most of them.
    pub peer: IpAddr,
    pub port: u16,
    /// Connections of it that are silent now, of so many that it has to any service; and those that ended since it began.
    pub silent: u32,
    pub of: u32,
    pub ended: u64,
    /// How long ago it began.
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

/// What a source has, at one service or at all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Party {
    all: u32,
    silent: u32,
    /// Whether one was answered a moment ago.
    is_served: bool,
}

impl Crowds {
    /// Takes in that dozens of connections to the service at `port` end of each of `crowds`, which are among its `flows`. Tells those that are offenders;
    /// `at_all` is what sources have, wherever.
    pub(super) fn take(
        &mut self,
        port: u16,
        crowds: &HashMap<Account, Vec<Paced<'_>>>,
        flows: &[Paced<'_>],
        at_all: &HashMap<Account, Party>,
        now_ns: u64,
    ) -> Vec<Offender> {
        self.0
            .retain(|_, crowd| now_ns.saturating_sub(crowd.last_ns) < WITHIN_NS);
        let here = parties(flows, now_ns);
        let others = || here.iter().filter(|(account, _)| !crowds.contains_key(account));
        let served = others().filter(|(_, party)| party.is_served).count();
        let waiting = others()
            .filter(|(_, party)| party.silent > 0 && party.silent * 2 >= party.all)
            .count();
        if served < OTHERS || served <= waiting {
            return Vec::new();
        }
        let accused = crowds.iter().filter_map(|(account, of_one)| {
            let party = at_all.get(account)?;
            is_nearly_all(party.silent, party.all)
                .then(|| self.accuse(*account, port, of_one, party, now_ns))?
        });
        accused.collect()
    }

    /// Counts those of `of_one` that were begun since the last ones ended.
    fn accuse(
        &mut self,
        account: Account,
        port: u16,
        of_one: &[Paced<'_>],
        party: &Party,
        now_ns: u64,
    ) -> Option<Offender> {
        let known = self.0.get(&(account, port)).copied();
        let silent = || of_one.iter().filter(|paced| paced.is_silent());
        let is_new = |paced: &&Paced<'_>| known.is_none_or(|crowd| paced.begun_ns > crowd.last_ns);
        let new = silent().filter(is_new).count();
        if new < CROWD || (known.is_none() && self.0.len() >= REMEMBERED) {
            return None;
        }
        let before = known.unwrap_or(Crowd {
            times: 0,
            ended: 0,
            first_ns: now_ns,
            last_ns: now_ns,
        });
        let crowd = Crowd {
            times: before.times.saturating_add(1),
            ended: before.ended.saturating_add(new as u64),
            first_ns: before.first_ns,
            last_ns: now_ns,
        };
        self.0.insert((account, port), crowd);
        let mut peers: BTreeMap<IpAddr, u32> = BTreeMap::new();
        silent().for_each(|paced| *peers.entry(paced.flow.peer).or_default() += 1);
        let (peer, _) = peers.iter().max_by_key(|(_, count)| **count)?;
        (crowd.times >= TIMES).then(|| Offender {
            account,
            peer: *peer,
            port,
            silent: party.silent,
            of: party.all,
            ended: crowd.ended,
            over_for_ns: now_ns.saturating_sub(crowd.first_ns),
        })
    }
}

/// What each source has among `flows`.
pub(super) fn parties<'a>(
    flows: impl IntoIterator<Item = &'a Paced<'a>>,
    now_ns: u64,
) -> HashMap<Account, Party> {
    let mut parties: HashMap<Account, Party> = HashMap::new();
    for paced in flows {
        let party = parties.entry(Account::of(paced.flow.peer)).or_default();
        party.all += 1;
        party.silent += u32::from(paced.is_silent());
        party.is_served |= paced.is_served(now_ns);
    }
    parties
}

impl Paced<'_> {
    /// Whether some of an answer was taken a moment ago.
    fn is_served(&self, now_ns: u64) -> bool {
        self.answered_ns
            .is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < UNANSWERED_NS)
    }
}
