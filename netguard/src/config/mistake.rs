//! A mistake in a configuration text: its place, one sentence, and the line with the place underlined.

use std::fmt;
use std::ops::Range;

/// What is wrong at which place; displays as `file:line:column: sentence` and the line with the place underlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// One sentence without a place.
    pub sentence: String,
    /// The underlined line: its text, and how many characters are marked.
    excerpt: (String, usize),
}

impl Mistake {
    pub(super) fn new(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let before = text.get(..span.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].chars().count() + 1;
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            sentence: printable(&sentence(error.message())),
            excerpt: excerpt(text, start, &span),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            sentence,
            excerpt: (text, marked),
        } = self;
        // Long lines are shown around the mistake.
        let skip = if *column > 80 { *column - 40 } else { 0 };
        let shown: String = text.chars().skip(skip).take(120).collect();
        let marked = (*marked).clamp(1, 120 - (column - 1 - skip).min(119));
        let gutter = line.to_string().len();
        writeln!(out, "{file}:{line}:{column}: {sentence}")?;
        writeln!(out, "{:gutter$} |", "")?;
        writeln!(out, "{line} | {}", shown.trim_end())?;
        write!(
            out,
            "{:gutter$} | {:indent$}{:^<marked$}",
            "",
            "",
            "",
            indent = column - 1 - skip
        )
    }
}

impl std::error::Error for Mistake {}

/// The line that starts at `start`, and how much of it `span` marks.
fn excerpt(text: &str, start: usize, span: &Range<usize>) -> (String, usize) {
    let line = text
        .get(start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let end = span.end.min(start + line.len());
    let marked = text
        .get(span.start..end)
        .map_or(1, |marked| marked.chars().count());
    (printable(line), marked)
}

/// `text` with spaces for control characters: a file must not steer the terminal that shows its mistakes.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The sentence of serde or the TOML parser in the words of a configuration file, with a suggestion for a misspelt name.
fn sentence(message: &str) -> String {
    let message = message.trim();
    for (start, what) in [("unknown field ", "key"), ("unknown variant ", "value")] {
        if let Some(rest) = message.strip_prefix(start) {
            return unknown(what, rest);
        }
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("missing key {rest} in this table");
    }
    match message {
        // An array of tables where a single table belongs.
        message if message.starts_with("wanted exactly ") => {
            "expected one table, in single brackets".to_owned()
        }
        "wanted string or table" => "expected a value in quotes".to_owned(),
        message => message.replace("expected a sequence", "expected a list in square brackets"),
    }
}

/// `rest` is "`wrong`, expected one of `a`, `b`": the names stand between backticks.
fn unknown(what: &str, rest: &str) -> String {
    let mut names = rest.split('`').skip(1).step_by(2);
    let wrong: String = names.next().unwrap_or_default().chars().take(64).collect();
    let accepted: Vec<&str> = names.collect();
    let closest = accepted
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, name), *name))
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .min();
    let suggestion = closest
        .map(|(_, name)| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default();
    format!(
        "unknown {what} `{wrong}`{suggestion}: accepted here: {}",
        accepted.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn error(text: &str) -> String {
        Config::parse("test.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn points_at_the_mistake() {
        assert_eq!(
            error("mode = \"enforce\"\n[limit.syn]\nrate_per_s = 50\nbrust = 200\n"),
            "test.toml:4:1: unknown key `brust` (did you mean `burst`?): accepted here: rate_per_s, burst\n  |\n4 | brust = 200\n  | ^^^^^"
        );
        assert_eq!(
            error("allow = []\nblock = [\"192.0.2.1\", \"10.0.0.1/8\"]"),
            "test.toml:2:23: 10.0.0.1/8 has address bits set behind /8: did you mean 10.0.0.0/8?\n  |\n\
             2 | block = [\"192.0.2.1\", \"10.0.0.1/8\"]\n  |                       ^^^^^^^^^^^^"
        );
    }

    #[test]
    fn refuses_with_a_place_and_a_sentence() {
        for (text, part) in [
            (
                "mdoe = \"shadow\"",
                ":1:1: unknown key `mdoe` (did you mean `mode`?)",
            ),
            (
                "colour = 1",
                ":1:1: unknown key `colour`: accepted here: interfaces, mode,",
            ),
            (
                "mode = \"shadwo\"",
                ":1:8: unknown value `shadwo` (did you mean `shadow`?): accepted here: enforce, shadow",
            ),
            (
                "[limit]\nudp.rate_per_s = 3",
                ":2:1: missing key `burst` in this table",
            ),
            (
                "[limit.icmp]\nrate_per_s = 0\nburst = 1",
                ":2:14: invalid value: integer `0`, expected a whole number from 1",
            ),
            (
                "[limit.icmp]\nrate_per_s = 9\nburst = -1",
                ":3:9: invalid value: integer `-1`, expected a whole number from 1",
            ),
            // Found in review: with less, the first stray brought the alert.
            (
                "[state]\nburst = 15",
                ":2:9: invalid value: integer `15`, expected a whole number from 16",
            ),
            (
                "[limit]\nsyn = 5",
                ":2:7: invalid type: integer `5`, expected a table with `rate_per_s` and `burst`",
            ),
            (
                "[detect.flooder]\nblock_for = 60",
                ":2:13: invalid type: integer `60`, expected a",
            ),
            (
                "[detect.flooder]\nblock_for = \"60\"",
                ":2:13: \"60\" is not a duration",
            ),
            (
                "interfaces = [\n  \"eth0\",\n  \"a-name-that-is-too-long\"]",
                ":3:3: \"a-name-that-is-too-long\" is not an interface name",
            ),
            (
                "interfaces = \"eth0\"",
                ":1:14: invalid type: string \"eth0\", expected a list in square brackets",
            ),
            ("mode = 5", ":1:8: expected a value in quotes"),
            ("[[sanity]]", ":1:1: expected one table"),
            ("block = [\"::/0\"]", ":1:10: ::/0 is too wide to block"),
            (
                "guard.never_block = [\"::ffff:10.0.0.1/104\"]",
                ":1:22: 10.0.0.1/8 has address bits set",
            ),
            ("mode = \"enforce\"\nmode = \"shadow\"", ":2:1: duplicate key"),
            ("mode = enforce", ":1:8: "),
            ("mode = \"enforce", ":1:"),
            ("[limit", ":1:"),
        ] {
            let error = error(text);
            assert!(
                error.starts_with("test.toml:") && error.contains(part),
                "{text}\n{error}"
            );
            assert!(
                error.lines().count() == 4 && error.ends_with('^'),
                "{text}\n{error}"
            );
        }
    }

    #[test]
    fn survives_any_text() {
        let long = format!("block = [{}\"x\"]", "\"192.0.2.1\", ".repeat(500));
        let error_of_long = error(&long);
        assert!(
            error_of_long.lines().all(|line| line.len() < 200),
            "{error_of_long}"
        );
        for text in [
            "é = \"ü\u{1b}[31m\"",
            "\u{feff}x",
            "a\r\nb",
            "\"",
            "=",
            "\0",
            "\"\\u001b[31m\" = 1",
            "mode = \"\\n\\r\\u001b\"",
            "[[",
            "mode = \"\"\"\nx\n\"\"\"",
        ] {
            let error = error(text);
            assert!(!error.contains(['\u{1b}', '\0', '\r']), "{error:?}");
        }
    }
}
