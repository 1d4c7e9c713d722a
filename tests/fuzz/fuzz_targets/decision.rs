//! The decision endpoint under any requests: each line of the input is a header, and an empty one sends what was gathered; it answers all of them.
#![no_main]

use std::hash::RandomState;

use hyper::{HeaderMap, Method, Uri, header::HeaderValue};
use libfuzzer_sys::fuzz_target;
use netguard::{
    config::{Config, PolicyMode},
    decision::{Decider, Ingredients, Now, Peer},
};

const CONFIG: &str = r#"
[decision]
user_header = "X-User"
challenge = { mode = "auto", pressure = 3, bits = 8 }
[[decision.limit]]
name = "all"
key = ["client", "route"]
requests = 3
[[decision.signed]]
paths = ["/admin/*"]
key_file = "/nowhere"
"#;
const PATHS: [&str; 6] = [
    "/v1/check",
    "/v1/nginx",
    "/v1/forward",
    "/v1/envoy/.netguard/wait?t=w.1.2.00",
    "/v1/denied",
    "/v1/report",
];
const NAMES: [&str; 12] = [
    "x-forwarded-for",
    "x-original-uri",
    "x-original-method",
    "x-forwarded-uri",
    "x-user",
    "authorization",
    "cookie",
    "netguard-signature",
    "x-netguard-answer",
    "x-netguard-status",
    "x-netguard-retry-after",
    "x-forwarded-proto",
];

fuzz_target!(|data: &[u8]| {
    let config = Config::parse("fuzz.toml", CONFIG).expect("a configuration");
    let with = Ingredients {
        hash: RandomState::new(),
        secret: vec![1; 32],
        signing: Vec::new(),
        blocklist: PolicyMode::Enforce,
        began_ns: 0,
    };
    let mut decider = Decider::new(&config.decision, config.decision.mode, with);
    let (mut headers, mut sent) = (HeaderMap::new(), 0_u64);
    for line in data.split(|byte| *byte == b'\n') {
        if let [name, value @ ..] = line {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(NAMES[usize::from(*name) % NAMES.len()], value);
            }
            continue;
        }
        sent += 1;
        let now = Now {
            mono_ns: sent * 1_000_000,
            wall_s: 1_700_000_000,
        };
        let peer = match sent % 3 {
            0 => Peer::Address([192, 0, 2, 1].into()),
            _ => Peer::Local,
        };
        let uri = Uri::from_static(PATHS[sent as usize % PATHS.len()]);
        let reply = decider.answer(peer, &Method::GET, &uri, &headers, now);
        assert!([200, 204, 303, 400, 401, 403, 429].contains(&reply.status().as_u16()));
        if sent.is_multiple_of(4) {
            headers.clear();
        }
    }
});
