//! Lets aya copy the shared structs of `netguard-common` to and from the kernel.

use netguard_common::shared::Shared;

/// A shared struct as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Raw<T: Shared>(pub(super) T);

// SAFETY: `Shared` promises `repr(C)`, no padding and no invalid bit patterns; `Raw` is transparent.
unsafe impl<T: Shared + 'static> aya::Pod for Raw<T> {}
