//! What the operator may decide about lists that others publish: where each comes from, what it does, and how much of it is
//! believed. Places are in `lists`.

use std::path::PathBuf;

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, PolicyMode, Within};

/// A list of prefixes that others publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `name`, `file` or `url` and, if you like, `format`, `mode` and others"
)]
pub struct Feed {
    /// What the feed is called in answers of netguard.
    pub name: String,
    /// A file on this machine, or the directory of a MISP feed, read again when it has changed.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Where it is fetched from instead, by https; of a MISP feed the address of its `manifest.json`.
    #[serde(default)]
    pub url: Option<String>,
    /// What is in it.
    #[serde(default)]
    pub format: FeedFormat,
    /// What it is good for.
    #[serde(default)]
    pub action: FeedAction,
    /// What happens to packets from its addresses.
    #[serde(default)]
    pub mode: PolicyMode,
    /// The feed ends when its file was not written, or its server did not confirm it, for so long.
    #[serde(default)]
    pub max_age: Option<Period>,
    /// How often a URL is asked, give or take a tenth.
    #[serde(default = "refresh")]
    pub refresh: Period,
    /// How long a fetch may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// MiB that a file or an answer may have, unpacked.
    #[serde(default = "max_mib")]
    pub max_mib: Within<1, 512>,
    /// A PEM file with the certificates of those who vouch for the server, instead of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// A file with a header that the server wants, such as `Authorization: Bearer ...`; redirects are not followed then.
    #[serde(default)]
    pub header_file: Option<PathBuf>,
    /// The shortest IPv4 prefix that is believed.
    #[serde(default = "widest_v4")]
    pub widest_v4: Within<8, 32>,
    /// The shortest IPv6 prefix that is believed.
    #[serde(default = "widest_v6")]
    pub widest_v6: Within<16, 128>,
    /// Private, loopback, link-local and multicast space stays in: for lists of bogons.
    #[serde(default)]
    pub keep_private: bool,
    /// A list of over 1000 entries may have grown by this factor at most since it was last read.
    #[serde(default = "max_growth")]
    pub max_growth: Within<2, 1_000_000>,
    /// A list of over 1000 entries may have shrunk by this factor at most since it was last read.
    #[serde(default = "max_shrink")]
    pub max_shrink: Within<2, 1_000_000>,
    /// A list of whom to block may cover this share of all IPv4 addresses, and of all IPv6 ones, at most.
    #[serde(default = "max_share_percent")]
    pub max_share_percent: Within<1, 100>,
}

/// What a feed is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FeedAction {
    /// Its addresses are blocked.
    #[default]
    Block,
    /// Neither a list nor a detector blocks its addresses.
    NeverBlock,
}

/// What is in the file of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FeedFormat {
    /// What it looks like.
    #[default]
    Auto,
    /// One address, prefix or range a line (netset, Spamhaus DROP as text); what follows `#` or `;` is ignored.
    Plain,
    /// A table with a column of addresses or prefixes, such as those of abuse.ch and CrowdSec.
    Csv,
    /// Spamhaus DROP as JSON: an object with `cidr` on each line.
    Spamhaus,
    /// Decisions of CrowdSec as JSON.
    Crowdsec,
    /// What `ipset save` prints.
    Ipset,
    /// Attributes or events of MISP as JSON, or a whole feed of it.
    Misp,
    /// A STIX 2.1 bundle with indicators.
    Stix,
    /// A MISP warninglist as JSON.
    Warninglist,
}

impl FeedFormat {
    /// All of them, [`Self::Auto`] first.
    pub fn all() -> &'static [Self] {
        clap::ValueEnum::value_variants()
    }
}

/// Feeds, each under a name of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<Feed>", into = "Vec<Feed>")]
#[schemars(with = "Vec<Feed>")]
pub struct Feeds(Vec<Feed>);

fn refresh() -> Period {
    Period::constant::<3600>()
}

fn timeout() -> Period {
    Period::constant::<60>()
}

const fn max_mib() -> Within<1, 512> {
    Within::constant::<64>()
}

const fn widest_v4() -> Within<8, 32> {
    Within::constant::<8>()
}

const fn widest_v6() -> Within<16, 128> {
    Within::constant::<16>()
}

const fn max_growth() -> Within<2, 1_000_000> {
    Within::constant::<10>()
}

const fn max_shrink() -> Within<2, 1_000_000> {
    Within::constant::<2>()
}

/// Lists of attackers cover less than a hundredth of IPv4 (Spamhaus DROP 0.35 %, FireHOL level 1 half a percent without private
/// space), lists of a large country up to 8 %.
const fn max_share_percent() -> Within<1, 100> {
    Within::constant::<10>()
}

impl Feeds {
    /// The feeds in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Feed> {
        self.0.iter()
    }
}

impl FeedFormat {
    /// The name as the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Csv => "csv",
            Self::Spamhaus => "spamhaus",
            Self::Crowdsec => "crowdsec",
            Self::Ipset => "ipset",
            Self::Misp => "misp",
            Self::Stix => "stix",
            Self::Warninglist => "warninglist",
        }
    }
}

