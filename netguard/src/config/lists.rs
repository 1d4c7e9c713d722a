//! What the operator may decide about countries and autonomous systems, and whether all lists fit. Published lists are in `feeds`.

use std::{fmt, path::PathBuf, str::FromStr};

use netguard_common::ranges::POLICIES;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Config, Feed, FeedAction, Limit, PolicyMode};

/// What is done with sources because of where they are, as a database says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings for places")]
pub struct Geo {
    /// Which country an address belongs to: a MMDB file, or a CSV file with prefix or first and last address, and code.
    pub country_database: Option<PathBuf>,
    /// Which autonomous system an address belongs to, in the same formats.
    pub asn_database: Option<PathBuf>,
    /// What becomes of public addresses that no policy names.
    pub default: GeoDefault,
    /// What becomes of those that one names; an autonomous system wins over a country.
    pub policy: Vec<GeoPolicy>,
}

/// What becomes of public addresses that no policy names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GeoDefault {
    /// They pass on.
    #[default]
    Pass,
    /// They are counted as if they were blocked.
    Shadow,
    /// They are blocked: only places with a policy are served.
    Block,
}

/// What is done with the addresses of some countries and autonomous systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "GeoPolicyTable", into = "GeoPolicyTable")]
#[schemars(with = "GeoPolicyTable")]
pub struct GeoPolicy {
    pub countries: Vec<Country>,
    pub asns: Vec<u32>,
    pub action: GeoAction,
    pub mode: PolicyMode,
}

/// What is done with the addresses of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeoAction {
    /// No other policy for places holds for them.
    Allow,
    /// All of the place together may send so much.
    Limit(Limit),
    Block,
}

/// A country, by its code of two letters (ISO 3166-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Country([u8; 2]);

/// Where an address belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Country(Country),
    Asn(u32),
}

/// [`GeoPolicy`] as it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `action` and `countries` or `asns`"
)]
struct GeoPolicyTable {
    /// Countries by their code, such as `["AQ"]`.
    #[serde(default)]
    countries: Vec<Country>,
    /// Autonomous systems by their number, such as `[64496]`.
    #[serde(default)]
    asns: Vec<u32>,
    /// What is done with their packets.
    action: GeoWord,
    /// Whether it is done, or only counted.
    #[serde(default)]
    mode: PolicyMode,
    /// With the action `limit`: for each country and each autonomous system as a whole.
    #[serde(default)]
    limit: Option<Limit>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum GeoWord {
    Allow,
    Limit,
    Block,
}

/// Settings for places that can be put in force: a policy without its database would be silently none, and a default that blocks
/// would then block those whom the policy was to let in.
pub(super) fn geo<'de, D: Deserializer<'de>>(from: D) -> Result<Geo, D::Error> {
    let geo = Geo::deserialize(from)?;
    let policies = || geo.policy.iter().filter(|policy| policy.mode != PolicyMode::Off);
    if geo.country_database.is_none() && policies().any(|policy| !policy.countries.is_empty()) {
        return Err(D::Error::custom(
            "a policy names countries: say which addresses are theirs by `country_database`",
        ));
    }
    if geo.asn_database.is_none() && policies().any(|policy| !policy.asns.is_empty()) {
        return Err(D::Error::custom(
            "a policy names autonomous systems: say which addresses are theirs by `asn_database`",
        ));
    }
    if geo.default == GeoDefault::Block && policies().next().is_none() {
        return Err(D::Error::custom(
            "`default` blocks everybody: name those who are served in a policy",
        ));
    }
    Ok(geo)
}

/// Whether the kernel has room for all policies of `config`, by the same count as those who make them.
///
/// # Errors
/// When there are more: a sentence.
pub(super) fn fit(config: &Config) -> Result<(), String> {
    let blocking = |feed: &&Feed| feed.mode != PolicyMode::Off && feed.action == FeedAction::Block;
    let feeds = config.feed.iter().filter(blocking);
    let policies = config.geo.policy.iter();
    let places: usize = policies
        .filter(|policy| policy.mode != PolicyMode::Off)
        .map(|policy| policy.countries.len() + policy.asns.len())
        .sum();
    let default = match config.geo.default {
        GeoDefault::Pass => 0,
        // Those who lie elsewhere, and addresses that belong nowhere.
        GeoDefault::Shadow | GeoDefault::Block => 2,
    };
    // One is for what no list touches.
    let most = POLICIES as usize - default - 1;
    let wanted = feeds.count() + places;
    if wanted <= most {
        return Ok(());
    }
    Err(format!(
        "{wanted} feeds, countries and autonomous systems have a policy, at most {most} can: publish some of them as one feed"
    ))
}

impl TryFrom<GeoPolicyTable> for GeoPolicy {
    type Error = String;

