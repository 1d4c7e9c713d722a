//! The whole of a decision: requests as proxies send them, and what they are answered.

use hyper::header::{HeaderName, HeaderValue};

use super::*;
use crate::{config::Config, prefix::Prefix};
use netguard_common::{layout::Rule, rule::Origin};

const SECOND: u64 = 1_000_000_000;

struct Endpoint {
    decider: Decider,
    now: Now,
}

impl Endpoint {
    fn new(text: &str) -> Self {
        let config = Config::parse("test", text).unwrap();
        let settings = &config.decision;
        let signing = settings.signed.iter().map(|signed| SignedRule {
            scope: Scope::new(&signed.paths, &signed.methods),
            window_s: 60,
            signers: signers("ops 0123456789abcdef").unwrap(),
        });
        let with = Ingredients {
            hash: RandomState::new(),
            secret: vec![7; 32],
            signing: signing.collect(),
            blocklist: config.blocklist.mode.under(config.mode),
            began_ns: 0,
        };
        Self {
            decider: Decider::new(settings, settings.mode.under(config.mode), with),
            now: Now {
                mono_ns: 1_000 * SECOND,
                wall_s: 1_700_000_000,
            },
        }
    }

    /// What a peer is answered at `path` of the endpoint.
    fn send(&mut self, peer: Peer, path: &str, headers: &[(&'static str, &str)]) -> Reply {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        let headers: HeaderMap = headers.collect();
        self.decider
            .answer(peer, &Method::GET, &path.parse().unwrap(), &headers, self.now)
    }

    /// The status that a trusted proxy gets for a request of `client`.
    fn ask(&mut self, client: &str, target: &str) -> u16 {
        let headers = [("x-original-uri", target), ("x-forwarded-for", client)];
        self.send(Peer::Local, "/v1/check", &headers).status().as_u16()
    }

    /// 198.51.100.7 is allowed, and 192.0.2.0/24 blocked.
    fn list(&mut self) {
        let rule = Rule {
            expires_at: 0,
            reason: 0,
            origin: Origin::Operator as u8,
            proof: 0,
        };
        let prefix = |text: &str| (text.parse::<Prefix>().unwrap(), rule);
        let listed = Listed::new([prefix("198.51.100.7")], [prefix("192.0.2.0/24")]);
        self.decider.follow_rules(Arc::new(listed));
    }

    fn report(&mut self) -> DecisionReport {
        self.decider.report(self.now)
    }

    fn count(&mut self, answer: Answer) -> u64 {
        let report = self.report();
        let count = report.checks.iter().find(|count| count.answer == answer.name());
        count.map_or(0, |count| count.count)
    }
}

const LOGIN: &str = "[[decision.limit]]\nname = \"login\"\nkey = [\"client\", \"route\"]\nrequests = 3\nper = \"1m\"\npaths = [\"/login\"]\n";

#[test]
fn each_client_has_its_own_limit_however_it_writes_the_path() {
    let mut endpoint = Endpoint::new(LOGIN);
    for target in ["/login", "/login?a", "//login/"] {
        assert_eq!(endpoint.ask("192.0.2.1", target), 200);
    }
    assert_eq!(endpoint.ask("192.0.2.1", "/%6cogin"), 429);
    assert_eq!(endpoint.ask("192.0.2.2", "/login"), 200);
    assert_eq!(endpoint.ask("192.0.2.1", "/other"), 200);
    endpoint.now.mono_ns += 20 * SECOND;
    assert_eq!(endpoint.ask("192.0.2.1", "/login"), 200);
    assert_eq!(
        (endpoint.count(Answer::Passed), endpoint.count(Answer::Limited)),
        (6, 1)
    );
    let refused = endpoint.report().refused;
    assert_eq!(refused[0].key, "192.0.2.1/32, GET /login");
}

#[test]
fn who_lies_about_itself_is_judged_as_itself() {
    let mut endpoint = Endpoint::new(LOGIN);
    let liar = Peer::Address([203, 0, 113, 9].into());
    let mut lie = |client: &str| {
        let headers = [("x-original-uri", "/login"), ("x-forwarded-for", client)];
        endpoint.send(liar, "/v1/check", &headers).status().as_u16()
    };
    let told: Vec<u16> = (0..4).map(|host| lie(&format!("192.0.2.{host}"))).collect();
    assert_eq!(told, [200, 200, 200, 429]);
    // Through a proxy, too: what it added itself stands last.
    for host in 0..3 {
        assert_eq!(
            endpoint.ask(&format!("198.51.100.{host}, 192.0.2.77"), "/login"),
            200
        );
    }
    assert_eq!(endpoint.ask("198.51.100.200, 192.0.2.77", "/login"), 429);
    assert_eq!(endpoint.report().untrusted, 4);
    endpoint.send(Peer::Local, "/v1/check", &[("x-original-uri", "/login")]);
    assert_eq!(endpoint.report().unsaid, 1);
}

#[test]
fn a_hundred_thousand_keys_in_a_second_are_counted_and_bounded() {
    let mut endpoint = Endpoint::new(&format!("decision.keys = 1024\n{LOGIN}"));
    for _ in 0..3 {
        endpoint.ask("192.0.2.1", "/login");
    }
    for host in 0..100_000_u32 {
        let client = std::net::Ipv4Addr::from(0x0a00_0000 + host).to_string();
        assert_eq!(endpoint.ask(&client, "/login"), 200);
    }
    // Who had used up its limit is not forgotten for them.
    assert_eq!(endpoint.ask("192.0.2.1", "/login"), 429);
    let report = endpoint.report();
    assert_eq!((report.keys, report.keys_used), (1_024, 1_024));
    assert!(report.displaced > 98_000, "{}", report.displaced);
}

#[test]
fn rules_of_the_filter_hold_here_too() {
    let mut endpoint = Endpoint::new(LOGIN);
    endpoint.list();
    assert_eq!(endpoint.ask("192.0.2.1", "/"), 403);
    for _ in 0..10 {
        assert_eq!(endpoint.ask("198.51.100.7", "/login"), 200);
    }
}

#[test]
fn a_blocklist_that_is_not_enforced_refuses_nobody() {
    for (mode, said) in [("shadow", "shadow-blocked"), ("off", "passed")] {
        let mut endpoint = Endpoint::new(&format!("blocklist.mode = \"{mode}\"\n{LOGIN}"));
        endpoint.list();
        let headers = [("x-original-uri", "/login"), ("x-forwarded-for", "192.0.2.1")];
        for _ in 0..3 {
            let reply = endpoint.send(Peer::Local, "/v1/nginx", &headers);
            assert_eq!(
                (reply.status().as_u16(), &reply.headers()["x-netguard-answer"]),
                (200, &HeaderValue::from_static(said))
            );
        }
        // Limits hold all the same.
        assert_eq!(endpoint.ask("192.0.2.1", "/login"), 429, "{mode}");
        assert_eq!(endpoint.count(Answer::Blocked), 0);
    }
}

#[test]
fn who_fails_again_and_again_gets_less() {
    let text = "[[decision.limit]]\nname = \"all\"\nkey = [\"client\"]\nrequests = 16\n\
                [decision.feedback]\nfailures = 4\n";
    let mut endpoint = Endpoint::new(text);
    let report = |endpoint: &mut Endpoint, peer, status: &str| {
        let headers = [("x-forwarded-for", "192.0.2.1"), ("x-netguard-status", status)];
        endpoint.send(peer, "/v1/report", &headers).status().as_u16()
    };
    for _ in 0..8 {
        assert_eq!(report(&mut endpoint, Peer::Local, "401"), 204);
    }
    assert_eq!(report(&mut endpoint, Peer::Local, "200"), 204);
    assert_eq!(
        report(&mut endpoint, Peer::Address([192, 0, 2, 9].into()), "401"),
        403
    );
    let served = (0..16).filter(|_| endpoint.ask("192.0.2.1", "/") == 200).count();
    assert_eq!(served, 4, "each counts for four");
    let served = (0..20).filter(|_| endpoint.ask("192.0.2.2", "/") == 200).count();
    assert_eq!(served, 16);
    let report = endpoint.report();
    assert_eq!(
        (report.reports, report.failures, report.refused_reports),
        (9, 8, 1)
    );
}

#[test]
fn under_pressure_clients_work_for_a_pass() {
    let mut endpoint = Endpoint::new("decision.challenge = { mode = \"auto\", pressure = 5, bits = 8 }\n");
    for _ in 0..5 {
        assert_eq!(endpoint.ask("192.0.2.1", "/shop"), 200);
    }
    assert!(!endpoint.decider.challenges_now(endpoint.now));
    assert_eq!(endpoint.ask("192.0.2.1", "/shop"), 200, "it is one too many");
    assert!(endpoint.decider.challenges_now(endpoint.now));
    assert_eq!(endpoint.ask("192.0.2.1", "/shop"), 403);
    let headers = [
        ("x-original-uri", "/shop"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-netguard-answer", "challenged"),
    ];
    let page = endpoint.send(Peer::Local, "/v1/denied", &headers);
    assert_eq!(page.status(), 403);
    assert!(page.headers().contains_key("content-security-policy"));
    endpoint.now.mono_ns += 40 * SECOND;
    assert_eq!(endpoint.ask("192.0.2.1", "/shop"), 200, "it is over");
}

#[test]
fn who_is_refused_anyway_has_nobody_work() {
    let text = format!(
        "decision.challenge = {{ mode = \"auto\", pressure = 5, bits = 8 }}\n{LOGIN}\
         [[decision.signed]]\npaths = [\"/admin/*\"]\nkey_file = \"/k\"\n"
    );
    let mut endpoint = Endpoint::new(&text);
    endpoint.list();
    for _ in 0..20 {
        assert_eq!(endpoint.ask("192.0.2.1", "/login"), 403);
        assert_eq!(endpoint.ask("203.0.113.1", "/admin/x"), 401);
    }
    for asked in 0..20 {
        let expected = if asked < 3 { 200 } else { 429 };
        assert_eq!(endpoint.ask("203.0.113.2", "/login"), expected);
    }
    assert!(!endpoint.decider.challenges_now(endpoint.now));
    endpoint.now.mono_ns += SECOND;
    assert_eq!(endpoint.report().checks_per_s, 60, "all of them are checks");
}

#[test]
fn a_path_that_servers_read_differently_is_refused() {
    let mut endpoint = Endpoint::new("[[decision.signed]]\npaths = [\"/admin/*\"]\nkey_file = \"/k\"\n");
    for target in ["/login.php/\\..\\..\\..\\x", "/admin/x%2F..%2F..%2Fpublic"] {
        assert_eq!(endpoint.ask("192.0.2.1", target), 400, "{target}");
        let headers = [("x-original-uri", target), ("x-forwarded-for", "192.0.2.1")];
        let reply = endpoint.send(Peer::Local, "/v1/nginx", &headers);
        assert_eq!(
            (reply.status().as_u16(), &reply.headers()["x-netguard-answer"]),
            (403, &HeaderValue::from_static("malformed"))
        );
    }
    let padded = format!("/{}admin/x", "./".repeat(512));
    assert_eq!(endpoint.ask("192.0.2.1", &padded), 401);
    let denied = endpoint.send(Peer::Local, "/v1/denied", &[("x-netguard-answer", "malformed")]);
    assert_eq!(denied.status(), 400);
}

#[test]
fn nginx_is_told_in_two_steps() {
    let mut endpoint = Endpoint::new(LOGIN);
    let headers = [("x-original-uri", "/login"), ("x-forwarded-for", "192.0.2.1")];
    let mut reply = endpoint.send(Peer::Local, "/v1/nginx", &headers);
    while reply.status() == 200 {
        reply = endpoint.send(Peer::Local, "/v1/nginx", &headers);
    }
    let header = |reply: &Reply, name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (reply.status().as_u16(), header(&reply, "x-netguard-answer")),
        (403, "limited".to_owned())
    );
    let wait = header(&reply, "retry-after");
    let again = [
        ("x-netguard-answer", "limited"),
        ("x-netguard-retry-after", wait.as_str()),
    ];
    let denied = endpoint.send(Peer::Local, "/v1/denied", &again);
    assert_eq!(
        (denied.status().as_u16(), header(&denied, "retry-after")),
        (429, wait)
    );
    for strange in ["", "granted", "passed", "x"] {
        let denied = endpoint.send(Peer::Local, "/v1/denied", &[("x-netguard-answer", strange)]);
        assert_eq!(denied.status(), 403, "{strange}");
    }
}

#[test]
fn in_shadow_nobody_is_refused_and_all_is_counted() {
    let mut endpoint = Endpoint::new(&format!("mode = \"shadow\"\n{LOGIN}"));
    let told: Vec<u16> = (0..5).map(|_| endpoint.ask("192.0.2.1", "/login")).collect();
    assert_eq!(told, [200; 5]);
    assert_eq!(endpoint.send(Peer::Local, "/v1/check", &[]).status(), 200);
    let report = endpoint.report();
    let limited = report
        .checks
        .iter()
        .find(|count| count.answer == "limited")
        .unwrap();
    assert_eq!(
        (limited.count, limited.shadow, report.mode.as_str()),
        (0, 2, "shadow")
    );
}

#[test]
fn what_must_be_signed_is_refused_without() {
    let mut endpoint = Endpoint::new("[[decision.signed]]\npaths = [\"/admin/*\"]\nkey_file = \"/k\"\n");
    assert_eq!(endpoint.ask("192.0.2.1", "/admin/x"), 401);
    assert_eq!(endpoint.ask("192.0.2.1", "/x/..//admin/x"), 401);
    assert_eq!(endpoint.ask("192.0.2.1", "/open"), 200);
}

#[test]
fn a_proxy_that_says_nothing_is_told_what_it_lacks() {
    let mut endpoint = Endpoint::new(LOGIN);
    for path in ["/v1/check", "/v1/nginx", "/v1/forward"] {
        assert_eq!(endpoint.send(Peer::Local, path, &[]).status(), 400, "{path}");
    }
    assert_eq!(endpoint.send(Peer::Local, "/", &[]).status(), 404);
    assert_eq!(endpoint.count(Answer::Malformed), 3);
}
