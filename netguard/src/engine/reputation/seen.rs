//! Who has established connections, by address and by account, and who had any lately. It judges nobody.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::Account;
use crate::prefix::Prefix;

/// How long a source that was connected counts as one that uses its network.
const LATELY_NS: u64 = 600_000_000_000;
/// Sources of which that is remembered; beyond, new ones are not begun.
const MOST: usize = 1 << 18;

#[derive(Debug, Default)]
pub(super) struct Seen {
    addresses: HashMap<IpAddr, u32>,
    accounts: HashMap<Account, u32>,
    /// When each account was last seen connected.
    lately: BTreeMap<Account, u64>,
    /// When each account was last found to be many people.
    many: BTreeMap<Account, u64>,
    /// Whether anybody ever looked.
    is_known: bool,
}

impl Seen {
    pub(super) fn connect(&mut self, addresses: HashMap<IpAddr, u32>, at_ns: u64) {
        self.accounts.clear();
        for (address, connections) in &addresses {
            let sum = self.accounts.entry(Account::of(*address)).or_default();
            *sum = sum.saturating_add(*connections);
        }
        self.addresses = addresses;
        self.is_known = true;
        for account in self.accounts.keys() {
            if self.lately.len() < MOST || self.lately.contains_key(account) {
                self.lately.insert(*account, at_ns);
            }
        }
    }

    /// Many people are behind `account`.
    pub(super) fn note_many(&mut self, account: Account, at_ns: u64) {
        if self.many.len() < MOST || self.many.contains_key(&account) {
            self.many.insert(account, at_ns);
        }
    }

    /// Whether that was found lately: people come and go.
    pub(super) fn is_many(&self, account: Account, at_ns: u64) -> bool {
        let seen_ns = self.many.get(&account);
        seen_ns.is_some_and(|seen_ns| at_ns.saturating_sub(*seen_ns) < LATELY_NS)
    }

    /// Whether it is known who is connected.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Those that have at least `connections`.
    pub(super) fn with(&self, connections: u32) -> Vec<Account> {
        let accounts = self.accounts.iter();
        let accounts = accounts.filter(|(_, count)| **count >= connections);
        accounts.map(|(account, _)| *account).collect()
    }

    /// Established connections of `account`; of an address by itself its own, whoever shares its /64.
    pub(super) fn connections(&self, account: Account) -> u32 {
        let prefix = account.prefix();
        let known = match prefix.is_host() {
            true => self.addresses.get(&prefix.address()),
            false => self.accounts.get(&account),
        };
        known.copied().unwrap_or(0)
    }

    /// Accounts that are connected.
    pub(super) fn connected(&self) -> impl ExactSizeIterator<Item = &Account> {
        self.accounts.keys()
    }

    /// Accounts of `network` that were connected lately, and those of everybody's.
    pub(super) fn lately(&self, network: &Prefix, at_ns: u64) -> impl Iterator<Item = &Account> {
        let wide = *network;
        let from = self.lately.range(Account::of(wide.address())..);
        let within = from.take_while(move |(account, _)| wide.covers(&account.prefix()));
        within
            .filter(move |(_, seen_ns)| at_ns.saturating_sub(**seen_ns) < LATELY_NS)
            .map(|(account, _)| account)
    }

    pub(super) fn tidy(&mut self, at_ns: u64) {
        for seen in [&mut self.lately, &mut self.many] {
            seen.retain(|_, seen_ns| at_ns.saturating_sub(*seen_ns) < LATELY_NS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn all_connections_of_an_account_count_together_and_those_of_an_address_alone() {
        let peers = [
            ("192.0.2.1", 2),
            ("2001:db8::1", 3),
            ("2001:db8::2", 4),
            ("2001:db8:0:1::1", u32::MAX),
            ("2001:db8:0:1::2", 9),
        ];
        let mut seen = Seen::default();
        seen.connect(peers.map(|(text, count)| (address(text), count)).into(), 0);
        let of = |text: &str| seen.connections(Account::of(address(text)));
        assert_eq!(
            [
                of("192.0.2.1"),
                of("2001:db8::9"),
                of("2001:db8:0:1::9"),
                of("192.0.2.2")
            ],
            [2, 7, u32::MAX, 0]
        );
        let alone = |text: &str| seen.connections(Account::alone(address(text)));
        assert_eq!([alone("2001:db8::2"), alone("2001:db8::9")], [4, 0]);
        assert_eq!(seen.connected().len(), 3);
    }

    #[test]
    fn who_was_connected_is_remembered_for_a_while() {
        let mut seen = Seen::default();
        seen.connect([(address("192.0.2.1"), 1)].into(), 5);
        seen.connect(HashMap::new(), 6);
        let network = "192.0.2.0/24".parse().expect("a prefix");
        assert_eq!(seen.connected().len(), 0);
        assert_eq!(seen.lately(&network, 4 + LATELY_NS).count(), 1);
        assert_eq!(seen.lately(&network, 5 + LATELY_NS).count(), 0);
        seen.tidy(5 + LATELY_NS);
        assert!(seen.lately.is_empty());
    }
}
