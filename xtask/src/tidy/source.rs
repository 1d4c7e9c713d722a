//! A Rust file as the rules see it: lines of code with comments and the contents of literals blanked out.

use super::Violation;

/// A file, its lines of code, and where its unit tests begin.
pub(crate) struct Source<'a> {
    /// Path relative to the repository's root.
    pub(crate) name: &'a str,
    /// As written.
    pub(crate) text: &'a str,
    /// As many lines as `text`; comments, strings and characters are blank.
    pub(crate) code: String,
    /// Line (from 0) of the `#[cfg(test)]` before a module of tests; the number of lines if there is none.
    tests_from: usize,
}

impl<'a> Source<'a> {
    /// Reads a file.
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let code = blank(text);
        // A module of tests that has a file of its own has its attribute elsewhere.
        let tests_from = if name.ends_with("/tests.rs") {
            0
        } else {
            tests_begin(&code)
        };
        Self {
            name,
            text,
            code,
            tests_from,
        }
    }

    /// All lines of code, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// The lines before the unit tests, which stand last in a file.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().take(self.tests_from)
    }

    /// Whether a line, numbered from 1, belongs to the unit tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        line > self.tests_from
    }

    /// A violation in this file.
    pub(crate) fn violation(&self, line: usize, problem: impl Into<String>) -> Violation {
        Violation {
            file: self.name.to_owned(),
            line,
            problem: problem.into(),
        }
    }
}

/// The identifiers of a line of code, with the position at which each starts.
pub(crate) fn identifiers(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + line[at..].find(|c: char| c.is_alphanumeric() || c == '_')?;
        let rest = &line[start..];
        let length = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        at = start + length;
        Some((start, &rest[..length]))
    })
}

fn tests_begin(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let begins =
        |at: &usize| lines[*at] == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| is_module(next));
    (0..lines.len()).find(begins).unwrap_or(lines.len())
}

/// Also one that other tests use.
fn is_module(line: &str) -> bool {
    line.starts_with("mod ") || line.starts_with("pub(") && line.contains(") mod ")
}

/// Blanks comments, strings and characters, and keeps every line break, so that line numbers hold.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).unwrap_or(at).min(chars.len());
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that starts at `at` ends; `None` if none starts there.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let next = |offset: usize| chars.get(at + offset).copied();
    match (chars[at], next(1)) {
        ('/', Some('/')) => Some(find(chars, at, |c| c == '\n')),
        ('/', Some('*')) => Some(block_comment_end(chars, at)),
        ('"', _) => Some(string_end(chars, at + 1)),
        ('r', Some('"' | '#')) if !follows_word(chars, at) => raw_string_end(chars, at + 1),
        // A lifetime has no closing quote right behind its first character; a character literal has, or an escape.
        ('\'', Some('\\')) => Some(find(chars, at + 3, |c| c == '\'') + 1),
        ('\'', Some(_)) if next(2) == Some('\'') => Some(at + 3),
        _ => None,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < chars.len() {
        match chars[at..].get(..2) {
            Some(['/', '*']) => depth += 1,
            Some(['*', '/']) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `at` is behind the `r`. A raw identifier such as `r#type` is no string.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closes = |quote: usize| {
        chars[quote] == '"'
            && chars
                .get(quote + 1..quote + 1 + hashes)
                .is_some_and(|tail| tail.iter().all(|c| *c == '#'))
    };
    let body = at + hashes + 1;
    Some(
        (body..chars.len())
            .find(|quote| closes(*quote))
            .map_or(chars.len(), |quote| quote + 1 + hashes),
    )
}

/// Whether the character at `at` continues a word; the `b` or `c` of a raw byte string does not count.
fn follows_word(chars: &[char], at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    match at.checked_sub(1).map(|before| chars[before]) {
        Some('b' | 'c') => at >= 2 && is_word(chars[at - 2]),
        Some(before) => is_word(before),
        None => false,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len())
        .find(|at| wanted(chars[*at]))
        .unwrap_or(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_lines_stay() {
        let text = "a // x\nb /* y /* z */\n */ c \"d\\\" // e\" f\ng('h', '\\'', 'i: &'static str)\n";
        let code = blank(text);
        assert_eq!(code.lines().count(), text.lines().count());
        for gone in ["x", "y", "z", "d\\", "e\"", "h"] {
            assert!(!code.contains(gone), "{gone} is left in {code:?}");
        }
        for kept in ["a ", "b ", "c ", " f\n", "g(", "'i: &'static str"] {
            assert!(code.contains(kept), "{kept} is gone from {code:?}");
        }
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        let code = blank("a(r#\"X \" X\"#, br\"X\", r#type, for\"X\")");
        assert!(!code.contains('X'), "{code}");
        assert!(code.contains("r#type") && code.contains("for"), "{code}");
    }

    #[test]
    fn an_unfinished_literal_reaches_to_the_end() {
        for text in ["\"abc", "/* abc", "r#\"abc\"", "'\\", "'\\x", "\"abc\\"] {
            assert!(!blank(text).contains("abc"), "{text}");
        }
    }

    #[test]
    fn unit_tests_begin_at_their_attribute() {
        let source = Source::new("a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(source.product_lines().count(), 1);
        assert!(!source.is_test(1) && source.is_test(2));
        assert!(!Source::new("a.rs", "#[cfg(test)]\nuse b;\n").is_test(2));
        assert!(Source::new("a/tests.rs", "fn a() {}\n").is_test(1));
    }

    #[test]
    fn identifiers_are_whole_words() {
        let words: Vec<_> = identifiers("let f32x = a.f32 + _b;")
            .map(|(_, word)| word)
            .collect();
        assert_eq!(words, ["let", "f32x", "a", "f32", "_b"]);
    }
}
