//! Networks of addresses.

use std::collections::HashMap;

use crate::layout::Rule;

/// Prefixes of one family, by length and network; looked up from the longest.
pub(super) type Prefixes<const N: usize> = HashMap<(u32, [u8; N]), Rule>;

/// `address` with all bits after the first `len` cleared.
pub fn network<const N: usize>(address: &[u8; N], len: u32) -> [u8; N] {
    let mut network = *address;
    for (index, byte) in network.iter_mut().enumerate() {
        let kept = len.saturating_sub(index as u32 * 8).min(8);
        *byte &= !(0xff_u32 >> kept) as u8;
    }
    network
}

/// The rule of the longest of `prefixes` that holds `address`.
pub(super) fn longest<const N: usize>(prefixes: &Prefixes<N>, address: &[u8; N]) -> Option<Rule> {
    if prefixes.is_empty() {
        return None;
    }
    (0..=N as u32 * 8)
        .rev()
        .find_map(|len| prefixes.get(&(len, network(address, len))).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let rule = |reason| Rule {
            expires_at: 0,
            reason,
            origin: 0,
            proof: 0,
        };
        let prefixes = HashMap::from([((8, [10, 0, 0, 0]), rule(8)), ((20, [10, 1, 16, 0]), rule(20))]);
        assert_eq!(
            longest(&prefixes, &[10, 1, 31, 1]).map(|rule| rule.reason),
            Some(20)
        );
        assert_eq!(
            longest(&prefixes, &[10, 1, 32, 1]).map(|rule| rule.reason),
            Some(8)
        );
        assert_eq!(longest(&prefixes, &[11, 1, 32, 1]), None);
    }
}
