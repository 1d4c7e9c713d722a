//! What became of the start of a conversation, and by which policy.

use super::{
    TLS_1_2, TLS_1_3,
    hello::{CHOSEN, Hello, KEY_SHARE, Progress},
    suites::{is_ephemeral_aead, is_latest_aead},
};

/// What became of a conversation. Its number is that of its counter in the map `TLS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted = 0,
    Version = 1,
    Cipher = 2,
    ForwardSecrecy = 3,
    Broken = 4,
    Foreign = 5,
    Unseen = 6,
    Untold = 7,
}

/// Counters in the map `TLS`: those of services that enforce, then those of services in shadow.
pub const COUNTERS: usize = 2 * Outcome::ALL.len();

/// The index of the counter of `outcome`.
#[inline(always)]
pub const fn counter(outcome: Outcome, shadow: bool) -> u32 {
    if shadow {
        Outcome::ALL.len() as u32 + outcome as u32
    } else {
        outcome as u32
    }
}

/// What becomes of a conversation that `hello` was read of, under a policy of at least version `minimum`; 0 is that of TLS 1.3.
///
/// TLS 1.3 is chosen in an extension (RFC 8446 section 4.2.1), never in the field of old. All its suites encrypt with authentication, but for
/// some that do not encrypt at all; what it derives of a shared secret alone has no forward secrecy (section 2.2): there the server sends no
/// share of a key.
#[inline(always)]
pub const fn judge(hello: &Hello, minimum: u16) -> Outcome {
    match Progress::from_number(hello.progress) {
        Progress::Foreign => return Outcome::Foreign,
        Progress::Open | Progress::Broken => return Outcome::Broken,
        Progress::Whole => {}
    }
    let minimum = if minimum == TLS_1_2 { TLS_1_2 } else { TLS_1_3 };
    if hello.version < minimum || hello.version > TLS_1_3 {
        Outcome::Version
    } else if hello.version < TLS_1_3 {
        if is_ephemeral_aead(hello.cipher) {
            Outcome::Accepted
        } else {
            Outcome::Cipher
        }
    } else if hello.seen & CHOSEN == 0 {
        Outcome::Broken
    } else if !is_latest_aead(hello.cipher) {
        Outcome::Cipher
    } else if hello.seen & KEY_SHARE == 0 {
        Outcome::ForwardSecrecy
    } else {
        Outcome::Accepted
    }
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Version,
        Self::Cipher,
        Self::ForwardSecrecy,
        Self::Broken,
        Self::Foreign,
        Self::Unseen,
        Self::Untold,
    ];

    /// The outcome that has `number`.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the policy is against it.
    #[inline(always)]
    pub const fn is_refusal(self) -> bool {
        let number = self as u8;
        Self::Version as u8 <= number && number <= Self::Broken as u8
    }

    /// Its name in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Version => "version",
            Self::Cipher => "cipher",
            Self::ForwardSecrecy => "forward-secrecy",
            Self::Broken => "broken",
            Self::Foreign => "not-tls",
            Self::Unseen => "unseen",
            Self::Untold => "untold",
        }
    }

    /// What it means, for people.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Accepted => "handshakes that the service's policy allows",
            Self::Version => "handshakes of a version below the policy's",
            Self::Cipher => "handshakes whose cipher suite is no AEAD, or has no ephemeral keys",
            Self::ForwardSecrecy => "handshakes of TLS 1.3 by a shared secret alone",
            Self::Broken => "handshakes that no client could follow",
            Self::Foreign => "connections that began with something else than TLS",
            Self::Unseen => {
                "connections that began before the policy, and segments that are not of a socket here: they pass"
            }
            Self::Untold => {
                "refused handshakes that the daemon was not told of at once: the ring buffer was full"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Field as _;

    fn outcome(version: u16, cipher: u16, seen: u8, minimum: u16) -> Outcome {
        let hello = Hello {
            version,
            cipher,
            seen,
            progress: Progress::Whole as u8,
            ..Hello::ZERO
        };
        judge(&hello, minimum)
    }

    #[test]
    fn the_floor_is_1_3_unless_somebody_says_otherwise() {
        const ALL: u8 = CHOSEN | KEY_SHARE;
        for minimum in [0, 0x0301, TLS_1_3, 0xffff] {
            for old in [0x0300, 0x0301, 0x0302, 0x0303] {
                assert_eq!(outcome(old, 0xc02f, 0, minimum), Outcome::Version, "{old:x}");
            }
            assert_eq!(outcome(TLS_1_3, 0x1301, ALL, minimum), Outcome::Accepted);
        }
        assert_eq!(outcome(TLS_1_2, 0xc02f, 0, TLS_1_2), Outcome::Accepted);
        assert_eq!(outcome(TLS_1_2, 0xc02f, CHOSEN, TLS_1_2), Outcome::Accepted);
        assert_eq!(outcome(0x0302, 0xc02f, 0, TLS_1_2), Outcome::Version);
        assert_eq!(outcome(0x7f1c, 0x1301, ALL, TLS_1_2), Outcome::Version, "a draft");
        for weak in [0x002f, 0x009c, 0xc013] {
            assert_eq!(outcome(TLS_1_2, weak, 0, TLS_1_2), Outcome::Cipher, "{weak:x}");
        }
    }

    #[test]
    fn not_all_of_1_3_is_good_enough() {
        for minimum in [TLS_1_2, TLS_1_3] {
            let of = |cipher, seen| outcome(TLS_1_3, cipher, seen, minimum);
            assert_eq!(of(0x1302, CHOSEN), Outcome::ForwardSecrecy);
            assert_eq!(
                of(0xc0b4, CHOSEN | KEY_SHARE),
                Outcome::Cipher,
                "it only authenticates"
            );
            assert_eq!(of(0x1301, KEY_SHARE), Outcome::Broken, "nobody chose it");
        }
    }

    #[test]
    fn numbers_and_names_are_their_own() {
        for (number, outcome) in (0..).zip(Outcome::ALL) {
            assert_eq!(
                (outcome as u16, Outcome::from_number(number)),
                (number, Some(outcome))
            );
            let alike = Outcome::ALL.iter().filter(|other| other.name() == outcome.name());
            assert_eq!(alike.count(), 1);
            assert_ne!(counter(outcome, true), counter(outcome, false));
            assert!((counter(outcome, true) as usize) < COUNTERS);
        }
        assert_eq!(Outcome::from_number(8), None);
    }
}
