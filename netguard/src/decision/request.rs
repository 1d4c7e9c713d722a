//! What is asked: each kind of proxy has its own way to say it, at a path of its own, so that no header that a client made up is taken for one that
//! its proxy set. Nothing is decided here.

use std::{borrow::Cow, net::IpAddr};

use hyper::{
    HeaderMap, Method, Uri,
    header::{AUTHORIZATION, COOKIE, HeaderName},
};

use super::{
    client::{Believed, Client, Known, Peer},
    route::normal_path,
};
use crate::config::Decision;

/// The cookie that holds a pass.
pub(super) const PASS_COOKIE: &str = "netguard_pass";
const ENVOY: &str = "/v1/envoy";

static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static SIGNATURE: HeaderName = HeaderName::from_static("netguard-signature");
static STATUS: HeaderName = HeaderName::from_static("x-netguard-status");
pub(super) static ANSWER: HeaderName = HeaderName::from_static("x-netguard-answer");

/// How a proxy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With X-Original-Method and X-Original-URI: HAProxy, and whoever can choose.
    Check,
    /// The same; nginx takes only 401 and 403 for a refusal (ngx_http_auth_request_module), so it is told in a header which it is.
    Nginx,
    /// With X-Forwarded-Method and X-Forwarded-Uri: Traefik and Caddy.
    Forward,
    /// By the request itself, behind a prefix: Envoy.
    Envoy,
}

/// What somebody wants of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Ask(Way),
    /// The page for what was refused a moment ago.
    Denied,
    /// How a request ended.
    Report,
}

/// A request that a proxy asks about.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub method: &'a str,
    /// As it was sent, with its query.
    pub target: Cow<'a, str>,
    /// In its normal form.
    pub path: Cow<'a, str>,
    pub client: IpAddr,
    pub user: Option<&'a [u8]>,
    pub api_key: Option<&'a [u8]>,
    /// The value of the cookie.
    pub pass: Option<&'a str>,
    pub signature: Option<&'a str>,
    /// SHA-256 of the body, as a trusted proxy says.
    pub body_digest: Option<&'a str>,
    pub https: bool,
}

/// Why a request is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error(
        "the proxy does not say what it asks about: see docs/decision.md for the headers that it must send"
    )]
    Unsaid,
    #[error("servers differ in what `..` means in this path: ask for what is meant without it")]
    Ambiguous,
}

/// Which headers say what.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    believed: Believed,
    user: Option<HeaderName>,
    api_keys: Vec<HeaderName>,
    body_digest: Option<HeaderName>,
}

impl Errand {
    /// The errand at `path` of the endpoint.
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/check" => Self::Ask(Way::Check),
            "/v1/nginx" => Self::Ask(Way::Nginx),
            "/v1/forward" => Self::Ask(Way::Forward),
            "/v1/denied" => Self::Denied,
            "/v1/report" => Self::Report,
            path if path.strip_prefix(ENVOY)?.starts_with('/') => Self::Ask(Way::Envoy),
            _ => return None,
        })
    }
}

impl Reader {
    pub(super) fn new(settings: &Decision) -> Self {
        let name = |header: &crate::config::HeaderText| header.name().clone();
        Self {
            believed: Believed::new(settings.trusted_proxies.clone(), settings.client_header),
            user: settings.user_header.as_ref().map(name),
            api_keys: settings.api_key_headers.iter().map(name).collect(),
            body_digest: settings.body_digest_header.as_ref().map(name),
        }
    }

    /// Whether `peer` may speak for others.
    pub(super) fn trusts(&self, peer: Peer) -> bool {
        self.believed.trusts(peer)
    }

    /// Who asks.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> Client {
        self.believed.client(peer, headers)
    }

    /// What `peer` asks about in this `way`, and how its client is known.
    ///
    /// # Errors
    /// Where it does not say what it asks about, or that means different things to different servers.
    pub(super) fn asked<'a>(
        &self,
        way: Way,
        peer: Peer,
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
    ) -> Result<(Asked<'a>, Known), Unread> {
        let said = match way {
            Way::Check | Way::Nginx => said(headers, &ORIGINAL_METHOD, &ORIGINAL_URI),
            Way::Forward => said(headers, &FORWARDED_METHOD, &FORWARDED_URI),
            Way::Envoy => {
                let whole = uri.path_and_query().map(|whole| whole.as_str());
                let target = whole.and_then(|whole| whole.strip_prefix(ENVOY));
                target.map(|target| (method.as_str(), Cow::Borrowed(target)))
            }
        };
        let (method, target) = said.ok_or(Unread::Unsaid)?;
        let path = match &target {
            Cow::Borrowed(target) => normal_path(target),
            Cow::Owned(target) => normal_path(target).map(|path| Cow::Owned(path.into_owned())),
        };
        let path = path.ok_or(Unread::Ambiguous)?;
        let client = self.client(peer, headers);
        // What a proxy says of users and bodies only a proxy may say.
        let trusted = client.known != Known::Untrusted;
        let by_proxy = |name: &Option<HeaderName>| headers.get(name.as_ref().filter(|_| trusted)?);
        let asked = Asked {
            method,
            target,
            path,
            client: client.address,
            user: by_proxy(&self.user).map(|user| user.as_bytes()),
            api_key: self.api_key(headers),
            pass: cookie(headers),
            signature: text(headers, &SIGNATURE),
            body_digest: by_proxy(&self.body_digest).and_then(|digest| digest.to_str().ok()),
            https: trusted
                && text(headers, &FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        };
        Ok((asked, client.known))
    }

    fn api_key<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let own = self.api_keys.iter().find_map(|name| headers.get(name));
        let own = own.map(|key| key.as_bytes());
        own.or_else(|| {
            let (scheme, token) = text(headers, &AUTHORIZATION)?.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().as_bytes())
        })
    }
}

