//! The shape of a Rust file: its length, its opening sentence, and nothing left half done.

use super::{Violation, source::Source};

const MAX_LINES: usize = 400;

/// Unfinished or silenced things, found in code and in tests.
const NOWHERE: [(&str, &str); 4] = [
    ("todo!(", "unfinished"),
    ("unimplemented!(", "unfinished"),
    ("dbg!(", "left over from debugging"),
    ("#[ignore", "a test runs or is removed"),
];

/// Things that panic where traffic or an operator decides, so only tests have them.
const ONLY_IN_TESTS: [&str; 2] = [".unwrap()", ".expect("];

/// Checks one file.
pub(crate) fn check(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        found.push(source.violation(
            MAX_LINES + 1,
            format!("{lines} lines; at most {MAX_LINES}: split it by concept"),
        ));
    }
    if !source.text.starts_with("//! ") {
        found.push(source.violation(
            1,
            "opens with one `//!` sentence: what it is and what it does not do",
        ));
    }
    let is_product = !source.name.starts_with("tests/");
    for (line, code) in source.lines() {
        for (text, why) in NOWHERE {
            if code.contains(text) {
                found.push(source.violation(line, format!("`{text}`: {why}")));
            }
        }
        if code.contains("#[allow(") || code.contains("#![allow(") {
            found.push(source.violation(line, "`allow`: use `#[expect(lint, reason = \"...\")]`"));
        }
        for text in ONLY_IN_TESTS {
            if is_product && !source.is_test(line) && code.contains(text) {
                found.push(source.violation(line, format!("`{text}` is for tests; return the error")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, text: &str) -> Vec<(usize, String)> {
        check(&Source::new(name, text))
            .into_iter()
            .map(|found| (found.line, found.problem))
            .collect()
    }

    #[test]
    fn a_file_is_at_most_400_lines() {
        let text = |lines: usize| format!("//! A.\n{}", "\n".repeat(lines - 1));
        assert!(problems("a.rs", &text(400)).is_empty());
        assert_eq!(problems("a.rs", &text(401))[0].0, 401);
    }

    #[test]
    fn a_file_opens_with_a_sentence() {
        assert_eq!(problems("build.rs", "// A.\nfn main() {}\n")[0].0, 1);
        assert_eq!(problems("a.rs", "").len(), 1);
    }

    #[test]
    fn unfinished_and_silenced_things_are_found_outside_literals() {
        for bad in [
            "todo!()",
            "unimplemented!(\"x\")",
            "dbg!(x)",
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "#[allow(dead_code)]",
        ] {
            assert_eq!(problems("a.rs", &format!("//! A.\n{bad}\n")).len(), 1, "{bad}");
        }
        let fine = "//! A.\n// todo!()\nlet x = \"dbg!(y)\";\n#[expect(dead_code, reason = \"x\")]\n";
        assert!(problems("a.rs", fine).is_empty());
    }

    #[test]
    fn unwrap_is_for_tests() {
        let text = "//! A.\nfn f() { x.unwrap() }\n#[cfg(test)]\nmod tests { fn g() { x.unwrap() } }\n";
        assert_eq!(problems("netguard/src/a.rs", text).len(), 1);
        assert!(problems("tests/src/lab.rs", text).is_empty());
        assert!(problems("netguard/src/a.rs", "//! A.\nx.unwrap_or_default();\n").is_empty());
    }
}
