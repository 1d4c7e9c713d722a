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
            let widest = if prefix.address().is_ipv4() { 8 } else { 16 };
            match BlockPrefix::try_from(prefix) {
                // Wider ones only outside the public internet, which a /2 reaches into wherever it lies.
                Ok(_) => assert!(prefix.bits() >= 3, "{prefix}"),
                Err(_) => assert!(prefix.bits() < widest, "{prefix}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
