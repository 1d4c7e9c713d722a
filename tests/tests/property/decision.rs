//! Requests to the decision endpoint: whatever headers, paths and queries say, it answers, and nobody who is not trusted speaks for another.

use std::{hash::RandomState, net::IpAddr};

use hyper::{
    HeaderMap, Method, Uri,
    header::{HeaderName, HeaderValue},
};
use netguard::{
    config::{ClientHeader, Config, PolicyMode},
    decision::{Believed, Client, Decider, Ingredients, Known, Now, Peer, Route, normal_path},
};
use proptest::prelude::*;

const HEADERS: [ClientHeader; 3] = [
    ClientHeader::XForwardedFor,
    ClientHeader::XRealIp,
    ClientHeader::Forwarded,
];
const NAMES: [&str; 3] = ["x-forwarded-for", "x-real-ip", "forwarded"];
const CONFIG: &str = r#"
    [decision]
    trusted_proxies = ["10.0.0.0/8"]
    user_header = "X-User"
    challenge = { mode = "auto", pressure = 3 }
    [[decision.limit]]
    name = "all"
    key = ["client", "user", "api-key", "route"]
    requests = 3
    [[decision.limit]]
    name = "key"
    key = ["api-key"]
    requests = 3
"#;

fn believed(header: ClientHeader) -> Believed {
    let trusted = ["10.0.0.0/8", "2001:db8:1::/48"];
    Believed::new(trusted.map(|text| text.parse().unwrap()).into(), header)
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(value).unwrap();
    HeaderMap::from_iter([(HeaderName::from_static(name), value)])
}

fn decider(text: &str) -> Decider {
    let config = Config::parse("test", text).unwrap();
    let with = Ingredients {
        hash: RandomState::new(),
        secret: vec![1; 32],
        signing: Vec::new(),
        blocklist: PolicyMode::Enforce,
        began_ns: 0,
    };
    Decider::new(&config.decision, config.decision.mode, with)
}

proptest! {
    #[test]
    fn who_is_not_trusted_speaks_for_itself(
        name in prop::sample::select(NAMES.to_vec()),
        value in "[ -~]{0,60}",
        last in any::<u8>(),
    ) {
        let from = IpAddr::from([192, 0, 2, last]);
        for header in HEADERS {
            let client = believed(header).client(Peer::Address(from), &headers(name, &value));
            prop_assert_eq!(client, Client { address: from, known: Known::Untrusted });
        }
    }

    /// What a client wrote itself stands before what our proxy adds.
    #[test]
    fn what_a_client_wrote_itself_is_not_read(lie in "[ -~]{0,80}", last in any::<u8>()) {
        let from = IpAddr::from([192, 0, 2, last]);
        let text = format!("{lie}, {from}");
        let client = believed(ClientHeader::XForwardedFor).client(Peer::Local, &headers("x-forwarded-for", &text));
        prop_assert_eq!(client, Client { address: from, known: Known::Said });
    }

    /// What a client wrote itself stands before what our proxy adds, whatever bytes it is.
    #[test]
    fn bytes_that_are_no_text_hide_nobody(lie in prop::collection::vec(0x80..=0xff_u8, 1..20), last in any::<u8>()) {
        let from = IpAddr::from([192, 0, 2, last]);
        let text = [lie.as_slice(), format!(", {from}").as_bytes()].concat();
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_bytes(&text).unwrap())]);
        let client = believed(ClientHeader::XForwardedFor).client(Peer::Local, &headers);
        prop_assert_eq!(client, Client { address: from, known: Known::Said });
    }

    #[test]
    fn any_path_has_a_form_that_stays_or_none(target in "(.|/|\\.\\.|%2f|\\\\){0,100}") {
        let Some(path) = normal_path(&target) else {
            prop_assert!(target.contains('.') || target.contains("%2"), "{}", target);
            return Ok(());
        };
        let path = path.into_owned();
        prop_assert!(path.starts_with('/') && !path.contains("//"), "{}", path);
        prop_assert!(path == "/" || !path.ends_with('/'), "{}", path);
        prop_assert!(normal_path(&path).is_none_or(|again| again.len() <= path.len()));
        Route::of(&path).to_string();
    }

    #[test]
    fn what_is_encoded_without_need_is_the_same_path(word in "[a-z]{1,12}", from in any::<prop::sample::Index>()) {
        let at = from.index(word.len());
        let encoded = format!("/{}%{:02x}{}", &word[..at], word.as_bytes()[at], &word[at + 1..]);
        prop_assert_eq!(normal_path(&encoded).unwrap(), format!("/{word}"));
    }

    /// Any bytes in any header that it reads.
    #[test]
    fn whatever_is_asked_is_answered(
        requests in prop::collection::vec((0..6_usize, prop::collection::vec(any::<u8>(), 0..80), 0..13_usize, any::<u8>()), 1..40),
    ) {
        let (mut decider, mut now) = (decider(CONFIG), Now { mono_ns: 1, wall_s: 1 });
        let paths = ["/v1/check", "/v1/nginx", "/v1/forward", "/v1/envoy/.netguard/pass?c=c.1.8.00&n=1", "/v1/denied", "/v1/report"];
        let names = [
            "x-forwarded-for", "x-real-ip", "forwarded", "x-original-uri", "x-original-method", "x-forwarded-uri",
            "x-user", "authorization", "cookie", "netguard-signature", "x-netguard-answer", "x-netguard-status", "x-netguard-retry-after",
        ];
        let mut headers = HeaderMap::new();
        for (path, bytes, name, from) in requests {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(names[name], value);
            }
            now.mono_ns += 1_000_000;
            let peer = if from < 128 { Peer::Local } else { Peer::Address([192, 0, 2, from].into()) };
            let reply = decider.answer(peer, &Method::GET, &Uri::from_static(paths[path]), &headers, now);
            prop_assert!([200, 204, 303, 400, 401, 403, 429].contains(&reply.status().as_u16()));
        }
    }

    /// However much others ask in its name, a client has its own limit.
    #[test]
    fn nobody_elses_lies_use_up_a_clients_limit(lies in prop::collection::vec("[ -~]{0,40}", 1..50)) {
        let (mut decider, now) = (decider("[[decision.limit]]\nname = \"a\"\nkey = [\"client\"]\nrequests = 1\n"), Now { mono_ns: 1_000, wall_s: 1 });
        let mut ask = |peer: Peer, forwarded: &str| {
            let mut headers = headers("x-forwarded-for", forwarded);
            headers.insert("x-original-uri", HeaderValue::from_static("/a"));
            let reply = decider.answer(peer, &Method::GET, &Uri::from_static("/v1/check"), &headers, now);
            reply.status().as_u16()
        };
        for lie in lies {
            ask(Peer::Address([203, 0, 113, 1].into()), "192.0.2.1");
            ask(Peer::Local, &format!("192.0.2.1, {lie}, 203.0.113.2"));
        }
        prop_assert_eq!(ask(Peer::Local, "192.0.2.1"), 200);
        prop_assert_eq!(ask(Peer::Local, "192.0.2.1"), 429);
    }
}
