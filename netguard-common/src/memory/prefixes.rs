//! Networks of addresses.

/// `address` with all bits after the first `len` cleared.
pub fn network<const N: usize>(address: &[u8; N], len: u32) -> [u8; N] {
    let mut network = *address;
    for (index, byte) in network.iter_mut().enumerate() {
        let kept = len.saturating_sub(index as u32 * 8).min(8);
        *byte &= !(0xff_u32 >> kept) as u8;
    }
    network
}
