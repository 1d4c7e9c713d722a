//! Which policies the configuration makes of its lists, and where the addresses of each come from. It reads no files.

use std::{path::Path, time::Duration};

use netguard_common::{
    layout::{Rate, Rule},
    ranges::{Policy, Subject},
};

use super::{
    report::{ListMatch, ListReport, source_report},
    sources::Source,
};
use crate::{
    config::{Config, FeedAction, GeoAction, GeoDefault, Limit, PolicyMode},
    lists::Place,
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

/// Sources go by their number.
enum Addresses {
    Feed(usize),
    Place(usize, Place),
    Fixed(Vec<Prefix>),
    /// All that no other policy names, while it is known where those are that are `served`.
    Elsewhere {
        all: Vec<Prefix>,
        served: Vec<(usize, Place)>,
    },
}

/// The policies of `config`, and what they need; `copies` is the directory for what comes from servers. Those whom never to block
/// have no policy and come last.
pub(super) fn wanted(config: &Config, copies: &Path) -> (Vec<Wanted>, Vec<Source>) {
    let mut wanted = Vec::new();
    let mut sources = Vec::new();
    let shadow = |mode: PolicyMode| match mode.under(config.mode) {
        PolicyMode::Off => None,
        mode => Some(mode == PolicyMode::Shadow),
    };
    for feed in config.feed.iter().filter(|feed| feed.action == FeedAction::Block) {
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
        sources.push(Source::feed(feed, copies));
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
            let places = mine().map(|(place, ..)| *place).collect();
            sources.push(Source::places(file.clone(), places));
            wanted.extend(mine().map(|(place, action, shadow)| at(*place, *action, *shadow, index)));
        }
    }
    let protecting =
        |feed: &&crate::config::Feed| feed.action == FeedAction::NeverBlock && feed.mode != PolicyMode::Off;
    sources.extend(
        config
            .feed
            .iter()
            .filter(protecting)
            .map(|feed| Source::feed(feed, copies)),
    );
    let served = wanted.iter().filter_map(Wanted::served).collect();
    wanted.extend(default_places(config, served));
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

/// What holds for addresses that nothing names, and for those that belong nowhere; `served` are the places that are let in.
fn default_places(config: &Config, served: Vec<(usize, Place)>) -> Vec<Wanted> {
    let mode = match config.geo.default {
        GeoDefault::Pass => return Vec::new(),
        GeoDefault::Shadow => PolicyMode::Shadow,
        GeoDefault::Block => PolicyMode::Enforce,
    };
    let shadow = mode.under(config.mode) == PolicyMode::Shadow;
    let default = |name: &str, action, addresses, rank, policy| Wanted {
        name: name.to_owned(),
        kind: "default",
        action,
        shadow,
        addresses,
        max_age: None,
        effect: Effect::Place { rank, policy, shadow },
    };
    let block = Some(policy(Subject::CountryBlock, None));
    let elsewhere = Addresses::Elsewhere {
        all: prefixes(&["0.0.0.0/0", "::/0"]),
        served,
    };
    vec![
        default("elsewhere", "block", elsewhere, 0, block),
        default("nowhere", "allow", Addresses::Fixed(prefixes(&NOWHERE)), 1, None),
    ]
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The first source that should know where `served` places are, and knows of none of them.
fn ignorant<'a>(served: &[(usize, Place)], sources: &'a [Source]) -> Option<&'a Source> {
    sources.iter().enumerate().find_map(|(index, source)| {
        let mut places = served.iter().filter(|(of, _)| *of == index).peekable();
        let asked = places.peek().is_some();
        (asked && places.all(|(_, place)| source.of(*place).is_empty())).then_some(source)
    })
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
        spares: false,
    }
}

