//! A set of prefixes that is asked for one address after the other: a look for each length that there is.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use crate::prefix::Prefix;

#[derive(Debug, Default)]
pub(super) struct Prefixes {
    prefixes: HashSet<Prefix>,
    lengths: BTreeSet<u8>,
}

impl Prefixes {
    /// Whether one of them holds `address`.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let within = |bits: &u8| Prefix::truncated(address, *bits);
        let mut networks = self.lengths.iter().filter_map(within);
        networks.any(|network| self.prefixes.contains(&network))
    }
}

impl FromIterator<Prefix> for Prefixes {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let prefixes: HashSet<Prefix> = prefixes.into_iter().collect();
        Self {
            lengths: prefixes.iter().map(|prefix| prefix.bits()).collect(),
            prefixes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_what_holds_it() {
        let prefixes: Prefixes = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
            .iter()
            .map(|text| text.parse::<Prefix>().expect("a prefix"))
            .collect();
        let contains = |text: &str| prefixes.contains(text.parse().expect("an address"));
        assert!(contains("192.0.2.9") && contains("198.51.100.7") && contains("2001:db8:7::1"));
        assert!(!contains("192.0.3.9") && !contains("198.51.100.8") && !contains("2001:db9::1"));
        assert!(!Prefixes::default().contains(IpAddr::from([192, 0, 2, 1])));
    }
}