    fn try_from(table: GeoPolicyTable) -> Result<Self, Self::Error> {
        if table.countries.is_empty() && table.asns.is_empty() {
            return Err("a policy for no place: name `countries` or `asns`".to_owned());
        }
        let action = match (table.action, table.limit) {
            (GeoWord::Allow, None) => GeoAction::Allow,
            (GeoWord::Block, None) => GeoAction::Block,
            (GeoWord::Limit, Some(limit)) => GeoAction::Limit(limit),
            (GeoWord::Limit, None) => {
                return Err(
                    "the action \"limit\" needs `limit = { rate_per_s = ..., burst = ... }`".to_owned(),
                );
            }
            _ => return Err("`limit` goes with the action \"limit\" only".to_owned()),
        };
        Ok(Self {
            countries: table.countries,
            asns: table.asns,
            action,
            mode: table.mode,
        })
    }
}

impl From<GeoPolicy> for GeoPolicyTable {
    fn from(policy: GeoPolicy) -> Self {
        let (action, limit) = match policy.action {
            GeoAction::Allow => (GeoWord::Allow, None),
            GeoAction::Limit(limit) => (GeoWord::Limit, Some(limit)),
            GeoAction::Block => (GeoWord::Block, None),
        };
        Self {
            countries: policy.countries,
            asns: policy.asns,
            action,
            mode: policy.mode,
            limit,
        }
    }
}

impl FromStr for Country {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(format!(
                "{:?} is no country: write its code of two letters, such as \"AQ\"",
                text.chars().take(64).collect::<String>()
            )),
        }
    }
}

impl TryFrom<String> for Country {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Country(country) => country.fmt(f),
            Self::Asn(number) => write!(f, "AS{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(text: &str) -> String {
        Config::parse("test", text).unwrap_err().to_string()
    }

    #[test]
    fn lists_are_what_they_say() {
        let config = Config::parse(
            "test",
            "[[feed]]\nname = \"drop\"\nfile = \"/x\"\nmax_age = \"7d\"\n\
             [geo]\ndefault = \"block\"\ncountry_database = \"/c\"\nasn_database = \"/a\"\n[[geo.policy]]\ncountries = [\"aq\"]\naction = \"allow\"\n\
             [[geo.policy]]\nasns = [64496]\naction = \"limit\"\nlimit = { rate_per_s = 5, burst = 9 }\n",
        )
        .unwrap();
        assert_eq!(config.geo.policy[0].countries[0].to_string(), "AQ");
        let again = toml::to_string(&config).unwrap();
        assert_eq!(Config::parse("again", &again).unwrap(), config);
    }

    #[test]
    fn mistakes_are_told() {
        let feed = "[[feed]]\nname = \"a\"\nfile = \"/x\"\n";
        assert!(refused(&feed.repeat(2)).contains("two feeds are called \"a\""));
        assert!(refused("[[feed]]\nname = \"a b\"\nfile = \"/x\"\n").contains("one word"));
        let policy = |rest: &str| refused(&format!("[[geo.policy]]\n{rest}"));
        assert!(policy("action = \"block\"").contains("a policy for no place"));
        assert!(policy("asns = [1]\naction = \"limit\"").contains("needs `limit"));
        assert!(policy("countries = [\"Mars\"]\naction = \"block\"").contains("code of two letters"));
        let extra = "asns = [1]\naction = \"block\"\nlimit = { rate_per_s = 5, burst = 9 }";
        assert!(policy(extra).contains("with the action \"limit\" only"));
    }

    /// Found in review: without a database nobody was blocked by such a policy, or everybody by the default.
    #[test]
    fn a_policy_for_places_needs_to_know_them() {
        let policy = |geo: &str, places: &str| {
            Config::parse(
                "test",
                &format!("[geo]\n{geo}\n[[geo.policy]]\n{places}\naction = \"allow\"\n"),
            )
        };
        let country = "country_database = \"/c\"";
        let refused = |geo: &str, places: &str| policy(geo, places).unwrap_err().to_string();
        let error = refused("", "countries = [\"AQ\"]");
        assert!(
            error.starts_with("test:1:1: a policy names countries: say which"),
            "{error}"
        );
        assert!(refused(country, "countries = [\"AQ\"]\nasns = [1]").contains("by `asn_database`"));
        assert!(policy(country, "countries = [\"AQ\"]").is_ok());
        assert!(policy("", "countries = [\"AQ\"]\nmode = \"off\"").is_ok());
        assert!(
            refused("default = \"block\"", "asns = [1]\nmode = \"off\"")
                .contains("`default` blocks everybody")
        );
    }

    /// Found in review: places alone were counted, and what else needs room was not.
    #[test]
    fn all_policies_together_have_to_fit() {
        let config = |default: &str, asns: u32| {
            let asns: Vec<u32> = (1..=asns).collect();
            let text = format!(
                "[[feed]]\nname = \"a\"\nfile = \"/x\"\n[[feed]]\nname = \"b\"\nfile = \"/x\"\nmode = \"off\"\n\
                 [geo]\ndefault = \"{default}\"\nasn_database = \"/a\"\n\
                 [[geo.policy]]\nasns = {asns:?}\naction = \"allow\"\n"
            );
            Config::parse("test", &text).map_err(|error| error.to_string())
        };
        for (default, most) in [("pass", 1_022), ("shadow", 1_020), ("block", 1_020)] {
            assert!(config(default, most).is_ok(), "{default}");
            let error = config(default, most + 1).unwrap_err();
            let told = format!(
                "test:1:1: {} feeds, countries and autonomous systems have a policy, at most {} can",
                most + 2,
                most + 1
            );
            assert!(error.starts_with(&told), "{error}");
        }
    }
}
