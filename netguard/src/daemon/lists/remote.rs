//! When a feed is asked of its server, and what the server said last. It does not ask.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use super::copies::{self, Known};
use crate::{
    config::{self, bare},
    lists::{Request, Validators},
};

/// Until the first failure is tried again; each further one doubles it, up to `refresh`.
const RETRY: Duration = Duration::from_secs(30);

pub(super) struct Remote {
    /// Without validators.
    request: Request,
    refresh: Duration,
    known: Option<Known>,
    under_way: bool,
    /// Monotonic.
    next_ns: u64,
    failures: u32,
}

impl Remote {
    /// `feed`, whose last good copy is in `file`, is due at once.
    pub(super) fn new(feed: &config::Feed, url: &str, file: &Path) -> Self {
        Self {
            request: Request {
                url: url.to_owned(),
                ca: feed.ca.clone(),
                header_file: feed.header_file.clone(),
                timeout: feed.timeout.duration(),
                max_bytes: u64::from(feed.max_mib.value()) << 20,
                validators: Validators::default(),
            },
            refresh: feed.refresh.duration(),
            known: copies::known(file, url),
            under_way: false,
            next_ns: 0,
            failures: 0,
        }
    }

    /// Without what may be secret.
    pub(super) fn url(&self) -> &str {
        bare(&self.request.url)
    }

    /// When the copy came.
    pub(super) fn fetched(&self) -> Option<SystemTime> {
        self.known.as_ref().map(|known| known.fetched)
    }

    /// When the server last said that the copy is the newest.
    pub(super) fn confirmed(&self) -> Option<SystemTime> {
        self.known.as_ref().map(|known| known.confirmed)
    }

    /// Whether the server is being asked.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Seconds until the server is asked again.
    pub(super) const fn next_in_s(&self, now_ns: u64) -> u64 {
        self.next_ns.saturating_sub(now_ns) / 1_000_000_000
    }

    /// What to ask, when it is time or `now`; whoever gets it has to say how it went.
    /// With nothing `at_hand` the whole list is asked for.
    pub(super) fn ask_if_due(&mut self, now_ns: u64, now: bool, at_hand: bool) -> Option<Request> {
        if self.under_way || !(now || self.next_ns <= now_ns) {
            return None;
        }
        self.under_way = true;
        let known = self.known.as_ref().filter(|_| at_hand);
        let validators = known.map(|known| known.validators.clone());
        Some(Request {
            validators: validators.unwrap_or_default(),
            ..self.request.clone()
        })
    }

    /// Plans the next time, give or take a tenth: not all of the world asks at once.
    pub(super) fn done(&mut self, good: bool, now_ns: u64) {
        self.under_way = false;
        self.failures = if good { 0 } else { self.failures.saturating_add(1) };
        let wait = match self.failures {
            0 => self.refresh,
            failures => RETRY
                .saturating_mul(1 << (failures - 1).min(16))
                .min(self.refresh),
        };
        let wait = wait.mul_f64(0.9 + 0.2 * fastrand::f64());
        self.next_ns = now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Writes a good copy, and knows it.
    pub(super) fn keep(
        &mut self,
        file: &Path,
        bytes: &[u8],
        validators: Validators,
        now: SystemTime,
    ) -> io::Result<()> {
        let about = Known {
            url: self.request.url.clone(),
            validators,
            fetched: now,
            confirmed: now,
        };
        copies::keep(file, bytes, &about)?;
        self.known = Some(about);
        Ok(())
    }

    /// The server says that the copy is the newest.
    pub(super) fn confirm(&mut self, file: &Path, now: SystemTime) -> io::Result<()> {
        self.known.as_mut().map_or(Ok(()), |known| {
            known.confirmed = now;
            copies::remember(file, known)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_server_is_asked_now_and_then_and_after_failures_ever_more_seldom() {
        let text = "[[feed]]\nname = \"a\"\nurl = \"https://x.example/\"\nrefresh = \"10m\"\n";
        let config = Config::parse("test", text).unwrap();
        let feed = config.feed.iter().next().unwrap();
        let mut remote = Remote::new(feed, "https://x.example/", Path::new("/nowhere/a"));
        const S: u64 = 1_000_000_000;
        let mut now_ns = 5 * S;
        assert!(remote.ask_if_due(now_ns, false, true).is_some());
        assert!(remote.ask_if_due(now_ns, true, true).is_none(), "it is under way");
        for (good, least, most) in [
            (false, 27, 33),
            (false, 54, 66),
            (false, 108, 132),
            (false, 216, 264),
            (false, 432, 528),
            (false, 540, 660),
            (true, 540, 660),
            (false, 27, 33),
        ] {
            remote.done(good, now_ns);
            assert!(
                (least - 1..=most).contains(&remote.next_in_s(now_ns)),
                "{}",
                remote.next_in_s(now_ns)
            );
            assert!(remote.ask_if_due(now_ns + (least - 1) * S, false, true).is_none());
            now_ns += most * S;
            assert!(remote.ask_if_due(now_ns, false, true).is_some());
        }
        remote.done(true, now_ns);
        assert!(remote.ask_if_due(now_ns, true, true).is_some());
    }
}
