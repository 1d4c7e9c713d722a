//! The kernel object inside the daemon, and the check that it speaks the daemon's layouts.

use netguard_common::layout::{FINGERPRINT, FINGERPRINT_SECTION};
use object::{Object as _, ObjectSection as _};

static EMBEDDED: &[u8] = aya::include_bytes_aligned!(env!("NETGUARD_BPF_OBJECT"));

/// Why an object is not loaded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    #[error("this is no ELF object: {0}")]
    NotElf(String),
    #[error("the object is not netguard's: it has no section {FINGERPRINT_SECTION}")]
    Foreign,
    #[error(
        "the kernel object is stale: its layout is {found:#018x}, the daemon's {FINGERPRINT:#018x}; \
         run `cargo xtask build-ebpf` and build the daemon again"
    )]
    Stale { found: u64 },
}

/// The object that was embedded when the daemon was built.
pub fn embedded_object() -> &'static [u8] {
    EMBEDDED
}

/// The layout fingerprint that `bytes` carries.
///
/// # Errors
/// When it is no ELF file or has no fingerprint.
pub fn object_fingerprint(bytes: &[u8]) -> Result<u64, ObjectError> {
    let file = object::File::parse(bytes).map_err(|error| ObjectError::NotElf(error.to_string()))?;
    let data = file
        .section_by_name(FINGERPRINT_SECTION)
        .and_then(|section| section.data().ok())
        .and_then(|data| data.try_into().ok())
        .ok_or(ObjectError::Foreign)?;
    Ok(u64::from_le_bytes(data))
}

/// Refuses an object whose layouts are not the daemon's.
///
/// # Errors
/// As [`object_fingerprint`], and when the fingerprint differs.
pub fn verify_object(bytes: &[u8]) -> Result<(), ObjectError> {
    match object_fingerprint(bytes)? {
        FINGERPRINT => Ok(()),
        found => Err(ObjectError::Stale { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_object_is_ours() {
        assert_eq!(verify_object(embedded_object()), Ok(()));
    }

    #[test]
    fn a_stale_object_is_refused() {
        let mut bytes = embedded_object().to_vec();
        let (at, _) = bytes
            .windows(8)
            .enumerate()
            .find(|(_, window)| *window == FINGERPRINT.to_le_bytes())
            .expect("the fingerprint lies in the object");
        bytes[at] ^= 1;
        assert_eq!(
            verify_object(&bytes),
            Err(ObjectError::Stale {
                found: FINGERPRINT ^ 1
            })
        );
    }

    #[test]
    fn a_foreign_file_is_refused() {
        assert!(matches!(verify_object(b"#!/bin/sh"), Err(ObjectError::NotElf(_))));
        let own = std::fs::read("/proc/self/exe").expect("the test can read itself");
        assert_eq!(verify_object(&own), Err(ObjectError::Foreign));
    }
}
