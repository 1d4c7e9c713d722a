//! Names that say nothing: of files, of types, and getters.

use super::{
    Violation,
    source::{Source, identifiers},
};

const EMPTY_WORDS: [&str; 6] = ["util", "utils", "helper", "helpers", "manager", "misc"];
const EMPTY_ENDINGS: [&str; 4] = ["Manager", "Helper", "Util", "Utils"];

/// Checks every part of a file's path.
pub(crate) fn check_file(name: &str) -> Vec<Violation> {
    let words = name.split(['/', '_', '-', '.']).map(str::to_lowercase);
    words
        .filter(|word| EMPTY_WORDS.contains(&word.as_str()))
        .map(|word| Violation {
            file: name.to_owned(),
            line: 0,
            problem: format!("`{word}` says nothing: name the file after the concept in it"),
        })
        .collect()
}

/// Checks the types and functions that a file declares.
pub(crate) fn check(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (line, code) in source.lines() {
        let words: Vec<&str> = identifiers(code).map(|(_, word)| word).collect();
        for pair in words.windows(2) {
            let [keyword, name] = pair else { continue };
            let is_type = matches!(*keyword, "struct" | "enum" | "trait" | "type" | "union");
            if is_type && EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                found.push(source.violation(line, format!("`{name}`: name a type after what it is")));
            }
            if *keyword == "fn" && name.starts_with("get_") {
                found.push(source.violation(line, format!("`{name}`: leave out `get_`")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_empty_names_are_found() {
        for name in [
            "netguard/src/util.rs",
            "tests/src/test_helpers.rs",
            "docs/misc/a.md",
            "netguard/src/MapManager.rs",
        ] {
            let expected = usize::from(!name.contains("MapManager"));
            assert_eq!(check_file(name).len(), expected, "{name}");
        }
        assert!(check_file("netguard/src/utility_meter.rs").is_empty());
    }

    #[test]
    fn declarations_are_judged_and_uses_are_not() {
        let lines = |text| check(&Source::new("a.rs", text)).len();
        assert_eq!(
            lines("pub struct RuleManager;\nenum Helper {}\npub(crate) fn get_rule() {}\n"),
            3
        );
        assert_eq!(
            lines("let x = foreign::SomeManager::get_it();\nfn getter() {}\nstruct Utilisation;\n"),
            0
        );
    }
}
