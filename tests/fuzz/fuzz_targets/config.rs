//! The configuration under any text: read, or refused with a sentence that names a place in the file; what was
//! read survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netguard::config::Config;

fuzz_target!(|text: &str| {
    match Config::parse("fuzz.toml", text) {
        Ok(config) => {
            let written = toml::to_string(&config).expect("a configuration can be written");
            assert_eq!(
                Config::parse("again.toml", &written).expect("and read again"),
                config
            );
            let warnings = config.warnings();
            assert!(warnings.iter().all(|warning| !warning.is_empty()));
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.starts_with("fuzz.toml"), "{sentence:?}");
            let control = |c: char| c.is_control() && c != '\n';
            assert!(
                !sentence.contains(control),
                "control characters reach the terminal: {sentence:?}"
            );
        }
    }
});
