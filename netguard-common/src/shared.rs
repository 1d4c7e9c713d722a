//! One macro that declares every struct crossing the kernel boundary: C layout, a compile-time proof that
//! there is no padding, zero value, raw bytes, a field visitor and a layout fingerprint.

/// A type that may stand as a field of a shared struct: fixed-width integers, arrays of them, shared structs.
pub trait Field: Copy {
    /// The all-zero value.
    const ZERO: Self;
    /// Shows this value to `visitor` under `name`.
    fn visit(&self, name: &'static str, visitor: &mut dyn Visitor);
    /// Shows an array of such values; bytes are shown as one value.
    fn visit_slice(values: &[Self], name: &'static str, visitor: &mut dyn Visitor) {
        for value in values {
            value.visit(name, visitor);
        }
    }
}

/// Receives the fields of a shared struct in declaration order.
pub trait Visitor {
    fn number(&mut self, name: &'static str, value: u64);
    fn bytes(&mut self, name: &'static str, value: &[u8]);
    /// The fields until the matching `leave` belong to the nested struct `name`.
    fn enter(&mut self, name: &'static str);
    fn leave(&mut self);
}

/// A struct declared by [`shared!`](crate::shared!).
///
/// # Safety
/// The type is `repr(C)`, has no padding, and every bit pattern of its size is a valid value.
pub unsafe trait Shared: Field {
    /// FNV-1a over name, size and each field's name, type and offset.
    const FINGERPRINT: u64;

    /// The value as it lies in a map.
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: the trait promises no padding, so every byte is initialised.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }

    /// The value whose bytes are `bytes`; `None` when the length is another.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        // SAFETY: the length is checked, and the trait promises that every bit pattern is valid.
        (bytes.len() == size_of::<Self>()).then(|| unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

/// Folds `bytes` into an FNV-1a hash.
pub const fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

/// Where every fingerprint starts.
pub const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Declares the shared structs of the crate; see the module.
#[macro_export]
macro_rules! shared {
    ($( $(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$field_meta:meta])* $visibility:vis $field:ident : $type:ty ),* $(,)?
    } )*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name { $( $(#[$field_meta])* $visibility $field: $type ),* }

            const _: () = assert!(
                size_of::<$name>() == 0 $( + size_of::<$type>() )*,
                concat!(stringify!($name), " has padding: order its fields by size or fill the gap")
            );

            impl $crate::shared::Field for $name {
                const ZERO: Self = Self { $( $field: <$type as $crate::shared::Field>::ZERO ),* };
                fn visit(&self, name: &'static str, visitor: &mut dyn $crate::shared::Visitor) {
                    visitor.enter(name);
                    $( self.$field.visit(stringify!($field), visitor); )*
                    visitor.leave();
                }
            }

            // SAFETY: repr(C); the assertion above proves the absence of padding; `Field` is implemented
            // for types without invalid bit patterns only.
            unsafe impl $crate::shared::Shared for $name {
                const FINGERPRINT: u64 = {
                    let hash = $crate::shared::fnv1a($crate::shared::FNV_START, stringify!($name).as_bytes());
                    $(
                        let hash = $crate::shared::fnv1a(
                            hash,
                            concat!(".", stringify!($field), ":", stringify!($type)).as_bytes(),
                        );
                        let hash = $crate::shared::fnv1a(
                            hash,
                            &(core::mem::offset_of!($name, $field) as u32).to_le_bytes(),
                        );
                    )*
                    $crate::shared::fnv1a(hash, &(size_of::<$name>() as u32).to_le_bytes())
                };
            }
        )*

        /// Name and fingerprint of every shared struct declared here.
        pub const STRUCTS: &[(&str, u64)] =
            &[$( (stringify!($name), <$name as $crate::shared::Shared>::FINGERPRINT) ),*];
    };
}

macro_rules! integer_fields {
    ($($type:ty),*) => { $(
        impl Field for $type {
            const ZERO: Self = 0;
            fn visit(&self, name: &'static str, visitor: &mut dyn Visitor) {
                visitor.number(name, u64::from(*self));
            }
        }
    )* };
}
integer_fields!(u16, u32, u64);

impl Field for u8 {
    const ZERO: Self = 0;
    fn visit(&self, name: &'static str, visitor: &mut dyn Visitor) {
        visitor.number(name, u64::from(*self));
    }
    fn visit_slice(values: &[Self], name: &'static str, visitor: &mut dyn Visitor) {
        visitor.bytes(name, values);
    }
}

impl<T: Field, const N: usize> Field for [T; N] {
    const ZERO: Self = [T::ZERO; N];
    fn visit(&self, name: &'static str, visitor: &mut dyn Visitor) {
        T::visit_slice(self, name, visitor);
    }
}

// SAFETY: integers have no padding and no invalid bit patterns.
unsafe impl Shared for u32 {
    const FINGERPRINT: u64 = fnv1a(FNV_START, b"u32");
}
// SAFETY: as above.
unsafe impl Shared for u64 {
    const FINGERPRINT: u64 = fnv1a(FNV_START, b"u64");
}
// SAFETY: bytes have no padding and no invalid bit patterns.
unsafe impl<const N: usize> Shared for [u8; N] {
    const FINGERPRINT: u64 = fnv1a(FNV_START, &(N as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Counter, Rule};

    #[test]
    fn bytes_round_trip_and_a_wrong_length_is_refused() {
        let counter = Counter {
            packets: 3,
            bytes: 0x0102,
        };
        assert_eq!(Counter::from_bytes(counter.as_bytes()), Some(counter));
        assert_eq!(Counter::from_bytes(&counter.as_bytes()[1..]), None);
    }

    #[test]
    fn structs_of_equal_size_have_different_fingerprints() {
        assert_ne!(Rule::FINGERPRINT, u64::FINGERPRINT);
        assert_ne!(Rule::FINGERPRINT, <[u8; 8]>::FINGERPRINT);
    }
}
