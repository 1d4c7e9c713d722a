//! The work: a number for which the SHA-256 of challenge and number begins with so many zero bits.

use ring::digest::{SHA256, digest};

/// Digits of the number at the most.
const MOST_DIGITS: usize = 20;

/// Whether `nonce` solves `challenge`, of `bits`.
pub fn is_solved(challenge: &str, nonce: &str, bits: u32) -> bool {
    let is_number =
        (1..=MOST_DIGITS).contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_digit());
    is_number && zero_bits(digest(&SHA256, format!("{challenge}:{nonce}").as_bytes()).as_ref()) >= bits
}

fn zero_bits(hash: &[u8]) -> u32 {
    let mut bits = 0;
    for byte in hash {
        bits += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_front() {
        assert_eq!(zero_bits(&[0, 0, 0x1f, 0]), 19);
        assert_eq!(zero_bits(&[0x80]), 0);
        assert_eq!(zero_bits(&[0; 4]), 32);
    }

    #[test]
    fn one_in_so_many_numbers_solves_it() {
        let solved = (0..65_536_u32)
            .filter(|nonce| is_solved("c.1.8", &nonce.to_string(), 8))
            .count();
        assert!((150..400).contains(&solved), "{solved} of 65536, 256 expected");
        for bad in ["", "x", "-1", "123456789012345678901"] {
            assert!(!is_solved("c.1.8", bad, 0), "{bad}");
        }
    }
}
