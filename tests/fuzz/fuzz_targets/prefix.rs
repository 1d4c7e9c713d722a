//! Prefixes under any text: what is read prints in the form that is read as the same, and covers its address.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netguard::prefix::{BlockPrefix, Prefix};

fuzz_target!(|text: &str| {
    match text.parse::<Prefix>() {
        Ok(prefix) => {
            assert_eq!(prefix.to_string().parse(), Ok(prefix));
            assert!(prefix.contains(prefix.address()));
            assert!(prefix.covers(&prefix));
            assert_eq!(Prefix::truncated(prefix.address(), prefix.bits()), Some(prefix));
            let everybody = prefix.bits() == 0;
            assert_eq!(BlockPrefix::try_from(prefix).is_err(), everybody);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
