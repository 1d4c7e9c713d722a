//! Where lists come from: files and servers, when each was looked at, what it held when it was last read, and why it cannot be
//! read. Which policies they feed is the business of `wanted`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    published::{Published, SourceError},
    remote::Remote,
};
use crate::{
    clock::monotonic_ns,
    config,
    lists::{self, Feed, FetchError, Fetched, ListError, Place, Request, Stamp, Told, stamp},
    prefix::Prefix,
};

/// A feed whose entries begin or end is put together anew for that no more often.
const TURNS_EVERY: Duration = Duration::from_secs(60);

/// Where lists come from.
pub(super) struct Source {
    /// The file, or the last good copy of what a server has.
    file: PathBuf,
    kind: Kind,
    content: Content,
    /// What the file was when it was last looked at, `None` while nobody has; within, `None` where it was not there.
    seen: Option<Option<Stamp>>,
    /// When the file was written that `content` comes from.
    written: Option<SystemTime>,
    /// Monotonic.
    read_ns: Option<u64>,
    /// When a feed was put together, monotonic.
    turned_ns: u64,
    fault: Option<String>,
    /// What of a feed is left alone because something else protects it.
    spared: Told,
}

enum Kind {
    Feed(Box<Published>),
    /// A database that is asked for these.
    Places(Vec<Place>),
}

enum Content {
    Feed(Box<Feed>),
    Places(HashMap<Place, Vec<Prefix>>),
}

impl Content {
    const fn feed(&self) -> Option<&Feed> {
        match self {
            Self::Feed(feed) => Some(feed),
            Self::Places(_) => None,
        }
    }
}

impl Source {
    /// A database that is asked for `places`.
    pub(super) fn places(file: PathBuf, places: Vec<Place>) -> Self {
        Self::new(file, Kind::Places(places))
    }

    /// A feed; `copies` is the directory for those that come from servers.
    pub(super) fn feed(feed: &config::Feed, copies: &Path) -> Self {
        let file = feed.file.clone().unwrap_or_else(|| copies.join(&feed.name));
        let published = Published::of(feed, &file);
        Self::new(file, Kind::Feed(Box::new(published)))
    }

    fn new(file: PathBuf, kind: Kind) -> Self {
        Self {
            file,
            kind,
            content: Content::Feed(Box::default()),
            seen: None,
            written: None,
            read_ns: None,
            turned_ns: 0,
            fault: None,
            spared: Told::default(),
        }
    }

    /// Where it comes from, in answers and errors.
    pub(super) fn origin(&self) -> String {
        self.remote().map_or_else(
            || self.file.display().to_string(),
            |remote| remote.url().to_owned(),
        )
    }

