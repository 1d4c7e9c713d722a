//! What a source is held accountable as: an IPv4 address, or an IPv6 /64, of which one host owns every
//! address (but for neighbours on the link, who share one).

use std::{fmt, net::IpAddr};

use crate::prefix::Prefix;

/// The unit in which behaviour is attributed; the same as the kernel's limiter uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(Prefix);

impl Account {
    /// The account of `address`.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = match address {
            IpAddr::V4(_) => 32,
            // On the link all neighbours share fe80::/64.
            IpAddr::V6(address) if address.is_unicast_link_local() => 128,
            IpAddr::V6(_) => 64,
        };
        Self(Prefix::truncated(address, bits).unwrap_or_else(|| Prefix::from(address)))
    }

    /// `address` by itself: of an IPv6 /64 that is not one host's, such as the one this machine lies in.
    pub fn alone(address: IpAddr) -> Self {
        Self(Prefix::from(address.to_canonical()))
    }

    /// Every address of the account.
    pub fn prefix(self) -> Prefix {
        self.0
    }

    /// The network that it lies in: an IPv4 /24 or an IPv6 /48; `None` for an IPv6 address by itself, whose neighbours share
    /// the /64 with it.
    pub fn network(self) -> Option<Prefix> {
        let alone = self.0.address().is_ipv6() && self.0.is_host();
        (!alone).then(|| self.0.within(24, 48))
    }
}

/// As it is written: an IPv6 address is one by itself, and anything wider the account that it begins with.
impl From<Prefix> for Account {
    fn from(prefix: Prefix) -> Self {
        match prefix.is_host() {
            true => Self(prefix),
            false => Self::of(prefix.address()),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let account = |text: &str| Account::of(text.parse().expect("an address")).to_string();
        assert_eq!(account("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(account("::ffff:192.0.2.7"), "192.0.2.7/32");
        assert_eq!(account("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(account("fe80::7"), "fe80::7/128");
        let alone = Account::alone("2001:db8:1:2:3::4".parse().expect("an address"));
        assert_eq!(
            (alone.to_string(), alone.network()),
            ("2001:db8:1:2:3::4/128".to_owned(), None)
        );
        let again = |account: Account| account.to_string().parse::<Prefix>().map(Account::from);
        for account in [
            alone,
            Account::of([192, 0, 2, 7].into()),
            Account::of(alone.prefix().address()),
        ] {
            assert_eq!(again(account).expect("a prefix"), account);
        }
        let network = |text: &str| Account::of(text.parse().expect("an address")).network();
        let told = |text| network(text).map(|network| network.to_string());
        assert_eq!(told("192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(told("2001:db8:1:2::3").as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(told("fe80::7"), None);
    }
}