/// The status that a report tells, unless the request was refused by ourselves.
pub(super) fn reported(headers: &HeaderMap) -> Option<u16> {
    let passed = |answer: &str| answer.is_empty() || answer == "passed" || answer.starts_with("shadow-");
    let is_ours = text(headers, &ANSWER).is_some_and(|answer| !passed(answer));
    text(headers, &STATUS)?.trim().parse().ok().filter(|_| !is_ours)
}

/// Method and target in headers of these names. The method may be missing: proxies that only ask for GET leave it out.
fn said<'a>(
    headers: &'a HeaderMap,
    method: &HeaderName,
    target: &HeaderName,
) -> Option<(&'a str, Cow<'a, str>)> {
    let target = String::from_utf8_lossy(headers.get(target)?.as_bytes());
    Some((text(headers, method).unwrap_or("GET"), target))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim_start().strip_prefix(PASS_COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request of 192.0.2.1 that has nothing else to show.
    pub(in crate::decision) fn asked(method: &'static str, target: &'static str) -> Asked<'static> {
        Asked {
            method,
            target: target.into(),
            path: normal_path(target).unwrap(),
            client: [192, 0, 2, 1].into(),
            user: None,
            api_key: None,
            pass: None,
            signature: None,
            body_digest: None,
            https: false,
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    fn reader() -> Reader {
        Reader::new(&Decision {
            user_header: Some("X-User".parse().unwrap()),
            api_key_headers: vec!["X-Api-Key".parse().unwrap()],
            ..Decision::default()
        })
    }

    #[test]
    fn each_way_has_headers_of_its_own() {
        let all = headers(&[
            ("x-original-method", "POST"),
            ("x-original-uri", "/a//b?c"),
            ("x-forwarded-method", "PUT"),
            ("x-forwarded-uri", "/d"),
            ("x-forwarded-for", "192.0.2.1"),
        ]);
        let uri: Uri = "/v1/envoy/e/../f?g".parse().unwrap();
        for (way, method, target, path) in [
            (Way::Check, "POST", "/a//b?c", "/a/b"),
            (Way::Nginx, "POST", "/a//b?c", "/a/b"),
            (Way::Forward, "PUT", "/d", "/d"),
            (Way::Envoy, "DELETE", "/e/../f?g", "/f"),
        ] {
            let (asked, known) = reader()
                .asked(way, Peer::Local, &Method::DELETE, &uri, &all)
                .unwrap();
            assert_eq!(
                (asked.method, &*asked.target, &*asked.path),
                (method, target, path)
            );
            assert_eq!(
                (asked.client.to_string().as_str(), known),
                ("192.0.2.1", Known::Said)
            );
        }
        let strange = headers(&[("x-original-uri", "/a%2F../b")]);
        for (headers, why) in [(HeaderMap::new(), Unread::Unsaid), (strange, Unread::Ambiguous)] {
            let asked = reader().asked(Way::Check, Peer::Local, &Method::GET, &uri, &headers);
            assert_eq!(asked.map(|_| ()), Err(why));
        }
    }

    #[test]
    fn errands_have_paths() {
        for (path, errand) in [
            ("/v1/nginx", Some(Errand::Ask(Way::Nginx))),
            ("/v1/envoy/", Some(Errand::Ask(Way::Envoy))),
            ("/v1/envoy/v1/report", Some(Errand::Ask(Way::Envoy))),
            ("/v1/report", Some(Errand::Report)),
            ("/v1/envoyx", None),
            ("/v1/envoy", None),
            ("/", None),
        ] {
            assert_eq!(Errand::at(path), errand, "{path}");
        }
    }

    #[test]
    fn only_a_proxy_says_who_is_logged_in() {
        let all = headers(&[
            ("x-original-uri", "/"),
            ("x-user", "ann"),
            ("authorization", "bearer  abc"),
            ("cookie", "a=b; netguard_pass=p.1; c=d"),
            ("x-forwarded-proto", "HTTPS"),
        ]);
        let uri = Uri::from_static("/v1/check");
        let ask = |peer| {
            reader()
                .asked(Way::Check, peer, &Method::GET, &uri, &all)
                .unwrap()
                .0
        };
        let asked = ask(Peer::Local);
        assert_eq!(asked.user, Some(&b"ann"[..]));
        assert_eq!((asked.api_key, asked.pass), (Some(&b"abc"[..]), Some("p.1")));
        assert!(asked.https);
        let asked = ask(Peer::Address([192, 0, 2, 9].into()));
        assert_eq!((asked.user, asked.https), (None, false));
    }

    #[test]
    fn our_own_refusals_are_no_failures_of_the_client() {
        let status = |pairs: &[(&'static str, &str)]| reported(&headers(pairs));
        assert_eq!(status(&[("x-netguard-status", "404")]), Some(404));
        let ours = [("x-netguard-status", "403"), ("x-netguard-answer", "challenged")];
        assert_eq!(status(&ours), None);
        let passed = [("x-netguard-status", "403"), ("x-netguard-answer", "passed")];
        assert_eq!(status(&passed), Some(403));
        assert_eq!(status(&[("x-netguard-status", "x")]), None);
        assert_eq!(status(&[]), None);
    }
}
