//! Which cipher suites encrypt with authentication (AEAD), under keys that nobody can get at later (forward secrecy): by their numbers at
//! IANA (TLS Cipher Suites), a bit for each.

/// Whether `suite`, of TLS 1.2 or before, is AEAD with an ephemeral key exchange, ECDHE or DHE. Anonymous ones do not count: anybody can be in
/// the middle.
#[inline(always)]
pub(super) const fn is_ephemeral_aead(suite: u16) -> bool {
    // AES-GCM with DHE (RFC 5288, 5487).
    const PAGE_00: Page = page([0x9e, 0x9f, 0xa2, 0xa3, 0xaa, 0xab]);
    // AES-GCM with ECDHE (RFC 5289), then ARIA-GCM (RFC 6209), Camellia-GCM (RFC 6367) and AES-CCM (RFC 6655, 7251).
    const PAGE_C0: Page = page([
        0x2b, 0x2c, 0x2f, 0x30, 0x52, 0x53, 0x56, 0x57, 0x5c, 0x5d, 0x60, 0x61, 0x6c, 0x6d, 0x7c, 0x7d, 0x80,
        0x81, 0x86, 0x87, 0x8a, 0x8b, 0x90, 0x91, 0x9e, 0x9f, 0xa2, 0xa3, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad,
        0xae, 0xaf,
    ]);
    // ChaCha20-Poly1305 (RFC 7905).
    const PAGE_CC: Page = page([0xa8, 0xa9, 0xaa, 0xac, 0xad]);
    // AES-GCM and AES-CCM with ECDHE and a shared secret (RFC 8442).
    const PAGE_D0: Page = page([0x01, 0x02, 0x03, 0x05]);
    match suite >> 8 {
        0x00 => has(PAGE_00, suite),
        0xc0 => has(PAGE_C0, suite),
        0xcc => has(PAGE_CC, suite),
        0xd0 => has(PAGE_D0, suite),
        _ => false,
    }
}

/// Whether `suite`, of TLS 1.3, is AEAD: RFC 8446 appendix B.4, AEGIS, SM4 (RFC 8998). Those that only authenticate (RFC 9150) are not.
#[inline(always)]
pub(super) const fn is_latest_aead(suite: u16) -> bool {
    const PAGE_00: Page = page([0xc6, 0xc7]);
    const PAGE_13: Page = page([0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07]);
    match suite >> 8 {
        0x00 => has(PAGE_00, suite),
        0x13 => has(PAGE_13, suite),
        _ => false,
    }
}

/// A bit for each suite that has the same upper byte.
type Page = [u64; 4];

const fn page<const N: usize>(suites: [u8; N]) -> Page {
    let mut page = [0; 4];
    let mut index = 0;
    while index < N {
        page[suites[index] as usize / 64] |= 1 << (suites[index] % 64);
        index += 1;
    }
    page
}

/// (Without an index: the kernel object has no tables in memory.)
#[inline(always)]
const fn has([first, second, third, fourth]: Page, suite: u16) -> bool {
    let word = match suite & 0xff {
        0..64 => first,
        64..128 => second,
        128..192 => third,
        _ => fourth,
    };
    word >> (suite & 63) & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_suites_are_on_their_side() {
        // ECDHE-RSA-AES128-GCM, DHE-RSA-AES256-GCM, ECDHE-ECDSA-CHACHA20, ECDHE-ECDSA-AES128-CCM8, ECDHE-PSK-AES128-GCM.
        for suite in [0xc02f, 0x009f, 0xcca9, 0xc0ae, 0xd001] {
            assert!(is_ephemeral_aead(suite), "{suite:04x}");
        }
        // RC4, 3DES, CBC with ECDHE, GCM with RSA, static ECDH, anonymous, with PSK only; suites of TLS 1.3.
        for suite in [
            0x0005, 0x000a, 0xc013, 0xc027, 0x009c, 0xc02d, 0x00a6, 0x00a8, 0xccab, 0xd000, 0x1301, 0xffff,
        ] {
            assert!(!is_ephemeral_aead(suite), "{suite:04x}");
        }
        assert!((0x1301..=0x1305).chain([0x00c6, 0x00c7]).all(is_latest_aead));
        assert!(
            ![0x1300, 0xc0b4, 0xc0b5, 0xc02f, 0x00c5]
                .into_iter()
                .any(is_latest_aead)
        );
    }

    #[test]
    fn there_are_as_many_as_iana_lists() {
        let count = |holds: fn(u16) -> bool| (0..=u16::MAX).filter(|suite| holds(*suite)).count();
        assert_eq!((count(is_ephemeral_aead), count(is_latest_aead)), (51, 9));
    }
}
