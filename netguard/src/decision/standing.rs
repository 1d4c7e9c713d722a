//! What rules say about a client, by a copy of them that is made beside the requests: who is blocked at the network card is refused here, too, though
//! the packets come from a proxy. It reads no rules itself.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use netguard_common::layout::Rule;

use crate::prefix::Prefix;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Unlisted,
    /// No limit holds for it.
    Allowed,
    Blocked,
}

/// A copy of the rules.
#[derive(Debug, Default)]
pub struct Listed {
    allow: Rules,
    block: Rules,
}

#[derive(Debug, Default)]
struct Rules {
    by_prefix: HashMap<Prefix, Rule>,
    /// The lengths that there are, of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl Listed {
    /// These rules.
    pub fn new(
        allow: impl IntoIterator<Item = (Prefix, Rule)>,
        block: impl IntoIterator<Item = (Prefix, Rule)>,
    ) -> Self {
        Self {
            allow: Rules::new(allow),
            block: Rules::new(block),
        }
    }

    /// Where `client` stands at `now_ns`, monotonic.
    pub fn standing(&self, client: IpAddr, now_ns: u64) -> Standing {
        if self.allow.hold(client, now_ns) {
            Standing::Allowed
        } else if self.block.hold(client, now_ns) {
            Standing::Blocked
        } else {
            Standing::Unlisted
        }
    }
}

impl Rules {
    fn new(rules: impl IntoIterator<Item = (Prefix, Rule)>) -> Self {
        let by_prefix: HashMap<Prefix, Rule> = rules.into_iter().collect();
        let mut lengths = [BTreeSet::new(), BTreeSet::new()];
        for prefix in by_prefix.keys() {
            lengths[usize::from(prefix.address().is_ipv6())].insert(prefix.bits());
        }
        Self { by_prefix, lengths }
    }

    /// Whether any of them that has not ended holds for `client`.
    fn hold(&self, client: IpAddr, now_ns: u64) -> bool {
        self.lengths[usize::from(client.is_ipv6())].iter().any(|bits| {
            let prefix = Prefix::truncated(client, *bits);
            let rule = prefix.and_then(|prefix| self.by_prefix.get(&prefix));
            rule.is_some_and(|rule| !rule.expired(now_ns))
        })
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::rule::Origin;

    use super::*;

    fn rule(expires_at: u32) -> Rule {
        Rule {
            expires_at,
            reason: 0,
            origin: Origin::Operator as u8,
            proof: 0,
        }
    }

    #[test]
    fn who_is_allowed_is_not_blocked_and_rules_end() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let listed = Listed::new(
            [(prefix("192.0.2.0/28"), rule(0))],
            [
                (prefix("192.0.2.0/24"), rule(0)),
                (prefix("2001:db8:1:2::/64"), rule(0)),
                (prefix("203.0.113.7"), rule(2)),
            ],
        );
        let standing = |client: &str, now_ns| listed.standing(client.parse().unwrap(), now_ns);
        assert_eq!(standing("192.0.2.1", 0), Standing::Allowed);
        assert_eq!(standing("192.0.2.99", 0), Standing::Blocked);
        assert_eq!(standing("2001:db8:1:2::9", 0), Standing::Blocked);
        assert_eq!(standing("2001:db8:1:3::9", 0), Standing::Unlisted);
        assert_eq!(standing("203.0.113.7", 0), Standing::Blocked);
        assert_eq!(standing("203.0.113.7", 10 << 30), Standing::Unlisted);
        assert_eq!(
            Listed::default().standing([192, 0, 2, 1].into(), 0),
            Standing::Unlisted
        );
    }
}
