//! What the operator may decide about requests that a reverse proxy asks about: who may ask, what is limited, and who must sign or work.

mod rules;
mod words;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, Period, PolicyMode, Within};
use crate::prefix::Prefix;

pub use rules::{DecisionLimit, DecisionLimits, DecisionSigned, DecisionSigneds};
pub use words::{DecisionAddress, HeaderText, LimitLabel, MethodText, PathPattern};

/// The decision endpoint: reverse proxies ask it before they serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of decision settings")]
pub struct Decision {
    /// Address and port, or the path of a unix socket, at which proxies ask; without one nobody can.
    pub listen: Option<DecisionAddress>,
    /// The group whose members may ask over a unix socket, such as `www-data`.
    pub socket_group: Option<String>,
    /// Whether requests are refused, only counted, or not judged.
    pub mode: PolicyMode,
    /// Who may say in whose name they ask. What others say of that is not heard.
    pub trusted_proxies: Vec<Prefix>,
    /// The header by which a trusted proxy names its client; no other is heard.
    pub client_header: ClientHeader,
    /// The header by which a trusted proxy names the user who is logged in.
    pub user_header: Option<HeaderText>,
    /// Headers in which clients send an API key; `Authorization: Bearer ...` counts as one, too.
    pub api_key_headers: Vec<HeaderText>,
    /// The header in which a trusted proxy passes the SHA-256 of the body; signed requests must cover it then.
    pub body_digest_header: Option<HeaderText>,
    /// A file with a secret of at least 32 bytes, so that passes outlive the daemon or hold on several machines.
    pub secret_file: Option<PathBuf>,
    /// Buckets that are remembered; the least used give way.
    pub keys: Within<1_024, 16_777_216>,
    /// Connections of proxies at once.
    pub connections: Within<1, 65_536>,
    /// How often what may be asked.
    pub limit: DecisionLimits,
    /// What must be signed.
    pub signed: DecisionSigneds,
    /// Who must work first.
    pub challenge: Challenge,
    /// What is learnt from how requests ended.
    pub feedback: Feedback,
}

/// The header by which a proxy names its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientHeader {
    /// Its last address that is no trusted proxy.
    #[default]
    XForwardedFor,
    /// One address.
    XRealIp,
    /// RFC 7239; its last `for` that is no trusted proxy.
    Forwarded,
}

/// Part of what is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPart {
    /// The address (IPv6: the /64) of the client.
    Client,
    /// Who is logged in, as a trusted proxy says.
    User,
    /// What the client shows, hashed.
    ApiKey,
    /// Method and path, in which what looks like an id is folded.
    Route,
    /// Needs `geo.country_database`.
    Country,
    /// Needs `geo.asn_database`.
    Asn,
}

/// When clients must show that they are worth the trouble, before they are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of challenge settings")]
pub struct Challenge {
    /// When they must.
    pub mode: ChallengeMode,
    /// Checks per second, of all clients, but for those that are refused anyway, above which `auto` begins; it ends half a minute after the last such second.
    pub pressure: Within<1, 10_000_000>,
    /// Leading zero bits of the work: each more doubles it. 16 are about a second in a browser.
    pub bits: Within<8, 28>,
    /// How long a client without JavaScript waits instead.
    pub wait: Period,
    /// How long what was worked for lasts.
    pub pass_for: Period,
    /// What must be worked for.
    pub paths: Vec<PathPattern>,
    /// What of it need not be: paths that programs ask for, which cannot solve a page.
    pub except: Vec<PathPattern>,
}

/// When clients must work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeMode {
    #[default]
    Off,
    /// When more is asked than `pressure`.
    Auto,
    Always,
}

/// What is learnt from how requests ended, as a trusted proxy reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of feedback settings")]
pub struct Feedback {
    /// The status codes of failures: guessed passwords, names that do not exist.
    pub statuses: Vec<Within<400, 599>>,
    /// So many failures of a client within `within` make each of its requests count twice, twice as many four times, and so on up to 16.
    pub failures: Within<1, 1_000_000>,
    /// The time in which so many failures are forgotten.
    pub within: Period,
}

/// Whether limits have the databases that they need.
///
/// # Errors
/// When one is missing: a sentence.
pub(super) fn fit(config: &Config) -> Result<(), String> {
    let (geo, limits) = (&config.geo, &config.decision.limit);
    if geo.country_database.is_none() && limits.uses(KeyPart::Country) {
        return Err(
            "a limit of requests counts countries: say where addresses are by `geo.country_database`"
                .to_owned(),
        );
    }
    if geo.asn_database.is_none() && limits.uses(KeyPart::Asn) {
        return Err(
            "a limit of requests counts autonomous systems: say where addresses are by `geo.asn_database`"
                .to_owned(),
        );
    }
    Ok(())
}

