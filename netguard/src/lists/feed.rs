//! Feeds: text files with one address or prefix a line. A line that is none is left out and told; a file in which many are
//! none is no feed.

use std::path::Path;

use super::{ListError, read_text};
use crate::prefix::{BlockPrefix, Prefix};

/// Of a hundred lines so many may be none.
const BAD_PER_CENT: usize = 1;
/// Lines left out that are told one by one.
const TOLD: usize = 5;

/// What a file says.
#[derive(Debug, Default)]
pub struct Feed {
    pub prefixes: Vec<Prefix>,
    /// How many lines were left out.
    pub skipped: usize,
    /// The first of them, each with its place and mistake.
    pub first_skipped: Vec<String>,
}

/// Reads the feed in `file`.
///
/// # Errors
/// When it cannot be read, or is no feed.
pub fn read_feed(file: &Path) -> Result<Feed, ListError> {
    parse(&file.display().to_string(), &read_text(file)?)
}

fn parse(name: &str, text: &str) -> Result<Feed, ListError> {
    let mut feed = Feed::default();
    for (index, line) in text.lines().enumerate() {
        let written = line.split(['#', ';']).next().unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        match written.parse::<BlockPrefix>() {
            Ok(prefix) => feed.prefixes.push(prefix.into()),
            Err(error) => {
                feed.skipped += 1;
                if feed.first_skipped.len() < TOLD {
                    feed.first_skipped.push(format!("{name}:{}: {error}", index + 1));
                }
            }
        }
    }
    let lines = feed.prefixes.len() + feed.skipped;
    if feed.skipped * 100 > lines * BAD_PER_CENT && feed.skipped > TOLD {
        return Err(ListError::NotAFeed {
            file: name.to_owned(),
            bad: feed.skipped,
            lines,
            first: feed.first_skipped.swap_remove(0),
        });
    }
    if feed.prefixes.is_empty() {
        return Err(ListError::Empty(name.to_owned()));
    }
    Ok(feed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_read_line_by_line() {
        let text =
            "# a list\n192.0.2.1\n\n198.51.100.0/24 ; SBL1\r\n2001:db8::/32 # x\n10.0.0.1/8\n0.0.0.0/0\n";
        let feed = parse("f", text).unwrap();
        let shown: Vec<String> = feed.prefixes.iter().map(Prefix::to_string).collect();
        assert_eq!(shown, ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/32"]);
        assert_eq!(feed.skipped, 2);
        assert!(feed.first_skipped[0].starts_with("f:6: 10.0.0.1/8 has address bits set"));
        assert!(feed.first_skipped[1].contains("too wide to block"));
    }

    #[test]
    fn what_is_no_feed_is_refused() {
        let html = "<html>\n".repeat(9);
        let error = parse("f", &html).unwrap_err().to_string();
        assert!(
            error.contains("9 lines that are no prefixes") && error.contains("f:1:"),
            "{error}"
        );
        assert!(
            parse("f", "\n# nothing\n")
                .unwrap_err()
                .to_string()
                .contains("no prefix at all")
        );
    }
}
