//! How a packet is written over in place.

use crate::view::{MAX_OFFSET, XdpView, unproven};

impl XdpView<'_> {
    /// Writes `words` `at` bytes into the frame, unless they end behind it.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&self, at: u32, words: &[u32; N]) -> Option<()> {
        let at = unproven(at);
        if at > MAX_OFFSET {
            return None;
        }
        let start = self.data + at;
        if start + 4 * N > self.data_end {
            return None;
        }
        let mut index = 0;
        while index < N {
            // SAFETY: the bounds were checked just now.
            unsafe { write(start + 4 * index, words[index]) };
            index += 1;
        }
        Some(())
    }
}

/// Writes a word at any address: left to itself the compiler would write unaligned memory byte by byte.
///
/// # Safety
/// All of it must be writable.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn write(to: usize, word: u32) {
    // SAFETY: the caller promises it.
    unsafe {
        core::arch::asm!("*(u32 *)({0} + 0) = {1}", in(reg) to, in(reg) u64::from(word), options(nostack))
    }
}

/// # Safety
/// All of it must be writable.
#[cfg(not(target_arch = "bpf"))]
unsafe fn write(to: usize, word: u32) {
    // SAFETY: the caller promises it.
    unsafe { (to as *mut u32).write_unaligned(word) }
}