impl TryFrom<Vec<Feed>> for Feeds {
    type Error = String;

    fn try_from(feeds: Vec<Feed>) -> Result<Self, Self::Error> {
        for (index, feed) in feeds.iter().enumerate() {
            if feed.name.is_empty() || feed.name.len() > 64 || feed.name.contains(char::is_whitespace) {
                return Err(format!(
                    "{:?} is no name for a feed: write one word of at most 64 bytes",
                    feed.name
                ));
            }
            if feeds[..index].iter().any(|other| other.name == feed.name) {
                return Err(format!("two feeds are called {:?}: give each a name", feed.name));
            }
            check(feed).map_err(|why| format!("the feed {:?} {why}", feed.name))?;
        }
        Ok(Self(feeds))
    }
}

/// What else a feed must be, in the words of its mistake.
fn check(feed: &Feed) -> Result<(), String> {
    if feed.action == FeedAction::NeverBlock && feed.mode == PolicyMode::Shadow {
        return Err("is one of whom never to block, which has no mode \"shadow\"".to_owned());
    }
    match (&feed.file, &feed.url) {
        (Some(_), None) => match (&feed.ca, &feed.header_file) {
            (None, None) => Ok(()),
            _ => Err("comes from a file: `ca` and `header_file` go with `url`".to_owned()),
        },
        (None, Some(url)) => {
            // Its last good copy is a file of that name.
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if feed.name.starts_with('.') || !feed.name.bytes().all(letters) {
                return Err(
                    "comes from a URL: its name may have letters, digits, `.`, `_` and `-`".to_owned(),
                );
            }
            check_url(url)
        }
        _ => Err("needs either `file` or `url`".to_owned()),
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("has no valid URL ({error}): write https://..."))?;
    let host = uri.host().unwrap_or_default();
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("has a password in its URL: write a header into `header_file` instead".to_owned());
    }
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => Ok(()),
        // Nobody is on the way who could change it.
        Some("http") if ["127.0.0.1", "[::1]", "localhost"].contains(&host) => Ok(()),
        _ => Err(format!(
            "would be fetched from {}, which anybody on the way could change: write https://...",
            bare(url)
        )),
    }
}

/// A URL without its query, which may hold a token.
#[must_use]
pub fn bare(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

impl From<Feeds> for Vec<Feed> {
    fn from(feeds: Feeds) -> Self {
        feeds.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parsed(feed: &str) -> Result<Config, String> {
        let text = format!("[[feed]]\nname = \"a\"\n{feed}\n");
        Config::parse("test", &text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_feed_has_defaults() {
        let config = parsed("url = \"https://lists.example/drop.txt\"").unwrap();
        let feed = config.feed.iter().next().unwrap();
        assert_eq!((feed.format, feed.action), (FeedFormat::Auto, FeedAction::Block));
        assert_eq!(feed.refresh.duration().as_secs(), 3600);
        assert_eq!(
            (
                feed.max_mib.value(),
                feed.widest_v4.value(),
                feed.widest_v6.value()
            ),
            (64, 8, 16)
        );
        assert_eq!((feed.max_growth.value(), feed.max_shrink.value()), (10, 2));
        assert_eq!(feed.max_share_percent.value(), 10);
        let again = toml::to_string(&config).unwrap();
        assert_eq!(Config::parse("again", &again).unwrap(), config);
    }

    #[test]
    fn mistakes_are_told() {
        for (feed, told) in [
            ("", "needs either `file` or `url`"),
            ("file = \"/x\"\nurl = \"https://x.example/\"", "needs either"),
            ("file = \"/x\"\nca = \"/y\"", "go with `url`"),
            (
                "url = \"http://x.example/?token=s3cret\"",
                "from http://x.example/, which anybody",
            ),
            ("url = \"ftp://x.example/\"", "write https://"),
            ("url = \"https://me:s3cret@x.example/\"", "password in its URL"),
            ("url = \"/x\"", "write https://"),
            (
                "file = \"/x\"\naction = \"never-block\"\nmode = \"shadow\"",
                "has no mode",
            ),
            ("file = \"/x\"\nformat = \"pdf\"", "unknown value `pdf`"),
            ("file = \"/x\"\nwidest_v4 = 7", "8 to 32"),
            ("file = \"/x\"\nmax_share_percent = 0", "1 to 100"),
        ] {
            let error = parsed(feed).unwrap_err();
            assert!(error.contains(told), "{feed}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let slash = "[[feed]]\nname = \"../a\"\nurl = \"https://x.example/\"\n";
        let error = Config::parse("test", slash).unwrap_err().to_string();
        assert!(error.contains("its name may have letters"), "{error}");
        for good in [
            "http://127.0.0.1:8080/x",
            "http://[::1]/x",
            "https://x.example:8443/y?z",
        ] {
            assert!(parsed(&format!("url = \"{good}\"")).is_ok(), "{good}");
        }
    }
}
