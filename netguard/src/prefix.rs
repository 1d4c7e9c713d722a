//! Address prefixes as people write them, IPv4 and IPv6, refused with a suggestion when they cannot be meant.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// An address prefix without host bits, such as `192.0.2.0/24`; a bare address means `/32` or `/128`.
///
/// IPv4-mapped IPv6 addresses become the IPv4 ones that they carry: that is what the datapath sees of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpNet);

/// A prefix that may stand in a blocklist: not wider than an IPv4 /8 or an IPv6 /16 of the public internet, so that no
/// two of them are everybody. Multicast and reserved space, which bogon lists name in one piece, may be wider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockPrefix(Prefix);

/// Why a text is not a prefix; the message is a whole sentence for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Neither an address nor an address with a length.
    #[error(
        "{0:?} is not an address prefix: write an address such as 192.0.2.1 or 2001:db8::1, \
         or a prefix such as 192.0.2.0/24"
    )]
    NotAPrefix(String),
    /// The part behind the slash is not a number in range for the family.
    #[error(
        "{text:?} has no valid prefix length: {family} takes a whole number from 0 to {max} after the slash"
    )]
    Length {
        /// What was written.
        text: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Longest prefix of the family, in bits.
        max: u8,
    },
    /// Address bits are set behind the prefix length.
    #[error("{given} has address bits set behind /{}: did you mean {meant}?", .meant.prefix_len())]
    HostBits {
        /// What was written.
        given: IpNet,
        /// The same prefix without those bits.
        meant: IpNet,
    },
    /// Only from [`BlockPrefix`].
    #[error(
        "{0} is too wide to block, it would lock out everybody or nearly so: the widest is an IPv4 /8 or an IPv6 /16"
    )]
    TooWide(Prefix),
}

impl Prefix {
    /// The prefix of `len` bits that starts at `address`.
    ///
    /// # Errors
    /// When `len` does not fit the family, or host bits are set.
    pub fn new(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let given =
            IpNet::new(address, len).map_err(|_| PrefixError::length(format!("{address}/{len}"), address))?;
        let given = unmapped(&given).unwrap_or(given);
        let meant = given.trunc();
        if meant == given {
            Ok(Self(given))
        } else {
            Err(PrefixError::HostBits { given, meant })
        }
    }

    /// The prefix of `len` bits that `address` lies in; `None` when `len` does not fit the family.
    #[must_use]
    pub fn truncated(address: IpAddr, len: u8) -> Option<Self> {
        IpNet::new(address.to_canonical(), len)
            .ok()
            .map(|net| Self(net.trunc()))
    }

    /// The network of at most `v4` or `v6` bits that it lies in, or it itself if it has no more.
    #[must_use]
    pub fn within(&self, v4: u8, v6: u8) -> Self {
        let longest = if self.address().is_ipv4() { v4 } else { v6 };
        Self::truncated(self.address(), self.bits().min(longest)).unwrap_or(*self)
    }

    /// First address of the prefix.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// Length in bits, 0 to 32 or 128.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.0.prefix_len()
    }

    /// True if it names exactly one address.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// True if `address` lies in it; an IPv4-mapped address counts as the IPv4 address it carries.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// True if every address of `other` lies in this prefix.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Both halves of the prefix; `None` for a single address.
    #[must_use]
    pub fn halves(&self) -> Option<[Self; 2]> {
        let mut halves = self.0.subnets(self.bits() + 1).ok()?.map(Self);
        Some([halves.next()?, halves.next()?])
    }

    /// The same prefix in the type of the `ipnet` crate.
    #[must_use]
    pub fn net(&self) -> IpNet {
        self.0
    }
}

impl BlockPrefix {
    /// The prefix itself.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        self.0
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(PrefixError::NotAPrefix(shown(text)));
        };
        let len = match len {
            None => longest(address),
            // The integer parser would let a sign through.
            Some(len) if len.bytes().all(|byte| byte.is_ascii_digit()) => len
                .parse()
                .map_err(|_| PrefixError::length(shown(text), address))?,
            Some(_) => return Err(PrefixError::length(shown(text), address)),
        };
        Self::new(address, len)
    }
}

impl FromStr for BlockPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Prefix>()?.try_into()
    }
}

impl TryFrom<Prefix> for BlockPrefix {
    type Error = PrefixError;

    fn try_from(prefix: Prefix) -> Result<Self, Self::Error> {
        if is_too_wide(&prefix) {
            Err(PrefixError::TooWide(prefix))
        } else {
            Ok(Self(prefix))
        }
    }
}

