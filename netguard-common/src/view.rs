//! Reading a frame: the one seam through which packet bytes reach the datapath, by value and bounds-checked.

use core::cell::Cell;

use network_types::{
    eth::EthHdr,
    ip::{Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

use crate::{Verdict, syn_ack::TCP_AT};

/// A frame, starting at its Ethernet header.
pub trait View {
    /// Length of the frame in bytes, as far as it is known: that of its first part, in which the headers lie, until
    /// [`View::measure`].
    fn len(&self) -> u32;

    /// Length of all of the frame. In the kernel to ask for parts behind the first is a call, which few packets need.
    fn measure(&self) -> u32 {
        self.len()
    }

    /// The `T` that starts `at` bytes into the frame; `None` unless all of it lies inside.
    fn load<T: Header>(&self, at: u32) -> Option<T>;

    /// [`View::load`] for what follows the headers, which the kernel may keep elsewhere.
    #[inline(always)]
    fn load_payload<T: Header>(&self, at: u32) -> Option<T> {
        self.load(at)
    }

    /// `value`, with its history hidden from the kernel's verifier: paths on which it was computed in different
    /// ways are then checked once from here on. The caller must check its range again.
    fn opaque(&self, value: u32) -> u32 {
        value
    }

    /// [`View::opaque`] for a verdict.
    #[inline(always)]
    fn opaque_verdict(&self, verdict: Verdict) -> Verdict {
        Verdict::from_number(self.opaque(verdict.number())).unwrap_or(Verdict::Pass)
    }

    /// `value`, with all that is known about its fields forgotten, as [`View::opaque`] does for one number.
    fn forget<'a, T>(&self, value: &'a mut T) -> &'a mut T {
        value
    }

    /// Copies the TCP header that starts `at` bytes into the frame, with its options, to [`TCP_AT`] in `headers`; tells its
    /// length, 20 to 60 bytes. `None` unless all of it lies inside.
    fn load_tcp(&self, at: u32, headers: &mut [u32; 26]) -> Option<u32>;

    /// Copies the first of `len` bytes that start `at` bytes into the frame, as many as `to` has room for; nothing unless they
    /// lie inside.
    fn load_prefix(&self, at: u32, len: u32, to: &mut [u8; 32]);

    /// Copies the beginning of the frame, as much as `to` has room for; tells how many bytes that are.
    fn load_head(&self, to: &mut [u8; 128]) -> u32;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A header that may be copied out of packet bytes.
///
/// # Safety
/// The type has no padding and every bit pattern of its size is a valid value.
pub unsafe trait Header: Copy {}

// SAFETY: byte arrays have no padding and no invalid values.
unsafe impl<const N: usize> Header for [u8; N] {}
// SAFETY: as above.
unsafe impl<const N: usize> Header for [u16; N] {}
// SAFETY: as above.
unsafe impl<const N: usize> Header for [u32; N] {}
// SAFETY: `repr(C)` of 14 bytes without padding, integers only.
unsafe impl Header for EthHdr {}
// SAFETY: `repr(C, packed)`, integers and byte arrays only.
unsafe impl Header for Ipv4Hdr {}
// SAFETY: as above.
unsafe impl Header for Ipv6Hdr {}
// SAFETY: as above.
unsafe impl Header for UdpHdr {}

/// A frame in ordinary memory.
#[derive(Clone, Copy, Debug)]
pub struct SliceView<'a>(pub &'a [u8]);

impl View for SliceView<'_> {
    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn load<T: Header>(&self, at: u32) -> Option<T> {
        let start = at as usize;
        let bytes = self.0.get(start..start.checked_add(size_of::<T>())?)?;
        // SAFETY: `bytes` is exactly as long as `T`, and `Header` makes any bytes a valid `T`.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn load_tcp(&self, at: u32, headers: &mut [u32; 26]) -> Option<u32> {
        let start = self.0.get(at as usize..)?;
        let len = usize::from(start.get(12)? >> 4) * 4;
        let header = start.get(..len).filter(|_| (20..=60).contains(&len))?;
        for (word, bytes) in headers[TCP_AT..].iter_mut().zip(header.as_chunks().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        u32::try_from(len).ok()
    }

    fn load_prefix(&self, at: u32, len: u32, to: &mut [u8; 32]) {
        let len = to.len().min(len as usize);
        if let Some(bytes) = self.0.get(at as usize..).and_then(|rest| rest.get(..len)) {
            to[..len].copy_from_slice(bytes);
        }
    }

    fn load_head(&self, to: &mut [u8; 128]) -> u32 {
        let len = to.len().min(self.0.len());
        to[..len].copy_from_slice(&self.0[..len]);
        len as u32
    }
}

/// The beginning of a frame, which knows when more of it would have been needed.
#[derive(Clone, Debug)]
pub struct CutView<'a> {
    kept: &'a [u8],
    len: u32,
    missed: Cell<bool>,
}

impl<'a> CutView<'a> {
    /// Of a frame of `len` bytes, of which the first were `kept`.
    pub const fn new(kept: &'a [u8], len: u32) -> Self {
        let missed = Cell::new(false);
        Self { kept, len, missed }
    }

    /// Whether a header was asked for that was not kept.
    pub const fn missed(&self) -> bool {
        self.missed.get()
    }

    fn note(&self, at: u32, len: usize) {
        let end = u64::from(at) + len as u64;
        if end > self.kept.len() as u64 && end <= u64::from(self.len) {
            self.missed.set(true);
        }
    }
}

impl View for CutView<'_> {
    fn len(&self) -> u32 {
        self.len
    }

    fn load<T: Header>(&self, at: u32) -> Option<T> {
        self.note(at, size_of::<T>());
        SliceView(self.kept).load(at)
    }

    fn load_tcp(&self, at: u32, headers: &mut [u32; 26]) -> Option<u32> {
        SliceView(self.kept).load_tcp(at, headers)
    }

    fn load_prefix(&self, at: u32, len: u32, to: &mut [u8; 32]) {
        self.note(at, to.len().min(len as usize));
        SliceView(self.kept).load_prefix(at, len, to);
    }

    fn load_head(&self, to: &mut [u8; 128]) -> u32 {
        SliceView(self.kept).load_head(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_whole_or_nothing() {
        let view = SliceView(&[1, 2, 3]);
        assert_eq!(view.load::<[u8; 2]>(1), Some([2, 3]));
        assert_eq!(view.load::<[u8; 2]>(2), None);
        assert_eq!(view.load::<[u8; 2]>(u32::MAX), None);
    }
}