    /// The file, or the copy of what a server has.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn remote(&self) -> Option<&Remote> {
        self.as_feed()?.remote.as_ref()
    }

    /// What to ask its server, when it is time or `now`; whoever gets it has to [`Self::take`] how it went.
    pub(super) fn ask_if_due(&mut self, now: bool) -> Option<Request> {
        let at_hand = self.read_ns.is_some();
        let Kind::Feed(feed) = &mut self.kind else {
            return None;
        };
        feed.remote.as_mut()?.ask_if_due(monotonic_ns(), now, at_hand)
    }

    fn as_feed(&self) -> Option<&Published> {
        match &self.kind {
            Kind::Feed(feed) => Some(feed),
            Kind::Places(_) => None,
        }
    }

    /// The name of a feed.
    pub(super) fn name(&self) -> Option<&str> {
        self.as_feed().map(|feed| feed.name.as_str())
    }

    /// By what factors it may grow and shrink at once.
    pub(super) fn may_change_by(&self) -> Option<(u32, u32)> {
        self.as_feed().map(Published::may_change_by)
    }

    /// What share of the addresses of a family it may cover.
    pub(super) fn max_share_percent(&self) -> Option<u32> {
        self.as_feed().map(Published::max_share_percent)
    }

    /// Whether it says whom never to block.
    pub(super) fn protects(&self) -> bool {
        self.as_feed().is_some_and(Published::protects)
    }

    /// The next list holds, however it has grown or shrunk.
    pub(super) fn accept(&mut self) {
        self.set_accepted(true);
    }

    fn set_accepted(&mut self, accepted: bool) {
        if let Kind::Feed(feed) = &mut self.kind {
            feed.accepted = accepted;
        }
    }

    /// Whether the file is not what it was when it was last read, successfully or not.
    pub(super) fn has_changed(&self) -> bool {
        self.seen != Some(stamp(&self.file))
    }

    /// Puts a feed together anew when something of it begins or ends, or has not yet after all, since the clock was put back;
    /// whether that was so. `now` is the wall clock, by which feeds go.
    pub(super) fn turn(&mut self, now: SystemTime, now_ns: u64) -> bool {
        let ago = Duration::from_nanos(now_ns.saturating_sub(self.turned_ns));
        match &mut self.content {
            Content::Feed(feed) if ago >= TURNS_EVERY && !feed.holds_at(now) => {
                feed.put_together(now);
                self.turned_ns = now_ns;
                true
            }
            _ => false,
        }
    }

    /// Reads the file. After a failure the content stays.
    pub(super) fn read(&mut self) -> Result<(), SourceError> {
        // A file that is not there has been looked at all the same: its fault is told once.
        let stamp = stamp(&self.file);
        self.seen = Some(stamp);
        let content = self.content();
        let written = stamp.map(|(written, _)| written);
        if content.is_ok() && self.remote().is_none() {
            self.set_accepted(false);
        }
        self.settle(content, written)
    }

    /// Takes what a server answered. After a failure the content stays, and so does its copy.
    pub(super) fn take(&mut self, answer: Result<Fetched, FetchError>) -> Result<(), SourceError> {
        let before = self.content.feed().filter(|_| self.read_ns.is_some());
        let Kind::Feed(feed) = &mut self.kind else {
            return Ok(());
        };
        let result = feed.judge(&self.file, before, answer);
        if let Some(remote) = &mut feed.remote {
            remote.done(result.is_ok(), monotonic_ns());
        }
        match result {
            Ok(None) => {
                self.fault = None;
                Ok(())
            }
            Ok(Some(content)) => {
                self.seen = Some(stamp(&self.file));
                self.set_accepted(false);
                self.settle(Ok(Content::Feed(Box::new(content))), None)
            }
            Err(error) => self.settle(Err(error), None),
        }
    }

    fn settle(
        &mut self,
        content: Result<Content, SourceError>,
        written: Option<SystemTime>,
    ) -> Result<(), SourceError> {
        match content {
            Ok(content) => {
                self.content = content;
                self.written = written;
                self.turned_ns = monotonic_ns();
                self.read_ns = Some(self.turned_ns);
                self.fault = None;
                Ok(())
            }
            Err(error) => {
                self.fault = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// What the file says now, unless that is more likely a failed download than a change of the world.
    fn content(&self) -> Result<Content, SourceError> {
        let places = match &self.kind {
            Kind::Feed(feed) => {
                let before = self.as_read().filter(|_| self.read_ns.is_some());
                let read = feed.read(&self.file, before);
                return read.map(|feed| Content::Feed(Box::new(feed)));
            }
            Kind::Places(places) => places,
        };
        let found = lists::read_places(&self.file, |place| places.contains(&place))?;
        if found.values().all(Vec::is_empty) && places.iter().any(|place| !self.of(*place).is_empty()) {
            return Err(ListError::Forgot(self.file.display().to_string()).into());
        }
        Ok(Content::Places(found))
    }

    /// Monotonic; `None` while the file never could be read.
    pub(super) const fn read_ns(&self) -> Option<u64> {
        self.read_ns
    }

    /// Why the source is not in force as it is now.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// When what is in force was written, or confirmed by its server.
    pub(super) fn written(&self) -> Option<SystemTime> {
        match self.remote() {
            Some(remote) => remote.confirmed(),
            None => self.written,
        }
    }

    /// What was read of a feed.
    pub(super) const fn as_read(&self) -> Option<&Feed> {
        self.content.feed()
    }

    /// What of a feed is left alone.
    pub(super) const fn spared(&self) -> &Told {
        &self.spared
    }

    pub(super) fn set_spared(&mut self, spared: Told) {
        self.spared = spared;
    }

    /// The prefixes of a feed.
    pub(super) fn prefixes(&self) -> &[Prefix] {
        self.as_read().map_or(&[], |feed| &feed.prefixes)
    }

    /// The prefixes of `place`.
    pub(super) fn of(&self, place: Place) -> &[Prefix] {
        match &self.content {
            Content::Feed(_) => &[],
            Content::Places(places) => places.get(&place).map_or(&[], Vec::as_slice),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Config;

    fn feed(file: &Path) -> Source {
        let text = format!("[[feed]]\nname = \"a\"\nfile = {file:?}\n");
        let config = Config::parse("test", &text).unwrap();
        Source::feed(config.feed.iter().next().unwrap(), Path::new("/nowhere"))
    }

    /// Found in review: a file that was gone was read every ten seconds, and counted as written in 1970.
    #[test]
    fn a_file_that_is_gone_is_told_once_and_leaves_what_it_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed");
        let mut source = feed(&file);
        assert!(source.has_changed());
        assert!(source.read().is_err());
        assert!(!source.has_changed() && source.fault().is_some() && source.read_ns().is_none());

        fs::write(&file, "192.0.2.1\n").unwrap();
        assert!(source.has_changed());
        source.read().unwrap();
        let written = source.written();
        assert_eq!(written, Some(fs::metadata(&file).unwrap().modified().unwrap()));
        assert!(!source.has_changed() && source.fault().is_none());

        fs::remove_file(&file).unwrap();
        assert!(source.has_changed());
        assert!(source.read().is_err());
        assert!(!source.has_changed() && source.fault().is_some());
        assert_eq!((source.prefixes().len(), source.written()), (1, written));
    }

    /// Found in review: a wall clock that jumped emptied feeds for good.
    #[test]
    fn a_clock_that_jumps_and_comes_back_leaves_a_feed_as_it_was() {
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed");
        fs::write(
            &file,
            "create x hash:ip\nadd x 192.0.2.1 timeout 3600\nadd x 192.0.2.2\n",
        )
        .unwrap();
        let mut source = feed(&file);
        source.read().unwrap();
        let (now, mut now_ns) = (crate::clock::wall_clock(), monotonic_ns());
        for (time, turns, prefixes) in [
            (now, false, 2),
            (now + YEAR, true, 1),
            (now + 2 * YEAR, false, 1),
            (now, true, 2),
            (now, false, 2),
        ] {
            // Not at once.
            assert!(!source.turn(time, source.turned_ns + 1));
            now_ns += 60_000_000_000;
            assert_eq!(
                (source.turn(time, now_ns), source.prefixes().len()),
                (turns, prefixes)
            );
            assert!(!source.has_changed());
        }
    }

    /// Found in review: a database that was cut short to a line let everybody in, or nobody.
    #[test]
    fn a_database_that_forgot_everything_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        let places = ["AQ", "BV"].map(|code| Place::Country(code.parse().unwrap()));
        let mut source = Source::places(file.clone(), places.to_vec());
        fs::write(&file, "192.0.2.0/24,AQ\n").unwrap();
        source.read().unwrap();
        fs::write(&file, "198.51.100.0/24,HM\n").unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("country.csv has no address"), "{error}");
        assert_eq!(source.of(places[0]).len(), 1);
        // One of them may go.
        fs::write(&file, "198.51.100.0/24,BV\n").unwrap();
        source.read().unwrap();
        assert_eq!((source.of(places[0]).len(), source.of(places[1]).len()), (0, 1));
    }
}
