//! What in a request looks like an attempt to break in: few patterns, each for what no honest client sends often. It is evidence and no proof, since
//! people also search for what attacks look like. Bounded input, and patterns that take linear time.

use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

use httparse::Header;
use percent_encoding::percent_decode;
use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::l7::Flaw;

/// Bytes of a target, and of a header, that are looked at.
const LOOKED_AT: usize = 4_096;

/// Over values of parameters and whole paths, decoded.
const PATTERNS: [(&str, Flaw); 17] = [
    // UNION SELECT with something to select.
    (
        r#"\bunion(?:\s|/\*.*?\*/|\()+(?:(?:all|distinct)(?:\s|/\*.*?\*/)+)?select(?:\s|/\*.*?\*/|\()+(?:null\b|\d+\b|@@|(?:[\w.`"'*()]+\s*,\s*){2}|[\w.`"*]+\s+from\b|\w+\()"#,
        Flaw::SqlInjection,
    ),
    // ' or 1=1, and " and "a"="a
    (
        r#"['"]\s*\)*\s*(?:or|and|xor|\|\||&&)\s+\(*\s*(?:\d+|'[^']{0,20}'|"[^"]{0,20}")\s*(?:=|<|>|<>|like)\s*\(*(?:\d|'|")"#,
        Flaw::SqlInjection,
    ),
    // 7 or 1=1, the whole value
    (
        r"^-?\d+\)*\s+(?:or|and|xor)\s+\(*\d+\s*=\s*\d+",
        Flaw::SqlInjection,
    ),
    // A string that ends, and the rest as a comment.
    (r"'\s*\)*\s*(?:;\s*)?(?:--[\s+-]*|#|/\*)$", Flaw::SqlInjection),
    (
        r"['\d)]\s*;\s*(?:drop|alter|truncate|create)\s+(?:table|database|view|user|schema)\s+\w",
        Flaw::SqlInjection,
    ),
    (
        r"['\d)]\s*;\s*(?:insert\s+into\s+\w|delete\s+from\s+\w|update\s+\w+\s+set\s|exec(?:ute)?\s+(?:xp_|sp_)|shutdown\b|waitfor\s+delay\s)",
        Flaw::SqlInjection,
    ),
    (
        r#"\b(?:pg_sleep|extractvalue|updatexml|load_file|xp_cmdshell|dbms_pipe\.receive_message)\s*\(\s*['"\d@(\w]|\bbenchmark\(\s*\d+\s*,|(?:\b(?:and|or|select|if)\b[\s(]+|['",;|(])sleep\(\s*\d+\s*\)|waitfor\s+delay\s+['"]"#,
        Flaw::SqlInjection,
    ),
    (
        r"\bselect\b.*\bfrom\b.*\b(?:information_schema\.|sqlite_master\b|pg_catalog\.|sysobjects\b|all_tables\b)",
        Flaw::SqlInjection,
    ),
    (
        r"<\s*script[^>]*>[^<]*(?:alert|prompt|confirm|eval|atob|fetch|document|window|location|cookie)\b|<\s*script[^>]*\ssrc\s*=",
        Flaw::Script,
    ),
    (
        r#"<\s*[a-z!][^>]*[\s/"']on(?:error|load|click|mouse\w+|focus\w*|blur|toggle|begin|start|animation\w+|pointer\w+|key\w+|wheel)\s*="#,
        Flaw::Script,
    ),
    (
        r#"["']\s*(?:autofocus\s+|\w+=\w*\s+)*on(?:error|load|click|mouse\w+|focus\w*|blur|toggle|pointer\w+|key\w+)\s*=\s*["']?[\w.]+\s*[(`]"#,
        Flaw::Script,
    ),
    (
        r#"(?:^|[="'\s])javascript\s*:\s*(?:alert|eval|prompt|confirm|fetch|import|document|window|top\[|self\[|/\*|//)"#,
        Flaw::Script,
    ),
    (
        r"(?:\.\.[/\\]){1,}.*(?:etc[/\\](?:passwd|shadow|hosts)|boot\.ini|win\.ini|proc[/\\]self|\.ssh[/\\]|wp-config|web\.config|web-inf|cmd\.exe|system32)|(?:\.\.[/\\]){4,}",
        Flaw::Traversal,
    ),
    (
        r"^(?:file://)?/+(?:etc/(?:passwd|shadow)|proc/self/environ)\b|^php://(?:filter|input)|^(?:phar|expect)://",
        Flaw::Traversal,
    ),
    (
        r"(?:[;|`\n]|\$\(|&&)\s*(?:/(?:usr/)?bin/)?(?:(?:cat|head|tail|more|less|ls|type)\s+(?:-\w+\s+)*[/~.]|(?:wget|curl|fetch)\s.*(?:https?|ftp)://|(?:nc|ncat|telnet)\s+-?\w|(?:ba|da|z|k)?sh\s+-[ci]|(?:python[23]?|perl|php|ruby)\s+-[cer]|chmod\s+[+\d]|rm\s+-\w*[rf]|ping\s+-[cn]\s)",
        Flaw::Command,
    ),
    (
        r"(?:[|`]|\$\(|&&)\s*(?:id|whoami|uname(?:\s+-a)?|ifconfig|netstat|env)\s*(?:[;|`)&]|$)",
        Flaw::Command,
    ),
    (
        r"\$\{(?:jndi|env|sys|lower|upper):|<\?php\s|\(\)\s*\{\s*:?\s*;\s*\}\s*;",
        Flaw::Command,
    ),
];
/// Over values of headers, where much is written that parameters do not have.
const IN_HEADERS: [&str; 2] = [
    r"\$\{(?:jndi|lower|upper|env|::-)[:j]",
    r"^\(\)\s*\{\s*:?\s*;\s*\}\s*;",
];
/// No honest client encodes these dots and slashes, or ends a path with NUL.
const ENCODED: [&str; 4] = [
    r"(?:%2e%2e|%2e\.|\.%2e|\.\.)(?:%2f|%5c|%255c|%252f|%c0%af|%c1%9c)",
    r"(?:%2e%2e|%2e\.|\.%2e|%252e%252e|%c0%ae%c0%ae)(?:/|\\|$)",
    r"%252e%252e(?:%252f|%255c|/)",
    r"\.\w+%00|%00\.\w+",
];

