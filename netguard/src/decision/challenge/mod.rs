//! Who must work before it is served: a page of work, and a pass for who did it (or, without JavaScript, waited). All of it is signed, holds for one
//! address and ends; nothing is remembered but who waited lately.

mod page;
mod work;

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use super::{
    Now,
    limits::Scope,
    request::Asked,
    secret::Secret,
    table::{Pace, Table},
};
use crate::{
    config::{self, ChallengeMode},
    engine::Account,
};

pub use work::is_solved;

/// Paths of the endpoint's own, which proxies hand to it like all others.
const OWN: &str = "/.netguard/";
/// How long work, or to have waited, is good for.
const LASTS_S: u64 = 300;
/// Passes of an address for having waited: one a minute.
const WAITED: Pace = Pace {
    interval_ns: 60_000_000_000,
    burst: 2,
};

/// Challenges and passes.
pub(super) struct Challenges {
    mode: ChallengeMode,
    secret: Secret,
    bits: u32,
    wait_s: u64,
    pass_s: u64,
    scope: Scope,
    except: Option<Scope>,
    waited: Table,
}

/// What somebody gets for its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The value of the cookie.
    pub pass: String,
    pub lasts_s: u64,
    /// Where it wanted to go.
    pub to: String,
}

impl Challenges {
    pub(super) fn new(settings: &config::Challenge, secret: &[u8], keys: u32) -> Self {
        let seconds = |period: config::Period| {
            let whole: Duration = period.duration();
            whole.as_secs().max(1)
        };
        Self {
            mode: settings.mode,
            secret: Secret::new(secret),
            bits: settings.bits.value(),
            wait_s: seconds(settings.wait),
            pass_s: seconds(settings.pass_for),
            scope: Scope::new(&settings.paths, &[]),
            except: (!settings.except.is_empty()).then(|| Scope::new(&settings.except, &[])),
            waited: Table::new(keys),
        }
    }

    /// Whether `asked` is about a challenge.
    pub(super) fn is_own(&self, asked: &Asked<'_>) -> bool {
        self.mode != ChallengeMode::Off && asked.path.starts_with(OWN)
    }

    /// Whether who asks must work first; `is_high`: more is asked than usual.
    pub(super) fn wants_work(&self, asked: &Asked<'_>, is_high: bool, now: Now) -> bool {
        let is_on = match self.mode {
            ChallengeMode::Off => false,
            ChallengeMode::Auto => is_high,
            ChallengeMode::Always => true,
        };
        let excepted = || self.except.as_ref().is_some_and(|except| except.holds_for(asked));
        is_on && self.scope.holds_for(asked) && !excepted() && !self.has_pass(asked, now)
    }

    /// What somebody gets who brings its work; `None`: nothing.
    pub(super) fn answer(&mut self, asked: &Asked<'_>, hash: &RandomState, now: Now) -> Option<Grant> {
        let (path, query) = asked.target.split_once('?')?;
        let query = query.split('#').next().unwrap_or_default();
        let of = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let is_earned = match path.strip_prefix(OWN)? {
            "pass" => self.has_worked(asked, of("c")?, of("n")?, now),
            "wait" => self.has_waited(asked, of("t")?, hash, now),
            _ => false,
        };
        is_earned.then(|| Grant {
            pass: self
                .secret
                .signed(&format!("p.{}", now.wall_s + self.pass_s), &about("pass", asked)),
            lasts_s: self.pass_s,
            to: page::decoded(of("to").unwrap_or_default()),
        })
    }

    /// The page that tells who asks what to do.
    pub(super) fn page(&self, asked: &Asked<'_>, now: Now) -> String {
        let ends_s = now.wall_s + LASTS_S;
        let challenge = self
            .secret
            .signed(&format!("c.{ends_s}.{}", self.bits), &about("work", asked));
        let from_s = now.wall_s + self.wait_s;
        let ticket = self
            .secret
            .signed(&format!("w.{from_s}.{}", from_s + LASTS_S), &about("wait", asked));
        // Who was sent to one of our own pages wanted to go elsewhere.
        let to = if self.is_own(asked) { "/" } else { &*asked.target };
        page::page(&challenge, self.bits, &ticket, self.wait_s, to)
    }

    fn has_pass(&self, asked: &Asked<'_>, now: Now) -> bool {
        let until_s = asked.pass.and_then(|pass| {
            let text = self.secret.verified(pass, &about("pass", asked))?;
            text.strip_prefix("p.")?.parse::<u64>().ok()
        });
        until_s.is_some_and(|until_s| now.wall_s < until_s)
    }

    fn has_worked(&self, asked: &Asked<'_>, challenge: &str, nonce: &str, now: Now) -> bool {
        let set = || {
            let text = self.secret.verified(challenge, &about("work", asked))?;
            let (ends_s, bits) = text.strip_prefix("c.")?.split_once('.')?;
            Some((ends_s.parse::<u64>().ok()?, bits.parse::<u32>().ok()?))
        };
        set().is_some_and(|(ends_s, bits)| now.wall_s < ends_s && is_solved(challenge, nonce, bits))
    }

