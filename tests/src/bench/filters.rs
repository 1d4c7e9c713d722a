//! The filters that packets meet in test runs: netguard in several states, the two reference programs, and Debian's xdp-filter.

use anyhow::{Context, Result};
use netguard::{
    bpf::{Counters, Driver, Enlisted, Target, TestObject},
    prefix::Prefix,
};
use netguard_common::{
    Verdict,
    layout::{CLASSES, Cookies, Rate},
    packet::Family,
};

use super::{
    cases::{LISTED, MANY, OWN_V4, OWN_V6, PREFIX, address},
    full::Full,
    lists::{NEVER, countries},
    peers::{Peer, XdpFilter},
};
use crate::world::{DEFAULT_SIZES, PERMANENT, World, rule};

/// What a case meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// 64k listed addresses of each family, some prefixes, and limits that everything exceeds.
    Strict,
    /// The same lists, and limits that nothing reaches.
    Generous,
    /// As [`Self::Generous`], and each country has a limit.
    Placed,
    /// Everything on, see [`Full`].
    Full,
    /// Every connection attempt is answered for.
    Answering,
}

impl Filter {
    pub(super) const ALL: [Self; 5] = [
        Self::Strict,
        Self::Generous,
        Self::Placed,
        Self::Full,
        Self::Answering,
    ];
}

/// Reference programs that do one thing and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Least {
    Limit,
    Answer,
}

impl Least {
    const ALL: [Self; 2] = [Self::Limit, Self::Answer];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "parse + one limit, no more",
            Self::Answer => "parse + one cookie, no more",
        }
    }

    /// That of the program in the reference object.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Limit => "parse_limit",
            Self::Answer => "parse_answer",
        }
    }
}

/// A loaded filter.
pub(super) struct Loaded {
    pub(super) program: Enlisted,
    counters: Counters,
}

impl Loaded {
    fn of(world: &World, driver: &mut Driver) -> Result<Self> {
        let mut object = world.kernel()?;
        let target = Target::of(&mut object, "netguard_xdp", false)?;
        Ok(Self {
            program: driver.enlist(&target)?,
            counters: object.take_counters()?,
        })
    }

    /// How many packets got which verdict so far.
    pub(super) fn packets(&self) -> Result<Vec<(Verdict, u64)>> {
        let counts = self.counters.read()?.into_iter();
        Ok(counts
            .filter(|(judgement, _)| !judgement.shadow)
            .map(|(judgement, counter)| (judgement.verdict, counter.packets))
            .collect())
    }
}

/// The daemon's budget of samples a second.
const SAMPLED: Rate = Rate::new(2_000, 400);

/// All filters, ready to be driven.
pub(super) struct Filters {
    pub(super) empty: Enlisted,
    pub(super) parse_hash: Enlisted,
    loaded: Vec<(Filter, Loaded)>,
    least: Vec<(Least, Enlisted)>,
    peers: Vec<(XdpFilter, Enlisted)>,
}

impl Filters {
    pub(super) fn load(reference: &[u8], full: &Full, driver: &mut Driver) -> Result<Self> {
        let mut reference = TestObject::load(reference, DEFAULT_SIZES)?;
        list_sources(&mut reference)?;
        let mut enlist = |name| driver.enlist(&Target::of(&mut reference, name, false)?);
        let (empty, parse_hash) = (enlist("empty")?, enlist("parse_hash")?);
        let least = Least::ALL
            .into_iter()
            .map(|least| Ok((least, enlist(least.program())?)))
            .collect::<Result<Vec<_>>>()?;
        let mut loaded = Vec::new();
        for filter in Filter::ALL {
            let ready = match filter {
                Filter::Strict => Loaded::of(&strict(), driver),
                Filter::Placed => Loaded::of(&generous().lists(countries()), driver),
                Filter::Generous => Loaded::of(&generous(), driver),
                Filter::Answering => Loaded::of(&answering([OWN_V4, OWN_V6]), driver),
                Filter::Full => full.target().and_then(|target| {
                    Ok(Loaded {
                        program: driver.enlist(&target)?,
                        counters: full.counters()?,
                    })
                }),
            };
            loaded.push((filter, ready.with_context(|| format!("the filter {filter:?}"))?));
        }
        let mut peers = Vec::new();
        for kind in XdpFilter::ALL {
            if let Some(mut peer) = Peer::load(kind)? {
                peers.push((kind, driver.enlist(&peer.target()?)?));
            }
        }
        Ok(Self {
            empty,
            parse_hash,
            loaded,
            least,
            peers,
        })
    }

    pub(super) fn loaded(&self, filter: Filter) -> Result<&Loaded> {
        let mut all = self.loaded.iter();
        all.find(|(name, _)| *name == filter)
            .map(|(_, loaded)| loaded)
            .context("every filter is loaded")
    }

    pub(super) fn least(&self, least: Least) -> Option<Enlisted> {
        let mut all = self.least.iter();
        all.find(|(name, _)| *name == least).map(|(_, program)| *program)
    }

    /// `None` where xdp-filter is not installed.
    pub(super) fn peer(&self, kind: XdpFilter) -> Option<Enlisted> {
        let mut all = self.peers.iter();
        all.find(|(peer, _)| *peer == kind).map(|(_, program)| *program)
    }
}

/// Lists for the reference program the sources that [`strict`] blocks.
pub(super) fn list_sources(reference: &mut TestObject) -> Result<()> {
    for number in LISTED..LISTED + MANY {
        for family in [Family::V4, Family::V6] {
            match address(family, number) {
                std::net::IpAddr::V4(ip) => {
                    reference.insert_exact("LISTED_V4", ip.octets(), rule(PERMANENT))?
                }
                std::net::IpAddr::V6(ip) => {
                    reference.insert_exact("LISTED_V6", ip.octets(), rule(PERMANENT))?
                }
            }
        }
    }
    Ok(())
}

/// 64k sources of each family are listed, and every other exceeds its limits.
pub(super) fn strict() -> World {
    limiting(rules())
}

/// As `world`, and every source exceeds its limits.
pub(super) fn limiting(world: World) -> World {
    const A_MINUTE: Rate = Rate {
        interval_ns: 60_000_000_000,
        tolerance_ns: 60_000_000_000,
    };
    limited(world, A_MINUTE)
}

fn generous() -> World {
    limited(rules(), NEVER)
}

/// As `world`, with this limit for all. Drops are reported within the daemon's budget, which is part of their cost.
fn limited(mut world: World, limit: Rate) -> World {
    world.settings.sample = SAMPLED;
    world.limits([limit; CLASSES])
}

/// Every connection attempt at one of `own` is answered for.
pub(super) fn answering(own: [&str; 2]) -> World {
    let mut world = own.into_iter().fold(World::new(), World::own);
    world.settings.cookies = Cookies::Always as u32;
    world
}

fn rules() -> World {
    let numbers = LISTED..LISTED + MANY;
    let addresses = numbers.flat_map(|number| [Family::V4, Family::V6].map(|family| address(family, number)));
    let blocked = [(Family::V4, 24), (Family::V6, 40)]
        .into_iter()
        .filter_map(|(family, bits)| Prefix::truncated(address(family, PREFIX), bits));
    World::new()
        .allow("192.0.2.7")
        .allow("2001:db8:7:7::/64")
        .block("198.18.0.0/15")
        .block("2001:db8:bad::/64")
        .block_all(addresses.map(Prefix::from))
        .block_all(blocked)
}
