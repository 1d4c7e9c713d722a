//! The paths that a Rust file names: its `use` trees written out, and the paths inside its code.

/// A path such as `std::time::Instant`, where it stands, and whether a `use` brings it into scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) path: String,
    pub(crate) imported: bool,
}

impl Named {
    /// Whether this path is `wanted` or leads into it, or imports something that `wanted` can be reached through
    /// (`use std::time` and `use std::*` for `std::time::Instant`).
    pub(crate) fn reaches(&self, wanted: &str) -> bool {
        let through = self.path.trim_end_matches("::*");
        is_within(&self.path, wanted) || (self.imported && is_within(wanted, through))
    }
}

/// Whether `path` is `module` or lies in it.
pub(crate) fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// All paths in code that has no comments and literals any more. Single names count only in a `use`.
pub(crate) fn of(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut named = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].1 == "use" {
            at = tree(&tokens, at + 1, "", &mut named);
        } else {
            at = inline(&tokens, at, &mut named);
        }
    }
    named
}

type Token<'a> = (usize, &'a str);

/// Words, `::`, and single characters, each with its line.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((index + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads one use tree from `at` on and writes out its leaves; returns the token behind it.
fn tree(tokens: &[Token], mut at: usize, prefix: &str, named: &mut Vec<Named>) -> usize {
    let mut path = prefix.to_owned();
    let mut line = tokens.get(at).map_or(0, |token| token.0);
    while let Some((here, token)) = tokens.get(at) {
        match *token {
            "::" => {}
            "{" => {
                at += 1;
                while tokens
                    .get(at)
                    .is_some_and(|token| token.1 != "}" && token.1 != ";")
                {
                    at = tree(tokens, at, &path, named);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.1 == ","));
                }
                return at + 1;
            }
            // The name after `as` is new here and leads nowhere.
            "as" => at += 1,
            // `{self, ...}` names the prefix itself.
            "self" if !path.is_empty() => line = *here,
            word if word.starts_with(is_word) || word == "*" => {
                line = *here;
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(word);
            }
            _ => break,
        }
        at += 1;
    }
    if !path.is_empty() {
        named.push(Named {
            line,
            path,
            imported: true,
        });
    }
    // Inside braces the caller looks at the comma or brace; a stray token must not stop the walk.
    if prefix.is_empty()
        || tokens
            .get(at)
            .is_some_and(|token| matches!(token.1, "," | "}" | ";"))
    {
        at
    } else {
        at + 1
    }
}

/// Reads one path of at least two segments from `at` on; returns the token behind what it looked at.
fn inline(tokens: &[Token], at: usize, named: &mut Vec<Named>) -> usize {
    let (line, first) = tokens[at];
    if !first.starts_with(is_word) {
        return at + 1;
    }
    let mut path = first.to_owned();
    let mut next = at + 1;
    while let (Some((_, "::")), Some((_, word))) = (tokens.get(next), tokens.get(next + 1))
        && word.starts_with(is_word)
    {
        path.push_str("::");
        path.push_str(word);
        next += 2;
    }
    if next > at + 1 {
        named.push(Named {
            line,
            path,
            imported: false,
        });
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        of(code).into_iter().map(|named| named.path).collect()
    }

    #[test]
    fn use_trees_are_written_out() {
        let code = "pub(crate) use std::{fs, net::{IpAddr, self}, time::Instant as Now};\nuse ::aya;\nuse b::*;\nfn f() {}";
        assert_eq!(
            paths(code),
            [
                "std::fs",
                "std::net::IpAddr",
                "std::net",
                "std::time::Instant",
                "aya",
                "b::*"
            ]
        );
    }

    #[test]
    fn paths_in_code_are_found_with_their_lines() {
        let code = "fn f() {\n  let aya = a::b::c(x.rand);\n  <T as d::E>::g::<std::fs::File>();\n}";
        let found: Vec<_> = of(code)
            .into_iter()
            .map(|named| (named.line, named.path))
            .collect();
        let expected = [(2, "a::b::c"), (3, "d::E"), (3, "std::fs::File")];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn a_path_reaches_what_it_names_and_what_it_imports() {
        let named = |path: &str, imported| Named {
            line: 1,
            path: path.to_owned(),
            imported,
        };
        assert!(named("std::time::Instant::now", false).reaches("std::time::Instant"));
        assert!(named("std::time", true).reaches("std::time::Instant"));
        assert!(named("std::*", true).reaches("std::time::Instant"));
        assert!(!named("std::time::Duration", true).reaches("std::time::Instant"));
        assert!(!named("std::fmt", false).reaches("std::f"));
        assert!(!named("std::net::IpAddr", true).reaches("std::net::TcpStream"));
    }

    #[test]
    fn broken_code_does_not_stop_the_walk() {
        for code in [
            "use",
            "use {",
            "use a::{b",
            "use a::{(}",
            "use ;",
            "a::",
            "::",
            "use a::{b as};",
        ] {
            of(code);
        }
    }
}