/// The host prefix of an address; an IPv4-mapped address becomes the IPv4 address it carries.
impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self(IpNet::from(address.to_canonical()))
    }
}

impl From<BlockPrefix> for Prefix {
    fn from(prefix: BlockPrefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for BlockPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl PrefixError {
    fn length(text: String, address: IpAddr) -> Self {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        Self::Length {
            text,
            family,
            max: longest(address),
        }
    }
}

fn is_too_wide(prefix: &Prefix) -> bool {
    match prefix.0 {
        // 224.0.0.0/3 is multicast and reserved space.
        IpNet::V4(net) => net.prefix_len() < 8 && (net.prefix_len() < 3 || net.addr().octets()[0] < 224),
        // 2000::/3 is all that was ever given out (RFC 4291 section 2.4).
        IpNet::V6(net) => {
            net.prefix_len() < 16 && (net.prefix_len() < 3 || net.addr().octets()[0] >> 5 == 0b001)
        }
    }
}

/// As much of `text` as a message should repeat; no prefix is longer.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The IPv4 prefix that `net` names, if it lies in `::ffff:0:0/96`.
fn unmapped(net: &IpNet) -> Option<IpNet> {
    let IpNet::V6(net) = net else { return None };
    let address = Ipv6Addr::to_ipv4_mapped(&net.addr())?;
    let bits = net.prefix_len().checked_sub(96)?;
    IpNet::new(address.into(), bits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_people_write() {
        for (text, shown) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0::/48", "2001:db8::/48"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:c000:201", "192.0.2.1/32"),
            ("::FFFF:192.0.2.0/120", "192.0.2.0/24"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn refuses_with_a_sentence() {
        for (text, part) in [
            ("", "\"\" is not an address prefix"),
            ("host.example", "is not an address prefix"),
            ("10.1/16", "is not an address prefix"),
            ("010.0.0.1", "is not an address prefix"),
            (" 10.0.0.1", "is not an address prefix"),
            ("fe80::1%eth0", "is not an address prefix"),
            ("10.0.0.0/", "IPv4 takes a whole number from 0 to 32"),
            ("10.0.0.0/33", "IPv4 takes a whole number from 0 to 32"),
            ("10.0.0.0/+8", "IPv4 takes a whole number from 0 to 32"),
            ("10.0.0.0/255.0.0.0", "IPv4 takes a whole number from 0 to 32"),
            ("2001:db8::/129", "IPv6 takes a whole number from 0 to 128"),
            ("2001:db8::/99999", "IPv6 takes a whole number from 0 to 128"),
            (
                "10.0.0.1/8",
                "10.0.0.1/8 has address bits set behind /8: did you mean 10.0.0.0/8?",
            ),
            ("2001:db8::1/32", "did you mean 2001:db8::/32?"),
            ("::ffff:192.0.2.1/120", "did you mean 192.0.2.0/24?"),
        ] {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn nobody_blocks_everybody() {
        for text in [
            "0.0.0.0/0",
            "128.0.0.0/1",
            "192.0.0.0/3",
            "10.0.0.0/7",
            "::/0",
            "::ffff:0.0.0.0/96",
            "::/1",
            "2000::/3",
            "2a00::/15",
        ] {
            let error = text.parse::<BlockPrefix>().unwrap_err().to_string();
            assert!(error.contains("too wide"), "{error}");
        }
        // The last four are in lists of bogons.
        for text in [
            "10.0.0.0/8",
            "2a00::/16",
            "224.0.0.0/3",
            "240.0.0.0/4",
            "fc00::/7",
            "4000::/3",
        ] {
            assert_eq!(text.parse::<BlockPrefix>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn membership_treats_mapped_addresses_as_ipv4() {
        let prefix: Prefix = "192.0.2.0/24".parse().unwrap();
        assert!(prefix.contains("::ffff:192.0.2.9".parse().unwrap()));
        assert!(!prefix.contains("2001:db8::1".parse().unwrap()));
        assert!(prefix.covers(&"192.0.2.128/25".parse().unwrap()));
        assert!(!prefix.covers(&"192.0.0.0/16".parse().unwrap()));
        let host = Prefix::from("::ffff:192.0.2.9".parse::<IpAddr>().unwrap());
        assert_eq!(host.to_string(), "192.0.2.9/32");
        assert!(host.is_host() && !prefix.is_host());
    }
}
