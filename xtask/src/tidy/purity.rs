//! What `netguard-common` may contain: no floats, no heap, and `unsafe` only in the two files that need it.

use super::{
    Violation, paths,
    source::{Source, identifiers},
};

const PACKAGE: &str = "netguard-common/src/";
/// A view reads bytes; the macro turns structs into bytes.
const UNSAFE_IN: [&str; 2] = ["netguard-common/src/view.rs", "netguard-common/src/shared.rs"];
/// Tables in ordinary memory, behind a feature that the kernel object never turns on.
const STD_IN: [&str; 4] = [
    "netguard-common/src/memory.rs",
    "netguard-common/src/memory/connections.rs",
    "netguard-common/src/memory/overheard.rs",
    "netguard-common/src/memory/prefixes.rs",
];

/// Words and paths that do not belong into the datapath. Unit tests may use the standard library.
pub(crate) fn check(source: &Source) -> Vec<Violation> {
    if !source.name.starts_with(PACKAGE) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if source.name == "netguard-common/src/lib.rs"
        && !source.lines().any(|(_, line)| line.trim() == "#![no_std]")
    {
        found.push(source.violation(1, "the datapath is `#![no_std]`, always"));
    }
    for (line, code) in source.product_lines() {
        if identifiers(code).any(|(_, word)| word == "f32" || word == "f64") || has_float_literal(code) {
            found.push(source.violation(line, "f32, f64 and float literals: the kernel has no floats"));
        }
        if !UNSAFE_IN.contains(&source.name) && identifiers(code).any(|(_, word)| word == "unsafe") {
            found.push(source.violation(line, "`unsafe` is only for view.rs and shared.rs"));
        }
    }
    if !STD_IN.contains(&source.name) {
        for named in paths::of(&source.code) {
            if !source.is_test(named.line) && ["std", "alloc"].iter().any(|library| named.reaches(library)) {
                found.push(source.violation(
                    named.line,
                    format!("`{}`: the datapath uses `core` only", named.path),
                ));
            }
        }
    }
    found
}

/// A digit, a point and a digit that are neither a field of a tuple (`x.0.1`) nor a range (`0..1`).
fn has_float_literal(code: &str) -> bool {
    identifiers(code).any(|(at, word)| {
        let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        let behind = code[at + word.len()..].strip_prefix('.');
        is_number(word) && !code[..at].ends_with('.') && behind.is_some_and(is_number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        check(&Source::new(&format!("netguard-common/src/{file}"), text))
            .into_iter()
            .map(|found| found.line)
            .collect()
    }

    #[test]
    fn floats_are_found_and_tuples_and_ranges_are_not() {
        for float in [
            "fn f(x: f32) {}",
            "let x = 1.5;",
            "let x: [f64; 2];",
            "let x = a * 0.25;",
        ] {
            assert_eq!(lines("limit.rs", float), [1], "{float}");
        }
        for fine in [
            "let x = a.0.1;",
            "for i in 0..1 {}",
            "let x = 0x1f;",
            "// 1.5",
            "let f32x = 1;",
        ] {
            assert!(lines("limit.rs", fine).is_empty(), "{fine}");
        }
    }

    #[test]
    fn unsafe_has_its_two_files() {
        assert_eq!(lines("parse/ipv4.rs", "fn f() {}\nunsafe fn g() {}\n"), [2]);
        assert!(lines("view.rs", "unsafe fn g() {}\n").is_empty());
        assert!(lines("parse/ipv4.rs", "#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn the_heap_is_for_tests_and_memory_tables() {
        let text = "use core::fmt;\nfn f(x: std::vec::Vec<u8>) {}\n#[cfg(test)]\nmod tests {\n use std::vec::Vec;\n}\n";
        assert_eq!(lines("rule.rs", text), [2]);
        assert_eq!(lines("rule.rs", "use alloc::boxed::Box;\n"), [1]);
        assert!(lines("memory.rs", text).is_empty());
    }

    #[test]
    fn the_package_declares_no_std() {
        assert_eq!(lines("lib.rs", "//! A.\n"), [1]);
        assert_eq!(lines("lib.rs", "//! A.\n#![cfg_attr(not(test), no_std)]\n"), [1]);
        assert!(lines("lib.rs", "//! A.\n#![no_std]\n").is_empty());
    }

    #[test]
    fn other_packages_are_free() {
        assert!(
            check(&Source::new(
                "netguard/src/engine/score.rs",
                "fn f(x: f64) { unsafe {} }"
            ))
            .is_empty()
        );
    }
}
