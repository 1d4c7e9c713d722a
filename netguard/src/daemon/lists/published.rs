//! How a published list is read: from its file or as a server answered, and whether it is believed after what it said before.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::remote::Remote;
use crate::{
    config::{self, FeedAction},
    lists::{self, Before, Feed, FetchError, Fetched, ListError, Reading, Told},
};

/// A published list.
pub(super) struct Published {
    pub(super) name: String,
    reading: Reading,
    max_growth: u32,
    max_shrink: u32,
    max_share_percent: u32,
    pub(super) remote: Option<Remote>,
    /// Whether an operator takes the next list for good, however it has grown or shrunk.
    pub(super) accepted: bool,
}

/// Why a source keeps what it had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{url} was not fetched yet")]
    NotYet { url: String },
    #[error("{} cannot be written: {source}", .file.display())]
    Copy { file: PathBuf, source: io::Error },
}

impl Published {
    /// The feed whose file, or last good copy, is `file`.
    pub(super) fn of(feed: &config::Feed, file: &Path) -> Self {
        let bits = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        Self {
            name: feed.name.clone(),
            reading: Reading {
                format: feed.format,
                action: feed.action,
                widest_v4: bits(feed.widest_v4.value()),
                widest_v6: bits(feed.widest_v6.value()),
                keep_private: feed.keep_private,
                max_bytes: u64::from(feed.max_mib.value()) << 20,
                written: None,
                now: SystemTime::UNIX_EPOCH,
                tell: Told::ONE_BY_ONE,
            },
            max_growth: feed.max_growth.value(),
            max_shrink: feed.max_shrink.value(),
            max_share_percent: match feed.action {
                FeedAction::Block => feed.max_share_percent.value(),
                // To spare many locks nobody out.
                FeedAction::NeverBlock => 100,
            },
            remote: feed.url.as_ref().map(|url| Remote::new(feed, url, file)),
            accepted: false,
        }
    }

    /// By what factors it may grow and shrink at once.
    pub(super) const fn may_change_by(&self) -> (u32, u32) {
        (self.max_growth, self.max_shrink)
    }

    /// What share of the addresses of a family it may cover.
    pub(super) const fn max_share_percent(&self) -> u32 {
        self.max_share_percent
    }

    /// Whether it says whom never to block.
    pub(super) fn protects(&self) -> bool {
        self.reading.action == FeedAction::NeverBlock
    }

    /// What `file` says now; it said `before` when it was last read.
    pub(super) fn read(&self, file: &Path, before: Option<&Feed>) -> Result<Feed, SourceError> {
        let mut reading = self.reading.clone();
        reading.now = crate::clock::wall_clock();
        if let Some(remote) = &self.remote {
            let url = || remote.url().to_owned();
            let fetched = remote
                .fetched()
                .ok_or_else(|| SourceError::NotYet { url: url() })?;
            reading.written = Some(fetched);
            let feed = lists::read_feed(file, &reading)?;
            // How it has changed was judged when it came.
            lists::bounded(&url(), &feed, self.max_share_percent)?;
            return Ok(feed);
        }
        let feed = lists::read_feed(file, &reading)?;
        self.believe(&file.display().to_string(), before, &feed, reading.now)?;
        Ok(feed)
    }

    /// What a server answered, if it is new: kept in `file` before it is in force.
    pub(super) fn judge(
        &mut self,
        file: &Path,
        before: Option<&Feed>,
        answer: Result<Fetched, FetchError>,
    ) -> Result<Option<Feed>, SourceError> {
        let answer = answer?;
        let now = crate::clock::wall_clock();
        let Some(remote) = &mut self.remote else {
            return Ok(None);
        };
        let not_kept = |source| SourceError::Copy {
            file: file.to_owned(),
            source,
        };
        let origin = remote.url().to_owned();
        match answer {
            // It confirms what nobody has.
            Fetched::Unchanged if before.is_none() => Err(SourceError::NotYet { url: origin }),
            Fetched::Unchanged => {
                remote.confirm(file, now).map_err(not_kept)?;
                Ok(None)
            }
            Fetched::New { bytes, validators } => {
                let reading = Reading {
                    written: Some(now),
                    now,
                    ..self.reading.clone()
                };
                let feed = lists::parse_feed(&origin, bytes.clone(), &reading)?;
                self.believe(&origin, before, &feed, now)?;
                if let Some(remote) = &mut self.remote {
                    remote.keep(file, &bytes, validators, now).map_err(not_kept)?;
                }
                Ok(Some(feed))
            }
        }
    }

    /// Refuses what covers too much, and, unless it was accepted, what is much more or less than what was read before is now.
    fn believe(
        &self,
        origin: &str,
        before: Option<&Feed>,
        feed: &Feed,
        now: SystemTime,
    ) -> Result<(), ListError> {
        lists::bounded(origin, feed, self.max_share_percent)?;
        match before {
            Some(before) if !self.accepted => {
                let before = Before::of(before, now);
                lists::steady(origin, &before, &feed.size, self.max_growth, self.max_shrink)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::sources::Source, *};
    use crate::{config::Config, lists::Validators};

    fn from(text: &str, copies: &Path) -> Source {
        let config = Config::parse("test", &format!("[[feed]]\nname = \"a\"\n{text}\n")).unwrap();
        Source::feed(config.feed.iter().next().unwrap(), copies)
    }

    fn feed(file: &Path) -> Source {
        from(&format!("file = {file:?}"), Path::new("/nowhere"))
    }

    fn list(entries: usize) -> String {
        (0..entries)
            .map(|number| format!("198.18.{}.{}\n", number / 256, number % 256))
            .collect()
    }

    #[test]
    fn a_file_that_jumps_is_refused_until_it_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed");
        let mut source = feed(&file);
        fs::write(&file, list(2_000)).unwrap();
        source.read().unwrap();
        fs::write(&file, list(900)).unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("shrunk from 2000 entries to 900"), "{error}");
        assert_eq!(source.prefixes().len(), 2_000);
        source.accept();
        source.read().unwrap();
        assert_eq!((source.prefixes().len(), source.fault()), (900, None));
        // It was accepted once.
        fs::write(&file, list(10_000)).unwrap();
        assert!(
            source
                .read()
                .unwrap_err()
                .to_string()
                .contains("grown from 900 entries to 10000")
        );
    }

