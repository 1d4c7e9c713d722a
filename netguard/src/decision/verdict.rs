//! What becomes of a request, and how that is said to each kind of proxy. It decides nothing.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE,
        WWW_AUTHENTICATE,
    },
};

use super::{
    challenge::Grant,
    limits::{Limit, Quota},
    request::{ANSWER, PASS_COOKIE, Unread, Way},
    signed::Fault,
};

/// What the endpoint says.
pub type Reply = Response<Full<Bytes>>;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be served; with what the tightest limit has left.
    Passed(Option<Quota>),
    Limited(Quota),
    /// A rule blocks the client.
    Blocked,
    Unsigned(Fault),
    /// The client must work first.
    Challenged,
    /// The client has worked.
    Granted(Grant),
    /// It cannot be judged.
    Malformed(Unread),
}

/// The word for a verdict, in headers, counters and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Passed,
    Limited,
    Blocked,
    Unsigned,
    Challenged,
    Granted,
    Malformed,
}

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static CONTENT_SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");
const SECOND_NS: u64 = 1_000_000_000;

impl Answer {
    pub const ALL: [Self; 7] = [
        Self::Passed,
        Self::Limited,
        Self::Blocked,
        Self::Unsigned,
        Self::Challenged,
        Self::Granted,
        Self::Malformed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Limited => "limited",
            Self::Blocked => "blocked",
            Self::Unsigned => "unsigned",
            Self::Challenged => "challenged",
            Self::Granted => "granted",
            Self::Malformed => "malformed",
        }
    }

    /// What is said where it is only counted.
    const fn in_shadow(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Limited => "shadow-limited",
            Self::Blocked => "shadow-blocked",
            Self::Unsigned => "shadow-unsigned",
            Self::Challenged => "shadow-challenged",
            Self::Granted => "shadow-granted",
            Self::Malformed => "shadow-malformed",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.name() == name)
    }

    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Passed => StatusCode::OK,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Blocked | Self::Challenged => StatusCode::FORBIDDEN,
            Self::Unsigned => StatusCode::UNAUTHORIZED,
            Self::Granted => StatusCode::SEE_OTHER,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Passed | Self::Granted => "",
            Self::Limited => "too many requests: try again later\n",
            Self::Blocked => "requests from this address are not served\n",
            Self::Unsigned => "this request must be signed\n",
            Self::Challenged => "your browser has some work to do first\n",
            Self::Malformed => "this request can be read in several ways, or in none\n",
        }
    }
}

impl Verdict {
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Passed(_) => Answer::Passed,
            Self::Limited(_) => Answer::Limited,
            Self::Blocked => Answer::Blocked,
            Self::Unsigned(_) => Answer::Unsigned,
            Self::Challenged => Answer::Challenged,
            Self::Granted(_) => Answer::Granted,
            Self::Malformed(_) => Answer::Malformed,
        }
    }

    /// How it is said to a proxy that asked in this `way`; `shadow`: it is only counted. `page` makes the page of work.
    pub fn reply(
        &self,
        way: Way,
        shadow: bool,
        limits: &[Limit],
        https: bool,
        page: impl FnOnce() -> String,
    ) -> Reply {
        let answer = self.answer();
        if shadow && !matches!(self, Self::Granted(_)) {
            let mut reply = plain(StatusCode::OK, "");
            say(&mut reply, &ANSWER, answer.in_shadow());
            return reply;
        }
        let mut reply = refusal(
            answer,
            if matches!(self, Self::Challenged) {
                Some(page())
            } else {
                None
            },
        );
        match self {
            Self::Passed(Some(quota)) => tell(&mut reply, *quota, limits),
            Self::Limited(quota) => {
                tell(&mut reply, *quota, limits);
                set(&mut reply, &RETRY_AFTER, &seconds(quota.in_ns).to_string());
            }
            Self::Granted(grant) => {
                let secure = if https { "; Secure" } else { "" };
                let (pass, lasts_s) = (&grant.pass, grant.lasts_s);
                let cookie = format!(
                    "{PASS_COOKIE}={pass}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Lax{secure}"
                );
                set(&mut reply, &SET_COOKIE, &cookie);
                set(&mut reply, &LOCATION, &grant.to);
            }
            Self::Unsigned(fault) => *reply.body_mut() = format!("{fault}\n").into(),
            Self::Malformed(unread) => *reply.body_mut() = format!("{unread}\n").into(),
            _ => {}
        }
        // A proxy that is set up wrongly should say so: of 400 nginx makes 500. What a client wrote is refused.
        let is_known = matches!(
            self,
            Self::Passed(_) | Self::Unsigned(_) | Self::Malformed(Unread::Unsaid)
        );
        if way == Way::Nginx && !is_known {
            *reply.status_mut() = StatusCode::FORBIDDEN;
        }
        reply
    }
}

/// The refusal `answer` without what it is about; the `page` is that of work.
pub(super) fn refusal(answer: Answer, page: Option<String>) -> Reply {
    let mut reply = match page {
        Some(page) => {
            let mut reply = Response::new(Full::new(Bytes::from(page)));
            set(&mut reply, &CONTENT_TYPE, "text/html; charset=utf-8");
            let inline =
                "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'";
            set(&mut reply, &CONTENT_SECURITY_POLICY, inline);
            reply
        }
        None => plain(StatusCode::OK, answer.sentence()),
    };
    *reply.status_mut() = answer.status();
    say(&mut reply, &ANSWER, answer.name());
    if answer == Answer::Unsigned {
        set(&mut reply, &WWW_AUTHENTICATE, "Netguard-Signature");
    }
    if answer != Answer::Passed {
        set(&mut reply, &CACHE_CONTROL, "no-store");
    }
    reply
}

