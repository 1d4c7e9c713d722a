//! Files of lists, and which policies the configuration makes of them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use netguard_common::{
    layout::{Rate, Rule},
    ranges::{Policy, Subject},
};

use super::{ListMatch, ListReport};
use crate::{
    clock::monotonic_ns,
    config::{Config, GeoAction, GeoDefault, Limit, PolicyMode},
    lists::{self, Feed, ListError, Place},
    prefix::Prefix,
    ranges::Effect,
};

/// Addresses that belong to no country: of this network, private, of groups (IANA's registries of special-purpose addresses).
const NOWHERE: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
    "::/127",
    "64:ff9b::/96",
    "100::/64",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// A file that lists come from.
pub(super) struct Source {
    file: PathBuf,
    /// `None`: a feed.
    places: Option<Vec<Place>>,
    content: Content,
    /// What the file was when it was last looked at.
    seen: Option<(SystemTime, u64)>,
    /// Monotonic.
    read_ns: Option<u64>,
    fault: Option<String>,
}

enum Content {
    Feed(Feed),
    Places(HashMap<Place, Vec<Prefix>>),
}

impl Source {
    const fn new(file: PathBuf, places: Option<Vec<Place>>) -> Self {
        Self {
            file,
            places,
            content: Content::Feed(Feed {
                prefixes: Vec::new(),
                skipped: 0,
                first_skipped: Vec::new(),
            }),
            seen: None,
            read_ns: None,
            fault: None,
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the file is not what it was when it was last read, successfully or not.
    pub(super) fn has_changed(&self) -> bool {
        self.seen.is_none() || self.seen != look(&self.file)
    }

    /// Reads the file; tells how many of its lines were left out. After a failure the content stays.
    pub(super) fn read(&mut self) -> Result<usize, ListError> {
        // A file that cannot be looked at has been looked at all the same: its fault is told once.
        self.seen = Some(look(&self.file).unwrap_or((SystemTime::UNIX_EPOCH, 0)));
        let content = match &self.places {
            None => lists::read_feed(&self.file).map(Content::Feed),
            Some(wanted) => {
                lists::read_places(&self.file, |place| wanted.contains(&place)).map(Content::Places)
            }
        };
        match content {
            Ok(content) => {
                self.content = content;
                self.read_ns = Some(monotonic_ns());
                self.fault = None;
                Ok(self.skipped())
            }
            Err(error) => {
                self.fault = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn skipped(&self) -> usize {
        match &self.content {
            Content::Feed(feed) => feed.skipped,
            Content::Places(_) => 0,
        }
    }
}

fn look(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// One policy of the configuration, and where its addresses come from.
pub(super) struct Wanted {
    name: String,
    kind: &'static str,
    action: &'static str,
    shadow: bool,
    addresses: Addresses,
    max_age: Option<Duration>,
    effect: Effect,
}

enum Addresses {
    Feed(usize),
    Place(usize, Place),
    Fixed(Vec<Prefix>),
}

/// The policies of `config`, and the files that they need.
pub(super) fn wanted(config: &Config) -> (Vec<Wanted>, Vec<Source>) {
    let mut wanted = Vec::new();
    let mut sources = Vec::new();
    let shadow = |mode: PolicyMode| match mode.under(config.mode) {
        PolicyMode::Off => None,
        mode => Some(mode == PolicyMode::Shadow),
    };
    for feed in config.feed.iter() {
        let Some(shadow) = shadow(feed.mode) else { continue };
        wanted.push(Wanted {
            name: feed.name.clone(),
            kind: "feed",
            action: "block",
            shadow,
            addresses: Addresses::Feed(sources.len()),
            max_age: feed.max_age.map(|age| age.duration()),
            effect: Effect::Feed {
                policy: policy(Subject::Feed, None),
                shadow,
            },
        });
        sources.push(Source::new(feed.file.clone(), None));
    }
    let places: Vec<(Place, GeoAction, bool)> = config
        .geo
        .policy
        .iter()
        .filter_map(|policy| Some((policy, shadow(policy.mode)?)))
        .flat_map(|(policy, shadow)| {
            let countries = policy.countries.iter().map(|country| Place::Country(*country));
            let asns = policy.asns.iter().map(|asn| Place::Asn(*asn));
            countries
                .chain(asns)
                .map(move |place| (place, policy.action, shadow))
        })
        .collect();
    for (database, is_mine) in [
        (&config.geo.country_database, is_country as fn(&Place) -> bool),
        (&config.geo.asn_database, |place| !is_country(place)),
    ] {
        let mine = || places.iter().filter(|(place, ..)| is_mine(place));
        if let Some(file) = database
            && mine().next().is_some()
        {
            let index = sources.len();
            sources.push(Source::new(
                file.clone(),
                Some(mine().map(|(place, ..)| *place).collect()),
            ));
            wanted.extend(mine().map(|(place, action, shadow)| at(*place, *action, *shadow, index)));
        }
    }
    wanted.extend(default_places(config));
    (wanted, sources)
}

fn at(place: Place, action: GeoAction, shadow: bool, source: usize) -> Wanted {
    let (name, kind, rank, block, limit) = match place {
        Place::Country(country) => (
            country.to_string(),
            "country",
            1,
            Subject::CountryBlock,
            Subject::CountryLimit,
        ),
        Place::Asn(asn) => (format!("AS{asn}"), "asn", 2, Subject::AsnBlock, Subject::AsnLimit),
    };
    let (action, policy) = match action {
        GeoAction::Allow => ("allow", None),
        GeoAction::Block => ("block", Some(policy(block, None))),
        GeoAction::Limit(rate) => ("limit", Some(policy(limit, Some(rate)))),
    };
    Wanted {
        name,
        kind,
        action,
        shadow,
        addresses: Addresses::Place(source, place),
        max_age: None,
        effect: Effect::Place { rank, policy, shadow },
    }
}

/// What holds for addresses that nothing names, and for those that belong nowhere.
fn default_places(config: &Config) -> Vec<Wanted> {
    let mode = match config.geo.default {
        GeoDefault::Pass => return Vec::new(),
        GeoDefault::Shadow => PolicyMode::Shadow,
        GeoDefault::Block => PolicyMode::Enforce,
    };
    let shadow = mode.under(config.mode) == PolicyMode::Shadow;
    let fixed = |name: &str, action, texts: &[&str], rank, policy| Wanted {
        name: name.to_owned(),
        kind: "default",
        action,
        shadow,
        addresses: Addresses::Fixed(texts.iter().filter_map(|text| text.parse().ok()).collect()),
        max_age: None,
        effect: Effect::Place { rank, policy, shadow },
    };
    let block = Some(policy(Subject::CountryBlock, None));
    vec![
        fixed("elsewhere", "block", &["0.0.0.0/0", "::/0"], 0, block),
        fixed("nowhere", "allow", &NOWHERE, 1, None),
    ]
}

const fn is_country(place: &Place) -> bool {
    matches!(place, Place::Country(_))
}

fn policy(subject: Subject, limit: Option<Limit>) -> Policy {
    Policy {
        subject,
        expires_at: 0,
        rate: limit.map_or(Rate::UNLIMITED, |limit| {
            Rate::new(limit.rate_per_s.value(), limit.burst.value())
        }),
    }
}

impl Wanted {
    /// What it does; a feed ends when its file is older than it may be.
    pub(super) fn effect(&self, sources: &[Source], now_ns: u64) -> Effect {
        let (Effect::Feed { mut policy, shadow }, Some(max_age)) = (self.effect, self.max_age) else {
            return self.effect;
        };
        let written = self
            .source(sources)
            .and_then(|source| source.seen)
            .map(|(at, _)| at);
        let age = written.and_then(|at| at.elapsed().ok()).unwrap_or_default();
        let left = max_age.saturating_sub(age);
        // An expiry of 1 has passed on any machine that is up for two seconds.
        policy.expires_at = match u64::try_from(left.as_nanos()).unwrap_or(u64::MAX) {
            0 => 1,
            left_ns => Rule::expiry(now_ns, left_ns),
        };
        Effect::Feed { policy, shadow }
    }

    pub(super) fn prefixes<'a>(&'a self, sources: &'a [Source]) -> &'a [Prefix] {
        match &self.addresses {
            Addresses::Fixed(prefixes) => prefixes,
            Addresses::Feed(index) => match sources.get(*index).map(|source| &source.content) {
                Some(Content::Feed(feed)) => &feed.prefixes,
                _ => &[],
            },
            Addresses::Place(index, place) => match sources.get(*index).map(|source| &source.content) {
                Some(Content::Places(places)) => places.get(place).map_or(&[], Vec::as_slice),
                _ => &[],
            },
        }
    }

    fn source<'a>(&self, sources: &'a [Source]) -> Option<&'a Source> {
        match &self.addresses {
            Addresses::Feed(index) | Addresses::Place(index, _) => sources.get(*index),
            Addresses::Fixed(_) => None,
        }
    }

    pub(super) fn named(&self) -> ListMatch {
        ListMatch {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
        }
    }

    pub(super) fn report(&self, sources: &[Source], packets: u64) -> ListReport {
        let source = self.source(sources);
        let prefixes = self.prefixes(sources).len();
        let read_ns = source.and_then(|source| source.read_ns);
        let unknown = (prefixes == 0 && read_ns.is_some())
            .then(|| format!("the database has no address of {}", self.name));
        ListReport {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            action: self.action.to_owned(),
            mode: if self.shadow { "shadow" } else { "enforce" }.to_owned(),
            prefixes,
            packets,
            file: source.map(|source| source.file.clone()),
            read_s_ago: read_ns.map(|at_ns| monotonic_ns().saturating_sub(at_ns) / 1_000_000_000),
            skipped: source.map_or(0, Source::skipped),
            fault: source.and_then(|source| source.fault.clone()).or(unknown),
        }
    }
}