static TARGETS: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(PATTERNS.map(|(pattern, _)| pattern)));
static HEADERS: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(IN_HEADERS));
static ENCODED_PATHS: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(ENCODED));

/// Flaws of a request for `target`, as it was sent.
pub(super) fn in_target(target: &[u8]) -> BTreeSet<Flaw> {
    let target = &target[..target.len().min(LOOKED_AT)];
    let mut flaws = BTreeSet::new();
    // Most say nothing that could be anything.
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.?=&,~:@!".contains(byte);
    let names_files = |pair: &[u8]| pair == b".." || pair == b"=/" || pair == b":/";
    if target.iter().all(is_plain) && !target.windows(2).any(names_files) {
        return flaws;
    }
    let (path, query) = match target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &[][..]),
    };
    if ENCODED_PATHS.matches(path).next().is_some() || leaves_its_root(path) {
        flaws.insert(Flaw::Traversal);
    }
    look(path, &mut flaws);
    for parameter in query.split(|byte| *byte == b'&') {
        let value = match parameter.iter().position(|byte| *byte == b'=') {
            Some(at) => &parameter[at + 1..],
            None => parameter,
        };
        let spaced: Vec<u8> = value
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        look(&spaced, &mut flaws);
    }
    flaws
}

/// What the values of headers look like.
pub(super) fn in_headers(headers: &[Header<'_>]) -> Option<Flaw> {
    let is_odd = |header: &Header<'_>| {
        let value = &header.value[..header.value.len().min(LOOKED_AT)];
        value.contains(&b'{') && HEADERS.matches(value).next().is_some()
    };
    headers.iter().any(is_odd).then_some(Flaw::Command)
}

/// Looks at `value` as it is decoded once, and twice where that gives something else.
fn look(value: &[u8], flaws: &mut BTreeSet<Flaw>) {
    let once = Cow::from(percent_decode(value));
    flaws.extend(TARGETS.matches(&once).map(|index| PATTERNS[index].1));
    if once.contains(&b'%')
        && let Cow::Owned(twice) = Cow::from(percent_decode(&once))
    {
        flaws.extend(TARGETS.matches(&twice).map(|index| PATTERNS[index].1));
    }
}

/// Whether the dots of `path` lead out of where it begins.
fn leaves_its_root(path: &[u8]) -> bool {
    let decoded = Cow::from(percent_decode(path));
    let mut depth = 0_usize;
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            b"" | b"." => {}
            _ => depth += 1,
        }
    }
    false
}

/// Patterns that are looked for at once.
struct Patterns(Option<RegexSet>);

impl Patterns {
    fn new<const N: usize>(patterns: [&str; N]) -> Self {
        let mut set = RegexSetBuilder::new(patterns);
        set.case_insensitive(true)
            .unicode(false)
            .dot_matches_new_line(true);
        // A test says that there is one.
        Self(set.build().ok())
    }

    /// The indices of those that are found.
    fn matches(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let matches = self.0.as_ref().map(|set| set.matches(text));
        matches.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests;