/// A reply in a few words.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *reply.status_mut() = status;
    if !text.is_empty() {
        set(&mut reply, &CONTENT_TYPE, "text/plain; charset=utf-8");
    }
    reply
}

/// As draft-ietf-httpapi-ratelimit-headers-09 has it: what is left, and the seconds until all of it is there again (or one is).
fn tell(reply: &mut Reply, quota: Quota, limits: &[Limit]) {
    let Some(limit) = limits.get(quota.limit) else {
        return;
    };
    let (name, left, in_s) = (&limit.name, quota.left, seconds(quota.in_ns));
    if let Ok(now) = HeaderValue::try_from(format!("\"{name}\";r={left};t={in_s}")) {
        reply.headers_mut().insert(RATE_LIMIT.clone(), now);
    }
    if let Some(policy) = &limit.policy {
        reply
            .headers_mut()
            .insert(RATE_LIMIT_POLICY.clone(), policy.clone());
    }
}

/// Whole seconds, none too few.
const fn seconds(ns: u64) -> u64 {
    let whole = ns.div_ceil(SECOND_NS);
    if whole == 0 { 1 } else { whole }
}

/// A word of ours.
fn say(reply: &mut Reply, name: &HeaderName, value: &'static str) {
    reply
        .headers_mut()
        .insert(name.clone(), HeaderValue::from_static(value));
}

pub(super) fn set(reply: &mut Reply, name: &HeaderName, value: &str) {
    // What is no value of a header (nothing here is) is better left out than a reason to end.
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn limits() -> Vec<Limit> {
        let text = "[[decision.limit]]\nname = \"login\"\nkey = [\"client\"]\nrequests = 5\nper = \"1m\"\n";
        let config = Config::parse("test", text).unwrap();
        config.decision.limit.iter().map(Limit::new).collect()
    }

    const QUOTA: Quota = Quota {
        limit: 0,
        left: 0,
        in_ns: 11_000_000_001,
    };

    fn said(verdict: &Verdict, way: Way, shadow: bool) -> Reply {
        verdict.reply(way, shadow, &limits(), true, || "<p>".to_owned())
    }

    fn header(reply: &Reply, name: &str) -> String {
        let value = reply.headers().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_limit_says_when_to_come_again() {
        let reply = said(&Verdict::Limited(QUOTA), Way::Check, false);
        assert_eq!(reply.status(), 429);
        assert_eq!(header(&reply, "retry-after"), "12");
        assert_eq!(header(&reply, "ratelimit"), "\"login\";r=0;t=12");
        assert_eq!(header(&reply, "ratelimit-policy"), "\"login\";q=5;w=60");
        let reply = said(&Verdict::Passed(Some(QUOTA)), Way::Check, false);
        assert_eq!(
            (reply.status(), header(&reply, "retry-after")),
            (StatusCode::OK, String::new())
        );
        assert_eq!(header(&reply, "ratelimit"), "\"login\";r=0;t=12");
    }

    #[test]
    fn nginx_gets_a_status_that_it_knows() {
        let grant = Grant {
            pass: "p.1".to_owned(),
            lasts_s: 60,
            to: "/x".to_owned(),
        };
        for (verdict, status, of_nginx) in [
            (Verdict::Passed(None), 200, 200),
            (Verdict::Limited(QUOTA), 429, 403),
            (Verdict::Blocked, 403, 403),
            (Verdict::Unsigned(Fault::Missing), 401, 401),
            (Verdict::Challenged, 403, 403),
            (Verdict::Granted(grant), 303, 403),
            (Verdict::Malformed(Unread::Unsaid), 400, 400),
            (Verdict::Malformed(Unread::Ambiguous), 400, 403),
        ] {
            let name = verdict.answer().name();
            let reply = said(&verdict, Way::Forward, false);
            assert_eq!(
                (reply.status().as_u16(), header(&reply, "x-netguard-answer")),
                (status, name.to_owned())
            );
            let reply = said(&verdict, Way::Nginx, false);
            assert_eq!(
                (reply.status().as_u16(), header(&reply, "x-netguard-answer")),
                (of_nginx, name.to_owned())
            );
            assert_eq!(Answer::named(name), Some(verdict.answer()));
        }
    }

    #[test]
    fn in_shadow_everything_passes_and_says_what_it_would_be() {
        for verdict in [
            Verdict::Limited(QUOTA),
            Verdict::Blocked,
            Verdict::Challenged,
            Verdict::Malformed(Unread::Unsaid),
        ] {
            let reply = said(&verdict, Way::Nginx, true);
            assert_eq!(reply.status(), 200);
            assert_eq!(
                header(&reply, "x-netguard-answer"),
                format!("shadow-{}", verdict.answer().name())
            );
        }
    }

    #[test]
    fn a_grant_sets_a_cookie_and_leads_back() {
        let grant = Grant {
            pass: "p.1".to_owned(),
            lasts_s: 60,
            to: "/x".to_owned(),
        };
        let reply = said(&Verdict::Granted(grant), Way::Check, false);
        assert_eq!(
            header(&reply, "set-cookie"),
            "netguard_pass=p.1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(header(&reply, "location"), "/x");
    }
}