impl Config {
    /// What is accepted of all that, but probably not meant.
    pub(super) fn decision_warnings(&self) -> Vec<String> {
        let decision = &self.decision;
        let mut warnings = Vec::new();
        let Some(listen) = &decision.listen else {
            if decision.limit.iter().next().is_some() || decision.signed.iter().next().is_some() {
                warnings.push(
                    "`decision` has limits, but without `decision.listen` nobody can ask for them".to_owned(),
                );
            }
            return warnings;
        };
        if let DecisionAddress::Tcp(address) = listen
            && !address.ip().to_canonical().is_loopback()
        {
            warnings.push(format!(
                "`decision.listen` is {address}: whoever reaches that address may ask, and ask for others from `trusted_proxies`"
            ));
        }
        if decision.trusted_proxies.iter().any(|prefix| prefix.bits() == 0) {
            warnings.push(
                "`decision.trusted_proxies` trusts everybody: clients then choose in whose name they ask"
                    .to_owned(),
            );
        }
        warnings
    }
}

impl Default for Decision {
    fn default() -> Self {
        let proxies = ["127.0.0.0/8", "::1/128"];
        Self {
            listen: None,
            socket_group: None,
            mode: PolicyMode::Enforce,
            trusted_proxies: proxies.iter().filter_map(|text| text.parse().ok()).collect(),
            client_header: ClientHeader::default(),
            user_header: None,
            api_key_headers: Vec::new(),
            body_digest_header: None,
            secret_file: None,
            keys: Within::constant::<262_144>(),
            connections: Within::constant::<1_024>(),
            limit: DecisionLimits::default(),
            signed: DecisionSigneds::default(),
            challenge: Challenge::default(),
            feedback: Feedback::default(),
        }
    }
}

impl Default for Challenge {
    fn default() -> Self {
        Self {
            mode: ChallengeMode::default(),
            pressure: Within::constant::<1_000>(),
            bits: Within::constant::<16>(),
            wait: Period::constant::<10>(),
            pass_for: Period::constant::<3_600>(),
            paths: vec![PathPattern::all()],
            except: Vec::new(),
        }
    }
}

impl Default for Feedback {
    fn default() -> Self {
        Self {
            statuses: vec![
                Within::constant::<401>(),
                Within::constant::<403>(),
                Within::constant::<404>(),
            ],
            failures: Within::constant::<30>(),
            within: Period::constant::<60>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parsed(text: &str) -> Result<Config, String> {
        Config::parse("test", text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read_and_written_again() {
        let config = parsed(
            r#"
            [decision]
            listen = "[::1]:9465"
            mode = "shadow"
            trusted_proxies = ["192.0.2.0/24"]
            client_header = "x-real-ip"
            user_header = "X-User"
            api_key_headers = ["X-Api-Key"]
            body_digest_header = "X-Body-SHA256"
            secret_file = "/etc/netguard/decision.secret"
            challenge = { mode = "auto", pressure = 5, bits = 20, except = ["/api/*"] }
            feedback = { statuses = [401], failures = 3, within = "10s" }
            [[decision.limit]]
            name = "login"
            key = ["client", "route"]
            requests = 5
            per = "1m"
            burst = 10
            paths = ["/login", "/api/*"]
            methods = ["POST"]
            [[decision.signed]]
            paths = ["/admin/*"]
            key_file = "/etc/netguard/signers"
            window = "30s"
            "#,
        )
        .unwrap();
        let decision = &config.decision;
        let limit = decision.limit.iter().next().unwrap();
        assert_eq!((limit.interval_ns(), limit.burst()), (12_000_000_000, 10));
        assert_eq!(decision.signed.iter().count(), 1);
        let again = toml::to_string(&config).unwrap();
        assert_eq!(Config::parse("again", &again).unwrap(), config);
    }

    #[test]
    fn a_unix_socket_is_an_address_too() {
        let config = parsed("decision.listen = \"/run/netguard/decision.sock\"").unwrap();
        assert!(matches!(config.decision.listen, Some(DecisionAddress::Unix(_))));
    }

    #[test]
    fn mistakes_are_told() {
        let limit = |text: &str| format!("[[decision.limit]]\nname = \"a\"\nrequests = 1\n{text}\n");
        let twice = "[[decision.limit]]\nname = \"a\"\nkey = [\"client\"]\nrequests = 1\n".repeat(2);
        for (text, told) in [
            (limit("key = []"), "needs at least one part"),
            (limit("key = [\"route\", \"route\"]"), "names a part twice"),
            (limit("key = [\"colour\"]"), "unknown value `colour`"),
            (
                limit("key = [\"client\"]\npaths = [\"login\"]"),
                "begins with a slash",
            ),
            (limit("key = [\"client\"]\npaths = [\"/a*b\"]"), "only at its end"),
            (
                limit("key = [\"client\"]\nmethods = [\"GE T\"]"),
                "no method of HTTP",
            ),
            (twice, "two limits of the name a"),
            (limit("key = [\"country\"]"), "`geo.country_database`"),
            (limit("key = [\"asn\"]"), "`geo.asn_database`"),
            (
                "[[decision.limit]]\nname = \"A b\"\nkey = [\"client\"]\nrequests = 1".to_owned(),
                "lower case",
            ),
            ("decision.listen = \"localhost:1\"".to_owned(), "nor the path"),
            ("decision.user_header = \"a b\"".to_owned(), "no name of a header"),
            (
                "[[decision.signed]]\npaths = []\nkey_file = \"/k\"".to_owned(),
                "signed needs `paths`",
            ),
            ("decision.challenge.bits = 40".to_owned(), "8 to 28"),
        ] {
            let error = parsed(&text).unwrap_err();
            assert!(error.contains(told), "{text}\n{error}");
        }
    }
}