impl Wanted {
    /// What it does; a feed ends when its file is older than it may be.
    pub(super) fn effect(&self, sources: &[Source], now_ns: u64) -> Effect {
        let (Effect::Feed { mut policy, shadow }, Some(max_age)) = (self.effect, self.max_age) else {
            return self.effect;
        };
        let written = self.source(sources).and_then(Source::written);
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
            Addresses::Feed(index) => sources.get(*index).map_or(&[], Source::prefixes),
            Addresses::Place(index, place) => sources.get(*index).map_or(&[], |source| source.of(*place)),
            // Whoever cannot be told from the others would be blocked with them.
            Addresses::Elsewhere { served, .. } if ignorant(served, sources).is_some() => &[],
            Addresses::Elsewhere { all, .. } => all,
        }
    }

    fn source<'a>(&self, sources: &'a [Source]) -> Option<&'a Source> {
        match &self.addresses {
            Addresses::Feed(index) | Addresses::Place(index, _) => sources.get(*index),
            Addresses::Fixed(_) | Addresses::Elsewhere { .. } => None,
        }
    }

    /// The place whose addresses are let in, if it is one.
    fn served(&self) -> Option<(usize, Place)> {
        match self.addresses {
            Addresses::Place(index, place) if self.action != "block" => Some((index, place)),
            _ => None,
        }
    }

    /// Why it does nothing, if it stands for all those elsewhere.
    pub(super) fn idle(&self, sources: &[Source]) -> Option<String> {
        let Addresses::Elsewhere { served, .. } = &self.addresses else {
            return None;
        };
        let file = ignorant(served, sources)?.file().display();
        Some(format!(
            "who lies elsewhere is not blocked: {file} says of no place that is served where it is"
        ))
    }

    /// Whether its file was read and holds no address for it.
    pub(super) fn is_empty(&self, sources: &[Source]) -> bool {
        let source = self.source(sources);
        source.is_some_and(|source| source.read_ns().is_some()) && self.prefixes(sources).is_empty()
    }

    pub(super) fn named(&self) -> ListMatch {
        ListMatch {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            shadow: self.shadow,
        }
    }

    /// `fault` is what is wrong with all lists, if anything.
    pub(super) fn report(&self, sources: &[Source], packets: u64, fault: Option<&str>) -> ListReport {
        let source = self.source(sources);
        let own_fault = source.and_then(Source::fault).or(fault).map(str::to_owned);
        let unknown = || {
            let is_empty = self.is_empty(sources);
            is_empty.then(|| format!("the database has no address of {}", self.name))
        };
        let base = source.map_or_else(ListReport::default, source_report);
        ListReport {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            action: self.action.to_owned(),
            mode: if self.shadow { "shadow" } else { "enforce" }.to_owned(),
            prefixes: self.prefixes(sources).len(),
            packets,
            fault: own_fault.or_else(|| self.idle(sources)).or_else(unknown),
            ..base
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use netguard_common::ranges::POLICIES;

    use super::*;

    /// Found in review: without its database nobody was let in, and all the world was blocked.
    #[test]
    fn nobody_is_blocked_for_lying_elsewhere_while_nobody_knows_where_the_others_are() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let config = Config::parse(
            "test",
            &format!(
                "[geo]\ndefault = \"block\"\ncountry_database = {:?}\nasn_database = {:?}\n\
                 [[geo.policy]]\ncountries = [\"AQ\", \"BV\"]\naction = \"allow\"\n\
                 [[geo.policy]]\nasns = [64496]\naction = \"block\"\n",
                file("country.csv"),
                file("asn.csv")
            ),
        )
        .unwrap();
        let (wanted, mut sources) = wanted(&config, Path::new("/nowhere"));
        let elsewhere = wanted.iter().find(|wanted| wanted.name == "elsewhere").unwrap();
        let state = |sources: &[Source]| (elsewhere.prefixes(sources).len(), elsewhere.idle(sources));
        let (blocked, fault) = state(&sources);
        assert_eq!(blocked, 0);
        assert!(
            fault
                .unwrap()
                .contains("country.csv says of no place that is served")
        );

        for (text, expected) in [("192.0.2.0/24,HM\n", 0), ("192.0.2.0/24,AQ\n", 2)] {
            fs::write(file("country.csv"), text).unwrap();
            sources[0].read().unwrap();
            let (blocked, fault) = state(&sources);
            assert_eq!((blocked, fault.is_none()), (expected, expected != 0), "{text}");
        }
        // The other database, which names nobody who is served, may be missing; and what was read once is known.
        fs::remove_file(file("country.csv")).unwrap();
        sources
            .iter_mut()
            .for_each(|source| assert!(source.read().is_err()));
        assert_eq!(state(&sources), (2, None));
    }

    /// Found in review: a configuration that passed the check was refused by what compiles it.
    #[test]
    fn the_largest_configuration_has_room() {
        let with = |asns: u32| {
            let asns: Vec<u32> = (1..=asns).collect();
            Config::parse(
                "test",
                &format!(
                    "[[feed]]\nname = \"a\"\nfile = \"/x\"\n[geo]\ndefault = \"block\"\nasn_database = \"/a\"\n\
                     [[geo.policy]]\nasns = {asns:?}\naction = \"allow\"\n"
                ),
            )
        };
        // One more is for what no list touches.
        let (wanted, _) = wanted(&with(POLICIES - 4).unwrap(), Path::new("/nowhere"));
        assert_eq!(wanted.len() + 1, POLICIES as usize);
        assert!(with(POLICIES - 3).is_err());
    }
}