    fn has_waited(&mut self, asked: &Asked<'_>, ticket: &str, hash: &RandomState, now: Now) -> bool {
        let given = || {
            let text = self.secret.verified(ticket, &about("wait", asked))?;
            let (from_s, ends_s) = text.strip_prefix("w.")?.split_once('.')?;
            Some((from_s.parse::<u64>().ok()?, ends_s.parse::<u64>().ok()?))
        };
        let in_time = given().is_some_and(|(from_s, ends_s)| (from_s..ends_s).contains(&now.wall_s));
        let key = hash.hash_one(("waited", Account::of(asked.client)));
        match self.waited.room(key, &WAITED, 1, now.mono_ns) {
            Ok(room) if in_time => {
                self.waited.charge(&room, now.mono_ns);
                true
            }
            _ => false,
        }
    }
}

/// What is signed along: for what, and for whom.
fn about(what: &str, asked: &Asked<'_>) -> String {
    format!("{what} {}", Account::of(asked.client))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::request::tests::asked;

    const NOW: Now = Now {
        mono_ns: 1_000_000_000_000,
        wall_s: 1_700_000_000,
    };

    fn challenges() -> Challenges {
        let settings = config::Challenge {
            mode: ChallengeMode::Auto,
            bits: config::Within::constant::<8>(),
            except: vec!["/api/*".parse().unwrap()],
            ..config::Challenge::default()
        };
        Challenges::new(&settings, &[1; 32], 1_024)
    }

    /// The value of `name` in the page.
    fn part<'a>(page: &'a str, name: &str) -> &'a str {
        let rest = page.split_once(name).unwrap().1;
        &rest[..rest.find(['"', '&', '\'']).unwrap()]
    }

    fn later(seconds: u64) -> Now {
        Now {
            mono_ns: NOW.mono_ns + seconds * 1_000_000_000,
            wall_s: NOW.wall_s + seconds,
        }
    }

    #[test]
    fn work_is_worth_a_pass_for_one_address() {
        let (mut challenges, hash) = (challenges(), RandomState::new());
        let plain = asked("GET", "/shop?a=1");
        assert!(!challenges.wants_work(&plain, false, NOW));
        assert!(challenges.wants_work(&plain, true, NOW));
        assert!(!challenges.wants_work(&asked("GET", "/api/x"), true, NOW));
        let page = challenges.page(&plain, NOW);
        let challenge = part(&page, "data-challenge=\"").to_owned();
        let nonce = (0..)
            .map(|n: u32| n.to_string())
            .find(|n| is_solved(&challenge, n, 8))
            .unwrap();
        let target = format!("/.netguard/pass?c={challenge}&n={nonce}&to=%2Fshop%3Fa%3D1");
        let mut brings = asked("GET", "/.netguard/pass");
        brings.target = target.into();
        assert!(challenges.is_own(&brings));
        let grant = challenges.answer(&brings, &hash, NOW).unwrap();
        assert_eq!(grant.to, "/shop?a=1");
        assert_eq!(
            challenges.answer(&brings, &hash, later(LASTS_S)),
            None,
            "too late"
        );
        let mut passes = asked("GET", "/shop");
        passes.pass = Some(&grant.pass);
        assert!(!challenges.wants_work(&passes, true, NOW));
        assert!(challenges.wants_work(&passes, true, later(3_600)), "it ends");
        passes.client = [192, 0, 2, 2].into();
        assert!(challenges.wants_work(&passes, true, NOW), "it is another's");
        brings.client = [192, 0, 2, 2].into();
        assert_eq!(challenges.answer(&brings, &hash, NOW), None);
        // A pass is no challenge, and the other way round.
        passes.client = plain.client;
        passes.pass = Some(&challenge);
        assert!(challenges.wants_work(&passes, true, NOW));
    }

    #[test]
    fn who_waits_gets_a_pass_now_and_then() {
        let (mut challenges, hash) = (challenges(), RandomState::new());
        let page = challenges.page(&asked("GET", "/"), NOW);
        let mut waits = asked("GET", "/.netguard/wait");
        waits.target = format!("/.netguard/wait?t={}&to=%2F", part(&page, "/.netguard/wait?t=")).into();
        let mut wait = |seconds| challenges.answer(&waits, &hash, later(seconds)).is_some();
        assert_eq!([wait(0), wait(9)], [false; 2], "it must wait");
        assert_eq!([wait(10), wait(11), wait(12)], [true, true, false]);
        assert_eq!([wait(72), wait(73)], [true, false]);
        assert!(!wait(400));
    }

    #[test]
    fn whatever_is_brought_is_survived() {
        let (mut challenges, hash) = (challenges(), RandomState::new());
        for target in [
            "/.netguard/pass",
            "/.netguard/pass?",
            "/.netguard/pass?c=&n=&to=",
            "/.netguard/pass?c=c.1.8.00&n=1",
            "/.netguard/wait?t=\u{fc}",
            "/.netguard/?x",
        ] {
            let asked = asked("GET", target);
            assert_eq!(challenges.answer(&asked, &hash, NOW), None, "{target}");
            assert!(challenges.page(&asked, NOW).contains("<!doctype html>"));
        }
    }
}