    /// Found in review: lists of few entries were taken whatever they covered.
    #[test]
    fn a_file_that_covers_too_much_is_refused_and_what_suddenly_covers_more_until_it_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed");
        let write = |first: u32, count: u32| {
            let list: String = (first..first + count)
                .map(|number| format!("{number}.0.0.0/8\n"))
                .collect();
            fs::write(&file, list).unwrap();
        };
        let mut source = feed(&file);
        write(1, 223);
        let error = source.read().unwrap_err().to_string();
        assert!(
            error.contains("of all IPv4 addresses") && error.contains("`max_share_percent`"),
            "{error}"
        );
        write(20, 4);
        source.read().unwrap();
        write(20, 9);
        let error = source.read().unwrap_err().to_string();
        assert!(
            error.contains("grown from 67108864 IPv4 addresses to 150994944"),
            "{error}"
        );
        assert_eq!(
            (source.prefixes().len(), source.fault()),
            (4, Some(error.as_str()))
        );
        source.accept();
        source.read().unwrap();
        assert_eq!((source.prefixes().len(), source.fault()), (9, None));
        // Nobody accepts the internet in passing.
        write(1, 223);
        source.accept();
        assert!(source.read().is_err());
        assert_eq!(source.prefixes().len(), 9);

        for more in ["max_share_percent = 90", "action = \"never-block\""] {
            let mut wide = from(&format!("file = {file:?}\n{more}"), Path::new("/nowhere"));
            write(1, 223);
            wide.read().unwrap();
        }
    }

    /// Found in review: that entries end was neither growth nor shrink, but what had ended counted for ever.
    #[test]
    fn what_has_ended_counts_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed");
        let with = |ended: usize, live: usize| {
            let ban = |number: usize, duration: &str| {
                format!(
                    "{{\"scope\":\"Ip\",\"value\":\"198.18.{}.{}\",\"type\":\"ban\",\"duration\":\"{duration}\"}}",
                    number / 256,
                    number % 256
                )
            };
            let list: Vec<String> = (0..ended + live)
                .map(|number| ban(number, if number < ended { "-1m" } else { "1h" }))
                .collect();
            fs::write(&file, format!("[{}]", list.join(","))).unwrap();
        };
        let mut source = feed(&file);
        with(0, 2_000);
        source.read().unwrap();
        with(1_900, 100);
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("shrunk from 2000 entries to 100"), "{error}");
        // An hour later what it was has ended as well, and it may come back.
        let later = crate::clock::wall_clock() + std::time::Duration::from_secs(3_601);
        let before = source.as_read().map(|feed| Before::of(feed, later)).unwrap();
        assert_eq!((before.left.entries, before.most.entries), (0, 2_000));
    }

    #[test]
    fn what_a_server_has_is_kept_and_stands_without_it() {
        let copies = tempfile::tempdir().unwrap();
        let copies = copies.path().join("feeds");
        let remote = || from("url = \"https://x.example/?token=s3cret\"", &copies);
        let new = |text: String| {
            Ok(Fetched::New {
                bytes: text.into_bytes(),
                validators: Validators {
                    etag: Some("\"1\"".to_owned()),
                    last_modified: None,
                },
            })
        };
        let mut source = remote();
        assert!(
            source
                .read()
                .unwrap_err()
                .to_string()
                .contains("https://x.example/ was not fetched yet")
        );
        source.take(new(list(2_000))).unwrap();
        assert_eq!((source.prefixes().len(), source.has_changed()), (2_000, false));
        for (bad, told) in [
            (list(3), "shrunk"),
            ("<html>".to_owned(), "page of the web"),
            (list(1_500) + "198.18", "cut short"),
        ] {
            let error = source.take(new(bad)).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("s3cret"), "{error}");
            assert_eq!(source.prefixes().len(), 2_000);
        }
        let silent = FetchError::NoAuthorities;
        assert!(source.take(Err(silent)).is_err());
        assert!(source.fault().is_some());
        source.take(Ok(Fetched::Unchanged)).unwrap();
        assert_eq!(source.fault(), None);

        let mut again = remote();
        again.read().unwrap();
        assert_eq!(again.prefixes().len(), 2_000);
        let asked = again.ask_if_due(false).unwrap();
        assert_eq!(asked.validators.etag.as_deref(), Some("\"1\""));
        // Another server has another list.
        let mut moved = from("url = \"https://y.example/\"", &copies);
        assert!(moved.read().is_err());
        again.accept();
        again.take(new(list(3))).unwrap();
        assert_eq!(again.prefixes().len(), 3);
    }
}
