//! Feeds of lines: plain lists (netsets, Spamhaus DROP as text), and what `ipset save` prints.

use std::time::Duration;

use super::{Gathered, ListError, whole};

/// One address, prefix or range a line; numbers behind it are scores. What follows `#` or `;` is ignored.
pub(super) fn plain(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    for (index, line) in text.lines().enumerate() {
        let written = line.split(['#', ';']).next().unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        let (first, rest) = written.split_once(char::is_whitespace).unwrap_or((written, ""));
        let mut rest = rest.split_whitespace();
        if rest.clone().all(|word| word.parse::<f64>().is_ok()) {
            gathered.add(index + 1, first);
        } else if let (Some("-"), Some(last), None) = (rest.next(), rest.next(), rest.next()) {
            gathered.add(index + 1, &format!("{first}-{last}"));
        } else {
            // Such as a hosts file, in which the address is not what is bad.
            gathered.add(index + 1, written);
        }
    }
    whole(text, gathered.name, gathered.entries())
}

/// The entries of all sets; those with ports or interfaces are about less than an address, and passed over.
pub(super) fn ipset(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    for (index, line) in text.lines().enumerate() {
        let place = index + 1;
        let mut words = line.split_whitespace();
        match words.next() {
            None | Some("create") => {}
            Some(comment) if comment.starts_with('#') => {}
            Some("add") => {
                let Some(entry) = words.nth(1) else {
                    gathered.refuse(place, "no entry behind the name of the set");
                    continue;
                };
                let options: Vec<&str> = words.collect();
                let timeout = options.iter().position(|word| *word == "timeout");
                let seconds = match timeout.map(|at| options.get(at + 1).map(|word| word.parse::<u64>())) {
                    None | Some(Some(Ok(0))) => None,
                    Some(Some(Ok(seconds))) => Some(seconds),
                    Some(_) => {
                        gathered.refuse(place, "no number behind `timeout`");
                        continue;
                    }
                };
                if entry.contains(',') {
                    gathered.pass_over();
                } else if options.contains(&"nomatch") {
                    gathered.add_exception(place, entry);
                } else {
                    let end = seconds.and_then(|seconds| gathered.after(Duration::from_secs(seconds)));
                    gathered.add_between(place, entry, None, end);
                }
            }
            // It counts as an entry: a file of other lines is no feed.
            Some(_) => gathered.add(place, line.trim()),
        }
    }
    whole(text, gathered.name, gathered.entries())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{parse, reading, shown};
    use crate::config::FeedFormat;

    #[test]
    fn a_plain_list_is_read_line_by_line() {
        let text = "\u{feff}# a list\n192.0.2.1\n\n198.51.100.0/24 ; SBL1\r\n2001:db8::/32 # x\n10.0.0.1/8\n0.0.0.0/0\n192.0.2.1\n";
        let feed = parse(text).unwrap();
        assert_eq!(shown(&feed), ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/32"]);
        assert_eq!(
            (feed.places.as_slice(), feed.refused.count),
            ([2, 4, 5].as_slice(), 2)
        );
        assert!(feed.refused.first[0].starts_with("f:6: 10.0.0.1/8 has address bits set"));
        assert!(feed.refused.first[1].contains("too wide to block"));
        assert_eq!(feed.format, FeedFormat::Plain);
    }

    #[test]
    fn scores_are_passed_over_and_names_are_not() {
        assert_eq!(
            shown(&parse("192.0.2.1\t10\n192.0.2.2 3.5 7\n").unwrap()).len(),
            2
        );
        let hosts = "127.0.0.1 ads.example\n".repeat(9);
        assert!(
            parse(&hosts)
                .unwrap_err()
                .contains("9 lines that are no prefixes")
        );
        assert_eq!(
            shown(&parse("192.0.2.4 - 192.0.2.5\n").unwrap()),
            ["192.0.2.4/31"]
        );
    }

    #[test]
    fn a_saved_ipset_is_read() {
        let text = "create bad4 hash:net family inet hashsize 1024\nadd bad4 198.51.100.0/24\nadd bad4 192.0.2.7 timeout 3600\n\
                    add bad4 192.0.2.8 timeout 0\nadd bad4 198.51.100.64/26 nomatch\ncreate bad6 hash:net family inet6\n\
                    add bad6 2001:db8:bad::/48\nadd ports 192.0.2.9,tcp:80\nadd bad4\nadd bad4 192.0.2.10 timeout x\n";
        let feed = parse(text).unwrap();
        assert_eq!(feed.format, FeedFormat::Ipset);
        assert_eq!(
            shown(&feed),
            [
                "192.0.2.7/32",
                "192.0.2.8/32",
                "198.51.100.0/26",
                "198.51.100.128/25",
                "2001:db8:bad::/48"
            ]
        );
        assert_eq!((feed.refused.count, feed.passed_over), (2, 1));
        assert_eq!(feed.until, Some(reading().now + Duration::from_secs(3600)));
    }
}
